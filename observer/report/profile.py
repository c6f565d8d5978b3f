"""A run's heap profile on a terminal: the peak and who held what, the course, fragmentation, lifetimes, sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from observer.glibc.chunks import SMALL_LIMIT
from observer.report.places import named_place
from observer.report.screen import bar, heading, left, paragraph, put, right
from observer.report.source import Sources
from observer.story.fragmentation import Fragmentation
from observer.story.language import ENGLISH, Language
from observer.story.memory_use import MemoryUse
from observer.story.profile import EVENTS_EDGES, MOMENTS, HeapProfile, Lifetime, Profiled, ranked
from observer.story.size_classes import SizeClass
from observer.story.wording import moment, number

__all__ = ["print_fragmentation", "print_lifetimes", "print_peak", "print_sizes"]

_ROWS: Final = 15
_BAR: Final = 12
_WIDE: Final = 74
"""What lifetimes with bars need."""
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_PARTS: Final = ("mapped", "asked", "rounding", "headers", "idle", "resident", "vacant", "untouched")
_SIZES: Final = {"chunk": 20, "calls": 13, "asked": 11, "lost": 11, "peak": 12, "pieces": 9}
"""The columns of sizes, and how wide they are where there is room."""
_ALONE: Final = 128
_MERGED: Final = (256, 512, 1008)
"""Classes of sizes beyond _ALONE, up to each of these, are one row."""


def print_peak(console: Console, use: MemoryUse, sources: Sources, language: Language = ENGLISH) -> None:
    """Print what was alive when most was, by the places that asked for it, and how it came there."""
    peak = use.profile.peak
    if not peak.live:
        heading(console, language.say("peak_title"))
        put(console, f"  {language.say('peak_nothing')}")
        return
    pieces = language.counted(len(peak.alive.pieces), "piece")
    hint = language.say("peak_hint", language.size(peak.live), pieces, number(peak.n), moment(peak.t_ns))
    heading(console, language.say("peak_title"), hint)
    titles = [right(language.choose("peak_columns", name), cells) for name, cells in (("alive", 10), ("share", 6))]
    pieces_title = right(language.choose("peak_columns", "pieces"), 10)
    row = f"  {titles[0]}{titles[1]}  {' ' * _BAR}{pieces_title}  {language.choose('peak_columns', 'place')}"
    put(console, Text(row, "dim"))
    places = ranked(use.places, "peak")
    for place in places[:_ROWS]:
        size = right(language.short_size(place.peak), 10)
        share = f"{size}{_share(place.peak, peak.live):>6}  {bar(place.peak, peak.live, _BAR)}"
        put(console, named_place(console, f"  {share}{number(place.peak_pieces):>10}  ", place.place, sources))
    if len(places) > _ROWS:
        put(console, f"  {language.say('top_more', language.counted(len(places) - _ROWS, 'place'))}")
    _print_course(console, use, language)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole and 200 * part >= whole else "<1 %"


def _print_course(console: Console, use: MemoryUse, language: Language) -> None:
    joined = next(n for n in range(1, MOMENTS + 1) if MOMENTS % n == 0 and MOMENTS // n <= max(console.width - 20, 1))
    heading(console, language.say("course_title"), language.say("course_hint", MOMENTS // joined))
    curves = {"alive": use.profile.curve(), "mapped": use.mapped}
    if any(use.resident):  # else nothing was touched, or no page faults were recorded
        curves["resident"] = use.resident
    highest = max(max(curve) for curve in curves.values())
    for name, curve in curves.items():
        label = left(language.choose("course_rows", name), 9)
        most = [max(curve[i : i + joined]) for i in range(0, len(curve), joined)]
        put(console, f"  {label}{_drawn(most, highest)} {language.short_size(max(curve))}")


def _drawn(curve: Sequence[int], highest: int) -> str:
    """Draw a curve in a line: a step is an eighth of what is *highest*, and only nothing is drawn as nothing."""
    steps = (-(-value * len(_BLOCKS) // max(highest, 1)) for value in curve)
    return "".join(_BLOCKS[step - 1] if step > 0 else " " for step in steps)


def print_fragmentation(
    console: Console, use: MemoryUse, language: Language = ENGLISH, *, beside: bool = False
) -> None:  # fmt: skip
    """Print what the allocator's memory is at the peak and in the end; *beside*: pages came without a fault, too."""
    heading(console, language.say("fragmentation_title"), language.say("fragmentation_hint"))
    titles = [right(language.choose("fragmentation_columns", name), 18) for name in ("peak", "end")]
    wide = min(max(console.width - 38, 16), 42)
    put(console, Text(f"  {left('', wide)}{''.join(titles)}", "dim"))
    for name in _PARTS:
        row = language.choose("fragmentation_rows", name)
        label = row.lstrip()
        indent = row.removesuffix(label)
        first, *rest = Text(label).wrap(console, wide - len(indent))
        numbers = "".join(_part(told, name, language) for told in (use.peak, use.end))
        put(console, f"  {left(indent + first.plain.rstrip(), wide)}{numbers}")
        for words in rest:
            put(console, f"  {indent}{words.plain.rstrip()}")
    put(console)
    paragraph(console, f"  {language.say('fragmentation_words')}", hanging=2)
    if beside:
        paragraph(console, f"  {language.say('fragmentation_unknown')}", hanging=2)


def _part(told: Fragmentation, name: str, language: Language) -> str:
    value: int = getattr(told, name)
    whole = told.resident if name == "vacant" else 0 if name in ("mapped", "resident", "untouched") else told.mapped
    share = _share(value, whole) if whole and value else ""
    return right(language.short_size(value), 12) + right(share, 6)


def print_lifetimes(
    console: Console, profile: HeapProfile, sources: Sources, language: Language = ENGLISH, *, inferred: bool = False
) -> None:  # fmt: skip
    """Print how long pieces lived, in events and in time, and by place; *inferred*: times lie between others."""
    ended, places = profile.lifetimes(), profile.places()
    never = sum(place.place.pieces for place in places)
    counted = language.counted(sum(each.pieces for each in ended), "piece"), number(never)
    heading(console, language.say("lifetimes_title"), language.say("lifetimes_hint", *counted))
    has_bars = console.width >= _WIDE
    in_time = language.say("lifetimes_inferred" if inferred else "lifetimes_time")
    for title, classes, write in (
        (language.say("lifetimes_events"), ended, number),
        (in_time, profile.lifetimes(in_time=True), _time),
    ):
        paragraph(console, Text(f"  {title}", "dim"), hanging=2)
        most = sum(each.pieces for each in classes)
        for each in _without_ends(classes):
            label = left(_lived(each.least, each.below, write, language), 24)
            drawn = f"  {bar(each.pieces, most, _BAR)}" if has_bars else ""
            line = f"    {label}{number(each.pieces):>13}{drawn}"
            put(console, f"{line}{_share(each.pieces, most) if each.pieces else '':>6}{_right(language, each.bytes)}")
    _print_by_place(console, places, sources, language)


def _lived(least: int, below: int | None, write: Callable[[int], str], language: Language) -> str:
    if not least and below is not None:
        return language.say("lifetimes_below", write(below))
    if below is None:
        return language.say("lifetimes_from", write(least))
    return language.say("range", write(least), write(below - 1 if write is number else below))


def _right(language: Language, size: int) -> str:
    return right(language.short_size(size), 13)


def _without_ends(classes: Sequence[Lifetime]) -> Sequence[Lifetime]:
    """Return the classes from the first that has any to the last."""
    having = [i for i, each in enumerate(classes) if each.pieces]
    return classes[having[0] : having[-1] + 1] if having else ()


def _time(nanoseconds: int) -> str:
    for unit, name in ((10**9, "s"), (10**6, "ms"), (10**3, "µs")):
        if nanoseconds >= unit:
            return f"{nanoseconds // unit} {name}"
    return f"{nanoseconds} ns"


def _print_by_place(
    console: Console, places: Sequence[Profiled], sources: Sources, language: Language
) -> None:  # fmt: skip
    paragraph(console, Text(f"  {language.say('lifetimes_places')}", "dim"), hanging=2)
    columns = [
        right(language.choose("lifetimes_columns", name), cells)
        for name, cells in (("pieces", 12), ("half", 20), ("never", 10))
    ]
    put(console, Text(f"  {''.join(columns)}  {language.choose('lifetimes_columns', 'place')}", "dim"))
    ordered = sorted(places, key=lambda each: (-sum(each.by_events), -each.place.pieces, each.place.first))
    having = [each for each in ordered if any(each.by_events) or each.place.pieces]
    for each in having[:_ROWS]:
        ended, half = sum(each.by_events), _half(each.by_events)
        within = _lived(*half, number, language) if half is not None else ""
        words = f"  {number(ended):>12}{right(within, 20)}{number(each.place.pieces):>10}  "
        put(console, named_place(console, words, each.place, sources))
    if len(having) > _ROWS:
        put(console, f"  {language.say('top_more', language.counted(len(having) - _ROWS, 'place'))}")


def _half(counts: Sequence[int]) -> tuple[int, int | None] | None:
    """Return the class of lifetimes in events at whose end at least half of the pieces have ended; None: none did."""
    seen, ended = 0, sum(counts)
    for count, least, below in zip(counts, (0, *EVENTS_EDGES), (*EVENTS_EDGES, None), strict=True):
        seen += count
        if ended and 2 * seen >= ended:
            return least, below
    return None


def print_sizes(console: Console, profile: HeapProfile, language: Language = ENGLISH) -> None:
    """Print the classes of sizes that were asked for."""
    heading(console, language.say("sizes_title"), language.say("sizes_hint"))
    rows = [[language.choose("sizes_columns", name) for name in _SIZES]]
    for each in _merged(profile.sizes()):
        asked, lost, peak = (language.short_size(value) for value in (each.asked, each.lost, each.peak))
        rows.append([_range(each, language), number(each.calls), asked, lost, peak, number(each.peak_pieces)])
    widths = _fitting(console, rows, tuple(_SIZES.values()))
    for i, cells in enumerate(rows):
        line = "".join(right(cell, wide) for cell, wide in zip(cells, widths, strict=False))
        put(console, Text(line, "" if i else "dim"))
    if profile.has_other_chunks:
        put(console)
        paragraph(console, f"  {language.say('sizes_other')}", hanging=2)


def _fitting(console: Console, rows: Sequence[Sequence[str]], wanted: Sequence[int]) -> list[int]:
    """Return how wide columns are: as *wanted*, or as their cells need it where that is more or there is less room.

    Two spaces are before each cell, one where there is no room for more. Where even that is too much for the console,
    the last columns are left out.
    """
    longest = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    widths = [max(wide, cells + 2) for wide, cells in zip(wanted, longest, strict=True)]
    if sum(widths) > console.width:
        widths = [cells + 1 for cells in longest]
    while sum(widths) > console.width and len(widths) > 1:
        widths.pop()
    return widths


def _range(each: SizeClass, language: Language) -> str:
    if each.first == each.last:
        return number(each.first)
    if each.last < SMALL_LIMIT:
        return language.say("range", number(each.first), number(each.last))
    return language.say("range", language.short_size(each.first), language.short_size(2 * each.first))


def _merged(classes: Sequence[SizeClass]) -> list[SizeClass]:
    rows: dict[int, SizeClass] = {}
    for each in classes:
        limit = next((limit for limit in _MERGED if _ALONE < each.last <= limit), each.last)
        known = rows.get(limit)
        summed = [sum(pair) for pair in zip(known[2:], each[2:], strict=True)] if known is not None else each[2:]
        rows[limit] = SizeClass(known.first if known is not None else each.first, each.last, *summed)
    return list(rows.values())
