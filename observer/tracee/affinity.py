"""Tracer and tracee on one processor while the tracee has one thread: a stop then costs a sixth (sched(7)).

The program must not see it: a call that reads or sets the affinity finds the mask the program started with, and
the first thread that is made ends the sharing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Final

__all__ = ["Affinity"]

_SCHED_SETAFFINITY: Final = 203
_SCHED_GETAFFINITY: Final = 204


class Affinity:
    """The processors of the observer and its tracees."""

    SYSCALLS: Final = frozenset({_SCHED_SETAFFINITY, _SCHED_GETAFFINITY})

    def __init__(self, *, share: bool) -> None:
        self.original = os.sched_getaffinity(0)
        self.processor = min(self.original) if share and len(self.original) > 1 else None
        if self.processor is not None:
            self.processor = _current_processor(self.original)
        self._freed = self.processor is None

    def enter(self) -> None:
        """Move the calling thread to the shared processor."""
        if self.processor is not None:
            os.sched_setaffinity(0, {self.processor})

    def leave(self) -> None:
        """Give the calling thread its processors back."""
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, self.original)

    def concerns(self, number: int) -> bool:
        """Whether the system call *number* would show or change the sharing."""
        return not self._freed and number in self.SYSCALLS

    def lift(self, tid: int) -> None:
        """Give *tid* its original mask for the time of a call."""
        with contextlib.suppress(OSError):
            os.sched_setaffinity(tid, self.original)

    def restore(self, tid: int, number: int) -> None:
        """Share again after the program looked; a program that sets its own mask keeps it."""
        if self.concerns(number) and number == _SCHED_GETAFFINITY and self.processor is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, {self.processor})

    def share_out(self, tasks: Iterable[int], newborn: int) -> None:
        """End the sharing: a second thread is there. *tasks* and *newborn* get the original mask."""
        if self._freed:
            return
        self._freed = True
        for tid in [*tasks, newborn]:
            self.lift(tid)
        self.leave()


def _current_processor(allowed: set[int]) -> int:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    current = int(fields[36])
    return current if current in allowed else min(allowed)
