"""Counters of the processor as nanoseconds, by pairs that were read together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["nanoseconds"]

Integers = npt.NDArray[np.int64]


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
