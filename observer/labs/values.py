"""What an expression of a check can come to: a number, a truth, a word, a row of these, or nothing, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Missing", "Row", "Unknown", "Value", "told"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """What this machine, or this user, cannot observe: no comparison with it says anything."""

    why: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What could have been there and is not: every comparison with it fails."""

    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One event, by its words: `calls("malloc", 3)` has `steps`, `size` and more."""

    words: Mapping[str, Value]


Value = int | bool | str | Row | Missing | Unknown


def told(value: Value) -> str:
    """Return *value* as a reader expects it.

    >>> told(12345), told(True), told("1-5"), told(Missing("there are only 2 malloc"))
    ('12,345', 'yes', '1-5', 'there are only 2 malloc')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return value
    return "an event" if isinstance(value, Row) else value.why
