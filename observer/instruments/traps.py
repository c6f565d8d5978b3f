"""SIGTRAP belongs to the program, too, and a breakpoint disturbs it.

At an int3 the kernel forces SIGTRAP through: if it is blocked, it is unblocked; if blocked or ignored, its action
becomes the default (force_sig, kernel/signal.c). The mask is put back at once. The action cannot be put back from
outside; a program to which that matters is named.
"""

from __future__ import annotations

import signal
from typing import Final

from observer.linux import ptrace
from observer.linux.ptrace import peek
from observer.tracee.task import Task

__all__ = ["SIGACTION", "SIGPROCMASK", "TrapWatch", "restore_blocked_trap"]

SIGACTION: Final = 13
SIGPROCMASK: Final = 14
_BIT: Final = 1 << (signal.SIGTRAP - 1)


def restore_blocked_trap(tid: int) -> None:
    """Block SIGTRAP again in a task that wants it blocked."""
    ptrace.set_signal_mask(tid, ptrace.signal_mask(tid) | _BIT)


class TrapWatch:
    """Follows what the program asks for SIGTRAP."""

    def __init__(self) -> None:
        self._acting: set[int] = set()
        self.disturbed: set[str] = set()

    def entered(self, task: Task, number: int, args: tuple[int, ...], *, bits: int) -> None:
        """A call that may concern SIGTRAP begins; the handler's address is *bits* wide."""
        if number == SIGACTION and args[0] == signal.SIGTRAP and args[1]:
            handler = peek(task.tid, args[1]) & (1 << bits) - 1
            if handler == signal.SIG_IGN:
                self.disturbed.add("the program ignores SIGTRAP, which breakpoints set back to its default")
            elif handler != signal.SIG_DFL:
                self._acting.add(task.pid)

    def left(self, task: Task, number: int) -> None:
        """A call that changed the blocked signals ended."""
        if number == SIGPROCMASK:
            task.blocks_trap = bool(ptrace.signal_mask(task.tid) & _BIT)
            if task.blocks_trap and task.pid in self._acting:
                self.disturbed.add("the program blocks a handled SIGTRAP, whose handler breakpoints take away")
