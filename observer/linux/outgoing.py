"""The calls that a program's own code makes to code that is not its own: where they stand, and what they call.

Own is what has source lines (DWARF): the functions that were compiled with -g. What they call lies in a library, behind
the procedure linkage table or a pointer in the global offset table, or, in a static program, elsewhere in the file.
Calls through a register, and jumps that end a function (tail calls), are not among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from capstone import x86
from elftools.elf.elffile import ELFFile

from observer.linux.elf import DAMAGED, Elf
from observer.linux.instructions import decode, decode_all
from observer.linux.lines import LineTable

__all__ = ["Outgoing", "outgoing_calls"]

_STUB: Final = 3
"""Instructions that a stub of the procedure linkage table has before its jump, at the most."""
_LONGEST: Final = 15
_IRELATIVE: Final = {8: 37, 4: 42}  # R_X86_64_IRELATIVE, R_386_IRELATIVE


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call instruction at a file address, with its bytes and the name of the function it calls."""

    address: int
    code: bytes
    function: str


def outgoing_calls(elf: Elf) -> list[Outgoing]:
    """Return the calls of the program's own functions in order of address; none where no line tells which they are."""
    lines = LineTable(elf)
    imports = _imports(elf)
    own = [(start, size) for start, size, _name in elf.functions if size and lines.find(start) is not None]
    starts = {start for start, _size in own}
    found: list[Outgoing] = []
    for start, size in own:
        code = elf.read(start, size)
        for instruction in decode_all(code, start, 8 * elf.word):
            if instruction.mnemonic != "call":
                continue
            name = _callee(elf, instruction, imports, starts)
            if name is not None:
                found.append(Outgoing(instruction.address, bytes(instruction.bytes), name))
    return sorted(found, key=lambda call: call.address)


def _imports(elf: Elf) -> dict[int, str]:
    """Return the names of the functions whose addresses are written at the start, by where they are written."""
    found: dict[int, str] = {}
    with open(elf.path, "rb") as file:
        try:
            parsed = ELFFile(file)
            sections: list[Any] = list(parsed.iter_sections())
            for section in sections:
                if section["sh_type"] in ("SHT_RELA", "SHT_REL"):
                    symbols = parsed.get_section(section["sh_link"])
                    names = ((each["r_offset"], _imported(elf, each, symbols)) for each in section.iter_relocations())
                    found.update({slot: name for slot, name in names if name})
        except DAMAGED:
            return {}
    return found


def _imported(elf: Elf, relocation: Any, symbols: Any) -> str | None:
    number = relocation["r_info_sym"]
    if number and hasattr(symbols, "get_symbol"):
        return str(symbols.get_symbol(number).name)
    if relocation["r_info_type"] != _IRELATIVE[elf.word]:
        return None
    # In a static program the address is chosen by a function of that name (STT_GNU_IFUNC); i386 keeps it in place.
    chooser = (
        relocation["r_addend"]
        if relocation.is_RELA()
        else int.from_bytes(elf.read(relocation["r_offset"], 4), "little")
    )
    return elf.function_at(chooser)


def _callee(elf: Elf, instruction: Any, imports: dict[int, str], own: set[int]) -> str | None:
    target = instruction.operands[0]
    if target.type == x86.X86_OP_MEM:
        return imports.get(_slot(elf, instruction, target))
    if target.type != x86.X86_OP_IMM or target.imm in own:
        return None
    return _behind_stub(elf, target.imm, imports) or _named(elf, target.imm)


def _named(elf: Elf, address: int) -> str | None:
    """Return the function of a static program that begins at *address*, and not the compiler's own little ones."""
    name = elf.function_at(address)
    return None if name is None or name.startswith("__x86.") else name


def _behind_stub(elf: Elf, address: int, imports: dict[int, str]) -> str | None:
    """Return the name behind a stub of the procedure linkage table: it jumps where the loader wrote."""
    for _ in range(_STUB):
        instruction = decode(elf.read(address, _LONGEST), address, 8 * elf.word)
        if instruction is None:
            return None
        if instruction.mnemonic.removeprefix("bnd ") == "jmp":
            target = instruction.operands[0]
            return imports.get(_slot(elf, instruction, target)) if target.type == x86.X86_OP_MEM else None
        if not instruction.mnemonic.startswith(("endbr", "nop")):
            return None
        address += instruction.size
    return None


def _slot(elf: Elf, instruction: Any, operand: Any) -> int:
    """Return the address that holds the target: beside rip, as it stands, or beside i386's ebx (the offset table)."""
    base = instruction.reg_name(operand.mem.base) if operand.mem.base else ""
    if base == "rip":
        return int(instruction.address + instruction.size + operand.mem.disp)
    if base == "ebx":
        return int(elf.offset_table + operand.mem.disp)
    return int(operand.mem.disp) & (1 << 8 * elf.word) - 1
