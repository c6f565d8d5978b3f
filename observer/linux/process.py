"""Small questions and wishes about processes that Python's os module lacks: prctl, personality, kcmp, execve (2)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.libc import check, libc, libc_quick

__all__ = ["avoid_huge_pages", "descriptor_of", "execute", "shares_memory", "stop_randomizing"]

_PR_SET_THP_DISABLE: Final = 41
_ADDR_NO_RANDOMIZE: Final = 0x0040000
_SYS_KCMP, _SYS_PIDFD_GETFD = NATIVE.numbers("kcmp", "pidfd_getfd")
_KCMP_VM: Final = 1


def avoid_huge_pages() -> None:
    """Have no transparent huge pages in this process and in what it execs (Linux 3.15)."""
    libc.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def stop_randomizing() -> None:
    """Turn address randomisation off for the programs that this process execs; a container may refuse silently."""
    libc.personality(ctypes.c_ulong(_ADDR_NO_RANDOMIZE))


def execute(path: str, argv: Sequence[str], environment: Sequence[bytes]) -> None:
    """Become the program *path*: execve(2), with an environment of any strings, of which os.execve takes pairs only.

    Raises:
        OSError: the kernel refuses.
    """
    words = [os.fsencode(word) for word in argv]
    check(libc.execve(os.fsencode(path), _vector(words), _vector(environment)), f"cannot run {path}")


def _vector(words: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """Return *words* as execve(2) takes them: pointers, a null pointer behind the last."""
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


def descriptor_of(pid: int, descriptor: int) -> int:
    """Return a descriptor of ours for what a process that we trace has open as *descriptor* (pidfd_getfd(2)).

    Raises:
        OSError: it has none such, forbids it, or the kernel is older than Linux 5.6.
    """
    process = os.pidfd_open(pid)
    try:
        found: int = libc.syscall(
            ctypes.c_long(_SYS_PIDFD_GETFD), ctypes.c_long(process), ctypes.c_long(descriptor), ctypes.c_long(0)
        )
        return check(found, "its descriptor cannot be had")
    finally:
        os.close(process)


def shares_memory(tid: int, other: int) -> bool | None:
    """Return whether two tasks have one address space; None where kcmp is not allowed."""
    zero = ctypes.c_long(0)
    same = libc_quick["syscall"](
        ctypes.c_long(_SYS_KCMP), ctypes.c_long(tid), ctypes.c_long(other), ctypes.c_long(_KCMP_VM), zero, zero
    )
    return None if same < 0 else bool(same == 0)
