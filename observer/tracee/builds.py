"""One C source built against each C library and for each processor that there is a compiler for here.

Compiled plainly (-O0, no builtins), so that each call in the source stays a call in the program.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from observer.arch.aarch64 import AARCH64
from observer.arch.known import NATIVE
from observer.tracee.allocators import Missing, install_command
from observer.tracee.compiling import STANDARD, compile_to

__all__ = ["SIDES", "Build", "build", "emulator"]

_FLAGS: Final = ("-O0", "-g", "-fno-builtin", "-fno-omit-frame-pointer", *STANDARD)
_I386_LOADER: Final = "/lib/ld-linux.so.2"


@dataclass(frozen=True, slots=True)
class Build:
    """A program for one side: the words it was compiled with, and whether this machine's processor runs it."""

    side: str
    path: str
    words: tuple[str, ...]
    is_native: bool = True

    @property
    def compiled(self) -> str:
        """The compiler's words, without where things are."""
        return shlex.join(word for word in self.words if "/" not in word and word != "-o")


@dataclass(frozen=True, slots=True)
class _Side:
    """The compilers to try, further words, and the package that has the first of them."""

    compilers: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    package: str
    is_native: bool = True


_SIDES: Final = {
    "glibc": _Side((("cc",), ("gcc",), ("clang",)), (), "gcc"),
    "static": _Side((("cc",), ("gcc",), ("clang",)), ("-static",), "libc6-dev"),
    "musl": _Side((("musl-gcc",),), (), "musl-tools"),
    "i386": _Side((("i686-linux-gnu-gcc",), ("gcc", "-m32"), ("cc", "-m32")), (), "gcc-i686-linux-gnu"),
    "arm64": _Side((("aarch64-linux-gnu-gcc",),), ("-static",), "gcc-aarch64-linux-gnu", is_native=NATIVE is AARCH64),
}
SIDES: Final = tuple(_SIDES)
"""glibc, glibc linked statically, musl, glibc for i386, and glibc for arm64."""


def build(side: str, source: Path, flags: Sequence[str], folder: Path) -> Build | Missing:
    """Compile *source* for *side* into *folder*; *flags* go to the compiler after our own.

    Returns:
        the program, or why there is none and what would change that.
    """
    kind = _SIDES[side]
    present = [words for words in kind.compilers if shutil.which(words[0])]
    if not present:
        return Missing(side, f"{kind.compilers[0][0]} is not installed", install_command(kind.package, kind.package))
    extra = kind.words
    if side == "i386" and not os.path.exists(_I386_LOADER):
        extra = ("-static",)  # runs without the libraries of that processor
    why = ""
    for compiler in present:
        target = folder / f"{source.stem}-{side}"
        words, error = compile_to(target, source, (*compiler, *_FLAGS, *extra, *flags))
        if not error:
            return Build(side, str(target), words, kind.is_native)
        why = why or f"{' '.join(compiler)}: {error}"
    return Missing(side, why)


def emulator(side: str) -> str | None:
    """Return the program that runs a foreign *side* here and can list its system calls (qemu-user), or None."""
    return shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static") if side == "arm64" else None
