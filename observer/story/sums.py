"""Exact sums by group, of millions of sizes at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["sums_by"]

_HALF: Final = 32
"""Bits: so many of up to two million numbers add up exactly as numpy's doubles."""


def sums_by(groups: npt.NDArray[Any], sizes: npt.NDArray[Any], count: int) -> list[int]:
    """Return the sum of *sizes* (0 or more) in each of *count* groups; *groups* has the number of each one's.

    >>> sums_by(np.array([0, 2, 0]), np.array([1, 2, (1 << 62) - 1]), 3)
    [4611686018427387904, 0, 2]
    """
    numbers = sizes.astype(np.uint64, copy=False)
    low, high = numbers & np.uint64((1 << _HALF) - 1), numbers >> np.uint64(_HALF)
    lows = np.bincount(groups, low.astype(np.float64), minlength=count).tolist()
    if not high.any():
        return [int(each) for each in lows]
    highs = np.bincount(groups, high.astype(np.float64), minlength=count).tolist()
    return [(int(over) << _HALF) + int(under) for under, over in zip(lows, highs, strict=True)]
