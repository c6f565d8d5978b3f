"""i386 programs under x86-64's kernel (System V ABI, Intel386 supplement; arch/x86/entry of Linux 6.18).

The kernel hands their registers to a 64-bit tracer as it does those of 64-bit programs, in the lower halves.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from observer.arch.architecture import DwarfNumbers, Gate, SystemCalls
from observer.arch.x86_64 import X86_64

__all__ = ["I386"]

_REGISTERS: Final = X86_64.registers

I386: Final = replace(
    X86_64,
    name="i386",
    word=4,
    elf_machine="EM_386",
    irelative=42,
    capstone=("CS_ARCH_X86", "CS_MODE_32"),
    registers=replace(_REGISTERS, arguments=()),  # all on the stack
    calls=SystemCalls(
        audit=0x40000003,
        # AMD's processors have `syscall` for it, too (vdso32/system_call.S).
        gates=(Gate("int80", b"\xcd\x80"), Gate("sysenter", b"\x0f\x34"), Gate("syscall", b"\x0f\x05")),
        asked=_REGISTERS.places["rax"],
        number=_REGISTERS.places["orig_rax"],
        arguments=tuple(_REGISTERS.places[name] for name in ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp")),
        result=_REGISTERS.places["rax"],
        numbers=MappingProxyType({"clone": 120, "execve": 11, "execveat": 358, "clone3": 435}),
    ),
    dwarf=DwarfNumbers(sp=4, fp=5, kept=3),
    red_zone=0,
)
