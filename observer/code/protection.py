"""What the instruction at an exception tells that the kernel does not: why a protection exception, which access.

A general protection exception carries no address and the kernel tells none, so the instruction has to be looked at
(Intel SDM 3, 6.15); with the registers of that moment it also says which of its operands a faulting address was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import capstone
from capstone import x86

from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture
from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64
from observer.code.instructions import access_of, decode, effective_address

__all__ = ["access_to", "protection_reason"]

# Those that capstone 5 does not put into its group of privileged instructions; in and out obey the I/O privilege
# level, the clocks and counters and cpuid what the kernel allows (prctl(PR_SET_TSC), arch_prctl(ARCH_CPUID)).
_PRIVILEGED: Final = frozenset(
    {
        "rdmsr", "clts", "in", "out", "insb", "insd", "insw", "outsb", "outsd", "outsw", "cli", "sti", "monitor",
        "mwait", "rdtsc", "rdtscp", "rdpmc", "cpuid", "sgdt", "sidt", "sldt", "str", "smsw",
    }
)  # fmt: skip
_SEGMENTS: Final = frozenset({"iretq", "iretd", "iret", "ljmp", "lcall", "retf", "retfq", "lfs", "lgs", "lss"})
_SEGMENT_REGISTERS: Final = frozenset({"cs", "ds", "es", "fs", "gs", "ss"})
_WITH_RESERVED_BITS: Final = frozenset(
    {"ldmxcsr", "vldmxcsr", "fxrstor", "fxrstor64", "xrstor", "xrstor64", "popfq", "wrfsbase", "wrgsbase"}
)
_ALIGNED_AS_WIDE: Final = ("vmova", "vmovdqa", "vmovnt")
_UNALIGNED: Final = ("movu", "lddqu", "v", "pcmpestr", "pcmpistr")
_ALIGNMENTS: Final = {"cmpxchg16b": 16, "fxsave": 16, "fxsave64": 16, "fxrstor": 16, "fxrstor64": 16}
_BASES: Final = {"fs": "fs_base", "gs": "gs_base"}
_ALSO_ON_STACK: Final = frozenset({"push", "pop", "call"})
_PLACES: Final = X86_64.registers.places
_RSP: Final = _PLACES["rsp"]

WordAt = Callable[[int], int | None]


def _unreadable(_address: int) -> None:
    return None


def protection_reason(
    code: bytes, ip: int, words: memoryview, architecture: Architecture = NATIVE, *, word_at: WordAt = _unreadable
) -> str | None:
    """Return why the instruction *code* raises the exception, a key of `story.refusals.REASONS`.

    None means that nothing about the instruction explains it: then it may be not the processor that raised it, but
    the kernel that could not deliver a signal (no room for its frame) and says so with the same code.

    Args:
        word_at: reads a word of the program's memory, None where it cannot be read.
    """
    instruction = decode(code, ip, architecture)
    if instruction is None or architecture is AARCH64:
        return None
    name = instruction.mnemonic.removeprefix("rep ")
    if name in _SEGMENTS or _loads_segment(instruction):
        return "segment"
    if name in _PRIVILEGED or capstone.CS_GRP_PRIVILEGE in instruction.groups:
        return "privileged instruction"
    if name in ("int", "int1"):
        return "software interrupt"
    if architecture.bits == 64 and _goes_nowhere(instruction, words, word_at):
        return "non-canonical address"
    reserved = "reserved bits" if name in _WITH_RESERVED_BITS else None
    return _by_operands(instruction, words, architecture.bits) or reserved


def _goes_nowhere(instruction: Any, words: memoryview, word_at: WordAt) -> bool:
    """Whether a jump, call or return leads to an address that x86-64 does not have."""
    target: int | None = None
    if instruction.mnemonic == "ret":
        target = word_at(words[_RSP])
    elif instruction.mnemonic in ("jmp", "call"):
        [operand] = instruction.operands
        if operand.type == x86.X86_OP_REG:
            target = words[_PLACES[instruction.reg_name(operand.reg)]]
        elif operand.type == x86.X86_OP_MEM:
            target = word_at(_linear(instruction, operand, words))
    return target is not None and not _is_canonical(target)


def _loads_segment(instruction: Any) -> bool:
    if instruction.mnemonic not in ("mov", "pop") or instruction.operands[0].type != x86.X86_OP_REG:
        return False
    return instruction.reg_name(instruction.operands[0].reg) in _SEGMENT_REGISTERS


def _by_operands(instruction: Any, words: memoryview, bits: int) -> str | None:
    for operand in instruction.operands:
        if operand.type != x86.X86_OP_MEM:
            continue
        address = _linear(instruction, operand, words)
        if bits == 64 and not _is_canonical(address):
            return "non-canonical address"
        if address % _alignment(instruction.mnemonic, int(operand.size)):
            return "misaligned vector"
    return None


def _alignment(name: str, size: int) -> int:
    """Return what the address of a memory operand must be a multiple of."""
    if name in _ALIGNMENTS:
        return _ALIGNMENTS[name]
    if name.startswith(("xsave", "xrstor")):
        return 64
    if name.startswith(_ALIGNED_AS_WIDE):
        return size
    return 16 if size == 16 and not name.startswith(_UNALIGNED) else 1


def _linear(instruction: Any, operand: Any, words: memoryview) -> int:
    """Return the address that an operand names, the segment's base included."""
    address = effective_address(instruction, operand, words)
    if address is not None:
        return address
    memory = operand.mem
    total = memory.disp + _register(instruction, memory.base, words)
    total += _register(instruction, memory.index, words) * memory.scale
    base = words[_PLACES[_BASES[name]]] if (name := instruction.reg_name(memory.segment)) in _BASES else 0
    return int(base + (total & (1 << 8 * instruction.addr_size) - 1)) & (1 << 64) - 1


def _register(instruction: Any, number: int, words: memoryview) -> int:
    """Return a general register's value; 0 for none, and for the vector of a gather."""
    name = instruction.reg_name(number) if number else ""
    index = _PLACES.get("r" + name[1:] if name.startswith("e") else name)
    return 0 if index is None else int(words[index])


def _is_canonical(address: int) -> bool:
    """Whether bits 47 to 63 are alike. With five-level page tables bit 56 takes the place of bit 47."""
    return address >> 47 in (0, 0x1FFFF)


def access_to(address: int, code: bytes, ip: int, words: memoryview, architecture: Architecture = NATIVE) -> str | None:
    """Return whether the instruction *code* writes, reads or jumps (exec) to *address*; None when undecidable."""
    if address == ip:
        return "exec"
    if architecture is AARCH64:
        return access_of(code, ip, architecture)
    instruction = decode(code, ip, architecture)
    if instruction is None:
        return None
    memory = [operand for operand in instruction.operands if operand.type == x86.X86_OP_MEM]
    if len(memory) < 2 and not (memory and instruction.mnemonic in _ALSO_ON_STACK):
        return access_of(code, ip, architecture)
    for operand in memory:
        start = _linear(instruction, operand, words)
        if start <= address < start + int(operand.size):
            return "write" if operand.access & capstone.CS_AC_WRITE else "read"
    if _is_on_stack(address, words):
        return "read" if instruction.mnemonic == "pop" else "write"
    return None


def _is_on_stack(address: int, words: memoryview) -> bool:
    sp = words[_RSP]
    return bool(sp - X86_64.word <= address < sp + X86_64.word)
