"""Reading spools back: whole after a run, or as far as they go after the observer was killed."""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from observer.errors import BadTrace
from observer.instruments.faults import FAULT_FIELDS, PAGE_SHIFT, SampleLayout
from observer.trace.spool import ARGUMENT_FIELDS, CALL_FIELDS, LIBRARY_FIELDS, STACK_FIELDS, SYSCALL_FIELDS

__all__ = ["Spooled", "Stacks", "read_spools"]

Records = npt.NDArray[np.void]
_SAMPLE: Final = 9
_PAGE_SHIFT: Final = PAGE_SHIFT


class Stacks:
    """The saved pieces of stack, each read from its file when it is wanted: there may be gigabytes of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layout = np.dtype(STACK_FIELDS)
        self._count = path.stat().st_size // self._layout.itemsize

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.void:
        size = self._layout.itemsize
        with open(self._path, "rb", buffering=0) as file:
            record: np.void = np.frombuffer(os.pread(file.fileno(), size, index * size), dtype=self._layout)[0]
        return record


@dataclass(frozen=True, slots=True)
class Spooled:
    """The records of one recording, as numpy record arrays in the order they were written."""

    calls: Records
    syscalls: Records
    into_libraries: Records
    arguments: Records
    stacks: Stacks
    faults: Records
    notes: list[dict[str, Any]]
    frames: npt.NDArray[np.uint64]


def read_spools(directory: Path, stack_bytes: int) -> Spooled:
    """Read all spools; a torn last record is left out.

    Raises:
        BadTrace: the folder is not a spool folder.
    """
    try:
        notes = _notes(directory / "notes.jsonl")
        frames = directory / "frames.bin"
        return Spooled(
            calls=_records(directory / "calls.bin", CALL_FIELDS),
            syscalls=_records(directory / "syscalls.bin", SYSCALL_FIELDS),
            into_libraries=_records(directory / "library.bin", LIBRARY_FIELDS),
            arguments=_records(directory / "arguments.bin", ARGUMENT_FIELDS),
            stacks=Stacks(directory / "stacks.bin"),
            faults=_all_faults(directory, SampleLayout(stack_bytes), notes),
            notes=notes,
            frames=np.fromfile(frames, dtype="<u8") if frames.exists() else np.empty(0, dtype="<u8"),
        )
    except OSError as error:
        raise BadTrace(f"cannot read the spools in {directory}", error.strerror or str(error)) from error


def _notes(path: Path) -> list[dict[str, Any]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    notes: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines():
        try:
            notes.append(decoder.decode(line))
        except msgspec.DecodeError:
            break  # the line that was being written when the observer ended
    return notes


def _records(path: Path, fields: list[tuple[str, str]]) -> Records:
    """Map the records of a spool: only those that are looked at come into memory."""
    layout = np.dtype(fields)
    count = path.stat().st_size // layout.itemsize
    if not count:
        return np.empty(0, dtype=layout)
    records = np.memmap(path, dtype=layout, mode="r", shape=(count,))
    # Records are written one after the other, so those without a time are the last ones.
    return records[: bisect_left(range(count), True, key=lambda i: records[i][fields[0][0]] == 0)]


def _all_faults(directory: Path, layout: SampleLayout, notes: list[dict[str, Any]]) -> Records:
    files = sorted(directory.glob("faults.*.bin"))
    parts = [_faults(path, layout) for path in files]
    dtype = _fault_dtype(layout)
    parts.append(_placed_by_pages([note for note in notes if note["what"] == "interval"], dtype))
    return np.concatenate(parts)


def _placed_by_pages(notes: list[dict[str, Any]], dtype: np.dtype[np.void]) -> Records:
    """Make faults of the pages that came in between two stops: no instruction, the time of the later stop."""
    records = np.zeros(sum(length for note in notes for _first, length in note["pages"]), dtype=dtype)
    at = 0
    for note in notes:
        for first, length in note["pages"]:
            part = records[at : at + length]
            part["address"] = (np.arange(first, first + length, dtype=np.uint64)) << np.uint64(_PAGE_SHIFT)
            part["pid"], part["tid"], part["time"] = note["pid"], note["tid"], note["t"]
            at += length
    return records


def _fault_dtype(layout: SampleLayout) -> np.dtype[np.void]:
    fields = list(FAULT_FIELDS)
    if layout.stack_bytes:
        fields += [("stack", f"V{layout.stack_bytes}"), ("stack_length", "<u8")]
    return np.dtype(fields)


def _faults(path: Path, layout: SampleLayout) -> Records:
    dtype = _fault_dtype(layout)
    raw = np.fromfile(path, dtype=np.uint8)
    whole = raw[: len(raw) // dtype.itemsize * dtype.itemsize].view(dtype)
    if (
        len(whole) * dtype.itemsize == len(raw)
        and (whole["type"] == _SAMPLE).all()
        and (whole["size"] == dtype.itemsize).all()
    ):
        return whole
    return _walk(raw, dtype)


def _walk(raw: npt.NDArray[np.uint8], dtype: np.dtype[np.void]) -> Records:
    """Take the samples out of a ring that holds other records, too, or samples without user registers."""
    header = np.dtype([("type", "<u4"), ("misc", "<u2"), ("size", "<u2")])
    samples: list[bytes] = []
    at = 0
    while at + 8 <= len(raw):
        head = raw[at : at + 8].view(header)[0]
        size = int(head["size"])
        if size < 8 or at + size > len(raw):
            break
        if head["type"] == _SAMPLE:
            samples.append(raw[at : at + size].tobytes()[: dtype.itemsize].ljust(dtype.itemsize, b"\0"))
        at += size
    return np.frombuffer(b"".join(samples), dtype=dtype)
