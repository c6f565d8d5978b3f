"""The geometry of chunks on 64-bit machines: sizes, flags, and which bin a size belongs to.

A chunk at address `c` has its size and flags at `c + 8`; the program's pointer is `c + 16`. The last 8 bytes that the
program may use are the first word of the next chunk, which holds the chunk's size while it is free.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ALIGNMENT", "FLAGS", "HEADER", "IS_MAPPED", "LARGEST", "LAST_BIN", "MINIMUM", "NON_MAIN", "PREV_IN_USE",
    "SMALL_LIMIT", "UNSORTED", "WORD", "bin_of", "chunk_size", "round_down", "round_up",
]  # fmt: skip

WORD: Final = 8
HEADER: Final = 16
ALIGNMENT: Final = 16
MINIMUM: Final = 32
LARGEST: Final = (1 << 63) - 1
"""More than any request may be: PTRDIFF_MAX."""

PREV_IN_USE: Final = 1
IS_MAPPED: Final = 2
NON_MAIN: Final = 4
FLAGS: Final = 7

UNSORTED: Final = 1
SMALL_LIMIT: Final = 1024
"""Chunks below this have a bin for their size alone."""
LAST_BIN: Final = 126


def chunk_size(request: int) -> int:
    """Return the bytes of the chunk for a request: 8 of its own, in units of 16, at least 32.

    >>> chunk_size(24), chunk_size(25), chunk_size(0)
    (32, 48, 32)
    """
    return (request + 23) & -16 if request > MINIMUM - WORD else MINIMUM


def bin_of(size: int) -> int:
    """Return the bin of a free chunk: 2 to 63 for one size each, 64 to 126 for ranges.

    >>> bin_of(1008), bin_of(1024), bin_of(1 << 30)
    (63, 64, 126)
    """
    if size < SMALL_LIMIT:
        return size >> 4
    # Not a table: this is asked for every large chunk.
    if size >> 6 <= 48:
        return 48 + (size >> 6)
    if size >> 9 <= 20:
        return 91 + (size >> 9)
    if size >> 12 <= 10:
        return 110 + (size >> 12)
    if size >> 15 <= 4:
        return 119 + (size >> 15)
    return 124 + (size >> 18) if size >> 18 <= 2 else LAST_BIN


def round_up(value: int, unit: int) -> int:
    """Return the next multiple of *unit*, a power of two."""
    return (value + unit - 1) & -unit


def round_down(value: int, unit: int) -> int:
    """Return the multiple of *unit*, a power of two, at or below *value*."""
    return value & -unit
