"""Counters of the processor: those that were not read, between others that were; and all of them as nanoseconds."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from observer.recording.slots import HAPPENED

__all__ = ["counted", "nanoseconds"]

Counters = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_LEAST: Final = 3
"""Counts from a beginning of a call to its end, or from there to the next beginning, where they are not known: fewer
than it takes, so that nothing comes later than it was."""


def counted(began: Counters, ended: Counters, latest: int = 0) -> tuple[Counters, Counters]:
    """Return all counters of a thread's calls, one behind the other, of which some were not read and are 0.

    Up to one that was read since time had passed they lie at equal distances. Up to one that was read since something
    HAPPENED, which lies between it and the one before, all of them lie close to the last that was read.

    Args:
        latest: the counter before the first; 0 if there is none. Then the first ones that were not read stay 0.
    """
    if began.all() and ended.all():
        return began & ~HAPPENED, ended & ~HAPPENED
    both = np.column_stack((began, ended)).ravel()
    read = np.flatnonzero(both)
    counters = np.concatenate(([latest], (both[read] & ~HAPPENED).astype(np.int64)))
    places = np.concatenate(([-1], read, [len(both)]))
    lengths = np.diff(places)
    slopes = np.full(len(counters), float(_LEAST))
    even = np.maximum(np.diff(counters), 0) / lengths[:-1]
    slopes[:-1] = np.where(both[read] & HAPPENED, np.minimum(even, _LEAST), even)
    if not latest:
        slopes[0] = 0
    since = np.arange(-1, len(both)) - np.repeat(places[:-1], lengths)
    found = np.repeat(counters, lengths) + (since * np.repeat(slopes, lengths)).astype(np.int64)
    whole = found[1:].astype(np.uint64)
    return whole[::2], whole[1::2]


def nanoseconds(counters: npt.NDArray[np.uint64], known: Integers, clocks: Integers) -> Integers:
    """Return the clock at each of *counters*, on the line between the pairs on both sides of it.

    Args:
        known: counters in ascending order, each another; one or more.
        clocks: nanoseconds, read together with them.
    """
    if len(known) < 2 or not len(counters):
        return np.full(len(counters), clocks[0] if len(clocks) else 0, dtype=np.int64)
    asked = counters.astype(np.int64)
    first, last = (
        min(max(int(np.searchsorted(known, edge, side="right")), 1), len(known) - 1)
        for edge in (asked.min(), asked.max())
    )  # fmt: skip
    if first == last:  # a batch lies between two pairs, as a rule
        slope = float(clocks[first] - clocks[first - 1]) / float(known[first] - known[first - 1])
        asked -= known[first - 1]
        at: Integers = np.rint(asked * slope).astype(np.int64) + clocks[first - 1]
        return at
    behind = np.clip(np.searchsorted(known, asked, side="right"), 1, len(known) - 1)
    slopes = (clocks[behind] - clocks[behind - 1]) / (known[behind] - known[behind - 1])
    since: Integers = np.rint((asked - known[behind - 1]) * slopes).astype(np.int64)
    return np.add(clocks[behind - 1], since)
