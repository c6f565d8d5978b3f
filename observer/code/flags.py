"""The numbers in a system call's arguments by their names: flags, advice, socket types, signals.

Which argument is what comes from the kernel's prototypes (`prototypes`); the names from python-ptrace's tables and from
Python's own modules (mmap, os, socket …), which take them from the machine's headers.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import select
import socket
import termios
import time
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Final

from ptrace.syscall.linux_constants import SIGPROCMASK_HOW
from ptrace.syscall.posix_arg import ACCESS_MODE_BITMASK, CLONE_FLAGS_BITMASK
from ptrace.syscall.posix_constants import SYSCALL_ARG_DICT
from ptrace.syscall.socketcall_constants import SOCKETCALL as _SOCKETCALL

from observer.code.prototypes import Parameter, parameters_of
from observer.model.memory_calls import MMAP2_UNIT
from observer.model.signals import name_of_signal

__all__ = ["SOCKET_CALLS", "family_name", "fcntl_argument", "formatters_of", "plain"]

SOCKET_CALLS: Final[dict[int, str]] = _SOCKETCALL
"""What the first argument of i386's socketcall(2) chooses."""

_MASK_32: Final = 0xFFFF_FFFF
_AT_FDCWD: Final = -100

Formatter = Callable[[int], str]
Names = Mapping[int, str]


def _constants(module: ModuleType, prefix: str, without: tuple[str, ...] = ()) -> dict[int, str]:
    """Return value to name of a module's integer constants that begin with *prefix*; the shortest name wins."""
    names = [name for name in dir(module) if name.startswith(prefix) and not name.startswith(without)]
    names = [name for name in names if isinstance(getattr(module, name), int)]
    return {int(getattr(module, name)): name for name in sorted(names, key=lambda name: (-len(name), name))}


def _flags(names: Names, zero: str = "0") -> Formatter:
    """Return a formatter of bits that may be combined; what has no name is added in hex."""
    ordered = sorted(((bits, name) for bits, name in names.items() if bits > 0), key=lambda item: -item[0].bit_count())

    def text(value: int) -> str:
        found, left = [], value
        for bits, name in ordered:
            if left & bits == bits:
                found.append((bits, name))
                left &= ~bits
        words = [name for _bits, name in sorted(found)]
        return "|".join(words + ([hex(left)] if left else [])) or zero

    return text


def _choice(names: Names) -> Formatter:
    return lambda value: names.get(value, plain(value))


def plain(value: int) -> str:
    """Write a word that no table knows: small ones as they are, others in hex."""
    return str(value) if value < 10 else hex(value)


def _signed(value: int) -> str:
    value &= _MASK_32
    return str(value - (1 << 32) if value >> 31 else value)


def _unsigned(value: int) -> str:
    return str(value & _MASK_32)


def _long(value: int) -> str:
    return str(value - (1 << 64) if value >> 63 else value)


def _pointer(value: int) -> str:
    return hex(value) if value else "NULL"


def _octal(value: int) -> str:
    return f"0{value & 0o7777:o}" if value else "0"


def _directory(value: int) -> str:
    return "AT_FDCWD" if _signed(value) == str(_AT_FDCWD) else _signed(value)


# asm-generic/mman.h and asm/mman.h: what Python's mmap does not name.
_MAP: Final = {
    **_constants(mmap, "MAP_", ("MAP_ANON", "MAP_TYPE")), 0x20: "MAP_ANONYMOUS", 0x10: "MAP_FIXED", 0x40: "MAP_32BIT",
    0x100: "MAP_GROWSDOWN", 0x2000: "MAP_LOCKED", 0x4000: "MAP_NORESERVE", 0x8000: "MAP_POPULATE",
    0x10000: "MAP_NONBLOCK", 0x20000: "MAP_STACK", 0x40000: "MAP_HUGETLB", 0x80000: "MAP_SYNC",
    0x100000: "MAP_FIXED_NOREPLACE",
}  # fmt: skip
_MAP_BITS: Final = _flags({bits: name for bits, name in _MAP.items() if bits > 3}, "")
_PROT: Final = _flags(_constants(mmap, "PROT_"), "PROT_NONE")
_MREMAP: Final = _flags({1: "MREMAP_MAYMOVE", 2: "MREMAP_FIXED", 4: "MREMAP_DONTUNMAP"})
_AT: Final = {
    0x100: "AT_SYMLINK_NOFOLLOW", 0x200: "AT_REMOVEDIR", 0x400: "AT_SYMLINK_FOLLOW",
    0x800: "AT_NO_AUTOMOUNT", 0x1000: "AT_EMPTY_PATH",
}  # fmt: skip
_ARCH: Final = {
    0x1001: "ARCH_SET_GS", 0x1002: "ARCH_SET_FS", 0x1003: "ARCH_GET_FS", 0x1004: "ARCH_GET_GS",
    0x3001: "ARCH_CET_STATUS",
}  # fmt: skip
# linux/prctl.h: those that ordinary programs use.
_PRCTL: Final = {
    1: "PR_SET_PDEATHSIG", 3: "PR_GET_DUMPABLE", 4: "PR_SET_DUMPABLE", 15: "PR_SET_NAME", 16: "PR_GET_NAME",
    21: "PR_GET_SECCOMP", 22: "PR_SET_SECCOMP", 23: "PR_CAPBSET_READ", 36: "PR_SET_CHILD_SUBREAPER",
    38: "PR_SET_NO_NEW_PRIVS", 39: "PR_GET_NO_NEW_PRIVS", 41: "PR_SET_THP_DISABLE", 42: "PR_GET_THP_DISABLE",
    0x53564D41: "PR_SET_VMA",
}  # fmt: skip
# O_LARGEFILE is 0 for Python on 64-bit machines; an i386 program passes it.
_ACCESS_MODE: Final = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
_OTHER_NAMES: Final = ("O_RSYNC", "O_NDELAY", "O_FSYNC")
_OPEN_BITS: Final = _flags({**_constants(os, "O_", (*_ACCESS_MODE, *_OTHER_NAMES)), 0o100000: "O_LARGEFILE"}, "")
_SOCKET_BITS: Final = int(socket.SOCK_CLOEXEC) | int(socket.SOCK_NONBLOCK)


def _open_flags(value: int) -> str:
    rest = _OPEN_BITS(value & ~3)
    return _ACCESS_MODE[value & 3] + (f"|{rest}" if rest else "")


def _socket_type(value: int) -> str:
    kind = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET", 6: "SOCK_DCCP"}.get(
        value & 0xF, str(value & 0xF)
    )
    extra = _SOCKET_FLAGS(value & _SOCKET_BITS)
    return kind + (f"|{extra}" if extra else "")


def _map_flags(value: int) -> str:
    kind = {1: "MAP_SHARED", 2: "MAP_PRIVATE", 3: "MAP_SHARED_VALIDATE"}.get(value & 3, "0")
    rest = _MAP_BITS(value & ~3)
    return kind + (f"|{rest}" if rest else "")


def _clone_flags(value: int) -> str:
    bits = _flags(dict(CLONE_FLAGS_BITMASK), "")(value & ~0xFF)
    ending = name_of_signal(value & 0xFF) if value & 0xFF else ""
    return "|".join(part for part in (bits, ending) if part) or "0"


_FUTEX: Final[dict[int, str]] = {
    **SYSCALL_ARG_DICT["futex"]["op"], 9: "FUTEX_WAIT_BITSET", 10: "FUTEX_WAKE_BITSET", 11: "FUTEX_WAIT_REQUEUE_PI",
    12: "FUTEX_CMP_REQUEUE_PI",
}  # fmt: skip


def _futex(value: int) -> str:
    operation = _FUTEX.get(value & 0x7F, str(value & 0x7F))
    return operation + ("_PRIVATE" if value & 128 else "") + ("|FUTEX_CLOCK_REALTIME" if value & 256 else "")


def _signal_name(value: int) -> str:
    return name_of_signal(value) if value else "0"


_MSG: Final = _flags({
    **_constants(socket, "MSG_"), 0x10: "MSG_PROBE", 0x200: "MSG_FIN", 0x400: "MSG_SYN", 0x1000: "MSG_RST",
})  # fmt: skip
_DOMAIN: Final = _choice(
    {**SYSCALL_ARG_DICT["socket"]["domain"], **_constants(socket, "AF_"), 1: "AF_UNIX", 16: "AF_NETLINK"}
)
_LEVEL: Final = _choice({**_constants(socket, "SOL_"), 0: "SOL_IP", 1: "SOL_SOCKET"})
_SOCKET_FLAGS: Final = _flags(
    {int(socket.SOCK_CLOEXEC): "SOCK_CLOEXEC", int(socket.SOCK_NONBLOCK): "SOCK_NONBLOCK"}, ""
)
_CLOCK: Final = _choice({
    **_constants(time, "CLOCK_"), 5: "CLOCK_REALTIME_COARSE", 6: "CLOCK_MONOTONIC_COARSE", 8: "CLOCK_REALTIME_ALARM",
    9: "CLOCK_BOOTTIME_ALARM",
})  # fmt: skip
_ADVICE: Final = _choice({
    **_constants(mmap, "MADV_"), 18: "MADV_WIPEONFORK", 19: "MADV_KEEPONFORK", 20: "MADV_COLD", 21: "MADV_PAGEOUT",
    22: "MADV_POPULATE_READ", 23: "MADV_POPULATE_WRITE", 24: "MADV_DONTNEED_LOCKED", 25: "MADV_COLLAPSE",
})  # fmt: skip
# Not the kinds of locks and seals, nor lockf's commands, which have numbers of their own.
_FCNTL: Final = _choice(_constants(fcntl, "F_", (
    "F_RDLCK", "F_WRLCK", "F_UNLCK", "F_EXLCK", "F_SHLCK", "F_OK", "F_LOCK", "F_TLOCK", "F_ULOCK", "F_TEST", "F_SEAL_",
)))  # fmt: skip
_PIPE_FLAGS: Final = _flags({**_constants(os, "O_", (*_ACCESS_MODE, *_OTHER_NAMES)), 0o100000: "O_LARGEFILE"})
_PROTOCOL: Final = _choice({6: "IPPROTO_TCP", 17: "IPPROTO_UDP", 1: "IPPROTO_ICMP"})
_FADVICE: Final = _choice(_constants(os, "POSIX_FADV_"))
_STATX: Final = _flags({
    **{1 << bit: f"STATX_{name}" for bit, name in enumerate(
        ("TYPE", "MODE", "NLINK", "UID", "GID", "ATIME", "MTIME", "CTIME", "INO", "SIZE", "BLOCKS", "BTIME", "MNT_ID")
    )},
    0x7FF: "STATX_BASIC_STATS",
})  # fmt: skip
_RESOURCE: Final = _choice({**_constants(resource, "RLIMIT_", ("RLIMIT_OFILE",)), 10: "RLIMIT_LOCKS"})
_WHENCE: Final = _choice({**SYSCALL_ARG_DICT["lseek"]["origin"], 3: "SEEK_DATA", 4: "SEEK_HOLE"})
_ACCESS: Final = _flags(dict(ACCESS_MODE_BITMASK), "F_OK")
_AT_FLAGS: Final = _flags(_AT)
_ACCESS_AT: Final = _flags({**_AT, 0x200: "AT_EACCESS"})

_BY_PLACE: Final[dict[tuple[str, str], Formatter]] = {
    ("open", "flags"): _open_flags, ("openat", "flags"): _open_flags, ("open", "mode"): _octal,
    ("mmap", "prot"): _PROT, ("mmap", "flags"): _map_flags, ("mmap2", "prot"): _PROT, ("mmap2", "flags"): _map_flags,
    ("mmap", "len"): str, ("mmap2", "len"): str, ("mmap2", "pgoff"): lambda pages: plain(pages * MMAP2_UNIT),
    ("mprotect", "prot"): _PROT, ("pkey_mprotect", "prot"): _PROT, ("munmap", "len"): str, ("mprotect", "len"): str,
    ("madvise", "behavior"): _ADVICE, ("process_madvise", "behavior"): _ADVICE,
    ("mremap", "flags"): _MREMAP, ("mremap", "old_len"): str, ("mremap", "new_len"): str,
    ("socket", "domain"): _DOMAIN, ("socket", "type"): _socket_type,
    ("socketpair", "domain"): _DOMAIN, ("socketpair", "type"): _socket_type,
    ("accept4", "flags"): _SOCKET_FLAGS,
    ("sendto", "flags"): _MSG, ("recvfrom", "flags"): _MSG, ("sendmsg", "flags"): _MSG, ("recvmsg", "flags"): _MSG,
    ("setsockopt", "level"): _LEVEL, ("getsockopt", "level"): _LEVEL,
    ("socket", "protocol"): _PROTOCOL, ("socketpair", "protocol"): _PROTOCOL,
    ("getrusage", "who"): _choice({0: "RUSAGE_SELF", 1: "RUSAGE_THREAD", _MASK_32: "RUSAGE_CHILDREN"}),
    ("fadvise64", "advice"): _FADVICE, ("fadvise64_64", "advice"): _FADVICE, ("statx", "mask"): _STATX,
    ("shutdown", "how"): _choice({0: "SHUT_RD", 1: "SHUT_WR", 2: "SHUT_RDWR"}),
    ("clone", "flags"): _clone_flags, ("futex", "op"): _futex,
    ("fcntl", "cmd"): _FCNTL, ("fcntl64", "cmd"): _FCNTL,
    ("ioctl", "cmd"): _choice({**_constants(termios, "TC", ("TCS",)), **_constants(termios, "TIO")}),
    ("lseek", "whence"): _WHENCE, ("_llseek", "whence"): _WHENCE, ("access", "mode"): _ACCESS,
    ("faccessat", "mode"): _ACCESS, ("faccessat2", "mode"): _ACCESS, ("faccessat2", "flags"): _ACCESS_AT,
    ("newfstatat", "flag"): _AT_FLAGS, ("fstatat64", "flag"): _AT_FLAGS, ("statx", "flags"): _AT_FLAGS,
    ("unlinkat", "flag"): _AT_FLAGS, ("linkat", "flags"): _AT_FLAGS,
    ("renameat2", "flags"): _flags({1: "RENAME_NOREPLACE", 2: "RENAME_EXCHANGE", 4: "RENAME_WHITEOUT"}),
    ("prlimit64", "resource"): _RESOURCE, ("getrlimit", "resource"): _RESOURCE, ("setrlimit", "resource"): _RESOURCE,
    ("ugetrlimit", "resource"): _RESOURCE, ("arch_prctl", "option"): _choice(_ARCH),
    ("rt_sigprocmask", "how"): _choice(SIGPROCMASK_HOW), ("rt_sigaction", "signum"): _signal_name,
    ("kill", "sig"): _signal_name, ("tkill", "sig"): _signal_name, ("tgkill", "sig"): _signal_name,
    ("pipe2", "flags"): _PIPE_FLAGS, ("dup3", "flags"): _PIPE_FLAGS, ("dup", "fildes"): _signed,
    ("brk", "brk"): _pointer,
    ("getrandom", "flags"): _flags({1: "GRND_NONBLOCK", 2: "GRND_RANDOM"}),
    ("wait4", "options"): _flags({1: "WNOHANG", 2: "WUNTRACED", 8: "WCONTINUED", 1 << 30: "__WALL"}),
    ("epoll_ctl", "op"): _choice({1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD"}),
    ("epoll_create1", "flags"): _flags({int(select.EPOLL_CLOEXEC): "EPOLL_CLOEXEC"}),
    ("socketcall", "call"): _choice({number: f"SYS_{name.upper()}" for number, name in _SOCKETCALL.items()}),
    ("prctl", "option"): _choice(_PRCTL), ("clone3", "size"): str, ("rseq", "sig"): hex,
}  # fmt: skip
"""By call and argument's name."""

_BY_NAME: Final[dict[str, Formatter]] = {
    **dict.fromkeys(("dfd", "dirfd", "olddfd", "newdfd"), _directory), "fd": _signed,
    "oldfd": _signed, "newfd": _signed,
}  # fmt: skip
_BY_TYPE: Final[dict[str, Formatter]] = {
    "int": _signed, "pid_t": _signed, "unsigned int": _unsigned, "unsigned": _unsigned, "u32": _unsigned,
    "size_t": str, "off_t": _long, "loff_t": _long, "long": _long, "umode_t": _octal, "uid_t": _signed,
    "gid_t": _signed, "clockid_t": _CLOCK,
}  # fmt: skip


@cache
def formatters_of(name: str) -> tuple[Formatter, ...] | None:
    """Return how to write each argument of the call *name*; None where no table knows the call."""
    parameters = parameters_of(name)
    return None if parameters is None else tuple(_formatter(name, parameter) for parameter in parameters)


def _formatter(name: str, parameter: Parameter) -> Formatter:
    kind, word = parameter
    if (name, word) in _BY_PLACE:
        return _BY_PLACE[name, word]
    if word in _BY_NAME:
        return _BY_NAME[word]
    return _BY_TYPE.get(kind, _pointer if kind.endswith(("*", "]")) or word in ("addr", "start") else plain)


def fcntl_argument(command: str) -> Formatter | None:
    """Return how to write the third argument of fcntl(2) with *command*; None where it is a plain number."""
    return {"F_SETFD": _flags({1: "FD_CLOEXEC"}), "F_SETFL": _open_flags}.get(command)


def family_name(number: int) -> str:
    """Return the name of an address family: `AF_NETLINK`."""
    return _DOMAIN(number)
