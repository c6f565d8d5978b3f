"""The environment that we were started with: the program is to find the same."""

from __future__ import annotations

import contextlib
import os
from typing import Final

__all__ = ["undo_coercion"]

_COERCED: Final = "LC_CTYPE"
_GIVEN: Final = "/proc/self/environ"


def undo_coercion() -> None:
    """Give LC_CTYPE back the value that it had when this process began, or none.

    In the locale C or POSIX the interpreter sets it to C.UTF-8 for itself and all who inherit it (PEP 538). Its own
    locale stays as it is. /proc/self/environ shows what execve(2) was given, whatever setenv(3) did later (proc(5)).
    """
    # An interpreter with file capabilities may not read its own: then there is nothing to know the difference by.
    with contextlib.suppress(PermissionError), open(_GIVEN, "rb", buffering=0) as file:
        given = dict(word.split(b"=", 1) for word in reversed(file.readall().split(b"\0")) if b"=" in word)
        value = given.get(_COERCED.encode())
        if value is None:
            os.environ.pop(_COERCED, None)
        else:
            os.environ[_COERCED] = os.fsdecode(value)
