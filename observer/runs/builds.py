"""One source under several C libraries: its builds, each recorded whole, with all system calls and library calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from observer.errors import CannotObserve
from observer.files import real_path
from observer.instruments.session import Wish
from observer.model.ledger import worst
from observer.model.selection import parse
from observer.runs.record import record_uninterrupted
from observer.story.libraries import Side, side_of
from observer.trace.reader import Trace
from observer.tracee.allocators import Missing
from observer.tracee.builds import Build, build
from observer.tracee.emulated import listed_calls
from observer.tracee.streams import Streams

__all__ = ["Told", "built", "run_builds"]

_EVERYTHING: Final = parse("trace=all,library", frozenset())


@dataclass(slots=True)
class Told:
    """What each build did, the builds that could not be run, and the ledgers' verdicts."""

    sides: list[Side] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)


def built(source: Path, sides: Sequence[str], flags: Sequence[str], folder: Path) -> tuple[list[Build], list[Missing]]:
    """Compile *source* for all *sides* into *folder*; return the programs, and why there are no others."""
    found = [build(side, real_path(source), flags, folder) for side in sides]
    programs = [each for each in found if not isinstance(each, Missing)]
    return programs, [each for each in found if isinstance(each, Missing)]


def run_builds(programs: Sequence[Build], words: Sequence[str], source: str, folder: Path, scratch: Path) -> Told:
    """Run *programs* with the arguments *words*; their output goes nowhere.

    Args:
        source: the base name of the file whose library calls are wanted.
        folder: where the traces go, a folder for each side.
        scratch: a folder for what is needed meanwhile.

    Raises:
        BadTrace, CannotLaunch, CannotObserve: as `record.record_run`.
        KeyboardInterrupt: the user interrupted; then the program has ended.
    """
    told, streams = Told(), Streams(scratch)
    for program in programs:
        with streams.aside(scratch / "messages", shown=False):
            if not program.is_native:
                _emulate(program, words, scratch, told)
                continue
            trace = _recorded(program, words, folder)
        told.verdicts.append(worst(trace.meta.ledger))
        outcome = trace.meta.outcome
        status = outcome.signal or f"exit {outcome.status}"
        told.sides.append(side_of(program.side, program.compiled, trace.events(), source, status))
    return told


def _recorded(program: Build, words: Sequence[str], folder: Path) -> Trace:
    wish = Wish(argv=(program.path, *words), environment=dict(os.environ), selection=_EVERYTHING)
    record_uninterrupted(wish, folder / program.side)
    return Trace.open(folder / program.side)


def _emulate(program: Build, words: Sequence[str], scratch: Path, told: Told) -> None:
    """Take the system calls of a program for another processor, as the emulator lists them."""
    try:
        syscalls, status = listed_calls(program, words, scratch / "emulated")
    except CannotObserve as error:
        told.missing.append(Missing(program.side, error.what, error.remedy))
        return
    how = f"{program.compiled}; run and listed by qemu-user"
    told.sides.append(Side(program.side, how, (), {}, {}, syscalls, {}, observed=False, status=status))
