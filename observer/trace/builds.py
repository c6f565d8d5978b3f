"""One source's builds, run: each recorded whole, with all system calls and the calls into its library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from observer.instruments.names import all_names
from observer.model.machine import Machine
from observer.model.selection import parse
from observer.trace.reader import Trace
from observer.trace.recorder import Order, record_run
from observer.tracee.builds import Build

__all__ = ["record_build"]


def record_build(program: Build, words: Sequence[str], folder: Path, machine: Machine) -> Trace:
    """Record *program* with the arguments *words* into a trace in *folder*, and return it.

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
    return Trace.open(folder / program.side)
