"""One source under several C libraries, on a terminal: library calls down, sides across, system calls in the cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from observer.report.screen import heading, paragraph, put, safe
from observer.story.libraries import LibraryRow, Line, Side, align
from observer.story.wording import number, plural

__all__ = ["as_json", "print_sides"]

_NONE: Final = "-"
_ABSENT: Final = "(no call)"
_LINE_WIDTH: Final = 5
_LONGEST_CALL: Final = 24
_NARROWEST: Final = 8


def as_json(sides: Sequence[Side]) -> list[Any]:
    """Return a list with an object for each side, its library calls in order."""
    return [msgspec.to_builtins(side) for side in sides]


def print_sides(console: Console, source: str, sides: Sequence[Side], missing: Sequence[str]) -> None:
    """Print the table of library calls, the table of all system calls, and what could not be had."""
    observed = [side for side in sides if side.observed]
    title = Text("observer libraries  ", "bold")
    paragraph(console, Text(safe(source), "bold cyan"), first=title, hanging=4)
    for side in sides:
        paragraph(console, Text(safe(side.compiler), "dim"), first=f"  {side.name:<7} ", hanging=10)
    for line in missing:
        paragraph(console, safe(line), first="  ", hanging=4)
    if observed:
        _calls(console, observed)
    _totals(console, sides)


def _calls(console: Console, sides: Sequence[Side]) -> None:
    lines = align(sides)
    left = min(max((len(_name(line)) for line in lines), default=0), _LONGEST_CALL)
    room = max((console.width - _LINE_WIDTH - left - 1) // len(sides) - 1, _NARROWEST)
    heading(console, "Library calls", "and the system calls that each makes; ! where they differ")
    table = _table(["line", "call"], [side.name for side in sides])
    table.add_row("", Text("before", "dim"), *(Text(_crossings(side.before, brief=True), "dim") for side in sides))
    for line in lines:
        table.add_row(*_row(line, room))
    after = (_in_lines(_crossings(side.after), room) for side in sides)
    table.add_row("", Text("after", "dim"), *(Text(text, "dim") for text in after))
    console.print(table)
    differing = sum(line.differs for line in lines)
    text = f"{plural(len(lines), 'library call')} in the source, {number(differing)} with other system calls"
    put(console, f"  {text}")


def _name(line: Line) -> str:
    counts = {row.count for row in line.rows if row is not None}
    times = f" ×{number(max(counts))}" if max(counts) > 1 else ""
    return safe(f"{'!' if line.differs else ' '} {line.function}{times}")


def _row(line: Line, room: int) -> list[Text]:
    cells = [Text(_in_lines(_cell(row), room), "yellow" if line.differs else "") for row in line.rows]
    return [Text(str(line.line), "dim"), Text(_in_lines(_name(line), _LONGEST_CALL, hanging=4)), *cells]


def _in_lines(text: str, width: int, *, hanging: int = 1) -> str:
    """Break the lines of *text* that are longer than *width*, behind an underscore or a space, and indent the rest.

    >>> _in_lines("clock_nanosleep ×3", 12)
    'clock_\\n nanosleep\\n ×3'
    """
    lines: list[str] = []
    for whole in text.split("\n"):
        line = ""
        for part in re.findall(r"\s*[^_\s]*_?", whole):
            if line.strip() and len((line + part).rstrip()) > width:
                lines.append(line)
                line = " " * hanging + part.lstrip()
            else:
                line += part
        lines.append(line)
    return "\n".join(line.rstrip() for line in lines)


def _cell(row: LibraryRow | None) -> str:
    return _ABSENT if row is None else _crossings(row.syscalls)


def _crossings(syscalls: Mapping[str, int], *, brief: bool = False) -> str:
    """Write system calls with their numbers; *brief* only says how many there were."""
    if not syscalls:
        return _NONE
    if brief:
        return plural(sum(syscalls.values()), "call")
    return "\n".join(safe(name) + (f" ×{number(count)}" if count > 1 else "") for name, count in syscalls.items())


def _totals(console: Console, sides: Sequence[Side]) -> None:
    heading(console, "All system calls", "of the whole run, the loader's included")
    names = list(dict.fromkeys(name for side in sides for name in side.syscalls))
    table = _table(["system call"], [side.name for side in sides], right=True)
    for name in names:
        counts = [side.syscalls.get(name, 0) for side in sides]
        style = "" if all(counts) else "yellow"
        table.add_row(Text(safe(name), style), *(Text(number(count) if count else _NONE, style) for count in counts))
    totals = [sum(side.syscalls.values()) for side in sides]
    table.add_row(Text("in all", "bold"), *(Text(number(total), "bold") for total in totals))
    gates = [", ".join(side.gates) if side.observed else "svc" for side in sides]
    table.add_row(Text("entered by", "dim"), *(Text(gate, "dim") for gate in gates))
    if any(side.status != "exit 0" for side in sides):
        table.add_row(Text("ended with"), *(Text(side.status) for side in sides))
    console.print(table)


def _table(left: Sequence[str], sides: Sequence[str], *, right: bool = False) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for name in left:
        table.add_column(name, no_wrap=True, justify="right" if name == "line" else "left")
    for name in sides:
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table
