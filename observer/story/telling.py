"""A run's story and its numbers in one pass: what of it is to be told, however long it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from observer.model.events import Event
from observer.story.departures import Departures
from observer.story.fold import Fold
from observer.story.refusals import Refusals
from observer.story.rows import Passage
from observer.story.summary import Tally

__all__ = ["Shortened", "Telling"]

_NOTHING: Final[Iterator[Passage]] = iter(())


class Shortened:
    """The head and the tail of a story; its middle is left out and counted, so that memory stays bounded.

    *rows* is how many rows are told at most; None: all.
    """

    def __init__(self, rows: int | None) -> None:
        self._head = None if rows is None else max(rows * 2 // 3, 1)
        self._most_tail = 0 if rows is None else max(rows - rows * 2 // 3, 1)
        self._tail_rows = 0
        self.tail: deque[Passage] = deque()
        self.left_out = 0

    def is_head(self, passage: Passage) -> bool:
        """Whether *passage*, the next one, is to be told at once; else it is kept for the tail, or counted."""
        if self._head is None:
            return True
        if self._head > 0 and not self.tail:
            self._head -= _rows_in(passage)
            return True
        self._keep(passage)
        return False

    def _keep(self, passage: Passage) -> None:
        self.tail.append(passage)
        self._tail_rows += _rows_in(passage)
        while self._tail_rows > self._most_tail and len(self.tail) > 1:
            gone = _rows_in(self.tail.popleft())
            self._tail_rows -= gone
            self.left_out += gone


def _rows_in(passage: Passage) -> int:
    return sum(1 + len(row.inside) for row in passage.rows.values())


class Telling:
    """Takes a run event by event: `head` yields what is to be told at once, the rest is known when all were taken.

    `everything` is whether no row is left out, and the start-up before main is told event by event; else the story has
    about *rows* rows.
    """

    def __init__(self, rows: int = 60, *, everything: bool = False) -> None:
        self.tally = Tally()
        self.departures = Departures()
        self.refusals = Refusals()
        self.shortened = Shortened(None if everything else rows)
        self._fold = Fold(expand=everything)

    def take(self, event: Event) -> Iterator[Passage]:
        """Take the next event, in the order of n; yield the passages that are to be told now."""
        self.tally.add(event)
        self.departures.add(event)
        self.refusals.add(event)
        told = self._fold.add(event)
        return filter(self.shortened.is_head, told) if told else _NOTHING

    def finish(self) -> Iterator[Passage]:
        """There are no more events: yield what is still to be told before the tail."""
        return filter(self.shortened.is_head, self._fold.finish())
