"""Files that a program is about to map, read before it starts: it would stand still meanwhile.

What a file holds is kept (`code.elf.load`) and asked for again when it is mapped, whichever that is then. A wrong guess
costs the tool some milliseconds, and nobody else anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from observer.code.elf import Elf, load
from observer.files import real_path
from observer.instruments.images import role_of
from observer.instruments.planting import read_beforehand

__all__ = ["foresee"]

_MOST: Final = 64
"""Files that are read beforehand: of more, most belong to no allocator."""


def foresee(path: str) -> None:
    """Read the program at *path*, its loader and the libraries that it names."""
    program = load(_real(path))
    if program is None:
        return
    for elf in (program, *_libraries(program)):
        role = role_of(elf, is_program=elf is program)
        read_beforehand(elf, role)
        if role == "libc":
            _ = elf.glibc_release


def _real(path: str) -> str:
    return str(real_path(Path(path)))


def _libraries(program: Elf) -> Iterator[Elf]:
    """Yield the loader of *program*, and what of its libraries lies where the loader does (ld.so(8) looks there)."""
    if program.interpreter is None:
        return
    loader = _real(program.interpreter)
    folder, seen, names = os.path.dirname(loader), {loader}, [loader]
    while names:
        elf = load(names.pop())
        if elf is None:
            continue
        yield elf
        more = {_real(os.path.join(folder, name)) for name in (*program.needed, *elf.needed)} - seen
        seen |= more
        names += sorted(more)[: max(_MOST - len(seen), 0)]
