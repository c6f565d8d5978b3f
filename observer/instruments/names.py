"""System-call names for those who may not touch Linux themselves."""

from __future__ import annotations

from typing import Final

from observer.linux.seccomp import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64
from observer.linux.syscalls import arity_of, name_of, table
from observer.model.selection import MEMORY_CALLS

__all__ = ["GATES", "NATIVE", "all_names", "arity_of", "name_of"]

NATIVE: Final = AUDIT_ARCH_X86_64
"""The architecture value of ordinary calls on this machine."""

GATES: Final = {AUDIT_ARCH_X86_64: "syscall", AUDIT_ARCH_I386: "int80"}
"""The instruction that enters the kernel for each architecture value."""


def all_names() -> frozenset[str]:
    """Return every system-call name that -e may name, also those of the memory class that this machine may lack."""
    return frozenset(table(AUDIT_ARCH_X86_64).values()) | frozenset(table(AUDIT_ARCH_I386).values()) | MEMORY_CALLS
