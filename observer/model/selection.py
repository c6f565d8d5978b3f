"""What to observe: the grammar of -e, as strace has it.

`-e trace=memory` is the default; `trace=all`, `trace=none`, a class (`file`, `network`, `process`, `signal`) and
`trace=brk,mmap` choose system calls. The words `calls`, `faults` and `residency` choose instruments: if a list names
one, only the named ones run. `library` adds the calls that the program makes into its libraries, `kernel` what the
kernel does for each page fault and system call, `bcc` that and a second witness of it. `!` before a list takes its
members away from the default.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from observer.errors import UsageError

__all__ = ["INSTRUMENTS", "MEMORY_CALLS", "OPTIONAL", "VDSO_CALLS", "Selection", "are_all_memory_calls", "parse"]

INSTRUMENTS: Final = ("calls", "faults", "residency")
OPTIONAL: Final = ("library", "kernel", "bcc")
"""Instruments that run only where they are named, beside the others."""

MEMORY_CALLS: Final = frozenset(
    [
        "brk",
        "mmap",
        "mmap2",
        "old_mmap",
        "munmap",
        "mremap",
        "mprotect",
        "pkey_mprotect",
        "madvise",
        "process_madvise",
        "mlock",
        "mlock2",
        "munlock",
        "mlockall",
        "munlockall",
        "msync",
        "mincore",
        "mbind",
        "set_mempolicy",
        "get_mempolicy",
        "set_mempolicy_home_node",
        "migrate_pages",
        "move_pages",
        "remap_file_pages",
        "shmat",
        "shmdt",
        "io_setup",
        "io_destroy",
        "map_shadow_stack",
        "mseal",
    ]
)
"""The calls strace knows as %memory (strace(1)), and those newer than it."""

VDSO_CALLS: Final = frozenset(
    {"clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday", "time", "getcpu", "getrandom"}
)
"""The system calls whose question the vDSO may answer without entering the kernel (vdso(7))."""

_CLASSES: Final = {"memory": MEMORY_CALLS, "none": frozenset[str]()}
_NO_FAMILIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})


class Selection(msgspec.Struct, frozen=True):
    """The system calls (`None`: all) and the instruments that were asked for; `text` as it was written."""

    syscalls: frozenset[str] | None = MEMORY_CALLS
    instruments: frozenset[str] = frozenset(INSTRUMENTS)
    text: str = "trace=memory"

    @property
    def sees_vdso(self) -> bool:
        """Whether questions that the vDSO answers are among those asked for: they would be system calls elsewhere."""
        return self.syscalls is None or bool(self.syscalls & VDSO_CALLS)

    @property
    def has_all_memory_calls(self) -> bool:
        """Whether every call that changes mappings is among them, so that the address space can be replayed."""
        return are_all_memory_calls(self.syscalls)


def are_all_memory_calls(names: Collection[str] | None) -> bool:
    """Whether every call that changes mappings is among *names* of system calls (None: all that there are)."""
    return names is None or frozenset(names) >= MEMORY_CALLS


def parse(expression: str, known: frozenset[str], families: Mapping[str, frozenset[str]] = _NO_FAMILIES) -> Selection:
    """Return the selection that *expression* means.

    *known* are the names of existing system calls, *families* the further classes of them (`file`, `network` …).

    >>> parse("trace=brk,mmap", frozenset({"brk", "mmap"})).syscalls == {"brk", "mmap"}
    True
    >>> sorted(parse("!faults", frozenset()).instruments)
    ['calls', 'residency']

    Raises:
        UsageError: a word is neither a system call nor a class nor an instrument.
    """
    body = expression.removeprefix("trace=")
    negated = body.startswith("!")
    words = [word.removeprefix("%") for word in body.removeprefix("!").split(",") if word]
    if not words:
        raise UsageError(
            f"-e {expression!r} names nothing", "", "-e trace=memory, -e trace=brk,mmap or -e calls,faults"
        )
    classes = {**families, **_CLASSES}
    instruments = frozenset(word for word in words if word in INSTRUMENTS)
    optional = frozenset(word for word in words if word in OPTIONAL)
    optional |= {"kernel"} if "bcc" in optional else frozenset()
    syscalls: frozenset[str] | None = frozenset()
    for word in words:
        if word in (*INSTRUMENTS, *OPTIONAL):
            continue
        if word == "all":
            syscalls = None
        elif word in classes:
            syscalls = syscalls if syscalls is None else syscalls | classes[word]
        elif word in known:
            syscalls = syscalls if syscalls is None else syscalls | {word}
        else:
            raise UsageError(
                f"-e {expression!r}: {word!r} is neither a system call nor a class nor an instrument",
                "",
                f"system calls by name, all, {', '.join([*classes, *INSTRUMENTS, *OPTIONAL])}",
            )
    names_syscalls = any(word not in (*INSTRUMENTS, *OPTIONAL) for word in words)
    default = Selection()
    if negated:
        taken = MEMORY_CALLS if syscalls is None else syscalls
        return Selection(MEMORY_CALLS - taken, default.instruments - instruments, expression)
    chosen = (instruments or default.instruments) | optional
    return Selection(syscalls if names_syscalls else default.syscalls, chosen, expression)
