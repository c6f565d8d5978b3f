"""What each process of a run held, and how much, by columns: spans in the order of their addresses, levels in time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from observer.model.filenames import safe
from observer.report.page.columns import EventColumns
from observer.report.page.packed import LARGEST, exact, packed
from observer.story.levels import Level
from observer.story.spans import ALWAYS, HEAP, PageSpan, Piece, Region, Spans, SpansOf

__all__ = ["HOW", "KINDS_OF_REGION", "TOUCHERS", "LevelColumns", "memory_data"]

KINDS_OF_REGION: Final = ("program", "heap", "mapped", "file", "stack", "kernel")
TOUCHERS: Final = ("program", "allocator", "libc", "loader", "kernel", "unknown")
HOW: Final = ("own", "zero", "shared")
_MOST_PIECES: Final = 200_000
_MOST_PAGES: Final = 200_000
_BSS: Final = 1 << 26
"""Bytes up to which anonymous memory right behind a file's data is told as part of it."""


class LevelColumns:
    """What a process held over time: a row after each event that changed it, as far as rows are kept."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, Level]] = []

    def add(self, n: int, level: Level, is_new: bool) -> None:
        """The process holds *level* after event *n*; *is_new*: since the last row a moment has passed."""
        if self._rows and not is_new:
            self._rows[-1] = (self._rows[-1][0], level)
        else:
            self._rows.append((n, level))

    def data(self, place: Callable[[int], int]) -> dict[str, str]:
        """Return the columns; *place* gives the moment from which what begins at an n is seen."""
        at = packed((place(n) for n, _level in self._rows), rising=True)
        values = {name: packed(exact(getattr(level, name)) for _n, level in self._rows)
                  for name in Level._fields}  # fmt: skip
        return {"at": at, **values}


def memory_data(spans: Spans, levels: dict[int, LevelColumns], events: EventColumns, paths: dict[int, str],
                skipped: dict[str, int]) -> list[dict[str, Any]]:  # fmt: skip
    """Return what every process held; *paths* are their programs, *skipped* is told how much is too much to be "
    "drawn."""
    numbers = events.numbers_of

    def place(n: int) -> int:
        return len(numbers) if n == ALWAYS else bisect_left(numbers, n)

    found = []
    for pid, programs in spans.of.items():
        path = paths.get(pid, "")
        pieces = _fewer([piece for held in programs for piece in held.pieces], _MOST_PIECES, "pieces", skipped,
                        key=lambda piece: -piece.size)  # fmt: skip
        pages = _fewer([page for held in programs for page in held.pages], _MOST_PAGES, "pages", skipped,
                       key=lambda page: page.born)  # fmt: skip
        level = levels.get(pid, LevelColumns())
        found.append({
            "pid": pid, "number": events.pid_number(pid), "path": safe(path),
            "pieces": _pieces(pieces, place, events), "rooms": _rooms(programs, place),
            "pages": _pages(pages, place), "regions": _regions(programs, place, path),
            "levels": level.data(place),
        })  # fmt: skip
    return found


def _fewer(spans: list[Any], most: int, what: str, skipped: dict[str, int], key: Callable[[Any], int]) -> list[Any]:
    if len(spans) > most:
        skipped[what] = skipped.get(what, 0) + len(spans) - most
        spans = sorted(spans, key=key)[:most]
    return sorted(spans, key=lambda span: (span.start, span.born))


def _columns(rows: Sequence[tuple[int, ...]], names: str) -> dict[str, str]:
    """Return *rows* by columns; the first of *names* rises."""
    return {
        name: packed((exact(row[i]) for row in rows), rising=not i) for i, name in enumerate(names.split())
    }  # fmt: skip


def _is_drawn(start: int, end: int) -> bool:
    return end < LARGEST and start < LARGEST


def _pieces(pieces: Iterable[Piece], place: Callable[[int], int], events: EventColumns) -> dict[str, str]:
    rows = [
        (p.start, p.size, place(p.born), place(p.died), p.call, _known(p.died), events.site_number(p.site))
        for p in pieces if _is_drawn(p.start, p.start + p.size)
    ]  # fmt: skip
    return _columns(rows, "start size born died call ender site")


def _known(died: int) -> int:
    return -1 if died == ALWAYS else died


def _rooms(programs: Iterable[SpansOf], place: Callable[[int], int]) -> dict[str, str]:
    rooms = sorted((room for held in programs for room in held.rooms), key=lambda room: (room.start, room.born))
    rows = [
        (r.start, r.end - r.start, place(r.born), place(r.died), r.born) for r in rooms if _is_drawn(r.start, r.end)
    ]
    return _columns(rows, "start size born died giver")


def _pages(pages: Iterable[PageSpan], place: Callable[[int], int]) -> dict[str, str]:
    rows = [
        (
            p.start, place(p.born), place(p.died), p.fault, _toucher(p.toucher), HOW.index(p.how),
            -1 if p.frame is None else p.frame,
        )
        for p in pages if _is_drawn(p.start, p.start)
    ]  # fmt: skip
    return _columns(rows, "start born died fault toucher how frame")


def _toucher(name: str) -> int:
    return TOUCHERS.index(name if name in TOUCHERS else "unknown")


def _regions(programs: Iterable[SpansOf], place: Callable[[int], int], path: str) -> dict[str, Any]:
    regions = sorted((r for held in programs for r in held.regions), key=lambda region: (region.start, region.born))
    names: dict[str, int] = {}
    protections: dict[str, int] = {}
    rows = []
    for region, owner in _owned(regions):
        name = owner or region.name
        rows.append((
            region.start, region.end - region.start, place(region.born), place(region.died),
            KINDS_OF_REGION.index(_kind(name, path)), names.setdefault(safe(name), len(names)),
            protections.setdefault(safe(region.protection), len(protections)),
        ))  # fmt: skip
    return {**_columns(rows, "start size born died kind name protection"), "names": list(names),
            "protections": list(protections)}  # fmt: skip


def _owned(regions: Iterable[Region]) -> Iterable[tuple[Region, str]]:
    """Yield each region, and whose zero-initialised data it is: that of the file whose own data ends where it "
    "begins."""
    ends: dict[int, str] = {}
    for region in regions:
        if not _is_drawn(region.start, region.end):
            continue
        is_anonymous = not region.name.startswith(("/", "["))
        writable = region.protection == "rw-"
        owner = ends.get(region.start, "") if is_anonymous and writable and region.end - region.start < _BSS else ""
        if region.name.startswith("/"):
            ends[region.end] = region.name
        yield region, owner


def _kind(name: str, path: str) -> str:
    if name == HEAP:
        return "heap"
    if name == "[stack]":
        return "stack"
    if name.startswith("["):
        return "kernel"
    if name == path:
        return "program"
    return "file" if name.startswith("/") or name == "file" else "mapped"
