"""A seccomp filter made by us: only the calls that were asked for stop the tracee (seccomp(2), Linux 4.8 order).

The filter looks at the architecture first, because i386 numbers collide with x86-64 ones (brk is 45 there,
recvfrom here). `clone` with CLONE_UNTRACED stops, too, and `clone3`, whose flags a filter cannot read, answers
ENOSYS, so that no child escapes; the C library falls back to `clone`. What it hands over with a stop is TRACE_DATA, by
which it is told from a filter of the program's own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import struct
from collections.abc import Collection, Mapping
from typing import Final

from observer.arch.architecture import Architecture
from observer.arch.known import FOREIGN, NATIVE
from observer.linux.libc import check, libc

__all__ = [
    "CLONE_UNTRACED",
    "TRACE_DATA",
    "build_filter",
    "install",
    "install_somehow",
    "is_allowed",
]

_LD_W_ABS: Final = 0x20
_JEQ: Final = 0x15
_JSET: Final = 0x45
_RET: Final = 0x06
TRACE_DATA: Final = 1 + secrets.randbelow(0xFFFF)
"""What our filter returns with SECCOMP_RET_TRACE; another number in each run of the observer."""

_RET_TRACE: Final = 0x7FF00000 | TRACE_DATA
_RET_ALLOW: Final = 0x7FFF0000
_RET_ERRNO: Final = 0x00050000
_OFFSET_NR: Final = 0
_OFFSET_ARCH: Final = 4
_OFFSET_ARG0: Final = 16
CLONE_UNTRACED: Final = 0x00800000
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

_prctl = libc.prctl
_prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]


def _op(code: int, k: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, k)


def _select(numbers: Collection[int] | None) -> list[bytes]:
    """Instructions that trace the call whose number is loaded, if it is one of *numbers* (None: every one)."""
    if numbers is None:
        return [_op(_RET, _RET_TRACE)]
    body: list[bytes] = []
    for number in sorted(numbers):
        body += [_op(_JEQ, number, 0, 1), _op(_RET, _RET_TRACE)]
    return [*body, _op(_RET, _RET_ALLOW)]


def _no_escape(abi: Architecture) -> list[bytes]:
    """Instructions that stop at, or refuse, the loaded call if it would make a child that is not traced."""
    clone, clone3 = abi.numbers("clone", "clone3")
    return [
        _op(_JEQ, clone3, 0, 1),
        _op(_RET, _RET_ERRNO | errno.ENOSYS),
        _op(_JEQ, clone, 0, 4),
        _op(_LD_W_ABS, _OFFSET_ARG0),
        _op(_JSET, CLONE_UNTRACED, 0, 1),
        _op(_RET, _RET_TRACE),
        _op(_LD_W_ABS, _OFFSET_NR),
    ]


def _select_by_argument(calls: Mapping[int, Collection[int]]) -> list[bytes]:
    """Instructions that trace the loaded call if its first argument is one of those given for it."""
    body: list[bytes] = []
    for number, arguments in sorted(calls.items()):
        tests = [step for argument in sorted(arguments) for step in (_op(_JEQ, argument, 0, 1), _op(_RET, _RET_TRACE))]
        asked = [_op(_LD_W_ABS, _OFFSET_ARG0), *tests, _op(_LD_W_ABS, _OFFSET_NR)]
        body += [_op(_JEQ, number, 0, len(asked)), *asked]
    return body


def build_filter(
    native: Collection[int] | None,
    foreign: Collection[int] | None,
    by_argument: Mapping[int, Collection[int]] | None = None,
    foreign_by_argument: Mapping[int, Collection[int]] | None = None,
) -> bytes:
    """Return the BPF program that stops at the calls *native* (its own numbers) and *foreign* (i386's); None means all.

    Args:
        by_argument: native calls that stop only with one of these first arguments; *foreign_by_argument* likewise.
    """
    other_abi = [_op(_RET, _RET_ALLOW)]
    if FOREIGN is not None:
        other_abi = [
            _op(_LD_W_ABS, _OFFSET_NR),
            *_no_escape(FOREIGN),
            *_select_by_argument(foreign_by_argument or {}),
            *_select(foreign),
        ]
    native_abi = [
        _op(_LD_W_ABS, _OFFSET_NR),
        # An x32 call is rare enough to stop at always.
        _op(_JSET, NATIVE.calls.variant, 0, 1),
        _op(_RET, _RET_TRACE),
        *_no_escape(NATIVE),
        *_select_by_argument(by_argument or {}),
        *_select(native),
    ]
    # A conditional jump reaches 255 instructions; an unconditional one (0x05) any distance.
    head = [
        _op(_LD_W_ABS, _OFFSET_ARCH),
        _op(_JEQ, NATIVE.calls.audit, 1, 0),
        _op(0x05, len(native_abi)),
    ]
    return b"".join([*head, *native_abi, *other_abi])


def install(program: bytes, *, no_new_privs: bool) -> None:
    """Put *program* on the calling process; raises OSError when the kernel or a container refuses.

    Without CAP_SYS_ADMIN the kernel wants no_new_privs first, which takes set-user-id programs' rights away.
    """
    if no_new_privs:
        check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(code)), 16)
    check(_prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header), 0, 0), "prctl(PR_SET_SECCOMP)")


def install_somehow(program: bytes) -> None:
    """Put *program* on the calling process, with no_new_privs only if it cannot be without; raises OSError."""
    try:
        install(program, no_new_privs=False)
    except OSError:
        install(program, no_new_privs=True)


def is_allowed() -> bool:
    """Whether this user may install filters, tried in a child that ends at once."""
    child = os.fork()
    if child == 0:
        try:
            install_somehow(build_filter(frozenset(), frozenset()))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
