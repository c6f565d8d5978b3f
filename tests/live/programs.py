"""Small C programs of single tests, compiled when wanted."""

from __future__ import annotations

import subprocess
from pathlib import Path


def compile_c(source: str, target: Path, *flags: str) -> str:
    """Compile C *source* to *target*; return its path."""
    subprocess.run(
        ["gcc", "-O0", "-g", "-fno-omit-frame-pointer", "-fno-builtin", "-pthread", "-x", "c", "-", "-o", str(target), *flags],
        input=source, text=True, check=True,
    )  # fmt: skip
    return str(target)
