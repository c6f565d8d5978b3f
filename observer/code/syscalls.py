"""System-call names and numbers: the kernel's own tables (the package system-calls), with the calls it has dropped."""

from __future__ import annotations

from functools import cache
from typing import Final

import system_calls
from ptrace.syscall.linux.i386 import SYSCALL_NAMES as _OLD_I386
from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES as _OLD_X86_64

from observer.arch.aarch64 import AARCH64
from observer.arch.i386 import I386
from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64

__all__ = ["name_of", "numbers_of", "table"]

# Two names that mean another call elsewhere: i386's oldest select and mmap take one pointer to all their arguments.
_RENAMED: Final = {82: "old_select", 90: "old_mmap"}

_X86_64: Final = ("x86_64", _OLD_X86_64, dict[int, str]())
_TABLES: Final = {
    X86_64.calls.audit: _X86_64, I386.calls.audit: ("i386", _OLD_I386, _RENAMED),
    AARCH64.calls.audit: ("arm64", dict[int, str](), dict[int, str]()),
}  # fmt: skip
"""Of each architecture: what the package calls it, what older kernels had, and whose names are others here."""


@cache
def table(arch: int) -> dict[int, str]:
    """Return number to name for *arch* (an AUDIT_ARCH value), x86-64's for one that is not known."""
    name, old, renamed = _TABLES.get(arch, _X86_64)
    kernels: dict[int, str] = system_calls.syscalls().load_reverse_arch_table(name)
    return {**_lacking(old, kernels), **kernels, **renamed}


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
