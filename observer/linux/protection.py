"""Why the processor raised a general protection exception, from the instruction and the registers (Intel SDM 3, 6.15).

The exception itself carries no address and the kernel tells none, so the instruction has to be looked at.
"""

from __future__ import annotations

from typing import Any, Final

import capstone
from capstone import x86

from observer.linux.instructions import decode, effective_address
from observer.linux.ptrace import RegisterSet

__all__ = ["protection_reason"]

# Those that capstone 5 does not put into its group of privileged instructions; in and out obey the I/O privilege level.
_PRIVILEGED: Final = frozenset(
    {"rdmsr", "clts", "in", "out", "insb", "insd", "insw", "outsb", "outsd", "outsw", "cli", "sti", "monitor", "mwait"}
)
_SEGMENTS: Final = frozenset({"iretq", "iretd", "ljmp", "lcall", "retf", "retfq"})


def protection_reason(code: bytes, ip: int, words: memoryview, bits: int = 64) -> str | None:
    """Return `privileged instruction`, `non-canonical address`, `misaligned vector`, `software interrupt` or `segment`.

    None means that nothing about the instruction explains the exception: then it was not the processor that raised
    it, but the kernel that could not deliver a signal (no room for its frame) and says so with the same code.
    """
    instruction = decode(code, ip, bits)
    if instruction is None:
        return None
    name = instruction.mnemonic.removeprefix("rep ")
    if name in _SEGMENTS:
        return "segment"
    if name in _PRIVILEGED or capstone.CS_GRP_PRIVILEGE in instruction.groups:
        return "privileged instruction"
    if name in ("int", "int1"):
        return "software interrupt"
    return _by_operands(instruction, words)


def _by_operands(instruction: Any, words: memoryview) -> str | None:
    if instruction.mnemonic == "ret":
        return "non-canonical address"  # the one reason why a near return raises it
    for operand in instruction.operands:
        if operand.type == x86.X86_OP_REG and instruction.mnemonic in ("jmp", "call"):
            target = words[RegisterSet.INDEX.get(instruction.reg_name(operand.reg), RegisterSet.RIP)]
            if not _is_canonical(target):
                return "non-canonical address"
        if operand.type != x86.X86_OP_MEM:
            continue
        address = effective_address(instruction, operand, words)
        if address is not None and not _is_canonical(address):
            return "non-canonical address"
        if address is not None and operand.size >= 16 and address % 16 and not instruction.mnemonic.startswith("movu"):
            return "misaligned vector"
    return None


def _is_canonical(address: int) -> bool:
    """Whether bits 47 to 63 are alike. With five-level page tables bit 56 takes the place of bit 47."""
    return address >> 47 in (0, 0x1FFFF)
