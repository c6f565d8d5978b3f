"""The answer to a question in SQL as a table on a terminal, however many rows it has: a stretch of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from observer.model.filenames import safe

__all__ = ["print_answer"]

_AT_ONCE: Final = 1000
"""Rows that are looked at before the first is printed."""
_APART: Final = "  "

Row = Sequence[object]


def print_answer(console: Console, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print *rows* beneath the names of their *columns*.

    Few are a table within the console's width, in which words are broken or cut. Of more each is a line, whole and
    however long; the columns are as wide as the first of them need.
    """
    stretches, word = _stretches(rows), partial(_word, console.encoding)
    first, more = next(stretches, []), next(stretches, [])
    names, words = list(map(word, columns)), [list(map(word, row)) for row in first]
    are_numbers = [_is_numeric(row[number] for row in first) for number in range(len(names))]
    if not more:
        _print_table(console, names, words, are_numbers)
        return
    widths = [max(map(cell_len, column)) for column in zip(names, *words, strict=True)]
    console.file.writelines(_line(row, widths, are_numbers) for row in (names, *words))
    for stretch in chain([more], stretches):
        console.file.writelines(_line(list(map(word, row)), widths, are_numbers) for row in stretch)


def _stretches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while stretch := list(islice(waiting, _AT_ONCE)):
        yield stretch


def _print_table(
    console: Console, names: Sequence[str], rows: Sequence[Sequence[str]], are_numbers: Sequence[bool]
) -> None:  # fmt: skip
    table = Table(box=None, pad_edge=False)
    for name, is_number in zip(names, are_numbers, strict=True):
        table.add_column(escape(name), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table, markup=False, highlight=False)


def _line(words: Sequence[str], widths: Sequence[int], are_numbers: Sequence[bool]) -> str:
    cells = []
    for word, width, is_number in zip(words, widths, are_numbers, strict=True):
        room = " " * (width - cell_len(word))
        cells.append(room + word if is_number else word + room)
    return _APART.join(cells) + "\n"


def _is_numeric(values: Iterable[object]) -> bool:
    return all(value is None or isinstance(value, int | float) for value in values)


def _word(encoding: str, value: object) -> str:
    """Return a value as it stands in the table; what *encoding* has no character for is a question mark."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else safe(str(value)).encode(encoding, "replace").decode(encoding)
