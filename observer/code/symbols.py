"""Symbol tables of ELF files: which functions a file defines, for whom, and which are chosen at run time (elf(5)).

Read in one pass from the tables' bytes: pyelftools' object a symbol costs seconds on large libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

__all__ = ["Symbol", "find_variable", "read_symbols"]

_LAYOUT_64: Final = Struct("<IBBHQQ")
_LAYOUT_32: Final = Struct("<IIIBBH")
_STT_OBJECT, _STT_FUNC, _STT_GNU_IFUNC = 1, 2, 10
_STB_LOCAL: Final = 0
_LONGEST_NAME: Final = 4096  # what is longer is cut: many symbols may share one long name
_HIDDEN: Final = frozenset({1, 2})  # STV_INTERNAL, STV_HIDDEN
_TABLES: Final = ((".symtab", ".strtab"), (".dynsym", ".dynstr"))


class Symbol(NamedTuple):
    """A function: where it begins (without load bias) and how long it is.

    `is_local` says that only its own source file means it by this name (`static`), `is_hidden` that only its own
    program or library does (STV_HIDDEN, STV_INTERNAL).
    `is_resolver` says that its code returns the address of the function that bears the name (STT_GNU_IFUNC).
    """

    address: int
    size: int
    name: str
    is_local: bool
    is_hidden: bool
    is_resolver: bool


def read_symbols(elf: Any) -> list[Symbol]:
    """Return the functions in the symbol tables of pyelftools' *elf*; what stands in both tables comes twice.

    A name may have several versions (`name@V1`, `name@@V2`), each with an address of its own: all have the bare name.
    """
    found: list[Symbol] = []
    for table_name, strings_name in _TABLES:
        table, strings = elf.get_section_by_name(table_name), elf.get_section_by_name(strings_name)
        if table is not None and strings is not None and not (table.compressed or strings.compressed):
            found += _functions(table.data(), strings.data(), elf.elfclass)
    return found


def find_variable(elf: Any, name: str) -> int:
    """Return the address of the variable *name* in the symbol tables of pyelftools' *elf*, static ones included.

    0 where there is none.
    """
    wanted = name.encode() + b"\0"
    for table_name, strings_name in _TABLES:
        table, strings = elf.get_section_by_name(table_name), elf.get_section_by_name(strings_name)
        if table is None or strings is None or table.compressed or strings.compressed:
            continue
        text = strings.data()
        for at, info, _other, section, value, _size in _entries(table.data(), elf.elfclass):
            if info & 15 == _STT_OBJECT and section and text.startswith(wanted, at):
                return value
    return 0


def _functions(raw: bytes, text: bytes, bits: int) -> Iterator[Symbol]:
    for name, info, other, section, value, size in _entries(raw, bits):
        kind, is_hidden = info & 15, other & 3 in _HIDDEN
        if section and value and kind in (_STT_FUNC, _STT_GNU_IFUNC):
            end = text.find(b"\0", name, name + _LONGEST_NAME)
            bare = text[name : end if end >= 0 else name + _LONGEST_NAME].partition(b"@")[0].decode("utf-8", "replace")
            # Linkers make hidden symbols local; where they leave the visibility, it tells that they were not static.
            is_local = info >> 4 == _STB_LOCAL and not is_hidden
            yield Symbol(value, size, bare, is_local, is_hidden, kind == _STT_GNU_IFUNC)


def _entries(raw: bytes, bits: int) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield (name, info, other, section, value, size) of a symbol table, in whatever order its class has the fields."""
    if bits == 64:
        for name, info, other, section, value, size in _LAYOUT_64.iter_unpack(raw[: len(raw) // 24 * 24]):
            yield name, info, other, section, value, size
    else:
        for name, value, size, info, other, section in _LAYOUT_32.iter_unpack(raw[: len(raw) // 16 * 16]):
            yield name, info, other, section, value, size
