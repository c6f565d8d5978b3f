"""Finished traces from hand-made parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from observer.files import Folder
from observer.model.machine import Outcome
from observer.trace.part import Part
from observer.trace.reader import Trace
from observer.trace.tables import TableWriter
from observer.trace.unfinished import write_meta
from tests.builders import meta


def trace_of(parts: Sequence[Part], directory: Path) -> tuple[Trace, int]:
    """Write the trace of *parts* into the empty *directory*; return it opened, and how many events it holds."""
    folder = Folder.open(directory)
    with TableWriter(folder, parts[0].sites) as tables:
        for part in parts:
            tables.add(part)
        tables.finish()
    count = sum(map(len, parts))
    write_meta(folder, meta(outcome=Outcome(0, None, "exit", count, 0.062)))
    return Trace.open(directory), count
