"""The allocators of this machine: shared libraries that LD_PRELOAD can put in front of the C library's (ld.so(8))."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from observer.arch.aarch64 import AARCH64
from observer.arch.known import NATIVE
from observer.code import a64_pieces
from observer.code.elf import Elf, load
from observer.files import open_regular, real_path
from observer.model.machine import Image
from observer.model.operations import ALLOCATING

__all__ = [
    "PRELOADED", "Library", "Missing", "definers_of_malloc", "find", "has_glibc_inside", "install_command", "known",
    "lacking", "preload", "program_behind", "why_not_preloaded",
]  # fmt: skip

_MULTIARCH: Final = f"{NATIVE.machine}-linux-gnu"
_FOLDERS: Final = (
    "/usr/local/lib", f"/usr/local/lib/{_MULTIARCH}", f"/usr/lib/{_MULTIARCH}", f"/lib/{_MULTIARCH}", "/usr/lib64",
    "/lib64", "/usr/lib", "/lib",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Library:
    """An allocator's library; `version_from` says where the version was read."""

    allocator: str
    path: str
    version: str
    version_from: str


@dataclass(frozen=True, slots=True)
class Missing:
    """An allocator that is not measured: why, and what would change that."""

    allocator: str
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How to know an allocator: its files' first words, Debian's package by pattern and by default, its version."""

    stems: tuple[str, ...]
    package: str
    default_package: str
    version: Callable[[Elf, bytes], tuple[str, str] | None]


# ---- versions -----------------------------------------------------------------------------------------------


def _from_string(pattern: bytes, what: str, elf: Elf, content: bytes) -> tuple[str, str] | None:
    del elf
    found = re.search(pattern, content)
    return (found[1].decode("ascii"), what) if found else None


def _mimalloc(elf: Elf, content: bytes) -> tuple[str, str] | None:
    """Read mi_version(), which does nothing but return a constant: `mov eax, 209; ret`, `mov w0, #209; ret`."""
    del content
    code = b"".join(elf.read(symbol.address, 16) for symbol in elf.definitions_of(["mi_version"]))
    if elf.architecture is AARCH64:
        constant = a64_pieces.constant_returned(code)
        return (_mimalloc_release(constant), "its function mi_version") if constant is not None else None
    found = re.match(rb"(?:\xf3\x0f\x1e\xfa)?\xb8(.{4})\xc3", code, re.DOTALL)
    return (_mimalloc_release(int.from_bytes(found[1], "little")), "its function mi_version") if found else None


def _mimalloc_release(number: int) -> str:
    """Return the release that MI_MALLOC_VERSION means: one digit each for minor and patch, or two in later headers.

    >>> _mimalloc_release(209), _mimalloc_release(30112)
    ('2.0.9', '3.1.12')
    """
    base = 10 if number < 10_000 else 100
    return f"{number // base // base}.{number // base % base}.{number % base}"


_KINDS: Final = {
    "jemalloc": _Kind(
        ("libjemalloc",), r"libjemalloc\d+\w*", "libjemalloc2",
        partial(_from_string, rb"\0(\d+\.\d+\.\d+)-\d+-g[0-9a-f]{7,40}\0", "the version string in the library"),
    ),
    "mimalloc": _Kind(("libmimalloc",), r"libmimalloc\d[\w.]*", "libmimalloc2.0", _mimalloc),
    "tcmalloc": _Kind(
        ("libtcmalloc_minimal", "libtcmalloc"), r"libtcmalloc-minimal\d+\w*", "libtcmalloc-minimal4",
        partial(_from_string, rb"\0gperftools (\d+[\d.]*)\0", "the version string in the library"),
    ),
}  # fmt: skip
PRELOADED: Final = tuple(_KINDS)
"""The allocators that come as a library, by name."""


def _version(kind: _Kind, elf: Elf) -> tuple[str, str]:
    found = kind.version(elf, Path(elf.path).read_bytes())
    if found is not None:
        return found
    number = os.path.basename(elf.path).partition(".so.")[2]
    return (
        (number, "the file's name (the interface's version, not the release's)") if "." in number else ("unknown", "")
    )


# ---- finding ------------------------------------------------------------------------------------------------


def find(allocator: str, environment: Mapping[str, str]) -> Library | Missing:
    """Return the newest library of *allocator* that this machine has, or what to type to have it."""
    kind = _KINDS[allocator]
    folders = [folder for folder in environment.get("LD_LIBRARY_PATH", "").split(":") if folder] + list(_FOLDERS)
    for stem in kind.stems:
        for path in _candidates(stem, folders):
            library = known(str(real_path(path)))
            if library is not None:
                return library
    return Missing(allocator, "it is not installed", install_command(kind.package, kind.default_package))


def _candidates(stem: str, folders: Iterable[str]) -> list[Path]:
    """Return the files named STEM.so.NUMBER, newest interface first, and of the same one the first folder's."""
    found = [path for folder in folders for path in Path(folder).glob(f"{stem}.so.*")]
    return sorted(found, key=lambda path: _number(path.name), reverse=True)


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", name.partition(".so.")[2]))


def known(path: str) -> Library | None:
    """Return the allocator that the library at *path* is, None if it is none of those known here."""
    name = os.path.basename(path).partition(".so")[0]
    allocator = next((each for each, kind in _KINDS.items() if name in kind.stems), None)
    elf = load(path)
    if allocator is None or elf is None or elf.word != 8 or not elf.defines("malloc"):
        return None
    return Library(allocator, path, *_version(_KINDS[allocator], elf))


def install_command(pattern: str, default: str) -> str:
    """Return the command that installs the package whose name matches *pattern* (releases name it differently)."""
    offered = [name for name in _offered(default) if re.fullmatch(pattern, name)]
    name = default if default in offered or not offered else max(offered, key=_number_of)
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install {name}"


def _number_of(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))


def _offered(default: str) -> list[str]:
    """Return the names that apt has of packages beginning as *default* does before its number."""
    if shutil.which("apt-cache") is None:
        return []
    beginning = re.split(r"\d", default)[0]
    done = subprocess.run(["apt-cache", "pkgnames", beginning], capture_output=True, text=True, check=False)
    return done.stdout.split()


def preload(environment: Mapping[str, str], library: str) -> dict[str, str]:
    """Return *environment* with *library* preloaded, behind whatever the user preloads."""
    given = environment.get("LD_PRELOAD", "")
    return {**environment, "LD_PRELOAD": f"{given}:{library}" if given else library}


# ---- programs -----------------------------------------------------------------------------------------------


def program_behind(path: str) -> str:
    """Return the file that runs when *path* is executed: of a script, its interpreter (execve(2))."""
    for _level in range(5):  # the kernel's own limit
        words = _first_line(path).removeprefix(b"#!").split()
        if not _first_line(path).startswith(b"#!") or not words:
            break
        path = os.fsdecode(words[0])
    return path


def _first_line(path: str) -> bytes:
    try:
        with open_regular(path) as file:
            return file.readline(256)
    except OSError:
        return b""  # a program may be run without being readable


def why_not_preloaded(path: str) -> str:
    """Return why LD_PRELOAD cannot put a library in front of the program at *path*, empty if it can."""
    elf = load(path)
    if elf is None:
        return ""
    if elf.interpreter is None:
        return "the program is static: it has no loader that could load another allocator"
    if elf.word != 8:
        return "the program is for i386, and this library for x86-64"
    if "musl" in os.path.basename(elf.interpreter):
        return "the program is linked with musl, and this library with glibc"
    return ""


def has_glibc_inside(path: str) -> bool:
    """Whether the static program at *path* has glibc's allocator linked in."""
    elf = load(path)
    return elf is not None and elf.defines("__libc_malloc")


def lacking(path: str, operations: Iterable[str]) -> list[str]:
    """Return those of *operations* that the library at *path* leaves to the C library, with its other heap.

    reallocarray is not one of them: glibc's own goes through whichever realloc is in front.
    """
    elf = load(path)
    ours = {symbol.name for symbol in elf.definitions_of(ALLOCATING)} if elf is not None else set()
    in_c = ALLOCATING & {operation for operation in operations if operation.isidentifier()}
    return sorted(in_c - {"reallocarray"} - ours)


def definers_of_malloc(images: Iterable[Image]) -> list[str]:
    """Return the paths of the *images* that define malloc, in the order they were mapped."""
    found: dict[str, None] = {}
    for image in images:
        elf = load(image.path)
        if elf is not None and elf.defines("malloc"):
            found[image.path] = None
    return list(found)
