"""Symbol tables: a name is found where it stands, all alone or as the end of a longer one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from observer.code.parsed import ParsedElf
from observer.code.symbols import Symbol, SymbolTables
from tests.unit.code.compiled import PROGRAM, compile_c, libc_path, needs_compiler


class Section:
    """What a table is read of."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.compressed = False

    def data(self) -> bytes:
        return self._data


class File:
    """An ELF file with one symbol table: names by their places in *text*, each symbol one byte behind the one before."""

    elfclass = 64

    def __init__(self, text: bytes, *places: int) -> None:
        entries = [struct.pack("<IBBHQQ", at, 1 << 4 | 2, 0, 1, 100 + i, 1) for i, at in enumerate(places)]
        self._sections = {".symtab": Section(b"".join(entries) + b"short"), ".strtab": Section(text)}

    def get_section_by_name(self, name: str) -> Any:
        return self._sections.get(name)


def addresses(tables: SymbolTables, name: str) -> list[int]:
    return [symbol.address for symbol in tables.of(name)]


def test_a_name_may_be_the_end_of_a_longer_one_and_have_versions() -> None:
    text = b"\0xmalloc\0malloc@@V2\0malloc@V1\0mallocx\0"
    whole = text.index(b"xmalloc")
    tables = SymbolTables(File(text, whole, whole + 1, text.index(b"malloc@@"), text.index(b"malloc@V1"), 0))
    assert addresses(tables, "malloc") == [101, 102, 103]
    assert addresses(tables, "xmalloc") == [100]
    assert (addresses(tables, "mallocx"), addresses(tables, "alloc"), addresses(tables, "V1")) == ([], [], [])
    assert [symbol.name for symbol in tables.all()] == ["xmalloc", "malloc", "malloc", "malloc", ""]


def test_names_that_lie_outside_the_text_are_none() -> None:
    tables = SymbolTables(File(b"\0one\0", 1, 99))
    assert (addresses(tables, "one"), [symbol.name for symbol in tables.all()]) == ([100], ["one", ""])
    assert addresses(tables, "\udcff") == []  # as a byte that is no text comes from a command line
    assert not tables.are_empty
    assert SymbolTables(File(b"\0one\0")).are_empty


def agree(path: str) -> None:
    with open(path, "rb") as file:
        tables = SymbolTables(ParsedElf(file))
    by_name: dict[str, set[Symbol]] = {}
    for symbol in tables.all():
        by_name.setdefault(symbol.name, set()).add(symbol)
    assert len(by_name) > 5
    for name in [*sorted(by_name)[::7], "no_such_function"]:
        assert set(tables.of(name)) == by_name.get(name, set()), name


def test_what_is_found_by_name_is_what_is_found_among_all() -> None:
    agree(libc_path())


@needs_compiler
def test_so_it_is_in_a_static_program(tmp_path: Path) -> None:
    agree(str(compile_c(tmp_path, "program", PROGRAM, "-static")))
