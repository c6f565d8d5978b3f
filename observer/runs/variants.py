"""The ways to run one program under several allocators: as it is, with a library preloaded, compiled anew with musl."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from observer.runs.workloads import Interpreted
from observer.tracee import interpreter, musl
from observer.tracee.allocators import PRELOADED, Library, Missing, find, preload, program_behind, why_not_preloaded
from observer.tracee.launch import find_program

__all__ = ["ALLOCATORS", "DEFAULT", "MUSL", "Program", "Variant", "program_of", "variants_of", "workload_of"]

DEFAULT: Final = "glibc"
"""The name of a program's own C library's allocator, unless the run shows another."""
MUSL: Final = "musl"
ALLOCATORS: Final = (DEFAULT, *PRELOADED, MUSL)
"""All that are known, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: `source` and `flags` are for musl-gcc, `arguments` what follows the program's name.

    `name` is what people know it by.
    """

    program: str
    arguments: tuple[str, ...]
    name: str
    source: Path | None = None
    flags: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The program as it is, with its arguments."""
        return (self.program, *self.arguments)


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the program: its words and environment, and the library that is preloaded for it, if any.

    `identity` is what is known of the allocator beforehand; None for the program as it is.
    """

    allocator: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    identity: Library | None = None
    is_preloaded: bool = False
    remarks: tuple[str, ...] = ()


def program_of(words: Sequence[str], source: Path | None) -> Program:
    """Return the program that *words* name, with its *source* if that is known.

    Raises:
        CannotLaunch: it is not there, or cannot be executed.
    """
    path = find_program(words[0], os.environ)
    flags = musl.flags_like(path) if source is not None else ()
    return Program(words[0], tuple(words[1:]), " ".join(words), source, flags)


def workload_of(workload: Interpreted, name: str, scratch: Path) -> Program:
    """Return the interpreter of the *workload* called *name* as the program; its source is known."""
    arguments = workload.arguments(scratch / "report")
    return Program(workload.program, arguments, f"workload {name}", interpreter.source(), interpreter.FLAGS)


def variants_of(program: Program, wanted: Sequence[str], scratch: Path) -> tuple[list[Variant], list[Missing]]:
    """Return the ways to run *program* under the *wanted* allocators, and what cannot be had.

    *scratch* is a folder for what is compiled.
    """
    variants, missing = [], []
    for name in wanted:
        if name == DEFAULT:
            variants.append(Variant(name, program.words, os.environ))
            continue
        found = _musl(program, scratch) if name == MUSL else _preloaded(name, program)
        if isinstance(found, Missing):
            missing.append(found)
        else:
            variants.append(_variant(found, program))
    return variants, missing


def _variant(library: Library, program: Program) -> Variant:
    if library.allocator != MUSL:
        environment = preload(os.environ, library.path)
        return Variant(library.allocator, program.words, environment, library, is_preloaded=True)
    assert program.source is not None
    remark = f"compiled anew: musl-gcc {' '.join(program.flags)} {program.source.name}"
    return Variant(MUSL, (library.path, *program.arguments), os.environ, library, remarks=(remark,))


def _preloaded(name: str, program: Program) -> Library | Missing:
    why = why_not_preloaded(program_behind(find_program(program.program, os.environ)))
    return Missing(name, why) if why else find(name, os.environ)


def _musl(program: Program, scratch: Path) -> Library | Missing:
    if program.source is None:
        return Missing(MUSL, "the program must be compiled anew", "--source FILE.c")
    return musl.build(program.source, program.flags, scratch)
