"""Symbol tables of ELF files: which functions a file defines, for whom, and which are chosen at run time (elf(5)).

Read from the tables' bytes: pyelftools' object a symbol costs seconds on large libraries. So do all names of such a
library; most files are only asked whether they define a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Symbol", "SymbolTables", "find_variable"]

_LAYOUTS: Final = {
    64: np.dtype([("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
                  ("size", "<u8")]),
    32: np.dtype([("name", "<u4"), ("value", "<u4"), ("size", "<u4"), ("info", "u1"), ("other", "u1"),
                  ("section", "<u2")]),
}  # fmt: skip
_STT_OBJECT, _STT_FUNC, _STT_FILE, _STT_GNU_IFUNC = 1, 2, 4, 10
_STB_LOCAL: Final = 0
_LONGEST_NAME: Final = 4096  # what is longer is cut: many symbols may share one long name
_HEAD: Final = 4
_ENDS: Final = (b"\0", b"@")
_HIDDEN: Final = frozenset({1, 2})  # STV_INTERNAL, STV_HIDDEN
_STV_HIDDEN: Final = 2
_TABLES: Final = ((".symtab", ".strtab"), (".dynsym", ".dynstr"))

Entries = npt.NDArray[np.void]


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


class SymbolTables:
    """The functions in the symbol tables of pyelftools' *elf*; what stands in both tables comes twice.

    A name may have several versions (`name@V1`, `name@@V2`), each with an address of its own: all have the bare name.
    """

    def __init__(self, elf: Any) -> None:
        self._tables = [(_with_visibility(entries)[_are_functions(entries)], text) for entries, text in _tables(elf)]
        self._heads = [_heads(entries, text) for entries, text in self._tables]
        self._named: dict[str, list[Symbol]] = {}

    @property
    def are_empty(self) -> bool:
        """Whether no function has a name."""
        return not any(len(entries) for entries, _text in self._tables)

    def all(self) -> list[Symbol]:
        """Return all of them."""
        return [symbol for entries, text in self._tables for symbol in _symbols(entries, text)]

    def of(self, name: str) -> list[Symbol]:
        """Return those of one *name*."""
        known = self._named.get(name)
        if known is None:
            known = self._named[name] = [
                symbol for (entries, text), heads in zip(self._tables, self._heads, strict=True)
                for symbol in _symbols(_named(entries, text, heads, name.encode(errors="surrogatepass")), text)
            ]  # fmt: skip
        return known


def find_variable(elf: Any, name: str) -> int:
    """Return the address of the variable *name* in the symbol tables of pyelftools' *elf*, static ones included.

    0 where there is none.
    """
    wanted = name.encode() + b"\0"
    for entries, text in _tables(elf):
        objects = entries[(entries["info"] & 15 == _STT_OBJECT) & (entries["section"] != 0)]
        for at, value in zip(objects["name"].tolist(), objects["value"].tolist(), strict=True):
            if text.startswith(wanted, at):
                return int(value)
    return 0


def _tables(elf: Any) -> Iterator[tuple[Entries, bytes]]:
    """Yield the entries of each table, and the text that has their names."""
    layout = _LAYOUTS[elf.elfclass]
    for table_name, strings_name in _TABLES:
        table, strings = elf.get_section_by_name(table_name), elf.get_section_by_name(strings_name)
        if table is not None and strings is not None and not (table.compressed or strings.compressed):
            raw = table.data()
            yield np.frombuffer(raw, dtype=layout, count=len(raw) // layout.itemsize), strings.data()


def _are_functions(entries: Entries) -> npt.NDArray[np.bool_]:
    kind = entries["info"] & 15
    found: npt.NDArray[np.bool_] = (
        (entries["section"] != 0) & (entries["value"] != 0) & ((kind == _STT_FUNC) | (kind == _STT_GNU_IFUNC))
    )
    return found


def _with_visibility(entries: Entries) -> Entries:
    """Return *entries* with those hidden again that GNU's linker made local: it takes their visibility away.

    They stand behind those of all sources, after a file without a name (elf_link_output_extsym, bfd/elflink.c). Where
    no files are told (`strip -g`), a name is not static by which others call the same code.
    """
    is_local, kind = entries["info"] >> 4 == _STB_LOCAL, entries["info"] & 15
    [files] = np.nonzero(kind == _STT_FILE)
    if not len(files):
        are_functions = _are_functions(entries)
        [alone] = np.nonzero(is_local & are_functions)
        is_hidden = np.zeros(len(entries), dtype=np.bool_)
        if len(alone):  # of a library's many names for others none is
            is_hidden[alone] = np.isin(entries["value"][alone], entries["value"][are_functions & ~is_local])
    else:
        is_hidden = is_local & (np.arange(len(entries)) > files[-1]) & (entries["name"][files[-1]] == 0)
    if not is_hidden.any():
        return entries
    found = entries.copy()
    found["other"][is_hidden & (entries["other"] & 3 == 0)] |= _STV_HIDDEN
    return found


def _heads(entries: Entries, text: bytes) -> npt.NDArray[np.uint32]:
    """Return the first four bytes of each name, and of what follows a shorter one, as a number."""
    bytes_of = np.frombuffer(text + bytes(_HEAD), dtype=np.uint8)
    places = np.minimum(entries["name"], len(text)).astype(np.intp)
    heads = np.zeros(len(entries), dtype=np.uint32)
    for i in range(_HEAD):
        heads |= bytes_of[places + i].astype(np.uint32) << np.uint32(8 * i)
    return heads


def _named(entries: Entries, text: bytes, heads: npt.NDArray[np.uint32], name: bytes) -> Entries:
    """Return those that are called *name*, or a version of it."""
    mask = np.uint32((1 << 8 * min(len(name), _HEAD)) - 1)
    [alike] = np.nonzero(heads & mask == np.uint32(int.from_bytes(name[:_HEAD], "little")))
    starts = entries["name"][alike].tolist()
    found = [text.startswith(name, at) and text[at + len(name) : at + len(name) + 1] in _ENDS for at in starts]
    return entries[alike[np.array(found, dtype=np.bool_)]]


def _symbols(entries: Entries, text: bytes) -> Iterator[Symbol]:
    columns = (entries[name].tolist() for name in ("name", "info", "other", "value", "size"))
    for name, info, other, value, size in zip(*columns, strict=True):
        end = text.find(b"\0", name, name + _LONGEST_NAME)
        bare = text[name : end if end >= 0 else name + _LONGEST_NAME].partition(b"@")[0].decode("utf-8", "replace")
        # Linkers make hidden symbols local; their visibility tells that they were not static.
        is_hidden = other & 3 in _HIDDEN
        is_local = info >> 4 == _STB_LOCAL and not is_hidden
        yield Symbol(value, size, bare, is_local, is_hidden, info & 15 == _STT_GNU_IFUNC)
