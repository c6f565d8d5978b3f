"""The heap at any moment of a run, chunk by chunk, by the exact model of its allocator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from observer.compare.order import grouped, windows
from observer.compare.served_by import Followed
from observer.compare.sides import ExactMaker
from observer.model.chunks import Chunk
from observer.model.events import Call, Event, Syscall

__all__ = ["HeapAt", "heap_as_of", "heap_at", "returned_by"]


class HeapAt(NamedTuple):
    """The chunks of a process in the order of their addresses.

    `is_certain` is False where the model had to take calls as they came, or where the order of threads' calls is open:
    then what is free may be cut into chunks otherwise.
    """

    chunks: tuple[Chunk, ...]
    is_certain: bool


def heap_at(events: Iterable[Event], make: ExactMaker, pid: int, n: int) -> HeapAt:
    """Return the heap of the process *pid* after event *n*; if that is a call, after all that was done in it.

    *events* are in order of n from the beginning of the run; calls, system calls and lives of processes matter. *make*
    makes the model of a process.
    """
    return _after((event for event in events if event.n <= n or _is_in(event, n)), make, pid)


def heap_as_of(events: Iterable[Event], make: ExactMaker, pid: int, t_ns: int) -> HeapAt:
    """Return the heap of the process *pid* at *t_ns*, the time at which a call returned: a snapshot's moment.

    Calls of other threads count that had returned by then, whichever began first. The rest is as in `heap_at`.
    """
    return _after(returned_by(events, t_ns), make, pid)


def _after(events: Iterable[Event], make: ExactMaker, pid: int) -> HeapAt:
    followed = Followed(make, {}, {})
    for window in windows(grouped(events)):
        for event, inside in followed.in_order(window):
            followed.take(event, inside, is_alone=False)
    witness = followed.of(pid)
    return HeapAt(tuple(witness.model.chunks()), witness.model.is_certain and not witness.is_open)


def returned_by(events: Iterable[Event], t_ns: int) -> Iterator[Event]:
    """Yield what had happened at *t_ns*, but for calls that were under way, with what was done in them."""
    under_way: set[int] = set()
    for event in events:
        if event.t_ns > t_ns:
            return
        if isinstance(event, Call) and event.end_ns is not None and event.end_ns > t_ns:
            under_way.add(event.n)
        elif not (isinstance(event, Syscall) and event.cause in under_way):
            yield event


def _is_in(event: Event, n: int) -> bool:
    return isinstance(event, Syscall) and event.cause == n
