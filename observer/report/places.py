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
from observer.story.profile import Profiled
from observer.story.wording import number

__all__ = ["as_object", "named_place", "print_leaks", "print_top"]

_VALUES: Final[dict[str, Callable[[Profiled, Language], str]]] = {
    "bytes": lambda each, language: language.size(each.place.asked),
    "calls": lambda each, _language: number(each.place.calls),
    "live": lambda each, language: language.size(each.place.live),
    "peak": lambda each, language: language.size(each.peak),
    "resident": lambda each, _language: number(each.place.frames),
    "untouched": lambda each, language: language.size(each.untouched),
    "waste": lambda each, language: language.size(each.place.wasted),
    "faults": lambda each, _language: number(each.place.faults),
}
"""How a place's value is written, by measure."""
_BESIDE: Final = ("bytes", "calls", "live")
"""What is shown beside the measure that was asked for."""
_SHOWN: Final = 3
_WIDE: Final = 10
_ROWS: Final = 20


def print_top(
    console: Console, measure: str, places: Sequence[Profiled], sources: Sources, language: Language = ENGLISH
) -> None:  # fmt: skip
    """Print the *places* that have most of *measure*, most first."""
    heading(console, language.choose("top_titles", measure), language.choose("top_hints", measure))
    if not places:
        put(console, f"  {language.say('top_nothing')}")
        return
    columns = [measure, *(name for name in _BESIDE if name != measure)][:_SHOWN]
    titles = "".join(f"{right(language.choose('top_columns', name), _WIDE)}  " for name in columns)
    put(console, Text(f"  {titles}{language.choose('top_columns', 'place')}", "dim"))
    for each in places[:_ROWS]:
        _row(console, [_VALUES[name](each, language) for name in columns], each.place, sources)
    if len(places) > _ROWS:
        put(console, f"  {language.say('top_more', language.counted(len(places) - _ROWS, 'place'))}")


def _row(console: Console, values: Sequence[str], place: Place, sources: Sources) -> None:
    put(console, named_place(console, "  " + "".join(f"{right(value, _WIDE)}  " for value in values), place, sources))


def named_place(console: Console, before: str, place: Place, sources: Sources) -> Text:
    """Return a line: what stands *before* the place's name, the name, its code as far as there is room."""
    line = Text(before)
    line.append(safe(place.text), "cyan")
    code = " ".join(sources.line(place.site).split()) if place.site is not None else ""
    line.append(f"  {safe(code)}")
    line.truncate(console.width, overflow="ellipsis")
    line.rstrip()
    return line


def as_object(each: Profiled) -> dict[str, Any]:
    """Return a place as the dictionary that a line of JSON holds: bytes and counts; `site` as events have it."""
    place = each.place
    return {
        "place": place.text, "site": place.site, "first": place.first, "calls": place.calls, "bytes": place.asked,
        "live_bytes": place.live, "live_pieces": place.pieces, "own_bytes": each.own, "own_pieces": each.own_pieces,
        "peak_bytes": each.peak, "peak_pieces": each.peak_pieces, "untouched_bytes": each.untouched,
        "wasted_bytes": place.wasted, "faults": place.faults, "frames": place.frames,
    }  # fmt: skip


def print_leaks(
    console: Console, places: Sequence[Profiled], sources: Sources, language: Language = ENGLISH, *, closed: str = ""
) -> None:  # fmt: skip
    """Print what was never freed, by the *places* that asked for it, most bytes first: the C library's own apart.

    *closed* says why the recording ended before the program did, if so: then it may have been freed behind that.
    """
    total, pieces = sum(each.place.live for each in places), sum(each.place.pieces for each in places)
    held = language.size(total), language.counted(pieces, "piece")
    hint = language.say("leaks_hint_closed", *held, closed) if closed else language.say("leaks_hint", *held)
    heading(console, language.say("leaks_title"), hint)
    theirs = [(each.place.live - each.own, each.place.pieces - each.own_pieces, each.place) for each in places]
    _left(console, theirs, sources, language)
    if pieces and not any(each[1] for each in theirs):
        put(console, f"  {language.say('leaks_none')}")
    own = [(each.own, each.own_pieces, each.place) for each in places if each.own_pieces]
    if own:
        held = language.size(sum(each[0] for each in own)), language.counted(sum(each[1] for each in own), "piece")
        heading(console, language.say("leaks_own"), language.say("leaks_own_hint", *held))
        _left(console, own, sources, language)


def _left(
    console: Console, left: Sequence[tuple[int, int, Place]], sources: Sources, language: Language
) -> None:  # fmt: skip
    for size, pieces, place in sorted(left, key=lambda each: -each[0]):
        if pieces:
            _row(console, [language.size(size), number(pieces)], place, sources)
