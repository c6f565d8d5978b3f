"""Exact sums by group, of millions of sizes at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["bytes_by", "sums_by"]

_HALF: Final = 32
"""Bits: so many of up to two million numbers add up exactly as numpy's doubles."""
_EXACT: Final = 1 << 53
"""Below this whole numbers are exact as doubles."""

Integers = npt.NDArray[np.int64]


def sums_by(groups: npt.NDArray[Any], sizes: npt.NDArray[Any], count: int) -> list[int]:
    """Return the sum of *sizes* (0 or more) in each of *count* groups; *groups* has the number of each one's.

    >>> sums_by(np.array([0, 2, 0]), np.array([1, 2, (1 << 62) - 1]), 3)
    [4611686018427387904, 0, 2]
    """
    lows, highs = _halves(groups, sizes, count)
    under: list[int] = lows.tolist()
    if highs is None:
        return under
    return [(high << _HALF) + low for low, high in zip(under, highs.tolist(), strict=True)]


def bytes_by(groups: npt.NDArray[Any], sizes: npt.NDArray[Any], count: int) -> Integers:
    """Return the same of sizes that come to less than 2^63 in all, as an array.

    >>> bytes_by(np.array([0, 2, 0]), np.array([1, 2, 1 << 60]), 3).tolist()
    [1152921504606846977, 0, 2]
    """
    lows, highs = _halves(groups, sizes, count)
    return lows if highs is None else lows + (highs << _HALF)


def _halves(groups: npt.NDArray[Any], sizes: npt.NDArray[Any], count: int) -> tuple[Integers, Integers | None]:
    """Return the sums of the lower halves of *sizes* and of the upper ones; None if none has any."""
    if int(sizes.max(initial=0)) * len(sizes) < _EXACT:
        return _summed(groups, sizes, count), None
    numbers = sizes.astype(np.uint64, copy=False)
    low, high = numbers & np.uint64((1 << _HALF) - 1), numbers >> np.uint64(_HALF)
    return _summed(groups, low, count), _summed(groups, high, count)


def _summed(groups: npt.NDArray[Any], sizes: npt.NDArray[Any], count: int) -> Integers:
    return np.bincount(groups, sizes, minlength=count).astype(np.int64)
