"""Source lines of addresses, from a program's debug information (DWARF).

`symbolic` finds the line of an address: some 100 MB of debug information a second, once a file. Where rows begin only
the line table itself tells, which pyelftools reads, about 1 MB of it a second; it also serves programs whose debug
information lies in files of its own (-gsplit-dwarf), beside which symbolic finds no lines.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Final

from observer.code.elf import DAMAGED, Elf
from observer.code.parsed import ParsedElf

_BACKTRACE: Final = os.environ.get("RUST_BACKTRACE")

from symbolic.debuginfo import Archive  # noqa: E402
from symbolic.exceptions import SymbolicError  # noqa: E402
from symbolic.symcache import SymCache  # noqa: E402

# The library sets it for itself as it is imported; the programs that we start are to find what we were given.
if _BACKTRACE is None:
    os.environ.pop("RUST_BACKTRACE", None)
else:
    os.environ["RUST_BACKTRACE"] = _BACKTRACE


__all__ = ["MOST_ROWS", "LineTable", "line_table"]

MOST_ROWS: Final = 4 << 20
"""Bytes of a line table that is read row by row: more would keep a student waiting."""
_DWO: Final = b".dwo\0"
_NAMING: Final = frozenset({"DW_AT_dwo_name", "DW_AT_GNU_dwo_name"})
_Row = tuple[int, str, int]


class LineTable:
    """All lines of one file: `find` answers for file addresses. Empty when there are none."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._base = elf.segments[0].address if elf.segments else 0
        self._has_lines = elf.has_debug_lines and elf.is_credible
        self._found: dict[int, tuple[str, int] | None] = {}

    def find(self, address: int) -> tuple[str, int] | None:
        """Return (source file, line) of the instruction at *address*, or None."""
        if address not in self._found:
            self._found[address] = self._find(address)
        return self._found[address]

    def starts_within(self, start: int, end: int) -> list[int]:
        """Return the addresses in [start, end) at which a row begins: each is an instruction's."""
        return self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def starts_of(self, is_in: Callable[[str], bool], line: int) -> list[int]:
        """Return the addresses at which rows of *line* begin, in the sources whose paths *is_in* accepts."""
        known: dict[str, bool] = {}
        found: list[int] = []
        for address, path, number in self._rows:
            if number == line and known.setdefault(path, is_in(path)):
                found.append(address)
        return found

    @cached_property
    def has_rows(self) -> bool:
        """Whether it is known where rows begin: not where there are none, or more than can be read in seconds."""
        return bool(self._rows)

    @cached_property
    def is_readable(self) -> bool:
        """Whether lines can be found, where the file says that it has some."""
        return not self._elf.has_debug_lines or self._cache is not None or bool(self._is_split and self._rows)

    def _find(self, address: int) -> tuple[str, int] | None:
        if self._cache is None:
            return self._find_row(address) if self._is_split else None
        if address < self._base:
            return None
        innermost = next(iter(self._cache.lookup(address - self._base)), None)
        if innermost is None or not innermost.line or not innermost.full_path:
            return None
        return os.path.normpath(innermost.full_path), innermost.line

    def _find_row(self, address: int) -> tuple[str, int] | None:
        i = bisect_right(self._starts, address) - 1
        if i < 0 or not self._rows[i][2]:
            return None
        return self._rows[i][1], self._rows[i][2]

    @cached_property
    def _is_split(self) -> bool:
        try:
            return self._has_lines and _has_skeletons(self._elf)
        except (OSError, *DAMAGED):
            return False

    @cached_property
    def _cache(self) -> SymCache | None:
        if not self._has_lines or self._is_split:
            return None
        try:
            return _read_cache(self._elf)
        except (OSError, SymbolicError, *DAMAGED):
            return None

    @cached_property
    def _rows(self) -> list[_Row]:
        if not self._has_lines:
            return []
        try:
            # Of several rows at one address the last counts, as in the table; an end counts before a beginning.
            return sorted(_read_rows(self._elf), key=lambda row: (row[0], row[2] != 0))
        except (OSError, *DAMAGED):
            return []

    @cached_property
    def _starts(self) -> list[int]:
        return [address for address, _file, _line in self._rows]


@lru_cache(maxsize=64)
def line_table(elf: Elf) -> LineTable:
    """Return the table of *elf*, read once."""
    return LineTable(elf)


def _read_cache(elf: Elf) -> SymCache | None:
    with elf.open() as file:
        content = file.read()
    # Read and not mapped: who shortens a mapped file ends whoever reads it. The archive does not keep its bytes alive.
    archive = Archive.from_bytes(content)
    found = next(archive.iter_objects(), None)
    cache = found.make_symcache() if found is not None else None
    del found, archive, content
    return cache


def _has_skeletons(elf: Elf) -> bool:
    """Whether units of the file say no more than where their debug information lies (DWARF 5, 3.1.2; -gsplit-dwarf)."""
    with elf.open() as file:
        parsed = ParsedElf(file)
        strings = parsed.get_section_by_name(".debug_str")
        if strings is None or _DWO not in strings.data():
            return False  # the names of such files would be there
        units = parsed.get_dwarf_info().iter_CUs()
        return any(_NAMING.intersection(unit.get_top_DIE().attributes) for unit in units)


def _read_rows(elf: Elf) -> list[_Row]:
    rows: list[_Row] = []
    with elf.open() as file:
        parsed = ParsedElf(file)
        section = parsed.get_section_by_name(".debug_line")
        if section is None or section.data_size > MOST_ROWS:
            return rows
        dwarf: Any = parsed.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            directory = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
            base = directory.value.decode("utf-8", "replace") if directory is not None else ""
            names = _file_names(program, base)
            rows += _rows_of(program, names)
    return rows


def _rows_of(program: Any, names: dict[int, str]) -> list[_Row]:
    rows: list[_Row] = []
    for entry in program.get_entries():
        state = entry.state
        if state is not None:
            # A row that ends a sequence says that no line begins there: line 0.
            line = 0 if state.end_sequence else state.line
            rows.append((state.address, names.get(state.file, "?"), line))
    return rows


def _file_names(program: Any, base: str) -> dict[int, str]:
    header = program.header
    modern = header["version"] >= 5
    directories = [item.decode("utf-8", "replace") for item in header["include_directory"]]
    if not modern:
        directories.insert(0, base)
    names: dict[int, str] = {}
    for i, entry in enumerate(header["file_entry"], start=0 if modern else 1):
        directory = directories[entry.dir_index] if entry.dir_index < len(directories) else ""
        names[i] = os.path.normpath(os.path.join(base, directory, entry.name.decode("utf-8", "replace")))
    return names
