"""Cells of a table that a spreadsheet may open."""

from __future__ import annotations

__all__ = ["cell"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> object:
    """Return *value*; text that a spreadsheet would take for a formula is marked as text.

    >>> cell("=1+1"), cell("a"), cell(-1)
    ("'=1+1", 'a', -1)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
