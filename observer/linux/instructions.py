"""x86-64 instructions: emulating the one under a breakpoint, and saying what a faulting one did (capstone).

A planted breakpoint is never lifted, so that no other thread slips past it: the instruction that the int3
replaced is carried out on the registers instead. Function beginnings are simple; what is not in the table
below is refused, and the caller says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import capstone
from capstone import x86

from observer.linux.ptrace import RegisterSet

__all__ = ["Emulation", "access_of", "disassemble", "emulation_of"]

Words = memoryview
ReadMemory = Callable[[int, int], bytes]
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_CF, _PF, _AF, _ZF, _SF, _OF = 1, 4, 16, 64, 128, 2048
_ARITHMETIC: Final = _CF | _PF | _AF | _ZF | _SF | _OF
_RIP, _RSP, _EFLAGS = RegisterSet.RIP, RegisterSet.RSP, RegisterSet.EFLAGS


@dataclass(frozen=True, slots=True)
class Emulation:
    """One instruction: its length, the register it pushes (index, or -1), or what it does to the registers."""

    length: int
    pushes: int
    apply: Callable[[Words, ReadMemory], None] | None
    text: str


@cache
def _decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.detail = True
    return decoder


def _first(code: bytes, address: int) -> Any | None:
    return next(_decoder().disasm(code, address, 1), None)


def _wide(name: str) -> tuple[int, int]:
    """Return (register index, width in bytes) of a general register's name; raises KeyError for others."""
    if name in RegisterSet.INDEX:
        return RegisterSet.INDEX[name], 8
    if name.startswith("e"):
        return RegisterSet.INDEX["r" + name[1:]], 4
    if name.startswith("r") and name.endswith("d"):
        return RegisterSet.INDEX[name[:-1]], 4
    raise KeyError(name)


def _flags_of(result: int, width: int, carry: bool = False, overflow: bool = False, adjust: bool = False) -> int:
    sign = 1 << (8 * width - 1)
    return (
        (_CF if carry else 0)
        | (_PF if bin(result & 0xFF).count("1") % 2 == 0 else 0)
        | (_AF if adjust else 0)
        | (_ZF if result == 0 else 0)
        | (_SF if result & sign else 0)
        | (_OF if overflow else 0)
    )


def _subtract(a: int, b: int, width: int) -> tuple[int, int]:
    mask, sign = (1 << 8 * width) - 1, 1 << (8 * width - 1)
    a, b = a & mask, b & mask
    result = (a - b) & mask
    overflow = bool((a ^ b) & (a ^ result) & sign)
    return result, _flags_of(result, width, a < b, overflow, (a & 15) < (b & 15))


def _set_flags(words: Words, flags: int) -> None:
    words[_EFLAGS] = words[_EFLAGS] & ~_ARITHMETIC | flags


class _Operands:
    """Reads and writes an instruction's operands on a register file."""

    def __init__(self, instruction: Any) -> None:
        self._instruction = instruction
        self._end = instruction.address + instruction.size
        self.list = instruction.operands
        for operand in self.list:
            if operand.type == x86.X86_OP_REG:
                _wide(instruction.reg_name(operand.reg))
            elif operand.type == x86.X86_OP_MEM:
                self._address_parts(operand)

    def _address_parts(self, operand: Any) -> tuple[int, int, int, int]:
        memory = operand.mem
        if memory.segment:
            raise KeyError("segment")
        base = -1
        offset = memory.disp
        if memory.base and self._instruction.reg_name(memory.base) == "rip":
            offset += self._end
        elif memory.base:
            base = _wide(self._instruction.reg_name(memory.base))[0]
        index = _wide(self._instruction.reg_name(memory.index))[0] if memory.index else -1
        return base, index, memory.scale, offset

    def address(self, i: int, words: Words) -> int:
        base, index, scale, offset = self._address_parts(self.list[i])
        total: int = offset + (words[base] if base >= 0 else 0) + (words[index] * scale if index >= 0 else 0)
        return total & _MASK

    def get(self, i: int, words: Words, read: ReadMemory) -> int:
        operand = self.list[i]
        if operand.type == x86.X86_OP_IMM:
            return int(operand.imm) & _MASK
        if operand.type == x86.X86_OP_REG:
            register, width = _wide(self._instruction.reg_name(operand.reg))
            return int(words[register]) & ((1 << 8 * width) - 1)
        return int.from_bytes(read(self.address(i, words), operand.size), "little")

    def put(self, words: Words, value: int) -> None:
        register, width = _wide(self._instruction.reg_name(self.list[0].reg))
        words[register] = value & ((1 << 8 * width) - 1)


def _writes_register(operands: _Operands) -> bool:
    return bool(operands.list) and operands.list[0].type == x86.X86_OP_REG


def _effect(mnemonic: str, operands: _Operands) -> Callable[[Words, ReadMemory], None] | None:
    """Return what the instruction does beyond moving rip on, or None when it is not in the table."""
    width = operands.list[0].size if operands.list else 8

    def nothing(words: Words, read: ReadMemory) -> None:
        del words, read

    def move(words: Words, read: ReadMemory) -> None:
        operands.put(words, operands.get(1, words, read))

    def load_address(words: Words, read: ReadMemory) -> None:
        del read
        operands.put(words, operands.address(1, words))

    def test(words: Words, read: ReadMemory) -> None:
        _set_flags(words, _flags_of(operands.get(0, words, read) & operands.get(1, words, read), width))

    def exclusive_or(words: Words, read: ReadMemory) -> None:
        result = operands.get(0, words, read) ^ operands.get(1, words, read)
        operands.put(words, result)
        _set_flags(words, _flags_of(result, width))

    def compare(words: Words, read: ReadMemory) -> None:
        _set_flags(words, _subtract(operands.get(0, words, read), operands.get(1, words, read), width)[1])

    def subtract(words: Words, read: ReadMemory) -> None:
        result, flags = _subtract(operands.get(0, words, read), operands.get(1, words, read), width)
        operands.put(words, result)
        _set_flags(words, flags)

    def jump(words: Words, read: ReadMemory) -> None:
        words[_RIP] = operands.get(0, words, read)

    anywhere = {"endbr64": nothing, "nop": nothing, "test": test, "cmp": compare, "jmp": jump}
    into_register = {"mov": move, "lea": load_address, "xor": exclusive_or, "sub": subtract, "movabs": move}
    if mnemonic in into_register and _writes_register(operands):
        return into_register[mnemonic]
    return anywhere.get(mnemonic)


def emulation_of(code: bytes, address: int) -> Emulation | None:
    """Return how to carry out the instruction *code* begins with, or None when it cannot be emulated."""
    instruction = _first(code, address)
    if instruction is None:
        return None
    text = f"{instruction.mnemonic} {instruction.op_str}".strip()
    try:
        operands = _Operands(instruction)
        if instruction.mnemonic == "push" and _writes_register(operands):
            register = _wide(instruction.reg_name(instruction.operands[0].reg))[0]
            return Emulation(instruction.size, register, None, text)
        effect = _effect(instruction.mnemonic, operands)
    except KeyError:
        return None
    return Emulation(instruction.size, -1, effect, text) if effect else None


def disassemble(code: bytes, address: int) -> str | None:
    """Return the first instruction of *code* as text."""
    instruction = _first(code, address)
    return f"{instruction.mnemonic} {instruction.op_str}".strip() if instruction else None


def access_of(code: bytes, address: int) -> str | None:
    """Return whether the instruction writes or only reads memory: `write`, `read`, or None when undecidable.

    An instruction that does both (`add [m], r`) counts as a write: its page is wanted writable at once.
    An instruction with two memory operands (`movs`) is undecidable without the address.
    """
    instruction = _first(code, address)
    if instruction is None:
        return None
    mnemonic = instruction.mnemonic
    memory = [operand for operand in instruction.operands if operand.type == x86.X86_OP_MEM]
    if mnemonic.startswith(("push", "call")):
        return "write" if not memory else None
    if mnemonic.startswith(("pop", "ret", "leave")):
        return "read"
    if len(memory) != 1 or mnemonic in ("lea", "nop"):
        return None
    return "write" if memory[0].access & capstone.CS_AC_WRITE else "read"
