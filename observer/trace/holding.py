"""Which pieces hold an address: for many addresses at once, each at a moment of its own.

Pieces may overlap: they are of other times, or a program broke the rules, or not every call was seen. Small ones are
looked for among those that lie near, the large ones by their beginnings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.model.addresses import PAGE

__all__ = ["ByAddress", "oldest"]

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Checked = npt.NDArray[np.bool_]
Pairs = Iterator[tuple[Integers, Integers]]
"""Which of the asked addresses, and which piece: some of them at a time."""
Judge = Callable[[Integers, Integers], tuple[Checked, Integers]]
"""Tells of pairs whether the piece is there at that moment, and how old pieces are: the smaller, the older."""

_SMALL_PAGES: Final = 16
_REACH: Final = (_SMALL_PAGES + 1) * PAGE
"""Bytes that no small piece is longer than."""
_SHORT: Final = 1024
"""Bytes that no short piece is longer than: there are many, and only the few that lie very near are looked at."""
_PAGE: Final = np.uint64(PAGE)
_ONE: Final = np.uint64(1)
_MOST_PAIRS: Final = 1 << 18


class ByAddress:
    """Pieces at *addresses*, sorted, with their *sizes*; `large` are those that touch very many pages."""

    def __init__(self, addresses: Words, sizes: npt.NDArray[Any]) -> None:
        self.addresses, self.sizes = addresses, sizes
        some = np.flatnonzero(sizes > np.uint64(_SHORT))
        are_large = self._are_large(some)
        self._longer, self.large = some[~are_large], some[are_large]

    def _are_large(self, pieces: Integers) -> Checked:
        at = self.addresses[pieces]
        last = at + np.maximum(self.sizes[pieces], _ONE) - _ONE
        found: Checked = last // _PAGE - at // _PAGE >= np.uint64(_SMALL_PAGES)
        return found

    def small(self, asked: Words) -> Pairs:
        """Yield the small pieces that hold one of the *asked* addresses, each with which that is."""
        for which, pieces in self._near(asked):
            holds = asked[which] - self.addresses[pieces] < np.maximum(self.sizes[pieces], _ONE)
            which, pieces = which[holds], pieces[holds]
            are_small = ~self._are_large(pieces)
            yield which[are_small], pieces[are_small]

    def _near(self, asked: Words) -> Pairs:
        yield from _between(self.addresses, asked, 0, _SHORT)
        for which, places in _between(self.addresses[self._longer], asked, _SHORT + 1, _REACH):
            yield which, self._longer[places]

    def last_large(self, asked: Words, judge: Judge) -> Integers:
        """Return for each of *asked* the last large piece that begins up to there and is there, -1 if none is."""
        last = np.full(len(asked), -1, dtype=np.int64)
        ends = np.searchsorted(self.addresses[self.large], asked, side="right")
        left, most = np.flatnonzero(ends > 0), 1
        while len(left):  # mostly it is the first one; there may be many at one address, one after another
            counts = np.minimum(ends[left], most)
            ends[left] -= counts
            which, places = np.repeat(left, counts), _ranges(ends[left], counts)
            alive, _ages = judge(which, self.large[places])
            np.maximum.at(last, which[alive], places[alive])
            left = left[(last[left] < 0) & (ends[left] > 0)]
            most = max(min(4 * most, _MOST_PAIRS // max(len(left), 1)), 1)
        known = last >= 0
        last[known] = self.large[last[known]]
        return last

    def holds(self, pieces: Integers, asked: Words) -> Checked:
        """Return whether each of *pieces* reaches the address beside it."""
        found: Checked = asked - self.addresses[pieces] < self.sizes[pieces]
        return found


def _between(addresses: Words, asked: Words, least: int, most: int) -> Pairs:
    """Yield the places of *addresses* *least* to *most* bytes below one of *asked*, each with which that is."""
    firsts = np.searchsorted(addresses, asked - np.minimum(asked, np.uint64(most)), side="left")
    lasts = np.searchsorted(addresses, asked - np.minimum(asked, np.uint64(least)), side="right")
    counts = np.maximum(lasts - firsts, 0)
    ends = np.cumsum(counts)
    first = done = 0
    while first < len(asked) and done < ends[-1]:
        last = max(int(np.searchsorted(ends, done + _MOST_PAIRS, side="right")), first + 1)
        mine = counts[first:last]
        yield np.repeat(np.arange(first, last), mine), _ranges(firsts[first:last], mine)
        first, done = last, int(ends[last - 1])


def _ranges(firsts: Integers, counts: Integers) -> Integers:
    """Return ranges one behind another, each from its first number on, so many."""
    before = np.cumsum(counts) - counts
    found: Integers = np.arange(int(counts.sum())) + np.repeat(firsts - before, counts)
    return found


def oldest(pairs: Pairs, judge: Judge) -> tuple[Integers, Integers]:
    """Return for each address that is held by one that is there which it is, and the oldest such piece."""
    there: list[tuple[Integers, Integers, Integers]] = []
    for which, pieces in pairs:
        alive, ages = judge(which, pieces)
        there.append((which[alive], pieces[alive], ages[alive]))
    if not there:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    which, pieces, ages = (np.concatenate(column) for column in zip(*there, strict=True))
    order = np.lexsort((ages, which))
    firsts = np.ones(len(order), dtype=np.bool_)
    firsts[1:] = which[order[1:]] != which[order[:-1]]
    return which[order[firsts]], pieces[order[firsts]]
