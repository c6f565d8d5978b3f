"""What is open about free memory after a call that came otherwise than the model said, until it is seen again.

Where the free chunks of the main arena lie is known all the time: between those in use. How that memory is cut into
chunks and in which lists they are is not, after such a call. So all of it becomes *areas* of doubt, which the arena's
own lists do not have. An area ends when the pieces that come from it have used it up. Meanwhile a request is certain if
no area could hold its chunk, and a chunk that is freed is certain if no area could hold one of its size, which might
wait in the thread's cache, and none touches it, with which it might be joined.
"""

from __future__ import annotations

from collections.abc import Iterator

from observer.glibc.chunks import ALIGNMENT, FLAGS, IS_MAPPED, NON_MAIN, SMALL_LIMIT, UNSORTED, round_up
from observer.model.pieces import FreePieces
from observer.simulator.glibc.arenas import Thread
from observer.simulator.glibc.bins import Bins
from observer.simulator.glibc.calls import Calls
from observer.simulator.glibc.coalescing import CONSOLIDATE_FROM

__all__ = ["Doubts"]

_REST = 16
"""Bytes behind a chunk that are too few for another: they are its own."""


class Doubts:
    """Of one process: `areas` of the main arena; `strangers`, pointers that were freed but never handed out, and wait
    in some list; `is_lost` once more is open than can be followed.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.areas = FreePieces()
        self.strangers: set[int] = set()
        self.is_lost = False
        self._ends: dict[int, int] = {}

    def copy(self, calls: Calls) -> Doubts:
        """Return those of a forked child."""
        twin = Doubts(calls)
        twin.areas, twin.strangers, twin.is_lost = self.areas.copy(), set(self.strangers), self.is_lost
        twin._ends = dict(self._ends)
        return twin

    def facts(self) -> tuple[object, ...]:
        """Return what is open, to be compared."""
        return list(self.areas.pieces()), self.strangers, self.is_lost

    # ---- questions ------------------------------------------------------------------------------------------

    @property
    def are_none(self) -> bool:
        """Whether everything is known."""
        return not (self.areas.count or self.strangers or self.is_lost)

    @property
    def reach_top(self) -> bool:
        """Whether it is open where top begins."""
        main = self._calls.arenas.main
        return self.areas.neighbours(main.top, main.top)[0] is not None

    def could_hold(self, size: int) -> bool:
        """Whether a free chunk of *size* bytes may lie in an area."""
        return self.areas.largest >= size

    def touch(self, chunk: int, size: int) -> bool:
        """Whether an area ends or begins where the chunk does."""
        return self.areas.neighbours(chunk, chunk + size) != (None, None)

    def holds(self, chunk: int) -> bool:
        """Whether *chunk* lies in an area."""
        return bool(self.areas.overlapping(chunk, chunk + 1))

    # ---- what becomes open ----------------------------------------------------------------------------------

    def forget(self, thread: Thread) -> None:
        """Let all that is free in the main arena, and what *thread* has in its cache, be open."""
        calls, main = self._calls, self._calls.arenas.main
        words, end = calls.state.words, calls.state.break_end
        self.is_lost = self.is_lost or not main.contiguous or end is None
        if self.is_lost or end is None:
            return
        for chunk in [*_emptied(thread), *main.fast.drain()]:
            self.is_lost = self.is_lost or bool(words.pop(chunk, 0) & (NON_MAIN | IS_MAPPED))
        main.bins, main.last_remainder = Bins(main.bins.touches), 0
        self.areas, at = FreePieces(), round_up(calls.state.break_start, ALIGNMENT)
        for chunk in sorted(self._in_main()):
            if chunk > at:
                self.areas.add(at, chunk - at)
            at = max(at, chunk + (words[chunk] & ~FLAGS))
        if end > at:
            self.areas.add(at, end - at)
        main.top, main.top_size = end, 0

    def give(self, chunk: int) -> None:
        """A chunk is freed, and it is open what becomes of it."""
        word = self._calls.state.words.pop(chunk)
        self._add(chunk, word & ~FLAGS)
        if any(size >= CONSOLIDATE_FROM for _start, size in self.areas.overlapping(chunk, chunk + 1)):
            self._empty_fast_bins()

    def unsettle(self, size: int) -> None:
        """The arena was searched for a chunk of *size* bytes in a way that is open.

        On such a search chunks leave the unsorted bin for others, fast bins are emptied, and further chunks of the size
        go to the thread's cache: where those are now is open, too.
        """
        bins = self._calls.arenas.main.bins
        for number in {UNSORTED, *([size >> 4] if size < SMALL_LIMIT else [])}:
            for chunk in bins.backwards(number):
                if chunk in bins.sizes:  # the one before may have been joined with it
                    self._add(chunk, bins.remove(chunk))
        self._empty_fast_bins()

    def _empty_fast_bins(self) -> None:
        for chunk in self._calls.arenas.main.fast.drain():
            if chunk in self._calls.state.words:
                self.give(chunk)

    def set_break(self, before: int, end: int) -> None:
        """The break moved, and what that did to top is not certain."""
        main = self._calls.arenas.main
        if end > before and self.reach_top:
            self._add(before, end - before)
            main.top, main.top_size = end, 0
        elif end >= main.top:
            main.top_size = end - main.top
        else:
            self._cut(end, before)
            main.top, main.top_size = end, 0

    def _in_main(self) -> Iterator[int]:
        words = self._calls.state.words
        return (chunk for chunk, word in words.items() if not word & (NON_MAIN | IS_MAPPED))

    def _add(self, start: int, size: int) -> None:
        """Add an area, joined with those beside it, and with free chunks there: they may have been joined, too."""
        main = self._calls.arenas.main
        while (before := main.bins.feet.get(start)) is not None:
            size += main.bins.remove(before)
            start = before
        while start + size in main.bins.sizes:
            size += main.bins.remove(start + size)
        for found in main.fast.lists:
            for chunk in [each for each in found if each == start + size or each + self._size(each) == start]:
                found.remove(chunk)
                own = self._size(chunk)
                del self._calls.state.words[chunk]
                start, size = min(start, chunk), size + own
        left, right = self.areas.neighbours(start, start + size)
        size += self.areas.remove(right) if right is not None else 0
        if left is not None:
            size += self.areas.remove(left)
            start = left
        self.areas.add(start, size)

    def _size(self, chunk: int) -> int:
        return self._calls.state.words[chunk] & ~FLAGS

    # ---- what is seen again ---------------------------------------------------------------------------------

    def take(self, chunk: int, size: int) -> bool:
        """A chunk of *size* bytes is seen handed out at *chunk*; return whether it may have come from an area."""
        main, end = self._calls.arenas.main, chunk + size
        found = self.areas.overlapping(chunk, end)
        if not found or found[0][0] > chunk or len(found) > 1:
            return False
        area_end = sum(found[0])
        if end > area_end:
            if area_end != main.top or end > main.top + main.top_size:
                return False
            main.top, main.top_size = end, main.top + main.top_size - end  # it had been joined with top
        self._cut(chunk, end)
        self._calls.state.words[chunk] = size
        self._ends[end] = chunk
        self._settle_rests(chunk, end)
        return True

    def top_begins(self, at: int) -> None:
        """The chunk before *at* is seen to have come from top, which begins there now."""
        main = self._calls.arenas.main
        end = main.top + main.top_size
        self._cut(at, end)
        main.top, main.top_size = at, end - at

    def _cut(self, start: int, end: int) -> None:
        for at, size in self.areas.overlapping(start, end):
            self.areas.remove(at)
            if at < start:
                self.areas.add(at, start - at)
            if at + size > end:
                self.areas.add(end, at + size - end)

    def _settle_rests(self, chunk: int, end: int) -> None:
        """A rest that is too small for a chunk belongs to the one before it."""
        for at in (end, chunk - _REST):
            owner = self._ends.get(at)
            is_rest = any(area == (at, _REST) for area in self.areas.overlapping(at, at + 1))
            words = self._calls.state.words
            if is_rest and owner in words and owner + self._size(owner) == at != self._calls.arenas.main.top - _REST:
                self.areas.remove(at)
                words[owner] += _REST
                self._ends[at + _REST] = self._ends.pop(at)


def _emptied(thread: Thread) -> Iterator[int]:
    """Yield what a thread's cache holds, which it holds no longer."""
    for found in thread.cache.lists:
        yield from found
        found.clear()
    for large in thread.cache.large:
        yield from (chunk for _size, chunk in large)
        large.clear()
