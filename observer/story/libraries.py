"""The same source under several C libraries: its library calls side by side, with the system calls of each. Pure.

The book says that the standard library hides the differences between systems (3.5.4). Here is what it hides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from observer.model.events import Call, Event, Library, Site, Syscall

__all__ = ["LibraryRow", "Line", "Side", "align", "canonical", "side_of"]

_PREFIXES: Final = ("__isoc99_", "__isoc23_", "_IO_", "__builtin_", "__vdso_", "__libc_")
_SAME: Final = {"_Exit": "_exit", "__fprintf_chk": "fprintf", "__printf_chk": "printf", "__snprintf_chk": "snprintf"}

Key = tuple[int, str]


class LibraryRow(msgspec.Struct, frozen=True):
    """The calls of one function from one source line: how many, and the system calls made in them, by name."""

    line: int
    function: str
    count: int
    syscalls: dict[str, int]


class Side(msgspec.Struct, frozen=True):
    """One build of the source: its library calls in the order of their first appearance, and all system calls.

    `before` are the system calls before the source's first call (loader and start of the C library), `after` those
    behind its last one (exit). `observed` is False where only a list of the whole run could be had. `status` is how the
    program ended: `exit 0` or the signal's name.
    """

    name: str
    compiler: str
    calls: tuple[LibraryRow, ...]
    before: dict[str, int]
    after: dict[str, int]
    syscalls: dict[str, int]
    gates: dict[str, int]
    observed: bool = True
    status: str = "exit 0"


class Line(msgspec.Struct, frozen=True):
    """One library call of the source beside what each side made of it; None where a side has no such call."""

    line: int
    function: str
    rows: tuple[LibraryRow | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the sides made other system calls, or another number of them."""
        return any(row is None or row.syscalls != (self.rows[0] or row).syscalls for row in self.rows)


def canonical(function: str) -> str:
    """Return the name that a source uses for what a C library calls *function* inside.

    >>> canonical("__isoc99_sscanf"), canonical("fopen64"), canonical("_IO_putc"), canonical("log10")
    ('sscanf', 'fopen', 'putc', 'log10')
    """
    name = _SAME.get(function, function)
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name.removesuffix("64") if name.endswith("64") and len(name) > len("64") else name


def side_of(name: str, compiler: str, events: Iterable[Event], source: str, status: str = "exit 0") -> Side:
    """Return what a recorded run shows of one build.

    Args:
        events: in order of n, with all system calls, allocator calls and library calls.
        source: the base name of the file whose calls are wanted.
        status: how the program ended.
    """
    collected = _Collected(source)
    for event in events:
        collected.add(event)
    return collected.side(name, compiler, status)


class _Collected:
    """Library calls by line, and the system calls that belong to them, while the events go by."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._counts: Counter[Key] = Counter()
        self._syscalls: dict[Key, Counter[str]] = {}
        self._keys: dict[int, Key] = {}
        self._all: Counter[str] = Counter()
        self._gates: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._since: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, Library) and event.module is None:
            self._call(event.n, event.function, event.site)
        elif isinstance(event, Call) and event.origin == "program":
            self._call(event.n, event.op, event.site)
        elif isinstance(event, Syscall):
            self._syscall(event)

    def _call(self, n: int, function: str, site: Site | None) -> None:
        if site is None or site.line is None or (site.file or "").rsplit("/", 1)[-1] != self._source:
            return
        key = site.line, canonical(function)
        self._keys[n] = key
        self._counts[key] += 1
        self._syscalls.setdefault(key, Counter())
        self._since.clear()

    def _syscall(self, event: Syscall) -> None:
        self._all[event.name] += 1
        self._gates[event.gate] += 1
        key = self._keys.get(event.within or -1) or self._keys.get(event.cause or -1)
        if key is not None:
            self._syscalls[key][event.name] += 1
            self._since.clear()
        elif not self._counts:
            self._before[event.name] += 1
        else:
            self._since[event.name] += 1

    def side(self, name: str, compiler: str, status: str) -> Side:
        """Return what was collected."""
        rows = tuple(
            LibraryRow(line, function, count, dict(self._syscalls[line, function].most_common()))
            for (line, function), count in self._counts.items()
        )
        return Side(
            name, compiler, rows, dict(self._before.most_common()), dict(self._since.most_common()),
            dict(self._all.most_common()), dict(self._gates.most_common()), status=status,
        )  # fmt: skip


def align(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Return the library calls of all *sides*, those of one line and function beside each other.

    They come in the order of the first side; what only others have comes after the line before it.
    """
    keys: list[Key] = []
    for side in sides:
        at = 0
        for row in side.calls:
            key = row.line, row.function
            if key in keys:
                at = keys.index(key) + 1
            else:
                keys.insert(at, key)
                at += 1
    tables = [{(row.line, row.function): row for row in side.calls} for side in sides]
    return tuple(Line(*key, tuple(table.get(key) for table in tables)) for key in keys)
