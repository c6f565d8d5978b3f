"""Room that was given back and not handed out since, as spans in time: [start, end) from one event to another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["Room", "Rooms"]

_SMALLEST: Final = 32
"""Bytes. What is left of a room beside a new piece is no piece of its own if it is smaller (glibc: MINSIZE)."""


class Room(NamedTuple):
    """[start, end), free after every event n with `born <= n < died`."""

    start: int
    end: int
    born: int
    died: int


class Rooms:
    """The free rooms at a moment, disjoint; *gone* is told of each when it ends."""

    def __init__(self, gone: Callable[[Room], None]) -> None:
        self._gone = gone
        self._starts: list[int] = []
        self._there: dict[int, tuple[int, int]] = {}

    def copy(self, gone: Callable[[Room], None], n: int) -> Rooms:
        """Return an independent copy in which each begins at event *n* (fork)."""
        twin = Rooms(gone)
        twin._starts = list(self._starts)
        twin._there = {start: (end, n) for start, (end, _born) in self._there.items()}
        return twin

    def give(self, start: int, end: int, n: int) -> None:
        """[start, end) is free from event *n* on."""
        self.take(start, end, n)
        self._put(start, end, n)

    def _put(self, start: int, end: int, n: int) -> None:
        self._starts.insert(bisect_left(self._starts, start), start)
        self._there[start] = (end, n)

    def take(self, start: int, end: int, n: int) -> None:
        """[start, end) is not free any more from event *n* on; what sticks out of it stays."""
        if start >= end:
            return
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_left(self._starts, end)
        for room in self._starts[first:last]:
            stop, born = self._there[room]
            if stop > start:
                self._end(room, stop, born, n)
                if start - room >= _SMALLEST:
                    self._put(room, start, n)
                if stop - end >= _SMALLEST:
                    self._put(end, stop, n)

    def _end(self, start: int, end: int, born: int, n: int) -> None:
        del self._there[start]
        del self._starts[bisect_left(self._starts, start)]
        self._gone(Room(start, end, born, n))
