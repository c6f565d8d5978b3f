"""Columns of whole numbers as short text that a page's script reads back: deltas, zigzag, seven bits a byte, base64."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Final

import numpy as np

__all__ = ["LARGEST", "exact", "packed"]

LARGEST: Final = 1 << 51
"""Numbers from here on, and below minus this, are not exact in a script once they have been made positive."""
_SHIFTS: Final = np.arange(0, 56, 7)


def exact(value: int) -> int:
    """Return *value*, or -1 where a script could not hold it exactly: no such number is recorded by an honest run."""
    return value if -LARGEST < value < LARGEST else -1


def packed(values: Iterable[int], *, rising: bool = False) -> str:
    """Return *values* as text; of *rising* ones only what each adds to the one before is written.

    Raises:
        ValueError: a number is not `exact`.

    >>> packed([0, -1, 1, 64]), packed([1000, 1001, 1003], rising=True)
    ('AAECgAE=', '0A8CBA==')
    """
    try:
        column = np.fromiter(values, dtype=np.int64)
    except OverflowError as error:
        raise ValueError("a number of more than 64 bits does not fit into a column") from error
    if len(column) and not -LARGEST < int(column.min()) <= int(column.max()) < LARGEST:
        raise ValueError(f"{column.min():,} or {column.max():,} does not fit into a column")
    if rising and len(column):
        column = np.diff(column, prepend=0)
    words = (column << 1) ^ (column >> 63)
    parts = words[:, np.newaxis] >> _SHIFTS
    is_written = (parts > 0) | (_SHIFTS == 0)
    goes_on = parts >> 7 > 0
    found = (parts & 0x7F | np.where(goes_on, 0x80, 0)).astype(np.uint8)
    return b64encode(found[is_written].tobytes()).decode("ascii")
