"""Places of the program side by side: which asked for most, holds most, and what was never freed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from observer.report.screen import heading, put, right, safe
from observer.report.source import Sources
from observer.story.language import ENGLISH, Language
from observer.story.places import Place
from observer.story.wording import number

__all__ = ["as_object", "print_leaks", "print_top"]

_VALUES: Final[dict[str, Callable[[Place, Language], str]]] = {
    "bytes": lambda place, language: language.size(place.asked),
    "calls": lambda place, _language: number(place.calls),
    "live": lambda place, language: language.size(place.live),
    "resident": lambda place, _language: number(place.frames),
    "waste": lambda place, language: language.size(place.wasted),
    "faults": lambda place, _language: number(place.faults),
}
"""How a place's value is written, by measure."""
_BESIDE: Final = ("bytes", "calls", "live")
"""What is shown beside the measure that was asked for."""
_SHOWN: Final = 3
_WIDE: Final = 10
_ROWS: Final = 20


def print_top(
    console: Console, measure: str, places: Sequence[Place], sources: Sources, language: Language = ENGLISH
) -> None:  # fmt: skip
    """Print the *places* that have most of *measure*, most first."""
    heading(console, language.choose("top_titles", measure), language.choose("top_hints", measure))
    if not places:
        put(console, f"  {language.say('top_nothing')}")
        return
    columns = [measure, *(name for name in _BESIDE if name != measure)][:_SHOWN]
    titles = "".join(f"{right(language.choose('top_columns', name), _WIDE)}  " for name in columns)
    put(console, Text(f"  {titles}{language.choose('top_columns', 'place')}", "dim"))
    for place in places[:_ROWS]:
        _row(console, [_VALUES[name](place, language) for name in columns], place, sources)
    if len(places) > _ROWS:
        put(console, f"  {language.say('top_more', language.counted(len(places) - _ROWS, 'place'))}")


def _row(console: Console, values: Sequence[str], place: Place, sources: Sources) -> None:
    line = Text("  " + "".join(f"{right(value, _WIDE)}  " for value in values))
    line.append(safe(place.text), "cyan")
    code = " ".join(sources.line(place.site).split()) if place.site is not None else ""
    line.append(f"  {safe(code)}")
    line.truncate(console.width, overflow="ellipsis")
    line.rstrip()
    put(console, line)


def as_object(place: Place) -> dict[str, Any]:
    """Return *place* as the dictionary that a line of JSON holds: bytes and counts; `site` as events have it."""
    return {
        "place": place.text, "site": place.site, "first": place.first, "calls": place.calls, "bytes": place.asked,
        "live_bytes": place.live, "live_pieces": place.pieces, "wasted_bytes": place.wasted, "faults": place.faults,
        "frames": place.frames,
    }  # fmt: skip


def print_leaks(
    console: Console, places: Sequence[Place], sources: Sources, language: Language = ENGLISH, *, closed: str = ""
) -> None:  # fmt: skip
    """Print what was never freed, by the *places* that asked for it, most bytes first.

    *closed* says why the recording ended before the program did, if so: then it may have been freed behind that.
    """
    total, pieces = sum(place.live for place in places), sum(place.pieces for place in places)
    held = language.size(total), language.counted(pieces, "piece")
    hint = language.say("leaks_hint_closed", *held, closed) if closed else language.say("leaks_hint", *held)
    heading(console, language.say("leaks_title"), hint)
    for place in places:
        _row(console, [language.size(place.live), number(place.pieces)], place, sources)
