"""The heap at a moment, chunk by chunk with the pages behind them, low addresses first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.glibc.chunks import HEADER
from observer.model.chunks import Chunk
from observer.report.screen import heading, paragraph, put, safe
from observer.story.moment import Moment
from observer.story.spans import Piece
from observer.story.wording import number, plural, size

__all__ = ["print_heap"]

_STYLES: Final = {
    "in use": "blue", "mmapped": "blue", "tcache": "green", "fast": "green", "top": "dim", "cache": "dim",
    "fence": "dim",
}  # fmt: skip
_WORDS: Final = {
    "in use": "in use", "tcache": "free, in a thread cache", "fast": "free, in a fast bin",
    "unsorted": "free, unsorted", "small": "free, in a small bin", "large": "free, in a large bin", "free": "free",
    "top": "top", "fence": "end of a part", "mmapped": "in use, mapped", "cache": "a thread cache itself",
    "given back": "given back",
}  # fmt: skip
_ROWS: Final = 40
_STRIP_MARKS: Final = {"in use": "█", "mmapped": "█", "top": "·", "cache": "▒", "fence": "▒"}
_FREE: Final = "░"


@dataclass(slots=True)
class _Row:
    """Neighbouring chunks that tell the same."""

    chunks: list[Chunk]
    piece: Piece | None
    pages: int = 0
    there: int = 0

    @property
    def place(self) -> str:
        site = self.piece.site if self.piece is not None else None
        return site.text if site is not None else ""


def print_heap(
    console: Console, moment: Moment, chunks: Sequence[Chunk], how: str, *, everything: bool = False
) -> None:  # fmt: skip
    """Print the *chunks* of a process at a *moment*; *how* says who tells of those that are free."""
    start, end = moment.heap
    where = f"of {safe(moment.path.rsplit('/', 1)[-1]) or 'the program'}, process {moment.pid}"
    heading(console, f"The heap after event {number(moment.n)}", where)
    if end > start:
        put(console, f"  {start:#x} to the break {end:#x}: {size(end - start)}")
    if not chunks:
        put(console, "  no chunk is there")
        return
    _strips(console, moment, [chunk for chunk in chunks if start <= chunk.address < end], start, end)
    _sums(console, chunks)
    paragraph(console, Text(how, "dim"), first="  ", hanging=2)
    rows = list(_rows(moment, chunks))
    shown = rows if everything else rows[:_ROWS]
    put(console, Text(f"  {'place':<16} {'size':>11}  {'pages':>9}  what", "dim"))
    for row in shown:
        _row(console, row, start, end)
    if len(rows) > len(shown):
        put(console, f"  ... {plural(len(rows) - len(shown), 'row')} more: --all", "bold")


def _strips(console: Console, moment: Moment, chunks: Sequence[Chunk], start: int, end: int) -> None:
    """Draw the heap twice at one scale: what is in use above, which pages are there below."""
    cells = max(console.width - 14, 20)
    if end <= start:
        return
    width = (end - start) / cells
    marks = [" "] * cells
    for chunk in sorted(chunks, key=lambda chunk: chunk.state in ("in use", "cache")):
        low = int((chunk.address - start) / width)
        high = max(int((min(chunk.address + chunk.size, end) - start) / width), low + 1)
        marks[low:high] = [_STRIP_MARKS.get(chunk.state, _FREE)] * (min(high, cells) - low)
    there = [" "] * cells
    for page in moment.pages_in(start, end):
        low = int(max(page.start - start, 0) / width)
        high = max(int((min(page.start + moment.page_size, end) - start) / width), low + 1)
        there[low:high] = ["0" if page.how == "zero" else "█"] * (min(high, cells) - low)
    put(console, Text.assemble(("  pieces    ", "dim"), "".join(marks)))
    put(console, Text.assemble(("  pages     ", "dim"), "".join(there)))
    put(console, Text("            █ in use, ░ free, · top; pages: █ a frame, 0 the page of zeros", "dim"))


def _sums(console: Console, chunks: Sequence[Chunk]) -> None:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for chunk in chunks:
        counts[chunk.state] += 1
        sizes[chunk.state] += chunk.size
    parts = [f"{_WORDS[state]} {number(counts[state])} ({size(sizes[state])})" for state in _WORDS if counts[state]]
    paragraph(console, ", ".join(parts), first="  ", hanging=2)


def _rows(moment: Moment, chunks: Sequence[Chunk]) -> Iterator[_Row]:
    pieces = {piece.start: piece for piece in moment.pieces}
    row: _Row | None = None
    for chunk in chunks:
        piece = pieces.get(chunk.address + HEADER)
        next_row = _Row([chunk], piece)
        first = chunk.address & -moment.page_size
        next_row.pages = -(-(chunk.address + chunk.size - first) // moment.page_size)
        next_row.there = len(moment.pages_in(chunk.address, chunk.address + chunk.size))
        if row is not None and _tell_the_same(row, next_row):
            row.chunks.append(chunk)
            row.pages += next_row.pages
            row.there += next_row.there
            continue
        if row is not None:
            yield row
        row = next_row
    if row is not None:
        yield row


def _tell_the_same(row: _Row, other: _Row) -> bool:
    one, two = row.chunks[-1], other.chunks[0]
    same = (one.size, one.state, one.arena) == (two.size, two.state, two.arena)
    return same and row.place == other.place and one.address + one.size == two.address


def _row(console: Console, row: _Row, start: int, end: int) -> None:
    first = row.chunks[0]
    place = f"heap+{first.address - start:#x}" if start <= first.address < end else f"{first.address:#x}"
    times = f"{number(len(row.chunks))} × " if len(row.chunks) > 1 else ""
    pages, style = f"{row.there}/{row.pages}", _STYLES.get(first.state, "green")
    words = _WORDS[first.state]
    if row.piece is not None:
        asked = plural(row.piece.size, "byte")
        words += f": {asked}, {safe(row.place)}, event {number(row.piece.call)}" if row.place else f": {asked}"
    line = Text.assemble(
        f"  {place:<16} ", f"{times + number(first.size):>11}", f"  {pages:>9}  ", (words, style)
    )  # fmt: skip
    line.truncate(console.width, overflow="ellipsis")
    put(console, line)
