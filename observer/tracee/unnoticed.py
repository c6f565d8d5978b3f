"""System calls that would answer otherwise because we are there: answered, or carried out, as without us.

- a filter of the program's own says SECCOMP_RET_TRACE: without a tracer the call fails with ENOSYS (seccomp(2));
- strict mode, which the kernel refuses since our filter is there: from then on only read, write, _exit and sigreturn;
- PR_GET_SECCOMP, which would show our filter;
- clone with CLONE_UNTRACED, by which a child would escape with breakpoints in its text: made without the flag;
- tracing or stopping the observer itself, which would leave everyone waiting: the one is refused, the other not done.

That the counters of getrusage(2) begin with what the observer did before the exec cannot be undone, and is said.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping
from errno import ENOSYS, EPERM
from typing import Final

from observer.arch.known import NATIVE, architecture_of
from observer.code.compat import as_native
from observer.linux.procfs import read_status_field
from observer.linux.ptrace import RegisterSet, set_call_number
from observer.linux.seccomp import CLONE_UNTRACED
from observer.tracee.task import Task

__all__ = ["PR_SET_TSC", "Unnoticed"]

_CLONE, _PTRACE, _PRCTL, _SECCOMP, _GETRUSAGE = NATIVE.numbers("clone", "ptrace", "prctl", "seccomp", "getrusage")
_KILL, _TKILL, _TGKILL = NATIVE.numbers("kill", "tkill", "tgkill")
_OWN_USAGE: Final = frozenset({0, 1})  # RUSAGE_SELF, RUSAGE_THREAD
_PR_GET_SECCOMP, _PR_SET_SECCOMP, _STRICT = 21, 22, 1
PR_SET_TSC: Final = 26
_SET_MODE_STRICT: Final = 0
_ATTACHING: Final = frozenset({16, 0x4206})  # PTRACE_ATTACH, PTRACE_SEIZE
_STOPPING: Final = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_STRICTLY_ALLOWED: Final = frozenset(NATIVE.numbers("read", "write", "exit", "rt_sigreturn"))
_SIGNAL_AT: Final = {_KILL: 1, _TKILL: 1, _TGKILL: 2}
_SKIPPED: Final = -1


class Unnoticed:
    """Stands in for the kernel where we are in its way. `notes` says where that can be noticed all the same.

    `asks_usage`: the program itself asked for its fault counters.

    `NUMBERS` and `by_argument` are the calls that it has to see: all, or with these first arguments.
    """

    NUMBERS: Final = frozenset({_PTRACE, _SECCOMP})

    def __init__(self) -> None:
        self._own = frozenset(int(name) for name in os.listdir("/proc/self/task"))
        self.notes: set[str] = set()
        self.asks_usage = False

    @property
    def by_argument(self) -> Mapping[int, Collection[int]]:
        """Numbers of this machine's kernel to first arguments."""
        own = {os.getpid(), *self._own}
        return {
            _PRCTL: {_PR_GET_SECCOMP, _PR_SET_SECCOMP, PR_SET_TSC},
            _GETRUSAGE: _OWN_USAGE,
            _KILL: own,
            _TKILL: own,
            _TGKILL: own,
        }

    def own_trace(self, task: Task) -> None:
        """A filter of the program's stopped *task*, though it knows of no tracer: its call fails."""
        self._skip(task, -ENOSYS)

    @staticmethod
    def put_back(task: Task) -> None:
        """Give *task* the register back that was changed for the call that it has come out of."""
        if task.put_back is not None:
            RegisterSet.poke(task.tid, *task.put_back)
            task.put_back = None

    def entered(self, task: Task, entry: tuple[int, ...]) -> None:
        """A system call begins; *entry* is (time, op, arch, ip, sp, nr, args…)."""
        number, args = as_native(entry[2], entry[5], entry[6:])
        if number == _CLONE and args[0] & CLONE_UNTRACED:
            register = architecture_of(entry[2]).calls.arguments[0]
            RegisterSet.poke(task.tid, register, args[0] & ~CLONE_UNTRACED)
            if register != NATIVE.calls.result:
                task.put_back = (register, args[0])
        elif number in (_PRCTL, _SECCOMP):
            self._seccomp(task, number, args)
        elif number == _PTRACE:
            self._ptrace(task, args)
        elif number == _GETRUSAGE and args[0] in _OWN_USAGE and task.parent == 0:
            self.asks_usage = True
        elif number in _SIGNAL_AT and args[_SIGNAL_AT[number]] in _STOPPING and args[0] in self._own:
            self.notes.add("the program stopped its parent, the observer, which went on all the same")
            self._skip(task, 0)

    def _seccomp(self, task: Task, number: int, args: tuple[int, ...]) -> None:
        mode = (_PR_SET_SECCOMP, _STRICT) if number == _PRCTL else (_SET_MODE_STRICT, 0)
        asks = number == _PRCTL and args[0] == _PR_GET_SECCOMP
        if not (asks or tuple(args[:2]) == mode) or _filters(task.tid) > 1:
            return  # with a filter of its own the kernel's answer is what it would be without us
        task.is_strict = task.is_strict or not asks
        self._skip(task, 0)

    def _ptrace(self, task: Task, args: tuple[int, ...]) -> None:
        if args[0] in _ATTACHING and args[1] in self._own:
            self.notes.add("the program tried to trace its parent, the observer: refused")
            self._skip(task, -EPERM)
        else:
            self.notes.add("the program uses ptrace(2): what the observer traces cannot be traced by it")

    @staticmethod
    def allows(arch: int, foreign: int) -> bool:
        """Whether strict mode allows a call (seccomp(2))."""
        return as_native(arch, foreign, ())[0] in _STRICTLY_ALLOWED

    @staticmethod
    def _skip(task: Task, result: int) -> None:
        """Have the kernel leave the call out that *task* is about to make, with *result* for its caller."""
        set_call_number(task.tid, _SKIPPED)
        RegisterSet.poke(task.tid, NATIVE.calls.result, result)


def _filters(tid: int) -> int:
    """Return how many filters a task has (Seccomp_filters of status, Linux 5.9); 1 where that is not told."""
    try:
        return int(read_status_field(tid, "Seccomp_filters"))
    except (OSError, ValueError, KeyError, StopIteration):
        return 1
