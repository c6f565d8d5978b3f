"""A C source compiled by whatever compiler, and why it could not be."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["LIBRARIES", "STANDARD", "compile_to", "first_error"]

STANDARD: Final = ("-std=gnu11", "-pthread")
LIBRARIES: Final = ("-lm",)
"""What every program may need behind its sources."""

_TELLING: Final = ("error:", "undefined reference", "cannot find")


def compile_to(target: Path, source: Path, words: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Compile *source* with the compiler and flags *words*; libraries among them go behind the source.

    Returns:
        the whole command, and the first error; empty if there was none.
    """
    libraries = [word for word in words if word.startswith("-l")]
    flags = [word for word in words if not word.startswith("-l")]
    command = (*flags, "-o", str(target), str(source), *libraries, *LIBRARIES)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return command, first_error(done.stderr, words[0]) if done.returncode else ""


def first_error(text: str, compiler: str = "") -> str:
    """Return the line of a compiler's messages that says what is wrong.

    >>> first_error("ld: cannot find -lz: No such file\\ncollect2: error: ld returned 1 exit status")
    'ld: cannot find -lz: No such file'
    >>> first_error("musl-gcc: fatal error: no input files", "musl-gcc")
    'fatal error: no input files'
    """
    lines = text.strip().splitlines()
    found = next((line for line in lines if any(word in line for word in _TELLING)), lines[-1] if lines else "")
    return found.removeprefix(f"{compiler}: ") or "it does not say why"
