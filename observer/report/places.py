"""Places of the program side by side: which asked for most, holds most, and what was never freed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.text import Text

from observer.model.stacks import CallStack
from observer.report.screen import heading, put, right, safe
from observer.report.source import Sources
from observer.story.language import ENGLISH, Language
from observer.story.places import Place
from observer.story.profile import Profiled
from observer.story.wording import number

__all__ = ["as_object", "as_stack_object", "named_place", "print_leaks", "print_top"]

_VALUES: Final[dict[str, Callable[[Profiled, Language], str]]] = {
    "bytes": lambda each, language: language.size(each.place.asked),
    "calls": lambda each, _language: number(each.place.calls),
    "live": lambda each, language: language.size(each.place.live),
    "peak": lambda each, language: language.size(each.peak),
    "resident": lambda each, _language: number(each.place.frames),
    "untouched": lambda each, language: language.size(each.untouched),
    "vacant": lambda each, language: language.size(each.vacant),
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
    console: Console, measure: str, places: Sequence[Profiled], sources: Sources, language: Language = ENGLISH,
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
    for each, stack in zip_longest(places[:_ROWS], callers[:_ROWS]):
        _row(console, [_VALUES[name](each, language) for name in columns], each.place, sources)
        _callers(console, stack, len(columns), language)
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


def as_object(each: Profiled) -> dict[str, Any]:
    """Return a place as the dictionary that a line of JSON holds: bytes and counts; `site` as events have it."""
    return {
        **_counted(each.place), "own_bytes": each.own, "own_pieces": each.own_pieces, "peak_bytes": each.peak,
        "peak_pieces": each.peak_pieces, "untouched_bytes": each.untouched, "vacant_bytes": each.vacant,
    }  # fmt: skip


def as_stack_object(each: Profiled, stack: CallStack | None) -> dict[str, Any]:
    """Return a place of one *stack* as such a dictionary: `callers` are the sites of those who called, the innermost
    first; None if they were not kept.
    """
    callers, is_whole = (stack.callers, stack.is_whole) if stack is not None else (None, None)
    return {**as_object(each), "callers": callers, "whole": is_whole}


def _counted(place: Place) -> dict[str, Any]:
    return {
        "place": place.text, "site": place.site, "first": place.first, "calls": place.calls, "bytes": place.asked,
        "live_bytes": place.live, "live_pieces": place.pieces, "wasted_bytes": place.wasted, "faults": place.faults,
        "frames": place.frames,
    }  # fmt: skip


def print_leaks(
    console: Console, places: Sequence[Profiled], sources: Sources, language: Language = ENGLISH, *, closed: str = "",
    callers: Sequence[CallStack | None] = (),
) -> None:  # fmt: skip
    """Print what was never freed, by the *places* that asked for it, most bytes first: the C library's own apart.

    Beneath each are its *callers*, if they are given. *closed* says why the recording ended before the program did, if
    so: then it may have been freed behind that.
    """
    total, pieces = sum(each.place.live for each in places), sum(each.place.pieces for each in places)
    held = language.size(total), language.counted(pieces, "piece")
    hint = language.say("leaks_hint_closed", *held, closed) if closed else language.say("leaks_hint", *held)
    heading(console, language.say("leaks_title"), hint)
    theirs = [
        _Left(each.place.live - each.own, each.place.pieces - each.own_pieces, each.place, stack)
        for each, stack in zip_longest(places, callers)
    ]
    _left(console, theirs, sources, language)
    if pieces and not any(each.pieces for each in theirs):
        put(console, f"  {language.say('leaks_none')}")
    own = [
        _Left(each.own, each.own_pieces, each.place, stack)
        for each, stack in zip_longest(places, callers) if each.own_pieces
    ]  # fmt: skip
    if own:
        held = (
            language.size(sum(each.size for each in own)),
            language.counted(sum(each.pieces for each in own), "piece"),
        )
        heading(console, language.say("leaks_own"), language.say("leaks_own_hint", *held))
        _left(console, own, sources, language)


class _Left(NamedTuple):
    size: int
    pieces: int
    place: Place
    stack: CallStack | None


def _left(console: Console, left: Sequence[_Left], sources: Sources, language: Language) -> None:
    for each in sorted(left, key=lambda each: -each.size):
        if each.pieces:
            _row(console, [language.size(each.size), number(each.pieces)], each.place, sources)
            _callers(console, each.stack, 2, language)
