"""The C library, opened twice.

`libc` lets other Python threads run during a call and is for calls that may block; `libc_quick` keeps the
interpreter lock and is for requests that return at once (ptrace requests at a stop), where giving the lock
away and taking it back would cost more than the call.
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["check", "libc", "libc_quick"]

libc = ctypes.CDLL(None, use_errno=True)
libc_quick = ctypes.PyDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Return *result*, or raise the OSError that errno names when it is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
