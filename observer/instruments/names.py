"""System-call names for those who may not touch Linux themselves."""

from __future__ import annotations

from observer.arch.known import SERVED
from observer.code.arguments import decode
from observer.code.captures import KINDS
from observer.code.prototypes import arity_of, families
from observer.code.syscalls import name_of, table
from observer.model.selection import MEMORY_CALLS

__all__ = ["KINDS", "all_families", "all_names", "arity_of", "decode", "name_of"]


def all_names() -> frozenset[str]:
    """Return every system-call name that -e may name, also those of the memory class that this machine may lack."""
    return MEMORY_CALLS.union(*(table(each.calls.audit).values() for each in SERVED))


def all_families() -> dict[str, frozenset[str]]:
    """Return the classes of system calls that -e may name: file, network, process, signal."""
    return families(all_names())
