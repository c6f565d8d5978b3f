"""The first half of `observer run`: the instruments' records into spools."""

from __future__ import annotations

from pathlib import Path

from observer.errors import BadTrace
from observer.instruments.session import Recording, Wish
from observer.instruments.session import record as run_instruments
from observer.trace.spool import Spools

__all__ = ["record"]


def record(wish: Wish, directory: Path) -> Recording:
    """Run the program and leave its spools in the new folder *directory*.

    Raises:
        BadTrace: the folder cannot be written.
        CannotLaunch, CannotObserve: as `instruments.session.record`.
    """
    try:
        spools = Spools(directory, wish.max_events)
    except OSError as error:
        raise BadTrace(
            f"cannot write {directory}", error.strerror or str(error), "-o with a folder you may write"
        ) from error
    try:
        recording = run_instruments(wish, spools, directory)
    finally:
        spools.close()
    recording.totals |= {"calls": spools.calls.count, "syscalls": spools.syscalls.count}
    recording.lost = spools.lost()
    error_seen = spools.error()
    if error_seen is not None:
        recording.notes.append(f"recording stopped: {error_seen.strerror}")
    return recording
