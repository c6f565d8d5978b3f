"""Source lines of addresses, from a program's DWARF line tables (read by pyelftools, once a compilation unit)."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import Any, Final

from elftools.elf.elffile import ELFFile

from observer.linux.elf import DAMAGED, Elf

__all__ = ["LineTable", "line_table"]

# pyelftools reads about 1 MB of line tables a second; more than this would keep a student waiting.
_LARGEST: Final = 4 << 20


class LineTable:
    """All line rows of one file: `find` answers for file addresses. Empty when there are none, or far too many."""

    def __init__(self, elf: Elf) -> None:
        self._rows: list[tuple[int, str, int]] = []
        if elf.has_debug_lines:
            try:
                # Of several rows at one address the last counts, as in the table; an end counts before a beginning.
                self._rows = sorted(_read_rows(elf.path), key=lambda row: (row[0], row[2] != 0))
            except (OSError, *DAMAGED):
                self._rows = []
        self._starts = [address for address, _file, _line in self._rows]

    def find(self, address: int) -> tuple[str, int] | None:
        """Return (source file, line) of the instruction at *address*, or None."""
        i = bisect_right(self._starts, address) - 1
        if i < 0 or not self._rows[i][2]:
            return None
        return self._rows[i][1], self._rows[i][2]

    def starts_within(self, start: int, end: int) -> list[int]:
        """Return the addresses in [start, end) at which a row begins: each is an instruction's."""
        return self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]


@lru_cache(maxsize=64)
def line_table(elf: Elf) -> LineTable:
    """Return the table of *elf*, read once: a second of work for each megabyte."""
    return LineTable(elf)


def _read_rows(path: str) -> list[tuple[int, str, int]]:
    rows: list[tuple[int, str, int]] = []
    with open(path, "rb") as file:
        elf = ELFFile(file)
        section = elf.get_section_by_name(".debug_line")
        if section is None or section.data_size > _LARGEST:
            return rows
        dwarf: Any = elf.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            directory = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
            base = directory.value.decode("utf-8", "replace") if directory is not None else ""
            names = _file_names(program, base)
            rows += _rows_of(program, names)
    return rows


def _rows_of(program: Any, names: dict[int, str]) -> list[tuple[int, str, int]]:
    rows: list[tuple[int, str, int]] = []
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
