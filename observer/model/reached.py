"""Places in a program at which a recording may begin or end: a function that is entered, a line that is reached."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from observer.errors import UsageError
from observer.model.snapshots import AtLine

__all__ = ["Entered", "Place", "parse_place", "text_of_place"]

_LINE: Final = re.compile(r"(.+):([0-9]{1,9})")
_FUNCTION: Final = re.compile(r"[^\s:/]+")


class Entered(NamedTuple):
    """Where a function begins, by its symbol's name."""

    function: str


Place = Entered | AtLine


def parse_place(option: str, text: str) -> Place:
    """Return what `--from` or `--until` *text* means.

    >>> parse_place("--from", "work"), parse_place("--until", "src/story.c:28")
    (Entered(function='work'), AtLine(file='src/story.c', line=28))

    Raises:
        UsageError: it is neither a function nor a line.
    """
    if (found := _LINE.fullmatch(text)) and int(found[2]):
        return AtLine(found[1], int(found[2]))
    if _FUNCTION.fullmatch(text):
        return Entered(text)
    raise UsageError(
        f"{option} {text!r} is no place", "it takes a function or a line", f"{option} work, or {option} story.c:28"
    )


def text_of_place(place: Place) -> str:
    """Return *place* as it is typed.

    >>> text_of_place(AtLine("story.c", 28)), text_of_place(Entered("work"))
    ('story.c:28', 'work')
    """
    return place.function if isinstance(place, Entered) else f"{place.file}:{place.line}"
