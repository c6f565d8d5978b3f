"""Tracer and tracee on one processor while the tracee has one thread: a stop then costs a sixth (sched(7)).

The program must not see it: a call that reads or sets the affinity finds the mask the program started with, and
the first thread that is made ends the sharing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Container, Iterable, Sequence
from typing import Final

from observer.arch.known import NATIVE
from observer.code.compat import as_native

__all__ = ["Affinity"]

_SCHED_SETAFFINITY, _SCHED_GETAFFINITY = NATIVE.numbers("sched_setaffinity", "sched_getaffinity")
_LOOKED_AT: Final = 64
"""Tasks of which it is asked whether they run: the newest."""


class Affinity:
    """The processors of the observer and its tracees.

    One single-threaded program shares from the start, and so do processes that wait for each other. Once threads are
    there, or processes that run at the same time, sharing lasts only while stops come so densely that the tracer is
    what everyone waits for: moving a stop between processors then costs more than running side by side could win.
    """

    SYSCALLS: Final = frozenset({_SCHED_SETAFFINITY, _SCHED_GETAFFINITY})
    _DENSE: Final = 2000.0  # stops a second
    _CALM: Final = 4
    """Looks in a row at which no two tasks ran, after which processes share again."""
    _CROWDED: Final = 0.3
    """The part of the time that a task waits for the processor from which on another one is looked for."""
    _STOP_TAKES: Final = 200_000
    """Nanoseconds that a task may wait each time for its tracer, which has the same processor."""
    _LONG: Final = 20
    """Looks for which nobody shares a processor that was found to be crowded, unless stops come densely."""

    def __init__(self, *, share: bool) -> None:
        self.original = os.sched_getaffinity(0)
        self.processor = _processor_of("self", self.original) if share and len(self.original) > 1 else None
        self._owner = threading.get_native_id()
        self._threaded = False
        self._shared = self.processor is not None
        self._calm = self._CALM
        self._waited = 0, 0, 0
        self._own_choice: set[int] = set()
        self._shown: set[int] = set()
        self._counted = 0

    def enter(self) -> None:
        """Move the calling thread, the tracer, to the shared processor."""
        if self.processor is not None:
            os.sched_setaffinity(0, {self.processor})

    def leave(self) -> None:
        """Give the calling thread its processors back."""
        self.lift(0)

    def entered(self, tid: int, entry: tuple[int, ...], tasks: Container[int]) -> bool:
        """Whether the system call that *tid* enters, one of *tasks*, shows or sets a mask: until it was `left` the task
        whose that is has its own.
        """
        number, _args = as_native(entry[2], entry[5], ())
        if self.processor is None or number not in self.SYSCALLS:
            return False
        whose = _whose(tid, entry, tasks)
        self.lift(whose)
        self._shown.add(whose)
        return True

    def left(self, tid: int, entry: tuple[int, ...], tasks: Container[int]) -> None:
        """That system call has ended: share again, but for a task whose mask the program has set."""
        number, _args = as_native(entry[2], entry[5], ())
        if self.processor is None or number not in self.SYSCALLS:
            return
        whose = _whose(tid, entry, tasks)
        self._shown.discard(whose)
        if number == _SCHED_SETAFFINITY:
            self._own_choice.add(whose)
        elif self._shared:
            self._share(whose)

    def lift(self, tid: int) -> None:
        """Give *tid* its original mask."""
        self._set(tid, self.original)

    def _share(self, tid: int) -> None:
        if self.processor is not None:
            self._set(tid, {self.processor})

    def _set(self, tid: int, processors: set[int]) -> None:
        if tid not in self._own_choice and tid not in self._shown:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, processors)

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

    def adapt(self, tasks: Sequence[int], stops: int, seconds: float) -> None:
        """Choose anew, after so many *seconds*, by how many *stops* there were by now; while no stop is handled."""
        since, self._counted = stops - self._counted, stops
        if self.processor is None:
            return
        if not self._threaded:
            self._calm = 0 if len(tasks) > 1 and _run_at_once(tasks[-_LOOKED_AT:]) else self._calm + 1
        is_calm = not self._threaded and self._calm >= self._CALM
        shares = is_calm or since / seconds > self._DENSE
        if shares and not self._shared:
            self._share_again(tasks)
        elif self._shared and not shares:
            self._spread(tasks)
        elif self._shared and self._is_crowded(tasks, seconds):
            self._calm = self._CALM - self._LONG
            self._spread(tasks)

    def _share_again(self, tasks: Sequence[int]) -> None:
        """Share the processor to which the kernel has moved the newest task meanwhile."""
        with contextlib.suppress(OSError, IndexError):
            self.processor = _processor_of(tasks[-1], self.original)
        self._shared = True
        for tid in [*tasks, self._owner]:
            self._share(tid)

    def _is_crowded(self, tasks: Sequence[int], seconds: float) -> bool:
        """Whether the newest task had to wait for others that have the processor, too."""
        with contextlib.suppress(OSError, IndexError):
            tid = tasks[-1]
            with open(f"/proc/{tid}/schedstat", "rb") as file:  # where the kernel keeps it
                _ran, waited, turns = map(int, file.read().split())
            before, self._waited = self._waited, (tid, waited, turns)
            since, often = waited - before[1], turns - before[2]
            return tid == before[0] and since > max(self._CROWDED * seconds * 1e9, self._STOP_TAKES * often)
        return False


def _whose(tid: int, entry: tuple[int, ...], tasks: Container[int]) -> int:
    """Return whose mask a call of *tid* is about: another one's of *tasks*, if it names one (sched_setaffinity(2))."""
    named = entry[6] & 0xFFFF_FFFF
    return named if named in tasks else tid


def _run_at_once(tasks: Iterable[int]) -> bool:
    """Whether two of these tasks run, or would if they had a processor, at this moment."""
    running = 0
    for tid in tasks:
        with contextlib.suppress(OSError), open(f"/proc/{tid}/stat", "rb") as file:
            running += file.read().rpartition(b") ")[2][:1] == b"R"
        if running > 1:
            return True
    return False


def _processor_of(task: int | str, allowed: set[int]) -> int:
    """Return the processor that *task* has, or had last; one of those *allowed*."""
    with open(f"/proc/{task}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    current = int(fields[36])
    return current if current in allowed else min(allowed)
