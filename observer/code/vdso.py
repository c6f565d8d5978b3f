"""The vDSO: the kernel's code in every process, which answers some questions without entering the kernel (vdso(7))."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

from capstone import x86
from elftools.elf.elffile import ELFFile

from observer.arch.known import NATIVE
from observer.code.elf import DAMAGED
from observer.code.instructions import Emulation, decode_all, emulation_of

__all__ = ["Door", "doors"]

_SEARCHED: Final = 64
_HARMLESS: Final = frozenset({"cmp", "test", "mov", "lea", "xor"})


@dataclass(frozen=True, slots=True)
class Door:
    """A function of the vDSO: its name, and an instruction near its beginning that can be carried out elsewhere."""

    name: str
    offset: int
    emulation: Emulation


def doors(image: bytes, start: int) -> list[Door]:
    """Return the questions that the vDSO *image*, mapped at *start*, answers; empty when it cannot be read."""
    try:
        elf = ELFFile(io.BytesIO(image))
        symbols: Any = elf.get_section_by_name(".dynsym")
        named = {symbol.name: symbol["st_value"] for symbol in symbols.iter_symbols()} if symbols is not None else {}
        bits = elf.elfclass
    except DAMAGED:
        return []
    questions = {name: offset for name, offset in named.items() if name.startswith(NATIVE.vdso_prefix)}
    found = [_door(name, offset, image, start, bits) for name, offset in questions.items()]
    return [door for door in found if door is not None]


def _door(name: str, offset: int, image: bytes, start: int, bits: int) -> Door | None:
    """Return where to stop at the function *name*: before its stack changes, at an instruction that reads no memory.

    The kernel's data beside the vDSO cannot be read from outside, so an instruction that looks there is passed by.
    """
    for instruction in decode_all(image[offset : offset + _SEARCHED], start + offset, bits):
        reads = (
            any(operand.type == x86.X86_OP_MEM for operand in instruction.operands) and instruction.mnemonic != "lea"
        )
        emulation = None if reads else emulation_of(bytes(instruction.bytes), instruction.address, bits)
        if emulation is not None:
            return Door(name, instruction.address - start, emulation)
        if instruction.mnemonic not in _HARMLESS or "sp" in instruction.op_str.split(",")[0]:
            return None
    return None
