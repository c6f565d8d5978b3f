"""Places of the program side by side: which asked for most, holds most, and what was never freed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.report.screen import heading, put, safe
from observer.report.source import Sources
from observer.story.places import Place
from observer.story.wording import number, plural, size

__all__ = ["print_leaks", "print_top"]

_COLUMNS: Final[tuple[tuple[str, str, Callable[[Place], str]], ...]] = (
    ("bytes", "asked for", lambda place: size(place.asked)),
    ("calls", "calls", lambda place: number(place.calls)),
    ("live", "not freed", lambda place: size(place.live)),
    ("resident", "frames", lambda place: number(place.frames)),
    ("waste", "wasted", lambda place: size(place.wasted)),
    ("faults", "faults", lambda place: number(place.faults)),
)
"""Measure, title, and how a place's value is written."""
_TITLES: Final = {
    "bytes": ("Most bytes asked for", "by lines that call the allocator"),
    "calls": ("Most calls of the allocator", ""),
    "live": ("Most bytes not freed at the end", ""),
    "resident": ("Most page frames", "that came to the pieces a line asked for"),
    "waste": ("Most bytes that nobody asked for", "in glibc's chunks, as sizes are rounded up"),
    "faults": ("Most page faults", "taken by a line of the program"),
}
_SHOWN: Final = 3
_WIDE: Final = 10
_ROWS: Final = 20


def print_top(console: Console, measure: str, places: Sequence[Place], sources: Sources) -> None:
    """Print the *places* that have most of *measure*, most first."""
    heading(console, *_TITLES[measure])
    if not places:
        put(console, "  no place has any")
        return
    columns = [column for column in _COLUMNS if column[0] == measure]
    columns += [column for column in _COLUMNS if column[0] in ("bytes", "calls", "live") and column[0] != measure]
    columns = columns[:_SHOWN]
    put(console, Text("  " + "".join(f"{title:>{_WIDE}}  " for _name, title, _value in columns) + "place", "dim"))
    for place in places[:_ROWS]:
        _row(console, [value(place) for _name, _title, value in columns], place, sources)
    if len(places) > _ROWS:
        put(console, f"  and {plural(len(places) - _ROWS, 'place')} more")


def _row(console: Console, values: Sequence[str], place: Place, sources: Sources) -> None:
    line = Text("  " + "".join(f"{value:>{_WIDE}}  " for value in values))
    line.append(safe(place.text), "cyan")
    code = " ".join(sources.line(place.site).split()) if place.site is not None else ""
    line.append(f"  {safe(code)}")
    line.truncate(console.width, overflow="ellipsis")
    line.rstrip()
    put(console, line)


def print_leaks(console: Console, places: Sequence[Place], sources: Sources) -> None:
    """Print what was never freed, by the *places* that asked for it, most bytes first."""
    total, pieces = sum(place.live for place in places), sum(place.pieces for place in places)
    heading(console, "Not freed", f"{size(total)} in {plural(pieces, 'piece')} when their processes ended")
    for place in places:
        _row(console, [size(place.live), number(place.pieces)], place, sources)
