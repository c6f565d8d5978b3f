"""Reading spools back: whole after a run, or as far as they are whole after the observer was killed.

Whoever may write the trace's folder may have changed them. A spool is read up to its first damaged record, since
records refer to each other by their numbers; how many lay behind it is told. Nothing is mapped: see `observer.files`.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.architecture import GATES
from observer.errors import BadTrace
from observer.files import File, Folder
from observer.instruments.faults import FAULT_FIELDS, PAGE_SHIFT, PERF_RECORD_SAMPLE, SampleLayout
from observer.instruments.names import KINDS
from observer.model.operations import FAMILY
from observer.trace.layout import NOTES
from observer.trace.notes import Note, read_notes
from observer.trace.spool import ARGUMENT_FIELDS, CALL_FIELDS, LIBRARY_FIELDS, STACK_FIELDS, SYSCALL_FIELDS

__all__ = ["Spooled", "Stacks", "read_spools"]

Records = npt.NDArray[np.void]
_Checked = npt.NDArray[np.bool_]

_AT_ONCE: Final = 1 << 22  # bytes
_LATEST: Final = np.uint64(1 << 62)
_LONGEST_NOTE: Final = 1 << 26  # the mappings of a process that has as many as vm.max_map_count may be made
_MOST_NOTES: Final = 1 << 32
_MOST_FRAMES: Final = 1 << 31
_MOST_PLACED: Final = 1 << 24  # pages: of 64 GiB
_FAULTS: Final = re.compile(r"faults\.[0-9]{1,5}\.bin")
_ARGUMENTS: Final = 6
_HEADER: Final = struct.Struct("<IHH")  # struct perf_event_header: type, misc, size


class Stacks:
    """The saved pieces of stack, each read from its file when it is wanted: there may be gigabytes of them."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._layout = np.dtype(STACK_FIELDS)
        self._count = file.size // self._layout.itemsize

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.void:
        size = self._layout.itemsize
        # Where the file has become shorter meanwhile there is a piece of nothing.
        raw = self._file.read_at(index * size, size).ljust(size, b"\0")
        record: np.void = np.frombuffer(raw, dtype=self._layout)[0]
        return record


@dataclass(frozen=True, slots=True)
class Spooled:
    """The records of one recording, as numpy record arrays in the order they were written.

    `damaged` counts the records (of notes.jsonl the lines) of a file that could not be read.
    """

    calls: Records
    syscalls: Records
    into_libraries: Records
    arguments: Records
    stacks: Stacks
    faults: Records
    notes: list[Note]
    frames: npt.NDArray[np.uint64]
    damaged: dict[str, int]


def read_spools(folder: Folder, stack_bytes: int) -> Spooled:
    """Read all spools; a torn last record is left out.

    Raises:
        BadTrace: a spool is missing, or something else than a file.
    """
    return _Reading(folder).all(SampleLayout(stack_bytes))


class _Reading:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._damaged: Counter[str] = Counter()

    def all(self, layout: SampleLayout) -> Spooled:
        frames = self._frames()
        notes = self._notes(len(frames))
        return Spooled(
            calls=self._records("calls.bin", CALL_FIELDS, _whole_calls),
            syscalls=self._records("syscalls.bin", SYSCALL_FIELDS, _whole_syscalls),
            into_libraries=self._records("library.bin", LIBRARY_FIELDS, _in_time),
            arguments=self._records("arguments.bin", ARGUMENT_FIELDS, _whole_arguments),
            stacks=Stacks(self._file("stacks.bin")),
            faults=self._faults(_fault_dtype(layout), notes),
            notes=notes,
            frames=frames,
            damaged=dict(+self._damaged),
        )

    def _file(self, name: str, most: int | None = None) -> File:
        try:
            return self._folder.file(name, most)
        except OSError as error:
            why = f"{name}: {error.strerror or error}"
            remedy = "remove what observer run has not put there"
            raise BadTrace(f"cannot read the spools in {self._folder.path}", why, remedy) from error

    def _records(self, name: str, fields: list[tuple[str, str]], whole: Callable[[Records], _Checked]) -> Records:
        file, layout = self._file(name), np.dtype(fields)
        count, step = file.size // layout.itemsize, _AT_ONCE // layout.itemsize
        kept = bytearray()
        for first in range(0, count, step):
            raw = file.read_at(first * layout.itemsize, min(step, count - first) * layout.itemsize)
            good = _before_first(whole(np.frombuffer(raw, dtype=layout, count=len(raw) // layout.itemsize)))
            kept += raw[: good * layout.itemsize]
            if good < min(step, count - first):
                break
        records = np.frombuffer(kept, dtype=layout) if kept else np.empty(0, dtype=layout)
        self._damaged[name] = count - len(records)
        return records

    def _notes(self, frames: int) -> list[Note]:
        notes, self._damaged[NOTES] = read_notes(self._file(NOTES, _MOST_NOTES).lines(_LONGEST_NOTE))
        for note in notes:
            if note["what"] == "end" and any(
                at % 8 or at // 8 + count > frames for _start, count, at in note["frames"]
            ):
                note["frames"] = []
                self._damaged["frames.bin"] += 1
        return notes

    def _frames(self) -> npt.NDArray[np.uint64]:
        if "frames.bin" not in self._folder.names():
            return np.empty(0, dtype="<u8")
        file = self._file("frames.bin", _MOST_FRAMES)
        return np.frombuffer(file.read_at(0, file.size // 8 * 8), dtype="<u8")

    def _faults(self, dtype: np.dtype[np.void], notes: list[Note]) -> Records:
        names = sorted(name for name in self._folder.names() if _FAULTS.fullmatch(name))
        parts = [self._samples(name, dtype) for name in names]
        placed = [note for note in notes if note["what"] == "interval"]
        if sum(length for note in placed for _first, length in note["pages"]) > _MOST_PLACED:
            self._damaged[NOTES] += len(placed)
            placed = []
        return np.concatenate([*parts, _placed_by_pages(placed, dtype)])

    def _samples(self, name: str, dtype: np.dtype[np.void]) -> Records:
        """Take the samples out of what a ring held: most have the same length, but other records lie between them."""
        file, kept, at = self._file(name), bytearray(), 0
        while raw := file.read_at(at, _AT_ONCE // dtype.itemsize * dtype.itemsize):
            samples, taken = _samples_of(raw, dtype)
            kept += samples
            if not taken:
                break
            at += taken
        torn = file.size - at
        samples_ = np.frombuffer(kept, dtype=dtype) if kept else np.empty(0, dtype=dtype)
        good = (samples_["time"] > 0) & (samples_["time"] < _LATEST)
        self._damaged[name] = int((~good).sum()) + torn // dtype.itemsize
        return samples_[good]


def _before_first(whole: _Checked) -> int:
    """Return how many records there are before the first that is not whole."""
    return len(whole) if whole.all() else int(np.argmin(whole))


def _in_time(records: Records) -> _Checked:
    checked: _Checked = (records["began"] > 0) & (records["began"] < _LATEST) & (records["ended"] < _LATEST)
    return checked


def _whole_calls(records: Records) -> _Checked:
    return _in_time(records) & (records["op"] < len(FAMILY))


def _whole_syscalls(records: Records) -> _Checked:
    return _in_time(records) & (records["flags"] >> 8 & 3 < len(GATES))


def _whole_arguments(records: Records) -> _Checked:
    checked: _Checked = (
        (records["syscall"] > 0) & (records["syscall"] < _LATEST) & (records["what"] < len(KINDS))
        & (records["index"] < _ARGUMENTS)
    )  # fmt: skip
    return checked


def _placed_by_pages(notes: list[Note], dtype: np.dtype[np.void]) -> Records:
    """Make faults of the pages that came in between two stops: no instruction, the time of the later stop."""
    records = np.zeros(sum(length for note in notes for _first, length in note["pages"]), dtype=dtype)
    at = 0
    for note in notes:
        for first, length in note["pages"]:
            part = records[at : at + length]
            part["address"] = (np.arange(first, first + length, dtype=np.uint64)) << np.uint64(PAGE_SHIFT)
            part["pid"], part["tid"], part["time"] = note["pid"], note["tid"], note["t"]
            at += length
    return records


def _fault_dtype(layout: SampleLayout) -> np.dtype[np.void]:
    fields = list(FAULT_FIELDS)
    if layout.stack_bytes:
        fields += [("stack", f"V{layout.stack_bytes}"), ("stack_length", "<u8")]
    return np.dtype(fields)


def _samples_of(raw: bytes, dtype: np.dtype[np.void]) -> tuple[bytes, int]:
    """Return the samples at the beginning of *raw*, each as long as *dtype*, and how many bytes of it were read."""
    whole = np.frombuffer(raw, dtype=dtype, count=len(raw) // dtype.itemsize)
    if len(whole) and ((whole["type"] == PERF_RECORD_SAMPLE) & (whole["size"] == dtype.itemsize)).all():
        return raw[: len(whole) * dtype.itemsize], len(whole) * dtype.itemsize
    return _walk(raw, dtype)


def _walk(raw: bytes, dtype: np.dtype[np.void]) -> tuple[bytes, int]:
    """Take the samples out of records of all kinds, or samples without user registers; return as `_samples_of`."""
    samples: list[bytes] = []
    at = 0
    while at + _HEADER.size <= len(raw):
        kind, _misc, size = _HEADER.unpack_from(raw, at)
        if size < _HEADER.size or at + size > len(raw):
            break
        if kind == PERF_RECORD_SAMPLE:
            samples.append(raw[at : at + size][: dtype.itemsize].ljust(dtype.itemsize, b"\0"))
        at += size
    return b"".join(samples), at
