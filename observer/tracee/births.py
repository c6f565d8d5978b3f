"""Tasks that were seen before anybody told of them: a child may stop, or end, before its maker's event names it.

A maker that is killed between making a child and its stop never tells (ptrace(2)). Such a child waits for us for ever,
so after a while it is taken in without. Its maker is then the parent that it had when it came by, or else the one who
ended nearest to that moment, among those whose breakpoints the child has in its text.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from observer.linux import ptrace
from observer.linux.procfs import read_status_field
from observer.tracee.task import Task

__all__ = ["Arrival", "Nursery"]

_PATIENCE: Final = 0.05
"""Seconds that a maker's event may come later than its child's first stop: it is on its way when the child runs."""
_LATEST: Final = 10.0
"""Seconds after which such an event tells of another task: the number is used again."""
_REMEMBERED: Final = 512
_COMPARED: Final = 3


@dataclass(frozen=True, slots=True)
class Arrival:
    """An unknown task came by: its wait status, the monotonic time, and who was its parent then."""

    status: int
    at: float
    parent: int


class Nursery:
    """The tasks that nobody has told of yet, and those that ended lately and might have made them."""

    def __init__(self) -> None:
        self._waiting: dict[int, Arrival] = {}
        self._taken_in: dict[int, float] = {}
        self._ended: deque[tuple[float, Task]] = deque(maxlen=_REMEMBERED)
        self._own = os.getpid()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._waiting))

    def arrived(self, tid: int, status: int) -> None:
        """An unknown task came by with wait *status*."""
        if not os.WIFSTOPPED(status) and any(task.tid == tid for _at, task in self._ended):
            return  # a second word of its end: its parent ended, too, and left it to us (init of a container)
        self._waiting[tid] = Arrival(status, time.monotonic(), _field(tid, "PPid"))

    def is_ours(self, tid: int) -> bool:
        """Whether *tid* is a task that we trace, or has been."""
        return tid in self._waiting or tid in self._taken_in or _field(tid, "TracerPid") == self._own

    def told_of(self, tid: int) -> tuple[bool, int | None]:
        """The maker of *tid* tells of it: return whether it is news, and the status with which the task waits."""
        taken_in = self._taken_in.pop(tid, None)
        if taken_in is not None and taken_in > time.monotonic() - _LATEST:
            return False, None
        arrival = self._waiting.pop(tid, None)
        return True, arrival.status if arrival is not None else None

    def overdue(self) -> tuple[int, Arrival] | None:
        """Take out a task that has waited too long for its maker's event."""
        limit = time.monotonic() - _PATIENCE
        for tid, arrival in self._waiting.items():
            if arrival.at < limit:
                del self._waiting[tid]
                self._taken_in[tid] = time.monotonic()
                return tid, arrival
        return None

    def ended(self, task: Task) -> None:
        """*task* is no more; it may have made a child that is still to come by."""
        self._ended.append((time.monotonic(), task))

    def maker_of(self, tid: int, arrival: Arrival, living: Iterable[Task]) -> Task | None:
        """Return the task that most likely made *tid*, None where no task was ever known."""
        group = _field(tid, "Tgid")
        process = group if group != tid else arrival.parent
        ended = [task for _at, task in sorted(self._ended, key=lambda each: abs(each[0] - arrival.at))]
        everybody = [*living, *ended] if group != tid else [*ended, *living]  # who lives would have told of a process
        candidates = sorted(everybody, key=lambda task: task.pid != process)
        return next((task for task in candidates if _has_breakpoints_of(tid, task)), next(iter(candidates), None))


def _field(tid: int, name: str) -> int:
    try:
        return int(read_status_field(tid, name))
    except OSError:
        return tid  # it has ended


def _has_breakpoints_of(tid: int, task: Task) -> bool:
    """Whether the text of *tid* holds what was planted into the memory of *task*."""
    points = list(islice(task.memory.breakpoints.values(), _COMPARED)) if task.memory is not None else []
    try:
        return bool(points) and all(
            ptrace.peek(tid, point.address).to_bytes(8, "little").startswith(point.planted) for point in points
        )
    except OSError:
        return False
