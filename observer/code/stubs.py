"""Stubs of the procedure linkage table: jumps to addresses that the loader writes, and whose addresses they are."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from capstone import x86

from observer.arch.aarch64 import AARCH64
from observer.code import a64, a64_pieces
from observer.code.elf import DAMAGED, Elf
from observer.code.instructions import decode
from observer.code.parsed import ParsedElf

__all__ = ["imports_of", "name_behind", "slot_behind", "slot_of"]

_STUB: Final = 3
"""Instructions that a stub of the procedure linkage table has before its jump, at the most."""


@lru_cache(maxsize=64)
def imports_of(elf: Elf) -> dict[int, str]:
    """Return the names of the functions whose addresses are written at the start, by where they are written."""
    found: dict[int, str] = {}
    try:
        with elf.open() as file:
            parsed = ParsedElf(file)
            sections: list[Any] = list(parsed.iter_sections())
            for section in sections:
                if section["sh_type"] in ("SHT_RELA", "SHT_REL"):
                    symbols = parsed.get_section(section["sh_link"])
                    names = ((each["r_offset"], _imported(elf, each, symbols)) for each in section.iter_relocations())
                    found.update({slot: name for slot, name in names if name})
    except (OSError, *DAMAGED):
        return {}
    return found


def _imported(elf: Elf, relocation: Any, symbols: Any) -> str | None:
    number = relocation["r_info_sym"]
    if number and hasattr(symbols, "get_symbol"):
        return str(symbols.get_symbol(number).name)
    if relocation["r_info_type"] != elf.architecture.irelative:
        return None
    # In a static program the address is chosen by a function of that name (STT_GNU_IFUNC); i386 keeps it in place.
    chooser = (
        relocation["r_addend"]
        if relocation.is_RELA()
        else int.from_bytes(elf.read(relocation["r_offset"], 4), "little")
    )
    return elf.function_at(chooser)


def name_behind(elf: Elf, address: int) -> str | None:
    """Return the name of the function that the stub at *address* goes to, None where no stub is."""
    slot = slot_behind(elf, address)
    return None if slot is None else imports_of(elf).get(slot)


def slot_behind(elf: Elf, address: int) -> int | None:
    """Return where the address is written that the stub at *address* jumps to, None where no stub is."""
    if elf.architecture is AARCH64:
        return a64_pieces.slot_of_stub(elf.read(address, (_STUB + 2) * a64.LENGTH), address)
    for _ in range(_STUB):
        instruction = decode(elf.read(address, elf.architecture.longest_instruction), address, elf.architecture)
        if instruction is None:
            return None
        if instruction.mnemonic.removeprefix("bnd ") == "jmp":
            target = instruction.operands[0]
            return slot_of(elf, instruction, target) if target.type == x86.X86_OP_MEM else None
        if not instruction.mnemonic.startswith(("endbr", "nop")):
            return None
        address += instruction.size
    return None


def slot_of(elf: Elf, instruction: Any, operand: Any) -> int:
    """Return the address that holds the target: beside rip, as it stands, or beside i386's ebx (the offset table)."""
    base = instruction.reg_name(operand.mem.base) if operand.mem.base else ""
    if base == "rip":
        return int(instruction.address + instruction.size + operand.mem.disp)
    if base == "ebx":
        return int(elf.offset_table + operand.mem.disp)
    return int(operand.mem.disp) & (1 << elf.architecture.bits) - 1
