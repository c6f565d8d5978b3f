"""Names of events that are the same in every run: `malloc #3`, `story.c:28 #2`."""

from __future__ import annotations

from typing import Final, NamedTuple

from observer.errors import UsageError
from observer.model.operations import OPERATIONS

__all__ = ["Nth", "parse_event"]

_DIGITS: Final = 15


class Nth(NamedTuple):
    """The event that is the *ordinal*-th (from 1) of its kind: call of *op* by the program itself, or at a line."""

    op: str
    file: str
    line: int
    ordinal: int


def parse_event(text: str) -> int | Nth:
    """Return which event is meant by its number (`1204`, `1,204`), or by what it is in every run.

    >>> parse_event("malloc #3"), parse_event("story.c:28 #2").ordinal, parse_event("1,204")
    (Nth(op='malloc', file='', line=0, ordinal=3), 2, 1204)

    Raises:
        UsageError: it is neither.
    """
    plain = text.replace(",", "").strip()
    if plain.isascii() and plain.isdecimal() and len(plain) <= _DIGITS:
        return int(plain)
    what, _mark, ordinal = text.rpartition("#")
    what = what.strip()
    if ordinal.isascii() and ordinal.isdecimal() and 0 < len(ordinal) <= _DIGITS and int(ordinal):
        if what in OPERATIONS:
            return Nth(what, "", 0, int(ordinal))
        file, _colon, line = what.rpartition(":")
        if file and line.isascii() and line.isdecimal():
            return Nth("", file, int(line), int(ordinal))
    raise UsageError(f"no event is named {text!r}", "", "a number of the story, 'malloc #3', or 'story.c:28 #2'")
