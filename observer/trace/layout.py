"""What lies in the folder of a trace, and how such a folder is known from any other.

A trace is meta.json and a table a kind of event, and one of chunks if heaps were walked in the midst of the run. One
that is being recorded, or was cut off, has a folder `spool` besides, in it the records of each kind, the notes, and
(from the moment the program has ended) `recording.json`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from observer.errors import BadTrace
from observer.files import Folder
from observer.recording import notes
from observer.recording.records import HEAP_CHUNK, KERNEL_EVENT, LAYOUTS, SNAPSHOT_CHUNK

__all__ = [
    "META", "RECORDING", "SNAPSHOTS", "SPOOL", "STACKS", "TABLES", "belongs_to_trace", "foreign_name", "held",
    "is_unfinished", "remove_halves", "remove_spools", "remove_trace",
]  # fmt: skip

META: Final = "meta.json"
SPOOL: Final = "spool"
RECORDING: Final = "recording.json"

TABLES: Final = {
    "call": "calls.parquet", "syscall": "syscalls.parquet", "fault": "faults.parquet", "signal": "signals.parquet",
    "process": "processes.parquet", "library": "library.parquet", "lost": "lost.parquet",
}  # fmt: skip
"""The file of each kind of event."""

SNAPSHOTS: Final = "snapshots.parquet"
"""The chunks of heaps in the midst of the run, where such snapshots were taken; they are no events."""

STACKS: Final = "stacks.parquet"
"""The stacks of calls, a row a caller, where callers were asked for; they are no events either."""

_FINISHED: Final = frozenset({META, SNAPSHOTS, STACKS, *TABLES.values()})

_BULK: Final = ("frames.bin", HEAP_CHUNK.file, SNAPSHOT_CHUNK.file, KERNEL_EVENT.file)
_SPOOLS: Final = frozenset({*(layout.file for layout in LAYOUTS), *_BULK, notes.FILE, RECORDING})
_BY_PROCESSOR: Final = re.compile(r"(faults|kernel)\.[0-9]{1,5}\.bin")
_HEAD: Final = 1 << 28


class _Head(msgspec.Struct):
    """What every meta.json of ours has, of whatever schema version."""

    schema: int
    machine: dict[str, Any]
    request: dict[str, Any]
    outcome: dict[str, Any]


def is_unfinished(folder: Folder) -> bool:
    """Whether *folder* holds spools that were never made into tables; raises BadTrace where nobody lets us see that."""
    try:
        return folder.folder(SPOOL).has(notes.FILE)
    except PermissionError as error:
        why = f"its run was cut off; {SPOOL}: {error.strerror}"
        raise BadTrace(f"cannot read {folder.path}", why, "whoever recorded it, or root, can finish it") from error
    except OSError:
        return False


def foreign_name(folder: Folder) -> str | None:
    """Return what makes *folder* no trace of ours: a name that no trace has, or META; None when it is one."""
    for name in sorted(folder.names() - {SPOOL}):
        if folder.whole_name(name) not in _FINISHED or not folder.has(name):
            return name
    if SPOOL in folder.names() and (odd := _foreign_spool(folder)) is not None:
        return odd
    return None if is_unfinished(folder) or _has_head(folder) else META


def belongs_to_trace(folder: Folder, name: str) -> bool:
    """Whether the file *name* in *folder* is a part of a trace."""
    return name in _FINISHED and foreign_name(folder) is None


def _foreign_spool(folder: Folder) -> str | None:
    try:
        spool = folder.folder(SPOOL)
    except OSError:
        return SPOOL
    for name in sorted(spool.names()):
        whole = spool.whole_name(name)
        if not (whole in _SPOOLS or _BY_PROCESSOR.fullmatch(whole)) or not spool.has(name):
            return f"{SPOOL}/{name}"
    return None


def _has_head(folder: Folder) -> bool:
    try:
        msgspec.json.decode(folder.read(META, _HEAD), type=_Head)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


@contextlib.contextmanager
def held(folder: Folder) -> Iterator[None]:
    """Keep others from recovering or replacing the unfinished trace in *folder*.

    Raises:
        BadTrace: the observer that writes its spools is still at work, or another recovers them.
    """
    try:
        file = folder.folder(SPOOL).file(notes.FILE) if is_unfinished(folder) else None
    except FileNotFoundError:
        if is_unfinished(folder):
            raise
        file = None  # another has finished it meanwhile
    if file is None:
        yield
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        what = f"{folder.path} is being recorded or finished right now"
        raise BadTrace(what, "", "wait for the run, or who finishes it, to end") from error
    yield
    file.close()


def remove_halves(folder: Folder) -> None:
    """Remove the files that somebody was killed before they were whole; raises OSError."""
    for name in folder.names():
        if folder.whole_name(name) != name and folder.whole_name(name) in _FINISHED:
            folder.remove(name)


def remove_spools(folder: Folder) -> None:
    """Remove the spools file by file, never what no trace has; raises OSError, ENOTEMPTY when more is there."""
    spool = folder.folder(SPOOL)
    # The notes go first: without them nobody, now or if we are killed, makes the trace anew of what is left here.
    for name in sorted(spool.names(), key=lambda name: name != notes.FILE):
        if spool.whole_name(name) in _SPOOLS or _BY_PROCESSOR.fullmatch(name):
            spool.remove(name)
    folder.remove_folder(SPOOL)


def remove_trace(folder: Folder) -> None:
    """Remove a trace file by file, never what no trace has; raises OSError as `remove_spools`."""
    if SPOOL in folder.names():
        remove_spools(folder)
    for name in folder.names():
        if folder.whole_name(name) in _FINISHED:
            folder.remove(name)
    os.rmdir(folder.path)
