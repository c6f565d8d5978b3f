"""All tasks brought to a stop, each at one where what was planted may be taken out, and let go on from there.

PTRACE_INTERRUPT stops a task as a stop of its own would: a call that waits (epoll_wait(2), semop(2)) may come back with
EINTR, as when a debugger attaches (signal(7)). A task that waits in the kernel for its vfork child cannot stop, and
need not: it does not run before the child is out of its memory.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from observer.linux import ptrace
from observer.linux.procfs import read_status_field
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.task import Task

__all__ = ["GROUP_STOPS", "RESTARTED", "Halt", "owes_trap"]

GROUP_STOPS: Final = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
"""Signals that stop all threads of a process (job control)."""
RESTARTED: Final = range(-516, -511)
"""Results of calls that a stop interrupted, and that are begun again or come back with EINTR (linux/errno.h)."""

_SHORTLY: Final = 0.001
_LISTENING: Final = -1
_TRAP_BIT: Final = 1 << (signal.SIGTRAP - 1)


class Halt:
    """Holds the *tasks* of an engine at their stops; `held` are those that stand, with the signal each waits for.

    `ended` are those of which it was found meanwhile that they were killed.
    """

    def __init__(self, tasks: Mapping[int, Task]) -> None:
        self._tasks = tasks
        self.held: dict[int, int] = {}
        self.ended: list[EndedMeanwhile] = []
        for tid in tasks:
            with contextlib.suppress(OSError):  # it has ended, which is told in a moment
                ptrace.interrupt(tid)

    def hold(self, task: Task, number: int = 0) -> None:
        """Have *task* wait where it stands, before the signal *number*."""
        self.held[task.tid] = number

    def hold_group_stopped(self, task: Task) -> None:
        """Have *task* wait that was stopped by a signal (job control), and remains so."""
        self.held[task.tid] = _LISTENING

    def is_standing(self, task: Task) -> bool:
        """Whether *task* is at a stop, where its registers can be read."""
        return task.tid in self.held and not task.exiting

    def is_done(self, others: object) -> bool:
        """Whether no task runs, nor will before it is let go on; where there are *others* still to come, one does."""
        known = list(self._tasks.values())
        if not known:
            return True
        return not others and all(
            task.tid in self.held or task.exiting or _waits_for_child(task, known) for task in known
        )

    def gather(
        self, others: object, poll: Callable[[], tuple[int, int] | None], handle: Callable[[int, int], None]
    ) -> None:
        """Wait until that is so: *poll* gives the next (tid, status) if there is one, *handle* answers it."""
        while not self.is_done(others):
            found = poll()
            if found is not None:
                handle(*found)
            else:
                time.sleep(_SHORTLY)

    def let_go(self, resume: Callable[[Task, int], None]) -> None:
        """Have all go on that stand still: by *resume*, with the signals they wait for."""
        for tid, number in self.held.items():
            task = self._tasks.get(tid)
            if task is None:
                continue
            with contextlib.suppress(ProcessLookupError):  # killed meanwhile; the end comes by as a status
                if number == _LISTENING:
                    ptrace.listen(tid)
                else:
                    resume(task, number)


def _waits_for_child(task: Task, tasks: Iterable[Task]) -> bool:
    has_lent = any(each.parent == task.tid and each.pid != task.pid and each.memory is task.memory for each in tasks)
    return has_lent and _field(task.tid, "State").startswith("D")


def owes_trap(tid: int) -> bool:
    """Whether a SIGTRAP is on its way to *tid*, which may have run into a breakpoint just before it stopped."""
    pending, blocked = (int(_field(tid, name) or "0", 16) for name in ("SigPnd", "SigBlk"))
    return bool(pending & ~blocked & _TRAP_BIT)


def _field(tid: int, name: str) -> str:
    try:
        return read_status_field(tid, name)
    except OSError:
        return ""  # it has ended
