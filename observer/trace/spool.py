"""Append-only spools: what is written while the program runs, before names and order are worked out.

Records have a fixed size and go straight into preallocated, mapped file space: a record that was written is in
the page cache even if the observer is killed in the next instant, and a full disk is an error of the allocation
(posix_fallocate), never a SIGBUS. A record's first word is a time and never 0, so the zeroes that follow the last
record end the file. Rare things (processes, images, snapshots) are JSON lines.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path
from typing import Any, Final

import msgspec

from observer.instruments.names import ARGUMENT_BYTES
from observer.instruments.stacks import KEPT

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

_CHUNK: Final = 1 << 20

CALL_FIELDS: Final = [
    ("began", "<u8"), ("ended", "<u8"), ("pid", "<u4"), ("tid", "<u4"), ("op", "<u2"), ("flags", "<u2"),
    ("inner", "<u4"), ("a0", "<u8"), ("a1", "<u8"), ("a2", "<u8"), ("result", "<u8"), ("ret", "<u8"), ("sp", "<u8"),
    ("stack", "<u8"),
]  # fmt: skip
"""One allocator call; flags: 1 returned, 2 left by a jump. `stack` is the number of a stack record, from 1."""

SYSCALL_FIELDS: Final = [
    ("began", "<u8"), ("ended", "<u8"), ("pid", "<u4"), ("tid", "<u4"), ("number", "<u4"), ("arch", "<u4"),
    ("a0", "<u8"), ("a1", "<u8"), ("a2", "<u8"), ("a3", "<u8"), ("a4", "<u8"), ("a5", "<u8"), ("result", "<i8"),
    ("ip", "<u8"), ("sp", "<u8"), ("cs", "<u4"), ("flags", "<u4"), ("stack", "<u8"),
]  # fmt: skip
"""One system call; flags: 1 returned, from bit 8 on the gate (a place in `instruments.names.GATES`)."""

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
_CALL: Final = struct.Struct("<QQIIHHIQQQQQQQ")
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

    def __init__(self, path: Path, layout: struct.Struct, most: int | None = None) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._pack = layout.pack_into
        self._size = layout.size
        self._most = most
        self._room = _CHUNK // layout.size * layout.size
        self._at = self._room
        self._map: mmap.mmap | None = None
        self.count = 0
        self.lost = 0
        self.error: OSError | None = None

    def append(self, *fields: Any) -> int:
        """Write one record; return its number, from 1 (0 when it was lost)."""
        if self._at >= self._room and not self._grow():
            self.lost += 1
            return 0
        assert self._map is not None
        self._pack(self._map, self._at, *fields)
        self._at += self._size
        self.count += 1
        return self.count

    def _grow(self) -> bool:
        if self.error is not None or self.count == self._most:
            return False
        # A mapping begins at a page, a record anywhere: each chunk is mapped with the odd bytes before it.
        start = self.count * self._size
        head = start % mmap.ALLOCATIONGRANULARITY
        try:
            os.posix_fallocate(self._fd, start, _CHUNK)
            if self._map is not None:
                self._map.close()
            self._map = mmap.mmap(self._fd, head + _CHUNK, offset=start - head)
        except OSError as error:
            self.error = error
            return False
        records = _CHUNK // self._size
        if self._most is not None:
            records = min(records, self._most - self.count)
        self._at = head
        self._room = head + records * self._size
        return True

    def close(self) -> None:
        """Cut the unused end off and close."""
        if self._map is not None:
            self._map.close()
        os.ftruncate(self._fd, self.count * self._size)
        os.close(self._fd)


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value


class NoteFile:
    """JSON lines for what is rare, each written at once."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        # Held as long as the recording goes on: who finds it free finds the spools of a dead observer.
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._encoder = msgspec.json.Encoder()
        self.lost = 0
        self.error: OSError | None = None

    def append(self, what: str, **fields: Any) -> None:
        """Write one note."""
        note = {"what": what, **fields}
        try:
            line = self._encoder.encode(note) + b"\n"
        except UnicodeEncodeError:
            # A name that is no text: its odd bytes are written as \xff, and no file is found by it afterwards.
            line = self._encoder.encode(_readable(msgspec.to_builtins(note))) + b"\n"
        try:
            if self.error is None and os.write(self._fd, line) == len(line):
                return
            self.error = self.error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.error = error
        self.lost += 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Spools:
    """All spools of one recording, in the trace's `spool` folder."""

    def __init__(self, directory: Path, most: int | None = None) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700)
        self.calls = Spool(directory / "calls.bin", _CALL, most)
        self.syscalls = Spool(directory / "syscalls.bin", _SYSCALL, most)
        self.into_libraries = Spool(directory / "library.bin", _LIBRARY, most)
        self.arguments = Spool(directory / "arguments.bin", _ARGUMENT)
        self.stacks = Spool(directory / "stacks.bin", _STACK)
        self.notes = NoteFile(directory / "notes.jsonl")

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

    def close(self) -> None:
        """Close all."""
        for spool in self._all().values():
            spool.close()
