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
from observer.report.screen import heading, left, paragraph, put, right, safe
from observer.story.language import ENGLISH, Language
from observer.story.moment import Moment
from observer.story.spans import Piece
from observer.story.wording import number

__all__ = ["print_heap"]

_STYLES: Final = {
    "in use": "blue", "mmapped": "blue", "tcache": "green", "fast": "green", "top": "dim", "cache": "dim",
    "fence": "dim",
}  # fmt: skip
_STATES: Final = (
    "in use", "tcache", "fast", "unsorted", "small", "large", "free", "top", "fence", "mmapped", "cache", "given back",
)  # fmt: skip
"""In the order in which they are summed up."""
_TITLES: Final = ("place", "size", "pages", "what")
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
    console: Console, moment: Moment, chunks: Sequence[Chunk], how: str, *, everything: bool = False,
    language: Language = ENGLISH,
) -> None:  # fmt: skip
    """Print the *chunks* of a process at a *moment*; *how* says who tells of those that are free."""
    start, end = moment.heap
    program = safe(moment.path.rsplit("/", 1)[-1]) or language.say("the_program")
    heading(
        console, language.say("heap_after", number(moment.n)), language.say("of_process", program, moment.pid)
    )  # fmt: skip
    if end > start:
        extent = language.size(end - start)
        put(console, f"  {language.say('heap_to_break', f'{start:#x}', f'{end:#x}', extent)}")
    if not chunks:
        put(console, f"  {language.say('no_chunk')}")
        return
    _strips(console, moment, [chunk for chunk in chunks if start <= chunk.address < end], language)
    _sums(console, chunks, language)
    paragraph(console, Text(how, "dim"), first="  ", hanging=2)
    rows = list(_rows(moment, chunks))
    shown = rows if everything else rows[:_ROWS]
    put(console, Text(_columns(*(language.choose("heap_columns", name) for name in _TITLES)), "dim"))
    for row in shown:
        _row(console, row, moment.heap, language)
    if len(rows) > len(shown):
        more = language.counted(len(rows) - len(shown), "row")
        put(console, f"  {language.say('heap_more', more)}", "bold")


def _columns(place: str, size: str, pages: str, what: str) -> str:
    return f"  {left(place, 16)} {right(size, 11)}  {right(pages, 9)}  {what}"


def _strips(console: Console, moment: Moment, chunks: Sequence[Chunk], language: Language) -> None:
    """Draw the heap twice at one scale: what is in use above, which pages are there below."""
    cells, (start, end) = max(console.width - 14, 20), moment.heap
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
    for name, strip in (("pieces", marks), ("pages", there)):
        put(console, Text.assemble((f"  {left(language.choose('heap_strips', name), 10)}", "dim"), "".join(strip)))
    paragraph(console, Text(language.say("heap_key"), "dim"), first=" " * 12, hanging=12)


def _sums(console: Console, chunks: Sequence[Chunk], language: Language) -> None:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for chunk in chunks:
        counts[chunk.state] += 1
        sizes[chunk.state] += chunk.size
    parts = [
        f"{language.choose('chunk_states', state)} {number(counts[state])} ({language.size(sizes[state])})"
        for state in _STATES
        if counts[state]
    ]
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


def _row(console: Console, row: _Row, heap: tuple[int, int], language: Language) -> None:
    first, (start, end) = row.chunks[0], heap
    place = f"heap+{first.address - start:#x}" if start <= first.address < end else f"{first.address:#x}"
    times = f"{number(len(row.chunks))} × " if len(row.chunks) > 1 else ""
    style = _STYLES.get(first.state, "green")
    columns = _columns(place, times + number(first.size), f"{row.there}/{row.pages}", "")
    line = Text.assemble(columns, (_what(row, first.state, language), style))
    line.truncate(console.width, overflow="ellipsis")
    put(console, line)


def _what(row: _Row, state: str, language: Language) -> str:
    words = language.choose("chunk_states", state)
    if row.piece is None:
        return words
    asked = language.counted(row.piece.size, "byte")
    if not row.place:
        return f"{words}: {asked}"
    return language.say("chunk_asked", words, asked, safe(row.place), number(row.piece.call))
