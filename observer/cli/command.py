"""How our command is typed where it was typed now: `observer`, or the path that leads to it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

__all__ = ["command", "shortest"]

_NAME = "observer"


def command() -> str:
    """Return what starts us again, ready for a shell: the name alone where PATH leads to it."""
    typed = sys.argv[0]
    if os.path.basename(typed) != _NAME:
        return _NAME  # run as a module, or by somebody else's name
    found = shutil.which(_NAME)
    if found is not None and os.path.realpath(found) == os.path.realpath(typed):
        return _NAME
    path = shortest(typed)
    return shlex.quote(path if os.sep in path else f".{os.sep}{path}")


def shortest(path: str | Path) -> str:
    """Return the shorter one of the absolute and the relative path to *path*; none is taken for an option."""
    try:
        relative = os.path.relpath(path)
    except FileNotFoundError:
        return str(path)  # the working directory is no more: nothing is relative to it
    if relative.startswith("-"):
        relative = os.path.join(os.curdir, relative)
    return min(os.path.abspath(path), relative, key=len)
