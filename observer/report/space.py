"""The address space of a process as it stood at its last stop, drawn upright: high addresses at the top.

The boxes are not to scale (no terminal is 128 TiB tall): each names its size, and a bar shows its resident share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.model.addresses import Mapping
from observer.model.machine import ProcessEnd
from observer.report.screen import bar, heading, left, paragraph, put, right, safe
from observer.story.language import ENGLISH, Language

__all__ = ["Region", "print_space", "regions_of"]

_NAME: Final = 25
_BAR: Final = 8
_ADDRESS: Final = 17
_WIDE: Final = 76
"""What boxes with bars need. Narrower terminals have none, shorter addresses, and names that have what is left."""
_NARROW_ADDRESS: Final = 13
_BESIDE: Final = 28
"""What is beside the address and the name of a box without a bar, a break's mark beside an edge included."""
_SMALL_GAP: Final = 1 << 20
_MOST: Final = 20
_PARTS: Final = frozenset({"r-x", "r--", "rw-", "---"})
_STYLES: Final = {"heap": "yellow", "program": "cyan", "mapped": "magenta", "stack": "green", "file": "blue"}


@dataclass(frozen=True, slots=True)
class _Widths:
    """How many cells the columns have on a terminal."""

    address: int = _ADDRESS
    name: int = _NAME
    bar: int = _BAR


def _widths(console: Console) -> _Widths:
    if console.width >= _WIDE:
        return _Widths()
    return _Widths(_NARROW_ADDRESS, min(max(console.width - _NARROW_ADDRESS - _BESIDE, 8), _NAME), 0)


@dataclass(frozen=True, slots=True)
class Region:
    """A box of the drawing: neighbouring mappings told as one.

    `kind` is program, heap, mapped, file, stack or kernel; `mapped` and `resident` are bytes.
    """

    start: int
    end: int
    kind: str
    name: str
    protection: str
    mapped: int
    resident: int | None

    def joined(self, other: Region, name: str | None = None) -> Region:
        """Return this region with its upper neighbour *other* taken in."""
        known = self.resident is not None and other.resident is not None
        resident = (self.resident or 0) + (other.resident or 0) if known else None
        protection = self.protection if self.protection == other.protection else ""
        name = self.name if name is None else name
        return Region(self.start, other.end, self.kind, name, protection, self.mapped + other.mapped, resident)


def regions_of(end: ProcessEnd, language: Language = ENGLISH) -> list[Region]:
    """Return the regions of *end* from low to high addresses, libraries told as one box each."""
    regions: list[Region] = []
    for region in _single(end, language):
        last = regions[-1] if regions else None
        if last is not None and _belong_together(last, region):
            regions[-1] = last.joined(region)
        else:
            regions.append(region)
    return _fewer(regions, language)


def _single(end: ProcessEnd, language: Language) -> Iterator[Region]:
    previous: Mapping | None = None
    for mapping in sorted(end.mappings, key=lambda mapping: mapping.start):
        if mapping.path == "[vsyscall]":
            # In the kernel's half; a gap of 16 EiB would tell nobody anything.
            continue
        kind, name = _kind(mapping, end, language)
        if kind == "mapped" and previous is not None and _is_bss(previous, mapping):
            # Zero-initialised data: an anonymous tail right behind a file's own mappings.
            kind, name = _kind(previous, end, language)
            mapping = _named(mapping, previous.path)
        protection = mapping.protection
        yield Region(mapping.start, mapping.end, kind, name, protection, mapping.size, end.resident.get(mapping.start))
        previous = mapping


def _is_bss(file: Mapping, tail: Mapping) -> bool:
    writable = file.protection == "rw-" and tail.protection == "rw-" and not tail.path
    return writable and file.end == tail.start and file.path.startswith("/") and file.size < 1 << 26


def _named(mapping: Mapping, path: str) -> Mapping:
    return Mapping(mapping.start, mapping.end, mapping.protection, path)


def _kind(mapping: Mapping, end: ProcessEnd, language: Language) -> tuple[str, str]:
    path = mapping.path
    if path == "[heap]":
        return "heap", language.say("heap")
    if path == "[stack]":
        return "stack", language.say("stack")
    if path.startswith("["):
        return "kernel", path.strip("[]")
    if path.startswith("/"):
        base = path.rsplit("/", 1)[-1]
        if path == end.path:
            return "program", f"{base} {_part(mapping.protection, language)}".strip()
        return "file", base
    if mapping.protection == "---":
        return "mapped", language.say("reserved_region")
    return "mapped", path or language.say("region_mapped")


def _part(protection: str, language: Language) -> str:
    return language.choose("space_parts", protection) if protection in _PARTS else ""


def _belong_together(lower: Region, upper: Region) -> bool:
    if (lower.kind, lower.name) != (upper.kind, upper.name) or lower.kind == "heap":
        return False
    return lower.end == upper.start or lower.kind in ("file", "kernel")


def _fewer(regions: list[Region], language: Language) -> list[Region]:
    """Tell files between two other regions as one box when there are too many boxes; then mapped regions too."""
    for kinds in (("file",), ("file", "mapped")):
        if len(regions) > _MOST:
            regions = list(_grouped(regions, kinds, language))
    return regions


def _grouped(regions: Iterable[Region], kinds: tuple[str, ...], language: Language) -> Iterator[Region]:
    run: list[Region] = []
    for region in regions:
        if region.kind in kinds:
            run.append(region)
            continue
        yield from _as_one(run, kinds, language)
        run = []
        yield region
    yield from _as_one(run, kinds, language)


def _as_one(run: list[Region], kinds: tuple[str, ...], language: Language) -> Iterator[Region]:
    if len(run) < 3:
        yield from run
        return
    whole = run[0]
    for region in run[1:]:
        whole = whole.joined(region, language.say("regions_files" if len(kinds) == 1 else "regions_mappings", len(run)))
    yield whole


def print_space(
    console: Console, end: ProcessEnd, title: str = "", note: str = "", *, language: Language = ENGLISH
) -> None:  # fmt: skip
    """Draw the address space of *end* below a *title* (empty: as that of the end), a *note* behind it."""
    regions = regions_of(end, language)
    if not regions:
        return
    whose = language.say("of_process", safe(end.path.rsplit("/", 1)[-1]), end.pid)
    heading(console, title or language.say("space_at_end"), whose)
    columns = f"{right(language.say('size_column'), 6)}  {right(language.say('resident_column'), 8)}"
    widths = _widths(console)
    put(console, Text(f"  {left(language.say('space_columns'), widths.address + widths.name + 9)}{columns}", "dim"))
    above: Region | None = None
    for region in reversed(regions):
        _gap(console, region, above, end, language)
        _box(console, region, end, language)
        above = region
    _edge(console, regions[0].start, _is_break(regions[0], end, "start", language))
    _totals(console, regions, end, language)
    if note:
        paragraph(console, Text(note, "dim"), first="  ", hanging=2)


def _is_break(region: Region, end: ProcessEnd, which: str, language: Language) -> str:
    if region.kind != "heap":
        return ""
    if which == "start":
        return language.say("break_start") if region.start <= end.break_start < region.end else ""
    return language.say("break_now") if region.start < end.break_end <= region.end else ""


def _edge(console: Console, address: int, mark: str = "") -> None:
    widths = _widths(console)
    line = "─" * (widths.name + 2)
    where = f"{address:>{widths.address}x} "
    put(console, Text.assemble((where, "dim"), f"├{line}┤", (f"  <- {mark}" if mark else "", "bold")))


def _box(console: Console, region: Region, end: ProcessEnd, language: Language) -> None:
    _edge(console, region.end, _is_break(region, end, "end", language))
    widths = _widths(console)
    name = Text(safe(region.name), _STYLES.get(region.kind, ""))
    name.truncate(widths.name, overflow="ellipsis", pad=True)
    mapped = right(language.size(region.mapped), 9)
    share = right("?" if region.resident is None else language.size(region.resident), 9)
    has_bar = region.resident is not None and widths.bar
    drawn = f" {bar(region.resident or 0, region.mapped, widths.bar)}" if has_bar else ""
    line = Text.assemble(f"{region.protection:>{widths.address}} │ ", name, f" │ {mapped} {share}", (drawn, name.style))
    put(console, line)


def _gap(console: Console, lower: Region, upper: Region | None, end: ProcessEnd, language: Language) -> None:
    """Close the box below the upper region and name the gap, where there is one worth a line."""
    if upper is None:
        return
    empty = upper.start - lower.end
    heap_below = lower.kind == "heap" or (lower.kind == "program" and not _has_heap(end))
    if empty < _SMALL_GAP and not (empty and (heap_below or upper.kind == "heap")):
        if empty:
            _edge(console, upper.start)
        return
    _edge(console, upper.start, _is_break(upper, end, "start", language))
    phrase = "space_gap_heap" if heap_below else "space_gap_stack" if upper.kind == "stack" else "space_gap"
    put(
        console,
        Text.assemble(
            " " * (_widths(console).address + 1), "·   ", (language.say(phrase, language.size(empty)), "dim italic")
        ),
    )


def _has_heap(end: ProcessEnd) -> bool:
    return any(mapping.path == "[heap]" for mapping in end.mappings)


def _totals(console: Console, regions: list[Region], end: ProcessEnd, language: Language) -> None:
    mapped = sum(region.mapped for region in regions)
    text = f"  {language.say('space_total', language.size(mapped), language.size(end.resident_bytes))}"
    if end.break_end > end.break_start:
        text += language.say("space_heap", language.size(end.break_end - end.break_start))
    paragraph(console, text, hanging=2)
