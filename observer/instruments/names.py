"""System-call names for those who may not touch Linux themselves."""

from __future__ import annotations

from typing import Final

from observer.linux.arguments import decode
from observer.linux.captures import KINDS
from observer.linux.prototypes import arity_of, families
from observer.linux.seccomp import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64
from observer.linux.syscalls import name_of, table
from observer.model.selection import MEMORY_CALLS

__all__ = ["GATES", "KINDS", "all_families", "all_names", "arity_of", "decode", "name_of"]

GATES: Final = ("syscall", "int80", "sysenter")
"""The instructions that enter the kernel. Which one it was stands in each record's flags, from bit 8 on."""


def all_names() -> frozenset[str]:
    """Return every system-call name that -e may name, also those of the memory class that this machine may lack."""
    return frozenset(table(AUDIT_ARCH_X86_64).values()) | frozenset(table(AUDIT_ARCH_I386).values()) | MEMORY_CALLS


def all_families() -> dict[str, frozenset[str]]:
    """Return the classes of system calls that -e may name: file, network, process, signal."""
    return families(all_names())
