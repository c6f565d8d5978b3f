"""Calls of several threads that overlap in time: which of them took effect first is not recorded.

A call takes effect somewhere between its entry and its return. So of two that overlap either may be the first; what
they returned often tells, since a piece is handed out only after it was given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from observer.model.events import Call, Event, Process, Syscall

__all__ = ["Asked", "Item", "arranged", "orders", "windows"]

Item = tuple[Event, list[Event]]
"""An event that no allocator call caused, with those that it caused."""

Asked = tuple[Call, list[Syscall]]
"""A call with the system calls made in it."""

_MOST: Final = 8
"""Calls that are looked at together."""
_MOST_ORDERS: Final = 24


def windows(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the events of a run in lists: in each the calls overlap one another in a chain, and mostly it is one event.

    A chain is cut where a process or thread begins or ends, and after 8 events.
    """
    held: list[Item] = []
    horizon = -1
    for item in items:
        event = item[0]
        if held and (event.t_ns >= horizon or len(held) == _MOST or isinstance(event, Process)):
            yield held
            held, horizon = [], -1
        held.append(item)
        if isinstance(event, Call) and event.end_ns is not None:
            horizon = max(horizon, event.end_ns)
    if held:
        yield held


def orders(calls: Sequence[Call]) -> list[tuple[int, ...]]:
    """Return the orders in which *calls* may have taken effect, as indexes: first that of their entries; 24 at most.

    >>> orders([])
    [()]
    """
    found: list[tuple[int, ...]] = []
    _extend((), calls, found)
    return found


def _extend(done: tuple[int, ...], calls: Sequence[Call], found: list[tuple[int, ...]]) -> None:
    left = [i for i in range(len(calls)) if i not in done]
    if not left and len(found) < _MOST_ORDERS:
        found.append(done)
    for i in left:
        if len(found) < _MOST_ORDERS and not any(_precedes(calls[j], calls[i]) for j in left if j != i):
            _extend((*done, i), calls, found)


def _precedes(one: Call, other: Call) -> bool:
    if one.tid == other.tid:
        return one.n < other.n
    return one.end_ns is not None and one.end_ns <= other.t_ns


def arranged(window: list[Item], choose: Callable[[int, list[Asked]], tuple[int, ...]]) -> list[Item]:
    """Return *window* with each process's calls in the order that *choose* (of pid and calls) says; the rest stays."""
    if len(window) == 1:
        return window
    places: dict[int, list[int]] = {}
    for i, (event, _inside) in enumerate(window):
        if isinstance(event, Call):
            places.setdefault(event.pid, []).append(i)
    made = list(window)
    for pid, own in places.items():
        if len(own) > 1:
            calls = [_asked(window[place]) for place in own]
            for place, index in zip(own, choose(pid, calls), strict=True):
                made[place] = window[own[index]]
    return made


def _asked(item: Item) -> Asked:
    call, inside = item
    assert isinstance(call, Call)
    return call, [event for event in inside if isinstance(event, Syscall)]
