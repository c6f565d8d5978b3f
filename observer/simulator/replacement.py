"""Page replacement: which frame gives way when none is free. FIFO, clock (second chance) and LRU, small and alike.

They know nothing but names: `enter` when something is loaded, `touch` at each further access, `leave` when it goes by
itself, `victim` to choose. Linux itself keeps two lists, or generations, fed by accessed bits (mm/vmscan.c), which is
neither of these; clock is the nearest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, Protocol, TypeVar

__all__ = ["POLICIES", "Clock", "Fifo", "Lru", "OutOfFrames", "Policy", "count_faults"]

Name = TypeVar("Name", bound=Hashable)


class OutOfFrames(Exception):
    """No frame is free and none may be taken away: all are locked, or in use by this very fault."""


class Policy(Protocol[Name]):
    """What a replacement policy is asked."""

    def enter(self, name: Name) -> None:
        """*name* was loaded, which is an access too."""

    def touch(self, name: Name) -> None:
        """*name*, loaded before, was accessed."""

    def leave(self, name: Name) -> None:
        """*name* is loaded no more; unknown names are none of our business."""

    def victim(self, may_go: Callable[[Name], bool]) -> Name | None:
        """Return the loaded name that shall go, of those that *may_go*; None if none may. It stays until `leave`."""


class Fifo(Generic[Name]):
    """First in, first out: accesses do not matter. More frames may mean more faults (Belady's anomaly)."""

    __slots__ = ("_order",)

    def __init__(self) -> None:
        self._order: OrderedDict[Name, None] = OrderedDict()

    def enter(self, name: Name) -> None:
        """Append it to the queue."""
        self._order[name] = None

    def touch(self, name: Name) -> None:
        """An access changes nothing."""

    def leave(self, name: Name) -> None:
        """Take it out of the queue."""
        self._order.pop(name, None)

    def victim(self, may_go: Callable[[Name], bool]) -> Name | None:
        """Return the one loaded first."""
        return next(filter(may_go, self._order), None)


class Lru(Fifo[Name]):
    """Least recently used. It has the stack property: k frames hold a part of what k+1 frames hold."""

    __slots__ = ()

    def touch(self, name: Name) -> None:
        """Move it to the end, where the most recently used one is."""
        self._order.move_to_end(name)


class Clock(Generic[Name]):
    """Second chance: a hand goes round, clears reference bits that are set and takes the first that is clear."""

    __slots__ = ("_ring",)

    def __init__(self) -> None:
        self._ring: OrderedDict[Name, bool] = OrderedDict()  # the hand is before the first

    def enter(self, name: Name) -> None:
        """Put it behind the hand, referenced."""
        self._ring[name] = True

    def touch(self, name: Name) -> None:
        """Set its reference bit."""
        self._ring[name] = True

    def leave(self, name: Name) -> None:
        """Take it out of the ring."""
        self._ring.pop(name, None)

    def victim(self, may_go: Callable[[Name], bool]) -> Name | None:
        """Turn the hand, twice round at most."""
        for _ in range(2 * len(self._ring)):
            name, referenced = next(iter(self._ring.items()))
            if not referenced and may_go(name):
                return name
            self._ring[name] = False
            self._ring.move_to_end(name)
        return None


POLICIES: Final[dict[str, type[Fifo[int]] | type[Clock[int]]]] = {"fifo": Fifo, "clock": Clock, "lru": Lru}


def count_faults(policy: Policy[int], capacity: int, references: Iterable[int]) -> tuple[int, set[int]]:
    """Run a string of page numbers with *capacity* frames; return the number of faults and what is loaded at the end.

    >>> belady = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5]
    >>> count_faults(Fifo(), 3, belady)[0], count_faults(Fifo(), 4, belady)[0]
    (9, 10)
    """
    loaded: set[int] = set()
    faults = 0
    for page in references:
        if page in loaded:
            policy.touch(page)
            continue
        faults += 1
        if len(loaded) == capacity:
            victim = policy.victim(loaded.__contains__)
            assert victim is not None
            policy.leave(victim)
            loaded.remove(victim)
        loaded.add(page)
        policy.enter(page)
    return faults, loaded
