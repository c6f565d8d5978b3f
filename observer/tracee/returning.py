"""Where a call returns to: on top of the stack, as x86 has it, or in a register (AArch64's x30), perhaps signed."""

from __future__ import annotations

from typing import Final

from observer.arch.known import NATIVE
from observer.tracee.memory import Memory

__all__ = ["IN_REGISTER", "return_address_at_entry"]

_REGISTERS: Final = NATIVE.registers
_IP, _SP = _REGISTERS.ip, _REGISTERS.sp
IN_REGISTER: Final = _REGISTERS.return_address
"""The place of the register that a call leaves its return address in; None: it is pushed."""


def return_address_at_entry(memory: Memory, words: memoryview, sp: int) -> int:
    """Return where the call that a task has just made returns to, its stack pointer having been *sp*.

    Raises:
        OSError: the stack cannot be read.
    """
    if IN_REGISTER is None:
        return memory.read_word(sp)
    return NATIVE.unsigned(words[IN_REGISTER], words[_IP], words[_SP])
