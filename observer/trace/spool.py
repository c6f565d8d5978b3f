"""Append-only spools: what is written while the program runs, before names and order are worked out.

Records have a fixed size and are written one by one: a record that was written is in the page cache even if the
observer is killed in the next instant, a full disk is an error of that write, and nothing is mapped, since whoever
truncates the file would end us by SIGBUS. A record's first word is a time and never 0: zeroes are a hole that somebody
else made. Rare things (processes, images, snapshots) are JSON lines.
"""

from __future__ import annotations

import contextlib
import fcntl
import struct
from typing import Any, Final

import msgspec

from observer.files import Folder, NewFile
from observer.instruments.names import ARGUMENT_BYTES
from observer.instruments.stacks import KEPT
from observer.model.filenames import as_text

__all__ = [
    "ARGUMENT_FIELDS",
    "CALL_FIELDS",
    "STACK_BYTES",
    "STACK_FIELDS",
    "SYSCALL_FIELDS",
    "NoteFile",
    "Spool",
    "Spools",
]

CALL_FIELDS: Final = [
    ("began", "<u8"), ("ended", "<u8"), ("pid", "<u4"), ("tid", "<u4"), ("op", "<u2"), ("flags", "<u2"),
    ("inner", "<u4"), ("a0", "<u8"), ("a1", "<u8"), ("a2", "<u8"), ("result", "<u8"), ("ret", "<u8"), ("sp", "<u8"),
    ("stack", "<u8"), ("implementation", "<u8"),
]  # fmt: skip
"""One allocator call; flags: 1 returned, 2 left by a jump. `stack` is the number of a stack record, from 1;
`implementation` that of the allocator whose function was called, as notes name it."""

SYSCALL_FIELDS: Final = [
    ("began", "<u8"), ("ended", "<u8"), ("pid", "<u4"), ("tid", "<u4"), ("number", "<u4"), ("arch", "<u4"),
    ("a0", "<u8"), ("a1", "<u8"), ("a2", "<u8"), ("a3", "<u8"), ("a4", "<u8"), ("a5", "<u8"), ("result", "<i8"),
    ("ip", "<u8"), ("sp", "<u8"), ("cs", "<u4"), ("flags", "<u4"), ("stack", "<u8"),
]  # fmt: skip
"""One system call; flags: 1 returned, from bit 8 on the gate (a place in `arch.architecture.GATES`)."""

ARGUMENT_FIELDS: Final = [
    ("syscall", "<u8"), ("index", "<u2"), ("what", "<u2"), ("length", "<u4"), ("bytes", f"V{ARGUMENT_BYTES}"),
]  # fmt: skip
"""What one argument of system call number `syscall` (from 1) points to; `what` is a place in `KINDS`."""

LIBRARY_FIELDS: Final = [
    ("began", "<u8"), ("ended", "<u8"), ("pid", "<u4"), ("tid", "<u4"), ("probe", "<u4"), ("flags", "<u4"),
    ("result", "<u8"), ("site", "<u8"), ("sp", "<u8"), ("stack", "<u8"),
]  # fmt: skip
"""One call that a probe saw; flags: 1 returned, 2 left by a jump, 4 seen at its entry only."""

STACK_BYTES: Final = KEPT
_CALL: Final = struct.Struct("<QQIIHHIQQQQQQQQ")
_SYSCALL: Final = struct.Struct("<QQIIII6QqQQIIQ")
_LIBRARY: Final = struct.Struct("<QQIIIIQQQQ")
_ARGUMENT: Final = struct.Struct(f"<QHHI{ARGUMENT_BYTES}s")
_STACK: Final = struct.Struct(f"<QQQQ{STACK_BYTES}s")
STACK_FIELDS: Final = [
    ("time", "<u8"), ("sp", "<u8"), ("bp", "<u8"), ("bx", "<u8"), ("bytes", f"V{STACK_BYTES}"),
]  # fmt: skip
"""A piece of user stack from `sp` up, with the registers needed to unwind it."""


class Spool:
    """One file of fixed-size records, at *most* so many.

    After a failure `error` says why, and what comes is counted in `lost`.
    """

    def __init__(self, folder: Folder, name: str, layout: struct.Struct, most: int | None = None) -> None:
        self.file = NewFile(folder, name)
        self._pack = layout.pack
        self._append = self.file.append
        self._most = most
        self.count = 0
        self.lost = 0
        self.error: OSError | None = None

    def append(self, *fields: Any) -> int:
        """Write one record; return its number, from 1 (0 when it was lost)."""
        if self.error is None and self.count != self._most:
            try:
                self._append(self._pack(*fields))
            except OSError as error:
                self.error = error
            else:
                self.count += 1
                return self.count
        self.lost += 1
        return 0


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value


class NoteFile:
    """JSON lines for what is rare, each written at once."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.file = NewFile(folder, name)
        # Held as long as the recording goes on: who finds it free finds the spools of a dead observer.
        fcntl.flock(self.file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._encoder = msgspec.json.Encoder()
        self.lost = 0
        self.error: OSError | None = None

    def append(self, what: str, **fields: Any) -> None:
        """Write one note."""
        note = {"what": what, **fields}
        try:
            line = self._encoder.encode(note) + b"\n"
        except UnicodeEncodeError:
            line = self._encoder.encode(_readable(msgspec.to_builtins(note))) + b"\n"
        if self.error is None:
            try:
                self.file.append(line)
                return
            except OSError as error:
                self.error = error
        self.lost += 1


class Spools:
    """All spools of one recording, in the trace's `spool` folder; at *most* so many calls and system calls each."""

    def __init__(self, folder: Folder, most: int | None = None) -> None:
        with contextlib.ExitStack() as opened:  # where one cannot be made, the others are closed

            def spool(name: str, layout: struct.Struct, most: int | None = None) -> Spool:
                made = Spool(folder, name, layout, most)
                opened.callback(made.file.close)
                return made

            self.calls = spool("calls.bin", _CALL, most)
            self.syscalls = spool("syscalls.bin", _SYSCALL, most)
            self.into_libraries = spool("library.bin", _LIBRARY, most)
            self.arguments = spool("arguments.bin", _ARGUMENT)
            self.stacks = spool("stacks.bin", _STACK)
            self.notes = NoteFile(folder, "notes.jsonl")
            opened.callback(self.notes.file.close)
            self.close = opened.pop_all().close

    def _all(self) -> dict[str, Spool | NoteFile]:
        return {
            "calls": self.calls, "syscalls": self.syscalls, "library": self.into_libraries, "arguments": self.arguments,
            "stacks": self.stacks, "notes": self.notes,
        }  # fmt: skip

    def lost(self) -> dict[str, int]:
        """Return how many records of each kind could not be stored."""
        return {name: spool.lost for name, spool in self._all().items() if name != "stacks"}

    def error(self) -> OSError | None:
        """Return the first reason why something could not be stored."""
        return next((spool.error for spool in self._all().values() if spool.error is not None), None)

    def changed(self) -> list[str]:
        """Return the names of the files that somebody else has changed, removed or replaced."""
        return [spool.file.name for spool in self._all().values() if not spool.file.is_as_written()]
