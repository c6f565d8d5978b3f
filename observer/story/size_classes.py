"""The sizes that a program asked for, in classes: chunk by chunk while they are small, then by powers of two.

A request becomes a chunk: 8 bytes of the allocator's own before it, rounded up to a unit of 16, at least 32
(`glibc.chunks.chunk_size`). What the program may use of it beyond what it asked for is lost to rounding.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from observer.glibc.chunks import ALIGNMENT, MINIMUM, SMALL_LIMIT, WORD
from observer.model.call_columns import Integers

__all__ = ["CLASSES", "SizeClass", "chunk_sizes", "class_of", "range_of"]

_SMALL: Final = SMALL_LIMIT // ALIGNMENT
"""Classes below this hold one size of chunk each."""
_FIRST_POWER: Final = SMALL_LIMIT.bit_length() - 1
CLASSES: Final = _SMALL + 63 - _FIRST_POWER


class SizeClass(NamedTuple):
    """Pieces whose chunks have from `first` to `last` bytes: `asked` in `calls`, `lost` to rounding, and at the
    moment of most live bytes `peak` bytes in `peak_pieces`. Of allocators other than glibc's it is the size asked for
    that is classed, rounded up to 16, and nothing is known to be lost."""

    first: int
    last: int
    calls: int
    asked: int
    lost: int
    peak: int
    peak_pieces: int


def chunk_sizes(asked: Integers) -> Integers:
    """Return `glibc.chunks.chunk_size` of each."""
    sizes: Integers = np.maximum(asked + (WORD + ALIGNMENT - 1) & -ALIGNMENT, MINIMUM)
    return sizes


def class_of(sizes: Integers) -> Integers:
    """Return the number of the class of each size of a chunk, below CLASSES."""
    exponents = np.frexp(sizes.astype(np.float64))[1].astype(np.int64) - 1
    return np.where(sizes < SMALL_LIMIT, sizes // ALIGNMENT, np.clip(_SMALL + exponents - _FIRST_POWER, 0, CLASSES - 1))


def range_of(number: int) -> tuple[int, int]:
    """Return the first and the last size of chunks of a class.

    >>> range_of(3), range_of(64), range_of(65)
    ((48, 48), (1024, 2032), (2048, 4080))
    """
    if number < _SMALL:
        return number * ALIGNMENT, number * ALIGNMENT
    first = 1 << _FIRST_POWER + number - _SMALL
    return first, 2 * first - ALIGNMENT
