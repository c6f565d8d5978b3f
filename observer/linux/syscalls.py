"""System-call names and numbers, from python-ptrace's tables, completed for calls newer than Linux 5.8."""

from __future__ import annotations

from functools import cache
from typing import Final

from ptrace.syscall.linux.i386 import SYSCALL_NAMES as _I386
from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES as _X86_64
from ptrace.syscall.prototypes import SYSCALL_PROTOTYPES

from observer.linux.seccomp import AUDIT_ARCH_I386

__all__ = ["arity_of", "name_of", "numbers_of", "table"]

# arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.18; from 424 on, both tables share the numbers.
_NEWER: Final = {
    439: "faccessat2", 440: "process_madvise", 441: "epoll_pwait2", 442: "mount_setattr", 443: "quotactl_fd",
    444: "landlock_create_ruleset", 445: "landlock_add_rule", 446: "landlock_restrict_self",
    447: "memfd_secret", 448: "process_mrelease", 449: "futex_waitv", 450: "set_mempolicy_home_node",
    451: "cachestat", 452: "fchmodat2", 453: "map_shadow_stack", 454: "futex_wake", 455: "futex_wait",
    456: "futex_requeue", 457: "statmount", 458: "listmount", 459: "lsm_get_self_attr",
    460: "lsm_set_self_attr", 461: "lsm_list_modules", 462: "mseal", 463: "setxattrat", 464: "getxattrat",
    465: "listxattrat", 466: "removexattrat", 467: "open_tree_attr",
}  # fmt: skip


@cache
def table(arch: int) -> dict[int, str]:
    """Return number to name for *arch* (an AUDIT_ARCH value)."""
    if arch == AUDIT_ARCH_I386:
        return {**_NEWER, **_I386}
    return {**_NEWER, **{number: name for number, name in _X86_64.items() if number < 512}}


def name_of(number: int, arch: int) -> str:
    """Return the name of a call, or `syscall_0x…` for a number no table has."""
    return table(arch).get(number & ~0x40000000, f"syscall_{number:#x}")


def numbers_of(names: frozenset[str], arch: int) -> frozenset[int]:
    """Return the numbers of those *names* that exist on *arch*."""
    return frozenset(number for number, name in table(arch).items() if name in names)


_NEWER_ARITY: Final = {"process_madvise": 5, "mseal": 3, "map_shadow_stack": 3, "clone3": 2, "pkey_mprotect": 4}


def arity_of(name: str) -> int:
    """Return how many arguments the call *name* takes; 6, all the registers, where no table knows.

    >>> arity_of("brk"), arity_of("mmap")
    (1, 6)
    """
    prototype = SYSCALL_PROTOTYPES.get(name)
    return len(prototype[1]) if prototype is not None else _NEWER_ARITY.get(name, 6)
