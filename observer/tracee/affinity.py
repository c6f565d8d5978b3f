"""Tracer and tracee on one processor while the tracee has one thread: a stop then costs a sixth (sched(7)).

The program must not see it: a call that reads or sets the affinity, the caller's own or another task's, finds the mask
the program started with, or the one that it chose for that task, and the first thread that is made ends the sharing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.procfs import read_status_field

__all__ = ["Affinity"]

_SCHED_SETAFFINITY, _SCHED_GETAFFINITY = NATIVE.numbers("sched_setaffinity", "sched_getaffinity")
_LOOKED_AT: Final = 64
"""Tasks of which it is asked whether they run: the newest."""
_PID: Final = 0xFFFF_FFFF
"""The bits of a register that are a pid_t."""


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
        self._asked_about: dict[int, int] = {}  # by who looks, until that call has ended
        self._pinned: set[int] = set()
        self._choosing = threading.RLock()  # masks are changed where stops are handled, and beside
        self._counted = 0

    def enter(self) -> None:
        """Move the calling thread, the tracer, to the shared processor."""
        if self.processor is not None:
            os.sched_setaffinity(0, {self.processor})

    def leave(self) -> None:
        """Give the calling thread its processors back."""
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, self.original)

    def concerns(self, number: int) -> bool:
        """Whether the system call *number* would show or change the sharing."""
        return self.processor is not None and number in self.SYSCALLS

    def entered(self, caller: int, number: int, argument: int, known: Callable[[], Collection[int]]) -> bool:
        """A task of those *known* enters a system call with this first argument; return whether `left` is to be told.

        Whom it asks about has the original mask until then, whatever is chosen meanwhile.
        """
        if not self.concerns(number):
            return False
        with self._choosing:
            target = _named(argument & _PID, caller, known())
            if target is not None:
                self._asked_about[caller] = target
                self._lift(target)
        return target is not None

    def left(self, caller: int, value: int) -> None:
        """The call that *caller* had `entered` came to *value*: share again, but for a task that has a mask set.

        Of a mask that was read the size is returned, of one that was set nothing (raw sched_setaffinity(2)).
        """
        with self._choosing:
            target = self._asked_about.pop(caller, None)
            if target is not None and value == 0:
                self._own_choice.add(target)
                self._pinned.discard(target)
            elif target is not None and self._shared:
                self._share(target)

    def ended(self, tid: int) -> None:
        """There is no task *tid* any longer; its id may become another's."""
        with self._choosing:
            self._asked_about.pop(tid, None)
            self._own_choice.discard(tid)
            self._pinned.discard(tid)

    def executed(self, former: int, tid: int) -> None:
        """The thread *former* called exec, and has the id *tid* of its process from now on."""
        with self._choosing:
            is_own = former in self._own_choice
            self.ended(former)
            self.ended(tid)
            (self._own_choice if is_own else self._pinned).add(tid)

    def _may_choose(self, tid: int) -> bool:
        return tid not in self._own_choice and tid not in self._asked_about.values()

    def _lift(self, tid: int) -> None:
        if tid not in self._own_choice:
            self._pinned.discard(tid)
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, self.original)

    def _share(self, tid: int) -> None:
        if self.processor is not None and self._may_choose(tid):
            self._pinned.add(tid)
            with contextlib.suppress(OSError):
                os.sched_setaffinity(tid, {self.processor})

    def inherit(self, parent: int, child: int) -> None:
        """A child has the mask that its parent chose, or what all have now: its parent's may have changed since."""
        if self.processor is None:
            return
        with self._choosing:
            if parent in self._own_choice:
                self._own_choice.add(child)
            elif self._shared:
                self._share(child)
            else:
                self._lift(child)

    def thread_born(self, tasks: Iterable[int]) -> None:
        """A second thread is there, one of *tasks*: the sharing ends for now, all of them get the original mask."""
        self._part(tasks)

    def part(self, tasks: Iterable[int], stops: int) -> None:
        """Stops will be few: the sharing ends for now, as with a second thread; the *stops* by now do not count."""
        self._counted = stops
        self._part(tasks)

    def _part(self, tasks: Iterable[int]) -> None:
        if self.processor is not None and not self._threaded:
            self._threaded = True
            self._spread(tasks)

    def _spread(self, tasks: Iterable[int]) -> None:
        with self._choosing:
            self._shared = False
            for tid in {*tasks, *self._pinned, self._owner}:
                self._lift(tid)

    def adapt(self, tasks: Sequence[int], stops: int, seconds: float) -> None:
        """Choose anew, after so many *seconds*, by how many *stops* there were by now; from any thread."""
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
        with self._choosing:
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


def _named(number: int, caller: int, tasks: Collection[int]) -> int | None:
    """Return which of *tasks* the *caller* means by *number*, 0 for itself, others by their ids where it lives."""
    if number == 0:
        return caller
    if _own_name(caller) == caller:
        return number if number in tasks else None
    return next((tid for tid in tasks if _own_name(tid) == number), None)


def _own_name(tid: int) -> int:
    """Return the id that *tid* has where it lives."""
    try:
        return int(read_status_field(tid, "NSpid").split()[-1])
    except (OSError, IndexError):
        return tid  # it has ended, or the kernel has no such namespaces


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
