"""The first half of `observer run`: the instruments' records into spools."""

from __future__ import annotations

from observer.errors import BadTrace, remedy_for
from observer.files import Folder
from observer.instruments.session import Recording, Wish
from observer.instruments.session import record as run_instruments
from observer.recording.spool import Spools

__all__ = ["record"]


def record(wish: Wish, folder: Folder) -> Recording:
    """Run the program and leave its spools in the empty *folder*.

    Raises:
        BadTrace: the folder cannot be written.
        CannotLaunch, CannotObserve: as `instruments.session.record`.
    """
    try:
        spools = Spools(folder, wish.max_events)
    except OSError as error:
        remedy = remedy_for(error, "-o with a folder you may write")
        raise BadTrace(f"cannot write {folder.path}", error.strerror or str(error), remedy) from error
    try:
        recording = run_instruments(wish, spools, folder)
        recording.changed += spools.changed()
    finally:
        spools.close()
    recording.totals |= {"calls": spools.calls.count, "syscalls": spools.syscalls.count}
    recording.lost = spools.lost()
    error_seen = spools.error()
    if error_seen is not None:
        recording.notes.append(f"recording stopped: {error_seen.strerror}")
    return recording
