"""Calls of several threads that overlap in time: which of them took effect first is not recorded.

A call takes effect somewhere between its entry and its return. So of two that overlap either may be the first; what
they returned often tells, since a piece is handed out only after it was given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from observer.model.events import Call, Event, Fault, Process, Syscall

__all__ = ["Asked", "Choose", "Item", "Orders", "Window", "arranged", "grouped", "orders", "windows"]

Item = tuple[Event, list[Event]]
"""An event that no allocator call caused, with those that it caused."""

Asked = tuple[Call, list[Syscall]]
"""A call with the system calls made in it."""

_MOST: Final = 8
"""Calls that are looked at together."""
_MOST_ORDERS: Final = 24
_MOST_WAITING: Final = 64
"""Windows behind one whose last call has not returned yet: a call may be under way for as long as the run."""

_FOR_EVER: Final = 1 << 63

Choose = Callable[[int, list[Asked], bool], tuple[int, ...]]
"""Of a process, its overlapping calls, and whether further ones overlap them: the order in which they took effect."""


class Window:
    """Events whose calls overlap one another in a chain; mostly it is one event.

    `until` is when the last of their calls returned; `is_cut` whether a call behind the window overlaps one in it, so
    that no order within it is sure to be the right one.
    """

    __slots__ = ("is_cut", "items", "until")

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.until = -1
        self.is_cut = False


def grouped(events: Iterable[Event]) -> Iterator[tuple[Event, list[Event]]]:
    """Yield each event that no allocator call caused, with those that it caused, in the order of n.

    No more is held than what may still be added to: the calls that had not returned yet, and what came after them.
    """
    waiting: dict[int, list[Event]] = {}
    held: deque[tuple[int, Item]] = deque()
    for event in events:
        end = -1
        # Its type itself: isinstance asks the type's own type about whatever is not one, which takes its time.
        if type(event) is Call:
            end = _FOR_EVER if event.end_ns is None else event.end_ns
        elif (type(event) is Syscall or type(event) is Fault) and event.cause in waiting:
            waiting[event.cause].append(event)
            continue
        now = event.t_ns
        while held and held[0][0] < now:
            over = held.popleft()[1]
            waiting.pop(over[0].n, None)
            yield over
        inside: list[Event] = []
        held.append((end, (event, inside)))
        if end >= 0:
            waiting[event.n] = inside
    for _end, item in held:
        yield item


def windows(items: Iterable[Item]) -> Iterator[Window]:
    """Yield the events of a run in windows.

    A chain is cut where a process or thread begins or ends, and after 8 events.
    """
    waiting: list[Window] = []
    held = Window([])
    for item in items:
        event = item[0]
        if held.items and (event.t_ns >= held.until or len(held.items) == _MOST or type(event) is Process):
            waiting.append(held)
            held = Window([])
        if _is_known(waiting, event):
            yield from waiting
            waiting = []
        held.items.append(item)
        if type(event) is Call and event.end_ns is not None and event.end_ns > held.until:
            held.until = event.end_ns
    yield from waiting
    if held.items:
        yield held


def _is_known(waiting: list[Window], event: Event) -> bool:
    """Whether *event*, the next one, decides which of the windows before it are cut; note those that are."""
    late = len(waiting) > _MOST_WAITING
    now, is_known = event.t_ns, True
    for window in waiting:
        if window.until > now:
            is_known = False
    if type(event) is not Call and not late:
        return is_known
    for window in waiting:
        window.is_cut = window.until > now
    return True


class Orders(NamedTuple):
    """The orders in which calls may have taken effect, as indexes: first that of their entries; 24 at most.

    `are_all` is whether there are no more.
    """

    found: list[tuple[int, ...]]
    are_all: bool


def orders(calls: Sequence[Call]) -> Orders:
    """Return the orders in which *calls* may have taken effect.

    >>> orders([])
    Orders(found=[()], are_all=True)
    """
    found: list[tuple[int, ...]] = []
    _extend((), calls, found)
    if not found:  # somebody changed their times, and each of some has to come before another
        return Orders([tuple(range(len(calls)))], are_all=False)
    return Orders(found[:_MOST_ORDERS], len(found) <= _MOST_ORDERS)


def _extend(done: tuple[int, ...], calls: Sequence[Call], found: list[tuple[int, ...]]) -> None:
    left = [i for i in range(len(calls)) if i not in done]
    if not left and len(found) <= _MOST_ORDERS:
        found.append(done)
    for i in left:
        if len(found) <= _MOST_ORDERS and not any(_precedes(calls[j], calls[i]) for j in left if j != i):
            _extend((*done, i), calls, found)


def _precedes(one: Call, other: Call) -> bool:
    if one.tid == other.tid:
        return one.n < other.n
    return one.end_ns is not None and one.end_ns <= other.t_ns


def arranged(window: Window, choose: Choose) -> list[Item]:
    """Return the events of *window* with each process's calls in the order that is chosen; the rest stays."""
    if len(window.items) == 1 and not window.is_cut:
        return window.items
    places: dict[int, list[int]] = {}
    for i, (event, _inside) in enumerate(window.items):
        if isinstance(event, Call):
            places.setdefault(event.pid, []).append(i)
    made = list(window.items)
    for pid, own in places.items():
        if len(own) > 1 or window.is_cut:
            calls = [_asked(window.items[place]) for place in own]
            for place, index in zip(own, choose(pid, calls, window.is_cut), strict=True):
                made[place] = window.items[own[index]]
    return made


def _asked(item: Item) -> Asked:
    call, inside = item
    assert isinstance(call, Call)
    return call, [event for event in inside if isinstance(event, Syscall)]
