"""Places of the program side by side: which asked for most, holds most, and what was never freed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from observer.model.stacks import CallStack
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
    console: Console, measure: str, places: Sequence[Place], sources: Sources, language: Language = ENGLISH,
    callers: Sequence[CallStack | None] = (),
) -> None:  # fmt: skip
    """Print the *places* that have most of *measure*, most first; beneath each its *callers*, if they are given."""
    heading(console, language.choose("top_titles", measure), language.choose("top_hints", measure))
    if not places:
        put(console, f"  {language.say('top_nothing')}")
        return
    columns = [measure, *(name for name in _BESIDE if name != measure)][:_SHOWN]
    titles = "".join(f"{right(language.choose('top_columns', name), _WIDE)}  " for name in columns)
    put(console, Text(f"  {titles}{language.choose('top_columns', 'place')}", "dim"))
    for place, stack in zip_longest(places[:_ROWS], callers[:_ROWS]):
        _row(console, [_VALUES[name](place, language) for name in columns], place, sources)
        _callers(console, stack, len(columns), language)
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


def _callers(console: Console, stack: CallStack | None, columns: int, language: Language) -> None:
    """Print who called, the innermost first, below the place of a row with so many *columns* of values."""
    if stack is None:
        return
    told = [f"{site.function}  {site.text}" if site.line and site.function else site.text for site in stack.callers]
    told += [] if stack.is_whole else [language.say("more_callers")]
    for caller in told:
        line = Text(" " * ((_WIDE + 2) * columns + 4) + safe(caller), "dim")
        line.truncate(console.width, overflow="ellipsis")
        put(console, line)


def as_object(place: Place, stack: CallStack | None = None) -> dict[str, Any]:
    """Return *place* as the dictionary that a line of JSON holds: bytes and counts; `site` as events have it.

    Where places are told by *stack*, `callers` are the sites of those who called, the innermost first.
    """
    callers = {"callers": stack.callers, "whole": stack.is_whole} if stack is not None else {}
    return {
        "place": place.text, "site": place.site, "first": place.first, "calls": place.calls, "bytes": place.asked,
        "live_bytes": place.live, "live_pieces": place.pieces, "wasted_bytes": place.wasted, "faults": place.faults,
        "frames": place.frames, **callers,
    }  # fmt: skip


def print_leaks(
    console: Console, places: Sequence[Place], sources: Sources, language: Language = ENGLISH, *, closed: str = "",
    callers: Sequence[CallStack | None] = (),
) -> None:  # fmt: skip
    """Print what was never freed, by the *places* that asked for it, most bytes first; beneath each its *callers*.

    *closed* says why the recording ended before the program did, if so: then it may have been freed behind that.
    """
    total, pieces = sum(place.live for place in places), sum(place.pieces for place in places)
    held = language.size(total), language.counted(pieces, "piece")
    hint = language.say("leaks_hint_closed", *held, closed) if closed else language.say("leaks_hint", *held)
    heading(console, language.say("leaks_title"), hint)
    for place, stack in zip_longest(places, callers):
        _row(console, [language.size(place.live), number(place.pieces)], place, sources)
        _callers(console, stack, 2, language)
