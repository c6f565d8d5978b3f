"""Append-only spools: the files that records and notes are written to while the program runs.

Records are written one by one: one that was written is in the page cache even if the observer is killed in the next
instant, a full disk is an error of that write, and nothing is mapped, since whoever truncates the file would end us by
SIGBUS. Notes are lines of JSON, each one write as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.files import Folder, NewFile
from observer.recording.notes import FILE, Layouts, Note
from observer.recording.records import (
    ARGUMENT,
    CALL,
    CALL_STACK,
    CLOCK,
    HEAD,
    INLINE,
    LIBRARY_CALL,
    STACK_PIECE,
    SYSCALL,
    VERSION,
    Layout,
)
from observer.recording.text import to_json

__all__ = ["InlineSpool", "NoteFile", "Spool", "Spools"]

_NO_FIELDS: Final = (0,) * (len(INLINE.dtype.names or ()) - 2)


class Spool:
    """The file of one kind of records. After a failure `error` says why, and what comes is counted in `lost`."""

    def __init__(self, folder: Folder, layout: Layout) -> None:
        self.file = NewFile(folder, layout.file)
        self._pack = layout.packed.pack
        self._append = self.file.append
        self.count = 0
        self.lost = 0
        self.error: OSError | None = None

    def append(self, *fields: Any) -> int:
        """Write one record; return its number, from 1 (0 when it was lost)."""
        if self.error is None:
            try:
                self._append(self._pack(*fields))
            except OSError as error:
                self.error = error
            else:
                self.count += 1
                return self.count
        self.lost += 1
        return 0

    def append_all(self, records: npt.NDArray[np.void]) -> int:
        """Write *records* of this layout, all or none; return the number of the first (0 when they were lost)."""
        if self.error is None:
            try:
                self._append(records.view(np.uint8).data)
            except OSError as error:
                self.error = error
            else:
                self.count += len(records)
                return self.count - len(records) + 1
        self.lost += len(records)
        return 0


class InlineSpool(Spool):
    """The file of the calls that programs recorded themselves."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder, INLINE)

    def append_of(self, pid: int, tid: int, records: npt.NDArray[np.void], count: int) -> None:
        """Write the *records* of so many calls that one thread recorded."""
        if self.error is not None:
            self.lost += count
        if self.error is not None or not count:
            return
        before, head = self.file.size, self._pack(HEAD | len(records), pid << 32 | tid, *_NO_FIELDS)
        try:
            self._append(head)
            self._append(records.view(np.uint8).data)
        except OSError as error:
            self.error = error
            self.lost += count
            self.file.cut(before)  # no head without its records
        else:
            self.count += count

    def lose(self, count: int) -> None:
        """So many calls were recorded and cannot be read."""
        self.lost += count


class NoteFile:
    """The file of notes, a line of JSON each. As long as nothing was noted it is empty."""

    def __init__(self, folder: Folder) -> None:
        self.file = NewFile(folder, FILE)
        # Held as long as the recording goes on: who finds it free finds the spools of a dead observer.
        fcntl.flock(self.file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.lost = 0
        self.error: OSError | None = None
        self._head = to_json(Layouts(t=time.monotonic_ns(), version=VERSION)) + b"\n"

    def append(self, note: Note) -> None:
        """Write one note."""
        line = to_json(note) + b"\n"
        if self.error is None:
            try:
                self.file.append(self._head + line)
                self._head = b""
                return
            except OSError as error:
                self.error = error
        self.lost += 1


class Spools:
    """All spools of one recording, in the trace's `spool` folder."""

    def __init__(self, folder: Folder) -> None:
        with contextlib.ExitStack() as opened:  # where one cannot be made, the others are closed

            def spool(layout: Layout) -> Spool:
                made = Spool(folder, layout)
                opened.callback(made.file.close)
                return made

            self.calls = spool(CALL)
            self.inline = InlineSpool(folder)
            opened.callback(self.inline.file.close)
            self.clock = spool(CLOCK)
            self.syscalls = spool(SYSCALL)
            self.into_libraries = spool(LIBRARY_CALL)
            self.arguments = spool(ARGUMENT)
            self.stacks = spool(STACK_PIECE)
            self.callers = spool(CALL_STACK)
            self.notes = NoteFile(folder)
            opened.callback(self.notes.file.close)
            self.close = opened.pop_all().close

    def _all(self) -> dict[str, Spool | NoteFile]:
        return {
            "calls": self.calls, "inline": self.inline, "clock": self.clock,
            "syscalls": self.syscalls, "library": self.into_libraries, "arguments": self.arguments,
            "stacks": self.stacks, "callers": self.callers, "notes": self.notes,
        }  # fmt: skip

    @property
    def recorded(self) -> int:
        """How many calls and system calls there are by now."""
        return self.calls.count + self.inline.count + self.syscalls.count + self.into_libraries.count

    @property
    def written(self) -> int:
        """How many bytes there are by now."""
        return sum(spool.file.size for spool in self._all().values())

    def lost(self) -> dict[str, int]:
        """Return how many records of each kind could not be stored."""
        lost = {name: spool.lost for name, spool in self._all().items() if name not in ("stacks", "callers", "clock")}
        lost["calls"] += lost.pop("inline")
        return lost

    def error(self) -> OSError | None:
        """Return the first reason why something could not be stored."""
        return next((spool.error for spool in self._all().values() if spool.error is not None), None)

    def changed(self) -> list[str]:
        """Return the names of the files that somebody else has changed, removed or replaced."""
        return [spool.file.name for spool in self._all().values() if not spool.file.is_as_written()]
