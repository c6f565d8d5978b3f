"""What the processor and the kernel let programs do, as the kernel tells them (getauxval(3))."""

from __future__ import annotations

import struct
from typing import Final

from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64

__all__ = ["programs_read_thread_base"]

_AT_HWCAP2: Final = 26
_FSGSBASE: Final = 1 << 1  # HWCAP2_FSGSBASE, asm/hwcap2.h of x86 (Linux 5.9)


def programs_read_thread_base() -> bool:
    """Whether a program may read its thread's base by an instruction of its own: on x86-64 RDFSBASE, of %fs."""
    if NATIVE is not X86_64:
        return True  # TPIDR_EL0 is a program's own register
    try:
        with open("/proc/self/auxv", "rb") as file:
            words = struct.iter_unpack("=QQ", file.read())
    except (OSError, struct.error):
        return False
    return bool(dict(words).get(_AT_HWCAP2, 0) & _FSGSBASE)
