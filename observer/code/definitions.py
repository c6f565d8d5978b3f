"""The code that bears a name in an ELF file: its symbols, and what its resolvers may choose (STT_GNU_IFUNC).

A resolver runs as the file is loaded, and returns the address of the function that bears the name from then on. What
it may return stands in its code: the addresses of functions, immediate or in the global offset table. All of them are
taken, whichever of them this processor is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from capstone import x86

from observer.arch.aarch64 import AARCH64
from observer.code import a64_pieces
from observer.code.elf import DAMAGED, Elf
from observer.code.instructions import decode
from observer.code.parsed import ParsedElf
from observer.code.stubs import slot_of
from observer.code.symbols import Symbol

__all__ = ["definitions", "undetermined"]

_LARGEST: Final = 4096
"""Bytes of a resolver that are looked at."""
_SETTING: Final = frozenset({"lea", "mov", "movabs", "cmov"})


def definitions(elf: Elf, names: Iterable[str]) -> list[Symbol]:
    """Return the functions of *names* that *elf* defines for others, and those that its resolvers may choose."""
    wanted = list(names)
    chosen = (
        symbol._replace(address=address, size=0, is_resolver=False)
        for symbol in elf.resolvers_of(wanted)
        for address in _choices(elf, symbol)
    )
    return sorted({*elf.definitions_of(wanted), *chosen})


def undetermined(elf: Elf, names: Iterable[str]) -> list[str]:
    """Return those of *names* of which the code of a resolver does not tell what it may choose."""
    return sorted({symbol.name for symbol in elf.resolvers_of(names) if not _choices(elf, symbol)})


@lru_cache(maxsize=256)
def _choices(elf: Elf, resolver: Symbol) -> frozenset[int]:
    """Return the file addresses of code outside *resolver* that its instructions put into a register."""
    end = resolver.address + min(resolver.size, _LARGEST)
    found = set(_addresses(elf, resolver.address, end))
    return frozenset(place for place in found if _is_code(elf, place) and not resolver.address <= place < end)


def _addresses(elf: Elf, start: int, end: int) -> Iterator[int]:
    slots = _slots(elf)
    if elf.architecture is AARCH64:
        for place, is_read in a64_pieces.named_addresses(elf.read(start, end - start), start):
            yield slots.get(place, 0) if is_read else place
        return
    while start < end:
        instruction = decode(elf.read(start, elf.architecture.longest_instruction), start, elf.architecture)
        if instruction is None:
            return
        start += instruction.size
        if instruction.mnemonic in _SETTING or instruction.mnemonic.startswith("cmov"):
            source = instruction.operands[-1]
            if source.type == x86.X86_OP_IMM:
                yield source.imm
            elif source.type == x86.X86_OP_MEM:
                place = slot_of(elf, instruction, source)
                yield place if instruction.mnemonic == "lea" else slots.get(place, 0)


@lru_cache(maxsize=16)
def _slots(elf: Elf) -> dict[int, int]:
    """Return which functions of the file's own the loader writes where: file addresses."""
    found: dict[int, int] = {}
    try:
        with elf.open() as file:
            parsed: Any = ParsedElf(file)
            for section in parsed.iter_sections():
                if section["sh_type"] == "SHT_RELA":
                    symbols = parsed.get_section(section["sh_link"])
                    found |= {each["r_offset"]: _target(each, symbols) for each in section.iter_relocations()}
    except (OSError, *DAMAGED):
        return {}
    return found


def _target(relocation: Any, symbols: Any) -> int:
    number = relocation["r_info_sym"]
    if number and hasattr(symbols, "get_symbol"):
        return int(symbols.get_symbol(number)["st_value"])
    return int(relocation["r_addend"])


def _is_code(elf: Elf, address: int) -> bool:
    return any(each.executable and each.address <= address < each.address + each.file_size for each in elf.segments)
