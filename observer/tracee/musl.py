"""The same source under musl: a program cannot change its C library, so it is compiled anew with musl-gcc."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from observer.code.elf import load
from observer.code.producer import options_that_matter
from observer.tracee.allocators import Library, Missing, install_command
from observer.tracee.compiling import STANDARD, compile_to

__all__ = ["build", "flags_like", "version_of"]

_ALWAYS: Final = ("-g", *STANDARD)


def build(source: Path, flags: Sequence[str], folder: Path) -> Library | Missing:
    """Compile *source* into *folder*; return the program as `path`, or why it cannot be had."""
    compiler = shutil.which("musl-gcc")
    if compiler is None:
        return Missing("musl", "musl-gcc is not installed", install_command("musl-tools", "musl-tools"))
    target = folder / f"{source.stem}-musl"
    _words, error = compile_to(target, source, (compiler, *_ALWAYS, *flags))
    if error:
        return Missing("musl", f"musl-gcc cannot compile {source.name}: {error}")
    elf = load(str(target))
    return Library("musl", str(target), *version_of((elf.interpreter if elf else None) or ""))


def flags_like(program: str) -> tuple[str, ...]:
    """Return the flags that matter of those *program* was compiled with, so that both do the same; -O2 if unknown."""
    return options_that_matter(program) or ("-O2",)


def version_of(loader: str) -> tuple[str, str]:
    """Return the release that musl's *loader* names when it is started without a program, and where that is from."""
    if not os.access(loader, os.X_OK):
        return "unknown", ""
    done = subprocess.run([loader], capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"^Version (\S+)", done.stderr, re.MULTILINE)
    return (found[1], "the loader's own message") if found else ("unknown", "")
