"""A run's story and its numbers in one pass: what of it is to be told, however long it is."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Final

from observer.model.chapter import took_step
from observer.model.events import Call, Event, Fault, Lost, Process, Signal, Syscall
from observer.story.departures import Departures
from observer.story.fold import Fold
from observer.story.names import Names
from observer.story.refusals import Refusals
from observer.story.rows import Passage, Row
from observer.story.steps import is_step_six
from observer.story.summary import Tally

__all__ = ["Shortened", "Telling"]

_NOTHING: Final[Iterator[Passage]] = iter(())
_ENDS: Final = frozenset({"start", "exec", "joined", "killed"})
_BREAKS_OFF, _KERNEL, _MEMORY, _PLAIN = 3, 2, 1, 0


class Shortened:
    """A story of which what weighs least is left out where there is no room; memory is that of what is told.

    *rows* is how many rows are told at most; None: all, as they come. The first passage and the last are always told.
    """

    def __init__(self, rows: int | None) -> None:
        self._most = rows
        self._rows = 0
        self._before = 0
        self._heaviest: list[tuple[int, float, int, int, Passage]] = []
        """By weight, then by how late: (class, amount, -serial, rows before it, passage)."""
        self._ends: list[tuple[int, Passage]] = []
        self._serial = 0

    def is_told_now(self, passage: Passage) -> bool:
        """Whether *passage*, the next one, is to be told at once; else it waits until all are known."""
        if self._most is None:
            return True
        self._keep(passage)
        return False

    def _keep(self, passage: Passage) -> None:
        place = self._before
        self._before += _rows_in(passage)
        self._rows += _rows_in(passage)
        if len(self._ends) < 2:
            self._ends.append((place, passage))
        else:
            (place, passage), self._ends[1] = self._ends[1], (place, passage)
            self._serial += 1
            heapq.heappush(self._heaviest, (*_weight(passage), -self._serial, place, passage))
        while self._most is not None and self._rows > self._most and self._heaviest:
            self._rows -= _rows_in(heapq.heappop(self._heaviest)[-1])

    def told(self) -> Iterator[tuple[int, Passage]]:
        """Yield what waited, in order, each passage with the number of rows that are left out before it."""
        end = 0
        for place, passage in sorted([*self._ends, *(kept[-2:] for kept in self._heaviest)], key=lambda kept: kept[0]):
            yield place - end, passage
            end = place + _rows_in(passage)


def _rows_in(passage: Passage) -> int:
    return sum(1 + len(row.inside) for row in passage.rows.values())


def _weight(passage: Passage) -> tuple[int, float]:
    """Weigh a passage: what ends or breaks off something, what the kernel gave or refused, where memory came in."""
    rows = passage.rows.values()
    return max(map(_class_of, rows)), sum(math.log2(2 + row.count) + math.log2(2 + row.total) for row in rows)


def _class_of(row: Row) -> int:
    event = row.first
    if isinstance(event, Lost) or (isinstance(event, Signal) and (event.fatal or event.exception is not None)):
        return _BREAKS_OFF
    if isinstance(event, Process):
        return _BREAKS_OFF if event.what in _ENDS else _MEMORY
    if isinstance(event, Call) and (event.misuse is not None or event.end_ns is None):
        return _BREAKS_OFF
    if isinstance(event, Call) and (took_step(event.steps, 2) or event.errno is not None):
        return _KERNEL
    if isinstance(event, Fault) and is_step_six(event):
        return _MEMORY
    inside = row.before_main is not None or any(
        isinstance(nested.first, Syscall | Fault) for nested in row.inside.values()
    )
    return _MEMORY if inside else _PLAIN


class Telling:
    """Takes a run event by event: `take` yields what is to be told at once, the rest is known when all were taken.

    `everything` is whether no row is left out, and the start-up before main is told event by event; else the story has
    about *rows* rows.
    """

    def __init__(self, rows: int = 60, *, everything: bool = False) -> None:
        self.tally = Tally()
        self.departures = Departures()
        self.refusals = Refusals()
        self.names = Names()
        self.shortened = Shortened(None if everything else rows)
        self._fold = Fold(expand=everything)

    def take(self, event: Event) -> Iterator[Passage]:
        """Take the next event, in the order of n; yield the passages that are to be told now."""
        self.tally.add(event)
        self.departures.add(event)
        self.refusals.add(event)
        self.names.take(event)
        told = self._fold.add(event)
        return filter(self.shortened.is_told_now, told) if told else _NOTHING

    def finish(self) -> Iterator[Passage]:
        """There are no more events: yield what is to be told now, before what waited."""
        return filter(self.shortened.is_told_now, self._fold.finish())
