"""One source's builds, run: each recorded whole, or listed by the emulator that runs it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from observer.errors import CannotObserve
from observer.instruments.names import all_names
from observer.model.ledger import worst
from observer.model.machine import Machine
from observer.model.selection import parse
from observer.story.libraries import Side, side_of
from observer.trace.reader import Trace
from observer.trace.recorder import Order, record_run
from observer.tracee.allocators import Missing
from observer.tracee.builds import Build, emulator
from observer.tracee.emulated import listed_calls

__all__ = ["emulated_side", "recorded_side"]


def recorded_side(
    program: Build, words: Sequence[str], folder: Path, machine: Machine, source: str
) -> tuple[Side, str]:
    """Record *program* with the arguments *words* into a trace in *folder*; return what it shows, and its verdict.

    Raises:
        BadTrace, CannotLaunch, CannotObserve: as `trace.recorder.record_run`.
        KeyboardInterrupt: the user interrupted; then the program has ended.
    """
    order = Order(
        words=(program.path, *words), environment=os.environ, selection=parse("trace=all,library", all_names()),
    )  # fmt: skip
    meta = record_run(order, folder / program.side, machine)
    if meta.totals.get("interrupts"):
        raise KeyboardInterrupt
    events = Trace.open(folder / program.side).events()
    return side_of(program.side, _compiled(program), events, source), worst(meta.ledger)


def emulated_side(program: Build, words: Sequence[str], scratch: Path) -> Side | Missing:
    """Return the system calls of a program for another processor; or why they cannot be had."""
    runs_it = emulator(program.side)
    if runs_it is None:
        return Missing(program.side, "it is built, and nothing here runs it", "apt-get install qemu-user")
    try:
        syscalls = listed_calls(runs_it, [program.path, *words], scratch / "emulated")
    except CannotObserve as error:
        return Missing(program.side, f"{error.what}: {error.why}")
    how = f"{_compiled(program)}; run by {os.path.basename(runs_it)} -strace"
    return Side(program.side, how, (), {}, {}, syscalls, {}, observed=False)


def _compiled(program: Build) -> str:
    """Return the compiler's words without where things are."""
    words = [word for word in program.words if "/" not in word and word != "-o"]
    return shlex.join(words)
