"""Small things compiled for tests, and what binutils say of them."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from observer.code.elf import Elf

HERE = Path(__file__).resolve().parent

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
needs_binutils = pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils are not installed")

PROGRAM = """\
#include <stdlib.h>

int touched;

__attribute__((noinline)) int touch(char *piece, int size)
{
    for (int i = 0; i < size; i++)
        piece[i] = 23;
    return size;
}

__attribute__((noinline)) static int inner(int size)
{
    char *piece = malloc(size);
    int sum = touch(piece, size);
    free(piece);
    return sum;
}

int main(void)
{
    touched = inner(17);
    return touched == 17 ? 0 : 1;
}
"""


def compile_c(folder: Path, name: str, source: str, *options: str) -> Path:
    """Compile *source* in *folder* under *name*, as its users do."""
    code = folder / f"{name}.c"
    code.write_text(source, encoding="ascii")
    target = folder / name
    subprocess.run(["gcc", *options, "-o", str(target), str(code)], check=True, cwd=folder)
    return target


def lines_of(*command: str | Path) -> list[str]:
    """What a tool of binutils prints, in English; a warning of its own is none of ours."""
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return done.stdout.splitlines()


def address_in(view: mmap.mmap) -> int:
    """Where *view* is mapped."""
    first = ctypes.c_char.from_buffer(view)
    return ctypes.addressof(first)


def address_of(elf: Elf, name: str) -> int:
    """Where the function *name* begins, static or not."""
    (address,) = addresses_of(elf, name)
    return address


def addresses_of(elf: Elf, *names: str) -> list[int]:
    """Where those of *names* begin that are there (a compiler may have left none of a static function)."""
    return [address for address, _size, name in elf.functions if name in names]


@cache
def libc_path() -> str:
    """The C library that this Python runs with; skips where there is no shared one."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        path = line.split(maxsplit=5)[-1]
        if "libc.so" in path or "libc-" in path:
            return path
    pytest.skip("no shared C library")
