"""The vDSO: the kernel's code in every process, which answers some questions without entering the kernel (vdso(7))."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

from capstone import x86

from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture
from observer.arch.known import NATIVE, with_bits
from observer.code import a64, a64_pieces
from observer.code.elf import DAMAGED
from observer.code.emulation import Emulation
from observer.code.instructions import decode_all, emulation_of
from observer.code.parsed import ParsedElf

__all__ = ["Door", "doors"]

_SEARCHED: Final = 64
_HARMLESS: Final = frozenset({"cmp", "test", "mov", "lea", "xor"})

_NO_QUESTIONS: Final = frozenset({"__kernel_rt_sigreturn"})
"""Where handlers return to, by a jump."""


@dataclass(frozen=True, slots=True)
class Door:
    """A function of the vDSO: its name, and an instruction near its beginning that can be carried out elsewhere."""

    name: str
    offset: int
    emulation: Emulation


def doors(image: bytes, start: int) -> list[Door]:
    """Return the questions that the vDSO *image*, mapped at *start*, answers; empty when it cannot be read."""
    try:
        elf = ParsedElf(io.BytesIO(image))
        symbols: Any = elf.get_section_by_name(".dynsym")
        named = {symbol.name: symbol["st_value"] for symbol in symbols.iter_symbols()} if symbols is not None else {}
        architecture = with_bits(elf.elfclass)
    except DAMAGED:
        return []
    questions = {name for name in named if name.startswith(NATIVE.vdso_prefix)} - _NO_QUESTIONS
    found = [_door(name, offset, image, start, architecture) for name, offset in named.items() if name in questions]
    return [door for door in found if door is not None]


def _door(name: str, offset: int, image: bytes, start: int, architecture: Architecture) -> Door | None:
    """Return where to stop at the function *name*: before its stack changes, at an instruction that reads no memory.

    The kernel's data beside the vDSO cannot be read from outside, so an instruction that looks there is passed by.
    """
    if architecture is AARCH64:
        return _door_of_a64(name, offset, image, start)
    for instruction in decode_all(image[offset : offset + _SEARCHED], start + offset, architecture):
        reads = (
            any(operand.type == x86.X86_OP_MEM for operand in instruction.operands) and instruction.mnemonic != "lea"
        )
        emulation = None if reads else emulation_of(bytes(instruction.bytes), instruction.address, architecture)
        if emulation is not None:
            return Door(name, instruction.address - start, emulation)
        if instruction.mnemonic not in _HARMLESS or "sp" in instruction.op_str.split(",")[0]:
            return None
    return None


def _door_of_a64(name: str, offset: int, image: bytes, start: int) -> Door | None:
    """Return where to stop at a function of AArch64's vDSO: before its stack or its return address changes."""
    for at in range(offset, offset + _SEARCHED, a64.LENGTH):
        emulation = emulation_of(image[at : at + a64.LENGTH], start + at, AARCH64)
        if emulation is not None:
            return Door(name, at, emulation)
        word = a64.word_of(image[at : at + a64.LENGTH])
        if word is None or not a64_pieces.leaves_frame(word):
            return None
    return None
