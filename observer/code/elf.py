"""ELF files: what they are, where their code is loaded, which functions they define (elf(5)).

pyelftools reads the headers; symbol tables are read in one pass, since its object per symbol costs seconds on
large libraries. A file that cannot be parsed costs names, never the run.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from errno import ESTALE
from functools import cached_property, lru_cache, partial
from typing import Any, BinaryIO, Final, NamedTuple

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct.core import ConstructError
from elftools.elf.enums import ENUM_E_MACHINE

from observer.arch.known import SERVED
from observer.code.parsed import ParsedElf
from observer.code.symbols import Symbol, SymbolTables, find_variable
from observer.files import open_regular
from observer.linux.procfs import PAGE

__all__ = ["DAMAGED", "Elf", "Identity", "Segment", "describe_foreign", "is_credible", "load"]

DAMAGED: Final = (
    ELFError, DWARFError, ConstructError, struct.error, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, ArithmeticError, RecursionError, MemoryError,
)  # fmt: skip
"""What pyelftools raises for files that are damaged: they cost names and lines, not the run."""

_OURS: Final = {(each.bits, each.elf_machine): each for each in SERVED}
_OUR_NUMBERS: Final = frozenset((each.bits, ENUM_E_MACHINE[each.elf_machine]) for each in SERVED)
_BANNER: Final = re.compile(rb"GNU C Library \(([^)\n]*)\)[^\n]* version ([0-9.]+)")
_PACKAGE: Final = re.compile(rb"GLIBC ([0-9][^ )]*)")
_DF_1_PIE: Final = 0x0800_0000
_MOST_GROWTH: Final = 16
"""How much larger than their file compressed sections may be: a compiler's do not reach that."""
_MACHINES: Final = {3: "i386", 62: "x86-64", 183: "aarch64", 40: "arm", 243: "riscv", 21: "ppc64", 22: "s390"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD: *offset* and *file_size* in the file, *address* and *memory_size* before the load bias."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    executable: bool


class Identity(NamedTuple):
    """Which file it is and as of when, so that no other file at its path is taken for it (stat(2))."""

    device: int
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Return the identity in *status*."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Elf:
    """A parsed ELF file that this machine's kernel runs; raises ValueError when it is not one.

    `architecture` is what it is compiled for, `word` the size of its pointers in bytes.

    Args:
        path: what the file is called. Several files may be called so, in other roots or one after the other.
        source: where it is read, if no path of ours leads to it.
        identity: which file it is, if the source is a copy of it.
    """

    def __init__(self, path: str, source: str = "", identity: Identity | None = None) -> None:
        self.path = path
        self._source = source or path
        self._is_copy = identity is not None
        self._descriptor = -1
        self._code: dict[tuple[int, int], bytes] = {}
        with open_regular(self._source) as file:
            try:
                self.identity = identity or Identity.of(os.fstat(file.fileno()))
                elf = ParsedElf(file)
                ours = _OURS.get((elf.elfclass, elf.header["e_machine"]))
                if ours is None:
                    raise ValueError(f"neither {' nor '.join(each.name for each in SERVED)}")
                self.architecture, self.word = ours, ours.word
                self.entry: int = elf.header["e_entry"]
                segments: list[Any] = list(elf.iter_segments())
                self.interpreter = next(
                    (segment.get_interp_name() for segment in segments if segment["p_type"] == "PT_INTERP"), None
                )
                self.segments = tuple(_segment(segment) for segment in segments if segment["p_type"] == "PT_LOAD")
                self._eh_frame_header = next(
                    (segment["p_vaddr"] for segment in segments if segment["p_type"] == "PT_GNU_EH_FRAME"), None
                )
                described = elf.get_section_by_name(".eh_frame") if self._eh_frame_header is None else None
                self._eh_frame = (described["sh_addr"], described["sh_size"]) if described is not None else (0, 0)
                self.build_id = _build_id(segments)
                self.soname, self.is_program, self.needed = _dynamic(elf, segments, self.interpreter)
                self.version = _first_version(elf)
                self.offset_table = _offset_table(elf)
                self.has_debug_lines = elf.get_section_by_name(".debug_line") is not None
                self.is_credible = is_credible(elf, self.identity.size)
                self._symbols = SymbolTables(elf)
            except DAMAGED as error:
                raise ValueError(f"{path}: not a readable ELF file ({error})") from error

    def open(self) -> BinaryIO:
        """Open the file to read; raises OSError (ESTALE) when it is no longer the one that was parsed."""
        file = open_regular(self._source)
        if not self._is_copy and Identity.of(os.fstat(file.fileno())) != self.identity:
            file.close()
            raise OSError(ESTALE, "the file has changed", self.path)
        return file

    def hold(self, descriptor: int, *, is_copy: bool = False) -> None:
        """Read the file, or a copy of it, by *descriptor* from now on, wherever it goes; it is ours now."""
        self._descriptor, self._source, self._is_copy = descriptor, f"/proc/self/fd/{descriptor}", is_copy

    def release(self) -> None:
        """Close the descriptor; what is at the path now may be another file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._source, self._is_copy = -1, self.path, False

    @cached_property
    def functions(self) -> list[tuple[int, int, str]]:
        """The functions this file defines, (address, size, name) each, in order of address."""
        best: dict[int, tuple[int, int, str]] = {}
        for address, size, name, *_kind in self._symbols.all():
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

    def definitions_of(self, names: Iterable[str]) -> list[Symbol]:
        """Return the functions of *names* that this file defines for others, all versions, in order of address.

        A static function of such a name is none of them, nor is one that is hidden in a library: what else is linked
        calls another. In a program a hidden one is what its own code calls.
        """
        return [symbol for symbol in self._defined(names) if not symbol.is_resolver]

    def functions_called(self, names: Collection[str]) -> list[Symbol]:
        """Return all functions of *names* in this file, also those that only one of its sources means by the name."""
        return sorted({symbol for name in names for symbol in self._symbols.of(name) if not symbol.is_resolver})

    def resolvers_of(self, names: Iterable[str]) -> list[Symbol]:
        """Return the functions by which this file chooses, as it is loaded, what code bears some of *names*."""
        return [symbol for symbol in self._defined(names) if symbol.is_resolver]

    def _defined(self, names: Iterable[str]) -> list[Symbol]:
        return sorted({symbol for name in names for symbol in self._public(name)})

    def _public(self, name: str) -> list[Symbol]:
        """Return the functions of that *name* that are called by it from elsewhere."""
        named = self._symbols.of(name)
        return [symbol for symbol in named if not symbol.is_local and (self.is_program or not symbol.is_hidden)]

    def defines(self, name: str) -> bool:
        """Whether this file defines the function *name* for others."""
        return bool(self._public(name))

    def variable(self, name: str) -> int:
        """Return the address of the variable *name*, as this file's symbols or its separate ones tell; 0 if none do.

        Those of a stripped library may lie where debuggers find them: in /usr/lib/debug, by its build id.
        """
        found = self._variable(self.open, name)
        if not found and self.build_id:
            apart = f"/usr/lib/debug/.build-id/{self.build_id[:2]}/{self.build_id[2:]}.debug"
            found = self._variable(partial(open_regular, apart), name)
        return found

    @staticmethod
    def _variable(opened: Callable[[], BinaryIO], name: str) -> int:
        try:
            with opened() as file:
                return find_variable(ParsedElf(file), name)
        except (OSError, *DAMAGED):
            return 0  # as for a file that cannot be parsed: it costs names, not the run

    def bounds_at(self, address: int) -> tuple[int, int] | None:
        """Return [start, end) of the function that holds *address*, where its symbol tells its size."""
        i = bisect_right(self._function_starts, address) - 1
        start, size, _name = self.functions[i] if i >= 0 else (0, 0, "")
        return (start, start + size) if start <= address < start + size else None

    @property
    def has_symbols(self) -> bool:
        """Whether any function has a name."""
        return not self._symbols.are_empty

    def bias_of(self, start: int, offset: int) -> int | None:
        """Return the load bias if file *offset* is mapped at *start*, or None when no segment begins there."""
        for segment in self.segments:
            if segment.offset & -PAGE == offset and segment.executable:
                return start - (segment.address & -PAGE)
        for segment in self.segments:
            if segment.offset & -PAGE <= offset < segment.offset + segment.file_size:
                return start - (segment.address & -PAGE) - (offset - (segment.offset & -PAGE))
        return None

    def read(self, address: int, length: int) -> bytes:
        """Return file bytes at *address* (without bias); empty when nothing of the file is there, or it has changed."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.file_size:
                length = min(length, segment.address + segment.file_size - address)
                return self._pread(length, segment.offset + address - segment.address)
        return b""

    def code(self, address: int, length: int) -> bytes:
        """Return what `read` does, from now on without the file: for what each process is asked about."""
        known = self._code.get((address, length))
        if known is None:
            known = self.read(address, length)
            if known:
                self._code[address, length] = known
        return known

    def _pread(self, length: int, offset: int) -> bytes:
        try:
            with self.open() as file:
                return os.pread(file.fileno(), length, offset)
        except OSError:
            return b""  # as for a file that cannot be parsed: it costs names, not the run

    @cached_property
    def glibc_release(self) -> str:
        """The release that glibc's banner names (`2.36-9+deb12u10`), empty if this is another library."""
        try:
            with self.open() as file:
                found = _BANNER.search(file.read())
        except OSError:
            return ""
        if found is None:
            return ""
        package = _PACKAGE.search(found[1])
        return (package[1] if package is not None else found[2]).decode("ascii", "replace")

    @property
    def eh_frame_section(self) -> tuple[int, bytes]:
        """Return the address of .eh_frame and its bytes, where no .eh_frame_hdr leads to it (empty if none)."""
        address, size = self._eh_frame
        return address, self.read(address, size) if size else b""

    @cached_property
    def eh_frame(self) -> tuple[int, bytes]:
        """Return the address of .eh_frame_hdr and the bytes from there to its segment's end (empty if none)."""
        if self._eh_frame_header is None:
            return 0, b""
        return self._eh_frame_header, self.read(self._eh_frame_header, 1 << 28)


def is_credible(elf: Any, size: int) -> bool:
    """Whether the compressed sections of pyelftools' *elf*, a file of *size* bytes, are such as a compiler makes."""
    grown: int = sum(section.data_size for section in elf.iter_sections() if section.compressed)
    return grown <= _MOST_GROWTH * size


def _segment(segment: Any) -> Segment:
    return Segment(
        offset=segment["p_offset"],
        address=segment["p_vaddr"],
        file_size=segment["p_filesz"],
        memory_size=segment["p_memsz"],
        executable=bool(segment["p_flags"] & 1),
    )


def _dynamic(elf: Any, segments: list[Any], interpreter: str | None) -> tuple[str, bool, tuple[str, ...]]:
    """Return the library's own name (DT_SONAME), empty if it has none, whether the file is a program, and the names of
    the libraries that it needs (DT_NEEDED).

    Programs at fixed addresses are of the type ET_EXEC; others say DF_1_PIE (binutils 2.26) or want a loader. So do
    libraries that may be started (libc.so.6), but these have a name.
    """
    entries = [tag for each in segments if each["p_type"] == "PT_DYNAMIC" for tag in each.iter_tags()]
    tags = {tag["d_tag"]: tag for tag in entries}
    soname = str(tags["DT_SONAME"].soname) if "DT_SONAME" in tags else ""
    is_pie = "DT_FLAGS_1" in tags and bool(tags["DT_FLAGS_1"]["d_val"] & _DF_1_PIE)
    is_program = elf.header["e_type"] == "ET_EXEC" or is_pie or (interpreter is not None and not soname)
    return soname, is_program, tuple(str(tag.needed) for tag in entries if tag["d_tag"] == "DT_NEEDED")


def _first_version(elf: Any) -> str:
    """Return the first version of its names that the library defines (`GLIBC_2.2.5`), empty if it has none."""
    section = elf.get_section_by_name(".gnu.version_d")
    if section is None or not hasattr(section, "iter_versions"):
        return ""
    names = (next(auxiliaries).name for version, auxiliaries in section.iter_versions() if not version["vd_flags"] & 1)
    return str(next(names, ""))


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


@lru_cache(maxsize=512)
def _load_version(path: str, _identity: Identity) -> Elf | None:
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
    return _load_version(path, Identity.of(status))


def describe_foreign(head: bytes) -> str | None:
    """Return what an ELF file with these first 20 bytes is when this machine's kernel does not run it, else None.

    >>> describe_foreign(bytes([127, 69, 76, 70, 2, 1]) + bytes(12) + bytes([183, 0]))
    '64-bit aarch64'
    """
    if not head.startswith(b"\x7fELF") or len(head) < 20:
        return None
    is_little, bits = head[5] == 1, {1: 32, 2: 64}.get(head[4], 0)
    number = int.from_bytes(head[18:20], "little" if is_little else "big")
    if is_little and (bits, number) in _OUR_NUMBERS:
        return None
    return f"{f'{bits}-bit' if bits else 'unknown'} {_MACHINES.get(number, f'machine {number}')}"
