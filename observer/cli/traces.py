"""A trace that a verb is about, finished first where its run was only recorded, or cut off."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from observer.trace.finish import Listener
    from observer.trace.reader import Trace

__all__ = ["FIRST_CALLS", "opened"]

FIRST_CALLS: Final = 100_000
"""Calls that the exact model follows where nobody asks for a number: about half a second's worth."""


def opened(directory: Path) -> Trace:
    """Return the trace in *directory*; a terminal sees how far it is meanwhile.

    Raises:
        BadTrace: as `Trace.open`.
    """
    from observer.cli.progress import Progress
    from observer.trace.reader import Trace

    progress = Progress(sys.stderr, "en")

    def listeners() -> Sequence[Listener]:
        from observer.runs.sources import Sources

        return Sources(FIRST_CALLS), progress

    with progress.finishing():
        return Trace.open(directory, listeners)
