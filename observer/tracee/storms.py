"""Timers that are faster than what is done at each of their signals: the program must get on all the same.

A timer's signal that comes again while its last one was being told is waiting when the handler returns, and comes
before anything else is executed. Where nothing was, the signal waits, blocked, until the task has run for a while: the
kernel keeps it, and makes one of it and those like it that come meanwhile, as it does where a handler is slow. What
somebody has sent does not wait: a program may rely on its own having come when it unblocks them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final

from observer.arch.known import NATIVE
from observer.linux import ptrace
from observer.linux.ptrace import RegisterSet, interrupts_call
from observer.model.signals import SI_KERNEL, SI_TIMER
from observer.tracee.task import Task
from observer.tracee.waiting import ALL_TASKS, has_moved_on

__all__ = ["Storms"]

_A_WHILE: Final = 0.0005
"""Seconds that a task runs before the signal comes."""
_SPARED: Final = 0.005
"""Seconds during which it waits again wherever it finds the task: among breakpoints each of them ends a while."""
_A_MOMENT: Final = 0.00001
"""Seconds between two looks whether it has come to a stop by itself."""
_OF_INSTRUCTIONS: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
)
"""What an instruction raises comes again with it: waiting would end the program."""
_OF_TIMERS: Final = frozenset({SI_KERNEL, SI_TIMER})
"""The codes of setitimer(2)'s signals and of timer_create(2)'s."""
_UNBLOCKABLE: Final = frozenset({signal.SIGKILL, signal.SIGSTOP})
_BEHIND: Final = len(NATIVE.calls.gates[0].code)


class Storms:
    """Knows where each task stood when it last had a signal."""

    def __init__(self) -> None:
        self._registers = RegisterSet()
        self._spared: dict[tuple[int, int], float] = {}

    def waited_out(self, task: Task, number: int) -> tuple[int, int] | None:
        """Have signal *number*, at whose delivery *task* stands, wait a while if nothing was executed since the last.

        Returns the (tid, status) that the task came to meanwhile, None if the signal is to be delivered now.

        Raises:
            OSError: ESRCH, the task is gone.
        """
        self._registers.read(task.tid)
        words = self._registers.words
        ip = words[NATIVE.registers.ip]
        before, place = task.signalled_at.get(number), (ip, words[NATIVE.registers.sp])
        task.signalled_at[number] = place
        until = self._spared.pop((task.tid, number), None)
        is_spared = time.monotonic() < until if until is not None else before == place
        if not is_spared or number in _OF_INSTRUCTIONS or number in _UNBLOCKABLE:
            return None
        if ptrace.signal_info(task.tid)[1] not in _OF_TIMERS:
            return None
        if task.entered is not None or task.put_back is not None or task.is_strict or task.memory is None:
            return None
        task.memory.tid = task.tid
        behind = b""
        with contextlib.suppress(OSError):  # code may begin here
            behind = task.memory.read(ip - _BEHIND, _BEHIND)
        if interrupts_call(words, behind):
            return None  # there it may stand for long, not by our doing
        self._spared[task.tid, number] = until or time.monotonic() + _SPARED
        return _let_run(task.tid, number)


def _let_run(tid: int, number: int) -> tuple[int, int]:
    """Let a task run a while with signal *number* blocked; it stops before a system call, which would find our mask."""
    mask = ptrace.signal_mask(tid)
    ptrace.set_signal_mask(tid, mask | 1 << number - 1)
    ptrace.to_syscall_exit(tid, number)  # blocked now, it is put back among those that wait (ptrace_signal)
    until = time.monotonic() + _A_WHILE
    while time.monotonic() < until and not has_moved_on(tid):
        time.sleep(_A_MOMENT)
    with contextlib.suppress(ProcessLookupError):  # it stands, or has ended: that is the status
        ptrace.interrupt(tid)
    came_to = os.waitpid(tid, ALL_TASKS)
    with contextlib.suppress(ProcessLookupError):
        ptrace.set_signal_mask(tid, mask)
    return came_to
