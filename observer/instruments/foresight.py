"""Files that a program is about to map, read before it starts: it would stand still meanwhile.

What a file holds is kept (`code.elf.load`) and asked for again when it is mapped, whichever that is then. A wrong guess
costs the tool some milliseconds, and nobody else anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from observer.code.elf import Elf, load
from observer.code.exits import exits_of
from observer.code.prologue import prologue_of
from observer.instruments.images import role_of
from observer.instruments.planting import family_in

__all__ = ["foresee"]

_MOST: Final = 64
"""Files that are read beforehand: of more, most belong to no allocator."""


def foresee(path: str) -> None:
    """Read the program at *path*, its loader and the libraries that it names, and find the ends of their functions of
    the malloc family."""
    program = load(os.path.realpath(path))
    if program is None:
        return
    for elf in (program, *_libraries(program)):
        for function in family_in(elf, role_of(elf, is_program=elf is program)):
            prologue_of(elf, function.address)
            exits_of(elf, function.address)


def _libraries(program: Elf) -> Iterator[Elf]:
    """Yield the loader of *program*, and what of its libraries lies where the loader does (ld.so(8) looks there)."""
    if program.interpreter is None:
        return
    loader = os.path.realpath(program.interpreter)
    folder, seen, names = os.path.dirname(loader), {loader}, [loader]
    while names:
        elf = load(names.pop())
        if elf is None:
            continue
        yield elf
        more = {os.path.realpath(os.path.join(folder, name)) for name in (*program.needed, *elf.needed)} - seen
        seen |= more
        names += sorted(more)[: max(_MOST - len(seen), 0)]
