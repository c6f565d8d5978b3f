"""Finished traces from hand-made assemblies."""

from __future__ import annotations

from pathlib import Path

from observer.trace.assembly import Assembly

from observer.files import Folder
from observer.model.machine import Outcome
from observer.trace.finish import write_meta
from observer.trace.reader import Trace
from observer.trace.tables import write_tables
from tests.builders import meta


def trace_of(assembly: Assembly, directory: Path) -> tuple[Trace, int]:
    """Write the trace of *assembly* into the empty *directory*; return it opened, and how many events it holds."""
    folder = Folder.open(directory)
    count = write_tables(folder, assembly)
    write_meta(folder, meta(outcome=Outcome(0, None, "exit", count, 0.062)))
    return Trace.open(directory), count
