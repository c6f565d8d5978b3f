"""Where in a function's first instructions a breakpoint costs least: where the instruction under it touches no memory.

The instruction under a breakpoint is carried out by the observer. A push would have to be written into the tracee's
stack, where the page may still be to come, or to be copied after a fork: then the fault would be the observer's, not
the program's. So the function runs through its first pushes itself, as long as its arguments stay in their registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from capstone import x86

from observer.arch.aarch64 import AARCH64
from observer.arch.i386 import I386
from observer.code import a64, a64_pieces
from observer.code.elf import Elf
from observer.code.exits import exits_of
from observer.code.instructions import decode, decode_all, emulation_of

__all__ = ["Prologue", "prologue_of"]

_LOOKED_AT: Final = 64
_MOST: Final = 12
_ARGUMENTS: Final = frozenset({
    x86.X86_REG_RDI, x86.X86_REG_EDI, x86.X86_REG_DI, x86.X86_REG_DIL, x86.X86_REG_RSI, x86.X86_REG_ESI, x86.X86_REG_SI,
    x86.X86_REG_SIL, x86.X86_REG_RDX, x86.X86_REG_EDX, x86.X86_REG_DX, x86.X86_REG_DL, x86.X86_REG_DH,
})  # fmt: skip
_FRAME: Final = frozenset({
    x86.X86_REG_RSP, x86.X86_REG_ESP, x86.X86_REG_SP, x86.X86_REG_RBP, x86.X86_REG_EBP, x86.X86_REG_RBX,
    x86.X86_REG_EBX,
})  # fmt: skip
"""What the caller's frame is found by."""
_MOVE_THE_STACK: Final = frozenset({"enter", "pop"})
"""Of some of these the disassembler does not say that they write the stack pointer (`enter`, `pop %fs`)."""
_KEPT_BY_A64: Final = frozenset({0, 1, 2, 29, 30, 31})
"""Arguments, frame pointer, return address, stack pointer."""


@dataclass(frozen=True, slots=True)
class Prologue:
    """The file address to plant at, and how many bytes have been pushed below the return address by then."""

    place: int
    pushed: int


@lru_cache(maxsize=4096)
def prologue_of(elf: Elf, entry: int) -> Prologue:
    """Return where to plant in the function of *elf* at the file address *entry*; its first instruction, if need be."""
    pushed = 0
    targets = exits_of(elf, entry).targets
    if elf.architecture is AARCH64:
        return _of_a64(elf, entry, targets)
    for number, instruction in enumerate(decode_all(elf.read(entry, _LOOKED_AT), entry, elf.architecture)):
        place = instruction.address
        if number and place in targets:
            break  # a loop comes back here
        if _is_quiet(elf, instruction):
            return Prologue(place, pushed)
        if number == _MOST or not _keeps_arguments(elf, instruction):
            break
        pushed += elf.word if instruction.mnemonic == "push" else 0
    return Prologue(entry, 0)


def _of_a64(elf: Elf, entry: int, targets: set[int]) -> Prologue:
    """Of AArch64: where the return address is still in its register, perhaps signed, and the caller's frame in its."""
    pushed, place = 0, entry
    code = elf.read(entry, _LOOKED_AT)
    for at in range(0, len(code) - a64.LENGTH + 1, a64.LENGTH):
        word, place = int.from_bytes(code[at : at + a64.LENGTH], "little"), entry + at
        if (at and place in targets) or at > _MOST * a64.LENGTH:
            break
        if a64.emulation_of(code[at:], place) is not None:
            return Prologue(place, pushed)
        written = a64_pieces.written(word)
        if written is None or written & _KEPT_BY_A64:
            break
        pushed += a64_pieces.stack_change(word)
    return Prologue(entry, 0)


def _is_quiet(elf: Elf, instruction: Any) -> bool:
    """Whether the observer can carry *instruction* out on the registers alone."""
    if any(operand.type == x86.X86_OP_MEM for operand in instruction.operands) and instruction.mnemonic != "lea":
        return False
    emulation = emulation_of(bytes(instruction.bytes), instruction.address, elf.architecture)
    return emulation is not None and not emulation.touches_memory


def _keeps_arguments(elf: Elf, instruction: Any) -> bool:
    """Whether the arguments are where they were behind *instruction*, which control does not leave by."""
    if instruction.mnemonic == "push":
        return True
    if instruction.mnemonic == "call":
        return elf.word == 4 and _is_thunk(elf, instruction.operands[0])
    if instruction.mnemonic in _MOVE_THE_STACK:
        return False
    if x86.X86_GRP_JUMP in instruction.groups or x86.X86_GRP_RET in instruction.groups:
        return False
    return not {*instruction.regs_access()[1]} & (_FRAME | _ARGUMENTS if elf.word == 8 else _FRAME)


def _is_thunk(elf: Elf, target: Any) -> bool:
    """Whether a call of i386 only asks where it is: `mov (%esp), reg; ret`."""
    if target.type != x86.X86_OP_IMM:
        return False
    first = decode(elf.read(target.imm, 16), target.imm, I386)
    if first is None or first.mnemonic != "mov" or not first.op_str.endswith("[esp]"):
        return False
    last = decode(elf.read(target.imm + first.size, 4), target.imm + first.size, I386)
    return last is not None and last.mnemonic == "ret"
