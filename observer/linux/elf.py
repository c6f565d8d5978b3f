"""ELF files: what they are, where their code is loaded, which functions they define (elf(5)).

pyelftools reads the headers; symbol tables are read in one pass, since its object per symbol costs seconds on
large libraries. A file that cannot be parsed costs names, never the run.
"""

from __future__ import annotations

import os
import stat
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile

__all__ = ["DAMAGED", "Elf", "Segment", "describe_foreign", "load"]

DAMAGED: Final = (
    ELFError, DWARFError, ConstructError, struct.error, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""What pyelftools raises for files that are damaged: they cost names and lines, not the run."""

_SYMBOL: Final = struct.Struct("<IBBHQQ")
_SYMBOL_32: Final = struct.Struct("<IIIBBH")
_OURS: Final = frozenset({(64, "EM_X86_64"), (32, "EM_386")})
_FUNC: Final = frozenset({2, 10})  # STT_FUNC, STT_GNU_IFUNC
_MACHINES: Final = {3: "i386", 62: "x86-64", 183: "aarch64", 40: "arm", 243: "riscv", 21: "ppc64", 22: "s390"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD: *offset* and *file_size* in the file, *address* and *memory_size* before the load bias."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    executable: bool


class Elf:
    """A parsed ELF file of x86-64 or i386; raises ValueError when it is not one. `word` is the size of its pointers."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "rb") as file:
            try:
                elf = ELFFile(file)
                if (elf.elfclass, elf.header["e_machine"]) not in _OURS:
                    raise ValueError("neither x86-64 nor i386")
                self.word = elf.elfclass // 8
                self.entry: int = elf.header["e_entry"]
                segments: list[Any] = list(elf.iter_segments())
                self.interpreter = next(
                    (segment.get_interp_name() for segment in segments if segment["p_type"] == "PT_INTERP"), None
                )
                self.segments = tuple(_segment(segment) for segment in segments if segment["p_type"] == "PT_LOAD")
                self._eh_frame_header = next(
                    (segment["p_vaddr"] for segment in segments if segment["p_type"] == "PT_GNU_EH_FRAME"), None
                )
                self.build_id = _build_id(segments)
                self.offset_table = _offset_table(elf)
                self.has_debug_lines = elf.get_section_by_name(".debug_line") is not None
                self._symbols = _read_symbols(elf)
            except DAMAGED as error:
                raise ValueError(f"{path}: not a readable ELF file ({error})") from error

    @cached_property
    def functions(self) -> list[tuple[int, int, str]]:
        """The functions this file defines, (address, size, name) each, in order of address."""
        best: dict[int, tuple[int, int, str]] = {}
        for address, size, name in self._symbols:
            known = best.get(address)
            # Of several names for one place, the one without leading underscores is what people know.
            if known is None or (known[2].startswith("_"), len(known[2])) > (name.startswith("_"), len(name)):
                best[address] = (address, max(size, known[1] if known else 0), name)
        return [best[address] for address in sorted(best)]

    @cached_property
    def _function_starts(self) -> list[int]:
        return [address for address, _size, _name in self.functions]

    def function_at(self, address: int) -> str | None:
        """Return the name of the function that holds *address* (a file address, without bias)."""
        i = bisect_right(self._function_starts, address) - 1
        if i < 0:
            return None
        start, size, name = self.functions[i]
        return name if address < start + max(size, 1) else None

    def bounds_at(self, address: int) -> tuple[int, int] | None:
        """Return [start, end) of the function that holds *address*, where its symbol tells its size."""
        i = bisect_right(self._function_starts, address) - 1
        start, size, _name = self.functions[i] if i >= 0 else (0, 0, "")
        return (start, start + size) if start <= address < start + size else None

    def addresses_of(self, names: Iterable[str]) -> dict[str, int]:
        """Return where those functions of *names* begin that this file defines."""
        wanted = set(names)
        return {name: address for address, _size, name in self._symbols if name in wanted}

    @property
    def has_symbols(self) -> bool:
        """Whether any function has a name."""
        return bool(self._symbols)

    def bias_of(self, start: int, offset: int) -> int | None:
        """Return the load bias if file *offset* is mapped at *start*, or None when no segment begins there."""
        for segment in self.segments:
            if segment.offset & -4096 == offset and segment.executable:
                return start - (segment.address & -4096)
        for segment in self.segments:
            if segment.offset & -4096 <= offset < segment.offset + segment.file_size:
                return start - (segment.address & -4096) - (offset - (segment.offset & -4096))
        return None

    def read(self, address: int, length: int) -> bytes:
        """Return file bytes at *address* (without bias); empty when nothing of the file is there."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.file_size:
                length = min(length, segment.address + segment.file_size - address)
                with open(self.path, "rb", buffering=0) as file:
                    return os.pread(file.fileno(), length, segment.offset + address - segment.address)
        return b""

    @cached_property
    def eh_frame(self) -> tuple[int, bytes]:
        """Return the address of .eh_frame_hdr and the bytes from there to its segment's end (empty if none)."""
        if self._eh_frame_header is None:
            return 0, b""
        return self._eh_frame_header, self.read(self._eh_frame_header, 1 << 28)


def _segment(segment: Any) -> Segment:
    return Segment(
        offset=segment["p_offset"],
        address=segment["p_vaddr"],
        file_size=segment["p_filesz"],
        memory_size=segment["p_memsz"],
        executable=bool(segment["p_flags"] & 1),
    )


def _offset_table(elf: Any) -> int:
    """Return where the global offset table begins that i386's code keeps in ebx; 0 where there is none."""
    for name in (".got.plt", ".got"):
        section = elf.get_section_by_name(name)
        if section is not None:
            return int(section["sh_addr"])
    return 0


def _build_id(segments: list[Any]) -> str:
    for segment in segments:
        if segment["p_type"] == "PT_NOTE":
            for note in segment.iter_notes():
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    return str(note["n_desc"])
    return ""


def _read_symbols(elf: Any) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    for table_name, strings_name in ((".symtab", ".strtab"), (".dynsym", ".dynstr")):
        table, strings = elf.get_section_by_name(table_name), elf.get_section_by_name(strings_name)
        if table is None or strings is None:
            continue
        raw, text = table.data(), strings.data()
        for name, info, section, value, size in _entries(raw, elf.elfclass):
            if section and value and info & 15 in _FUNC:
                end = text.find(b"\0", name)
                found.append((value, size, text[name:end].decode("utf-8", "replace")))
    return found


def _entries(raw: bytes, bits: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (name, info, section, value, size) of a symbol table, whose fields stand in another order by class."""
    if bits == 64:
        for name, info, _other, section, value, size in _SYMBOL.iter_unpack(raw[: len(raw) // 24 * 24]):
            yield name, info, section, value, size
    else:
        for name, value, size, info, _other, section in _SYMBOL_32.iter_unpack(raw[: len(raw) // 16 * 16]):
            yield name, info, section, value, size


@lru_cache(maxsize=512)
def _load_version(path: str, _identity: tuple[int, int, int, int]) -> Elf | None:
    try:
        return Elf(path)
    except (OSError, ValueError):
        return None


def load(path: str) -> Elf | None:
    """Return the parsed file, or None when it is not (or no longer) a readable ELF file of ours; cached by inode."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None  # a FIFO would keep us waiting
    return _load_version(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


def describe_foreign(head: bytes) -> str | None:
    """Return what an ELF file with these first 20 bytes is when it is neither x86-64 nor i386, else None.

    >>> describe_foreign(bytes([127, 69, 76, 70, 2, 1]) + bytes(12) + bytes([183, 0]))
    '64-bit aarch64'
    """
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        return None
    bits = {1: "32-bit", 2: "64-bit"}.get(head[4], "unknown")
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    if (head[4], head[5], number) in ((2, 1, 62), (1, 1, 3)):
        return None
    return f"{bits} {_MACHINES.get(number, f'machine {number}')}"
