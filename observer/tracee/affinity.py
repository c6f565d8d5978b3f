"""Tracer and tracee on one processor while the tracee has one thread: a stop then costs a sixth (sched(7)).

The program must not see it: a call that reads or sets the affinity finds the mask the program started with, and
the first thread that is made ends the sharing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from typing import Final

from observer.arch.known import NATIVE

__all__ = ["Affinity"]

_SCHED_SETAFFINITY, _SCHED_GETAFFINITY = NATIVE.numbers("sched_setaffinity", "sched_getaffinity")


class Affinity:
    """The processors of the observer and its tracees.

    One single-threaded program shares from the start. Once threads are there, sharing lasts only while stops come
    so densely that the tracer is what everyone waits for: moving a stop between processors then costs more than
    running the threads side by side could win.
    """

    SYSCALLS: Final = frozenset({_SCHED_SETAFFINITY, _SCHED_GETAFFINITY})
    _DENSE: Final = 2000.0  # stops a second

    def __init__(self, *, share: bool) -> None:
        self.original = os.sched_getaffinity(0)
        self.processor = _current_processor(self.original) if share and len(self.original) > 1 else None
        self._owner = threading.get_native_id()
        self._threaded = False
        self._shared = self.processor is not None
        self._own_choice: set[int] = set()
        self._counted = 0

    def enter(self) -> None:
        """Move the calling thread, the tracer, to the shared processor."""
        if self.processor is not None:
            os.sched_setaffinity(0, {self.processor})

    def leave(self) -> None:
        """Give the calling thread its processors back."""
        self.lift(0)

    def concerns(self, number: int) -> bool:
        """Whether the system call *number* would show or change the sharing."""
        return self.processor is not None and number in self.SYSCALLS

    def lift(self, tid: int) -> None:
        """Give *tid* its original mask."""
        if tid not in self._own_choice:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, self.original)

    def _share(self, tid: int) -> None:
        if self.processor is not None and tid not in self._own_choice:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, {self.processor})

    def restore(self, tid: int, number: int) -> None:
        """Share again after the program looked; a program that sets its own mask keeps it."""
        if number == _SCHED_SETAFFINITY and self.concerns(number):
            self._own_choice.add(tid)
        elif self.concerns(number) and self._shared:
            self._share(tid)

    def inherit(self, parent: int, child: int) -> None:
        """A child has the mask that its parent chose."""
        if parent in self._own_choice:
            self._own_choice.add(child)

    def thread_born(self, tasks: Iterable[int], newborn: int) -> None:
        """A second thread is there: the sharing ends for now. *tasks* and *newborn* get the original mask."""
        self._part([*tasks, newborn])

    def part(self, tasks: Iterable[int], stops: int) -> None:
        """Stops will be few: the sharing ends for now, as with a second thread; the *stops* by now do not count."""
        self._counted = stops
        self._part(tasks)

    def _part(self, tasks: Iterable[int]) -> None:
        if self.processor is not None and not self._threaded:
            self._threaded = True
            self._spread(tasks)

    def _spread(self, tasks: Iterable[int]) -> None:
        self._shared = False
        for tid in [*tasks, self._owner]:
            self.lift(tid)

    def adapt(self, tasks: Iterable[int], stops: int, seconds: float) -> None:
        """Choose anew, after so many *seconds*, by how many *stops* there were by now; from any thread."""
        since, self._counted = stops - self._counted, stops
        if self.processor is None or not self._threaded:
            return
        dense = since / seconds > self._DENSE
        if dense and not self._shared:
            self._shared = True
            for tid in [*tasks, self._owner]:
                self._share(tid)
        elif self._shared and not dense:
            self._spread(tasks)


def _current_processor(allowed: set[int]) -> int:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    current = int(fields[36])
    return current if current in allowed else min(allowed)
