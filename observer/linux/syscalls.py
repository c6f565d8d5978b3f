"""System-call names and numbers: the kernel's own tables (the package system-calls), with the calls it has dropped."""

from __future__ import annotations

from functools import cache
from typing import Final

import system_calls
from ptrace.syscall.linux.i386 import SYSCALL_NAMES as _OLD_I386
from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES as _OLD_X86_64

from observer.arch.i386 import I386
from observer.arch.known import NATIVE

__all__ = ["name_of", "numbers_of", "table"]

# Two names that mean another call elsewhere: i386's oldest select and mmap take one pointer to all their arguments.
_RENAMED: Final = {82: "old_select", 90: "old_mmap"}


def _kernels(arch: str) -> dict[int, str]:
    names: dict[int, str] = system_calls.syscalls().load_reverse_arch_table(arch)
    return names


@cache
def table(arch: int) -> dict[int, str]:
    """Return number to name for *arch* (an AUDIT_ARCH value)."""
    if arch == I386.calls.audit:
        return {**_lacking(_OLD_I386, _kernels("i386")), **_kernels("i386"), **_RENAMED}
    return {**_lacking(_OLD_X86_64, _kernels("x86_64")), **_kernels("x86_64")}


def _lacking(old: dict[int, str], known: dict[int, str]) -> dict[int, str]:
    """Return what *old* knows of numbers and names that *known* has not: calls that newer kernels dropped."""
    names = frozenset(known.values())
    return {number: name for number, name in old.items() if number < 512 and number not in known and name not in names}


def name_of(number: int, arch: int) -> str:
    """Return the name of a call, or `syscall_0x…` for a number no table has."""
    return table(arch).get(number & ~NATIVE.calls.variant, f"syscall_{number:#x}")


def numbers_of(names: frozenset[str], arch: int) -> frozenset[int]:
    """Return the numbers of those *names* that exist on *arch*."""
    return frozenset(number for number, name in table(arch).items() if name in names)
