"""Columns of whole numbers as short text that a page's script reads back: deltas, zigzag, seven bits a byte, base64."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Final

__all__ = ["LARGEST", "exact", "packed"]

LARGEST: Final = 1 << 51
"""Numbers from here on, and below minus this, are not exact in a script once they have been made positive."""


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
    out = bytearray()
    last = 0
    for value in values:
        number = value - last if rising else value
        if rising:
            last = value
        if not -LARGEST < value < LARGEST:
            raise ValueError(f"{value:,} does not fit into a column")
        word = number << 1 if number >= 0 else (-number << 1) - 1
        while word > 0x7F:
            out.append(word & 0x7F | 0x80)
            word >>= 7
        out.append(word)
    return b64encode(out).decode("ascii")
