"""Samples of tracepoints, as perf wrote them, made into records of the kernel's doings.

Notes say where each field lay in what this kernel wrote (`notes.Tracepoint`): a trace is recovered anywhere.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.files import File
from observer.instruments.kernel_side import PERF_RECORD_SAMPLE, RAW_FIELDS
from observer.recording.notes import Note, Tracepoint
from observer.recording.records import (
    ENTERED,
    FAULT_BEGAN,
    FOR_PROGRAM,
    FRAMES,
    HANDLED,
    IN_INTERRUPT,
    KERNEL_EVENT,
    LEFT_KERNEL,
    ZEROED,
)

__all__ = ["plausible", "readers", "records_of", "samples"]

Records = npt.NDArray[np.void]
_Words = npt.NDArray[np.uint64]
_Field = tuple[int, int]

_FILE: Final = re.compile(r"kernel\.[0-9]{1,5}\.bin")
_AT_ONCE: Final = 1 << 18
_LATEST: Final = np.uint64(1 << 62)
_HEADER: Final = struct.Struct("<IHHQ")  # struct perf_event_header, and the event's identity (PERF_SAMPLE_IDENTIFIER)
_FIXED: Final = np.dtype(RAW_FIELDS)
_LARGEST_ORDER: Final = 32
_LARGEST_SAMPLE: Final = 128  # bytes; what is left of one that was being written is shorter
_INTERRUPTS: Final = 0x08 | 0x10  # TRACE_FLAG_HARDIRQ, TRACE_FLAG_SOFTIRQ (include/linux/trace_events.h)
_NAMES: Final = {
    "exceptions:page_fault_user": (FAULT_BEGAN, "address"), "exceptions:page_fault_kernel": (FAULT_BEGAN, "address"),
    "kmem:mm_page_alloc": (FRAMES, "pfn"), "raw_syscalls:sys_enter": (ENTERED, "id"),
    "raw_syscalls:sys_exit": (LEFT_KERNEL, "id"),
}  # fmt: skip
"""What each tracepoint says, and the field that is the value of its record."""


def readers(
    names: Iterable[str], opened: Callable[[str], File], notes: Iterable[Note], damaged: MutableMapping[str, int]
) -> list[Callable[[], Iterator[Records]]]:
    """Return what yields the records of each ring's file among *names*; how many were none is put into *damaged*."""
    points = [note for note in notes if isinstance(note, Tracepoint)]
    return [
        partial(samples, opened(name), points, partial(damaged.__setitem__, name))
        for name in sorted(names) if _FILE.fullmatch(name)
    ]  # fmt: skip


def samples(file: File, points: Sequence[Tracepoint], damaged: Callable[[int], None]) -> Iterator[Records]:
    """Yield what one ring's *file* holds, as records of KERNEL_EVENT; tell *damaged* how many were none."""
    by_id = {number: point for point in points for number in point.ids}
    at = odd = 0
    while raw := file.read_at(at, _AT_ONCE):
        places, taken = _walk(raw)
        found = [records_of(raw, starts, by_id.get(number)) for number, starts in places.items()]
        odd += sum(map(len, places.values())) - sum(map(len, found))
        records = np.concatenate(found) if found else np.empty(0, dtype=KERNEL_EVENT.dtype)
        good = plausible(records)
        odd += int((~good).sum())
        yield records[good]
        if not taken:
            break
        at += taken
    damaged(odd + (file.size - at) // _LARGEST_SAMPLE)


def _walk(raw: bytes) -> tuple[dict[int, list[int]], int]:
    """Return where the samples of each event begin in *raw*, and how many bytes of it are whole records."""
    places: dict[int, list[int]] = {}
    at, end = 0, len(raw)
    while at + _HEADER.size <= end:
        kind, _misc, size, number = _HEADER.unpack_from(raw, at)
        if size < _HEADER.size or at + size > end:
            break
        if kind == PERF_RECORD_SAMPLE:
            places.setdefault(number, []).append(at)
        at += size
    return places, at


def records_of(raw: bytes, starts: Sequence[int], point: Tracepoint | None) -> Records:
    """Return as records what begins at the *starts* in *raw*, samples of one tracepoint; none where it is not known."""
    what, named = _NAMES.get(point.name if point is not None else "", (0, ""))
    if point is None or named not in point.fields:
        return np.empty(0, dtype=KERNEL_EVENT.dtype)
    length = _FIXED.itemsize + max(offset + size for offset, size in point.fields.values())
    whole = np.array([start for start in starts if start + length <= len(raw)], dtype=np.int64)
    data = np.frombuffer(raw, dtype=np.uint8)
    cut = data[whole[:, np.newaxis] + np.arange(length)]
    fixed = np.ascontiguousarray(cut[:, : _FIXED.itemsize]).view(_FIXED)[:, 0]
    records = np.zeros(len(whole), dtype=KERNEL_EVENT.dtype)
    for name in ("time", "pid", "tid"):
        records[name] = fixed[name]
    fields = _Cut(cut[:, _FIXED.itemsize :], point)
    records["what"], records["value"] = what, fields.get(named)
    if what == FRAMES:
        records["order"] = np.minimum(fields.get("order"), _LARGEST_ORDER)
        records["flags"] = _flags(fields, point.flags)
    return records


class _Cut:
    """The records of one tracepoint, a row each."""

    def __init__(self, rows: npt.NDArray[np.uint8], point: Tracepoint) -> None:
        self._rows = rows
        self._fields = point.fields

    def get(self, name: str) -> _Words:
        """Return one field of all of them, 0 where there is none such."""
        offset, size = self._fields.get(name, (0, 0))
        words = np.zeros((len(self._rows), 8), dtype=np.uint8)
        words[:, : min(size, 8)] = self._rows[:, offset : offset + min(size, 8)]
        return words.view("<u8")[:, 0].astype(np.uint64)


def _flags(fields: _Cut, names: dict[str, int]) -> npt.NDArray[np.uint16]:
    asked, context = fields.get("gfp_flags"), fields.get("common_flags")
    flags = np.zeros(len(asked), dtype=np.uint16)
    for bit, is_set in (
        (IN_INTERRUPT, context & np.uint64(_INTERRUPTS)),
        (ZEROED, asked & np.uint64(names.get("__GFP_ZERO", 0))),
        (FOR_PROGRAM, asked & np.uint64(names.get("__GFP_HARDWALL", 0))),
    ):
        flags[is_set != 0] |= bit
    return flags


def plausible(records: Records) -> npt.NDArray[np.bool_]:
    """Return which *records* can have been recorded."""
    checked: npt.NDArray[np.bool_] = (
        (records["time"] > 0) & (records["time"] < _LATEST) & (records["what"] <= HANDLED)
        & ((records["order"] < _LARGEST_ORDER) | (records["what"] == HANDLED))
    )  # fmt: skip
    return checked
