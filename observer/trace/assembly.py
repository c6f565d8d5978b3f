"""What a recording becomes: columns of events in their one order, and the values beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from observer.instruments.allocator import RETURNED
from observer.instruments.names import GATES, KINDS, arity_of, decode, name_of
from observer.instruments.probes import ENTRY_ONLY
from observer.model.addresses import AddressSpace
from observer.model.machine import Image, ProcessEnd
from observer.model.operations import FAMILY
from observer.recording.notes import (
    Aside,
    Born,
    Exec,
    Exiting,
    Gone,
    Handler,
    ProbedFunction,
    Rings,
    Signalled,
)
from observer.trace.allocators import allocators_of
from observer.trace.beside import Blocks
from observer.trace.columns import Columns, SiteTable
from observer.trace.heap_pages import HeapPages
from observer.trace.order import Elsewhere, enclosing_calls, number
from observer.trace.spooled import Spooled

__all__ = ["Assembly", "LifeNote", "Timeline"]

LifeNote = Signalled | Exec | Born | Gone | Exiting
"""A note that becomes an event, if `_is_told`."""

_KERNEL_MISC = 1
_ENOMEM, _EINVAL = 12, 22
_VDSO = "[vdso]"
_GIVING = frozenset({"malloc_usable_size", "malloc_trim", "mallopt"})
_INTS = frozenset({"malloc_trim", "mallopt"})
"""What returns an int: the upper half of the register may hold anything."""
_SETTINGS = ("parameter", "value")


class Timeline:
    """The one order of all records, and which allocator call each thing lies in."""

    def __init__(self, spooled: Spooled) -> None:
        calls, syscalls, faults, library = spooled.calls, spooled.syscalls, spooled.faults, spooled.into_libraries
        self.lives = [note for note in spooled.notes if isinstance(note, LifeNote) and _is_told(note)]
        times = [
            np.array([note.t for note in self.lives], dtype=np.uint64),
            library["began"], calls["began"], syscalls["began"], faults["time"],
        ]  # fmt: skip
        places = number(times)
        self.life_places, self.places_in_libraries, self.call_places, self.syscall_places, self.fault_places = places
        self.start = min((int(np.min(part)) for part in times if len(part)), default=0)
        away = _elsewhere(spooled)
        self.fault_calls = enclosing_calls(calls, faults["tid"], faults["time"], faults["user_sp"], away)
        self.fault_library = enclosing_calls(library, faults["tid"], faults["time"], faults["user_sp"])
        self.call_library = enclosing_calls(library, calls["tid"], calls["began"], calls["sp"])
        self.syscall_library = enclosing_calls(library, syscalls["tid"], syscalls["began"], syscalls["sp"])
        self.syscall_calls = enclosing_calls(calls, syscalls["tid"], syscalls["began"], syscalls["sp"], away)

    def causes(self, calls: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the numbers of the events that *calls* (indexes, or -1 for none) are."""
        return _numbered(calls, self.call_places)


def _elsewhere(spooled: Spooled) -> list[Elsewhere]:
    """Return when threads were in signal handlers that came in the midst of a call, or on another coroutine's stack."""
    away = [Elsewhere(note.tid, note.t, note.end) for note in spooled.notes if isinstance(note, Handler)]
    calls = spooled.calls
    for note in spooled.notes:
        if isinstance(note, Aside):
            # Until the call returns that was set aside: when its coroutine went on is not known.
            open_ones = calls["ended"][(calls["sp"] == note.sp) & (calls["began"] < note.t)]
            ended = open_ones[open_ones >= note.t]
            away.append(Elsewhere(note.tid, note.t, int(ended.min()) if len(ended) else note.t))
    return away


def _is_told(note: LifeNote) -> bool:
    """Whether a note of an end becomes an event: a process when it is gone, a thread when it begins to exit.

    A thread's way out ends after that, when who waits for it may go on already.
    """
    is_thread = note.tid != note.pid
    return is_thread != isinstance(note, Gone) if isinstance(note, Gone | Exiting) else True


def _numbered(indexes: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the places of *indexes*, -1 for those that are -1."""
    if not len(places):
        return np.full(len(indexes), -1, dtype=np.int64)
    return np.where(indexes >= 0, places[np.maximum(indexes, 0)], -1)


@dataclass(slots=True)
class Assembly:
    """Everything a trace holds, as columns and values.

    For each of the `ends` there is the address space as it was `replayed`, and what is known of its pages.
    """

    calls: Columns
    syscalls: Columns
    faults: Columns
    into_libraries: Columns
    signals: list[dict[str, Any]] = field(default_factory=list)
    processes: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    sites: SiteTable = field(default_factory=SiteTable)
    images: list[Image] = field(default_factory=list)
    ends: list[ProcessEnd] = field(default_factory=list)
    replayed: list[AddressSpace] = field(default_factory=list)
    heap_pages: list[HeapPages] = field(default_factory=list)
    blocks: list[Blocks] = field(default_factory=list)
    live_bytes: int = 0
    live_chunks: int = 0
    has_visible_frames: bool = False

    @classmethod
    def of(cls, spooled: Spooled, timeline: Timeline) -> Assembly:
        """Return the columns with everything that needs no replay filled in."""
        return cls(
            _calls(spooled, timeline), _syscalls(spooled, timeline), _faults(spooled, timeline),
            _library(spooled, timeline),
        )  # fmt: skip


def _common(
    records: npt.NDArray[np.void], time: str, places: npt.NDArray[np.int64], start: int
) -> dict[str, npt.NDArray[Any]]:
    return {
        "n": places, "t_ns": records[time].astype(np.int64) - start, "pid": records["pid"].astype(np.int64),
        "tid": records["tid"].astype(np.int64), "site": np.zeros(len(records), dtype=np.int64),
    }  # fmt: skip


def _calls(spooled: Spooled, timeline: Timeline) -> Columns:
    calls = spooled.calls
    columns = Columns(
        len(calls), ("errno", "has_result"),
        ("op", "where", "origin", "steps", "allocator", "misuse", "misuse_given_at", "misuse_freed_at"),
    )  # fmt: skip
    numbers = columns.numbers
    numbers.update(_common(calls, "began", timeline.call_places, timeline.start))
    numbers["end_ns"] = calls["ended"].astype(np.int64) - timeline.start
    numbers["returned"] = (calls["flags"] & RETURNED).astype(np.int64)
    numbers["inner_calls"] = calls["inner"].astype(np.int64)
    numbers["result"] = calls["result"].copy()
    for role in ("size", "count", "alignment", "pointer"):
        numbers[role] = np.zeros(len(calls), dtype=np.uint64)
        numbers[f"has_{role}"] = np.zeros(len(calls), dtype=np.int64)
    for role in _SETTINGS:
        numbers[role], numbers[f"has_{role}"] = np.zeros((2, len(calls)), dtype=np.int64)
    numbers["misuse_given"] = np.full(len(calls), -1, dtype=np.int64)
    numbers["misuse_freed"] = np.full(len(calls), -1, dtype=np.int64)
    columns.texts["allocator"][:] = allocators_of(spooled)
    for i, operation in enumerate(FAMILY):
        chosen = calls["op"] == i
        columns.texts["op"][chosen] = operation.name
        for role, position in operation.arguments.items():
            if role != "slot":
                words = calls[f"a{position}"][chosen]
                numbers[role][chosen] = words.astype(np.uint32).view(np.int32) if role in _SETTINGS else words
                numbers[f"has_{role}"][chosen] = 1
        if operation.allocates or operation.name in _GIVING:
            numbers["has_result"][chosen] = numbers["returned"][chosen]
        if operation.name in _INTS:
            numbers["result"][chosen] &= np.uint64(0xFFFF_FFFF)
        if operation.allocates:
            # realloc(p, 0) returns NULL because it frees, not because there is no memory.
            failed = chosen & (calls["result"] == 0) & (numbers["returned"] == 1) & (numbers["size"] != 0)
            numbers["errno"][failed] = _ENOMEM
        if operation.name == "posix_memalign":
            numbers["errno"][failed & _is_forbidden(numbers["alignment"])] = _EINVAL
    return columns


def _is_forbidden(alignments: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which alignments posix_memalign(3) refuses: those that are no power of two or less than a pointer's."""
    odd = alignments & (alignments - np.uint64(1)) != 0
    found: npt.NDArray[np.bool_] = odd | (alignments % np.uint64(8) != 0) | (alignments == 0)
    return found


def _syscalls(spooled: Spooled, timeline: Timeline) -> Columns:
    records = spooled.syscalls
    columns = Columns(len(records), (), ("name", "gate", "decoded"))
    numbers = columns.numbers
    numbers.update(_common(records, "began", timeline.syscall_places, timeline.start))
    numbers["number"] = records["number"].astype(np.int64)
    numbers["result"] = records["result"].copy()
    numbers["returned"] = (records["flags"] & RETURNED).astype(np.int64)
    failed = (records["result"] < 0) & (records["result"] > -4096)
    numbers["errno"] = np.where(failed, -records["result"], 0)
    numbers["ring_before"] = (records["cs"] & 3).astype(np.int64)
    numbers["end_ns"] = records["ended"].astype(np.int64) - timeline.start
    numbers["cause"] = timeline.causes(timeline.syscall_calls)
    numbers["within"] = _numbered(timeline.syscall_library, timeline.places_in_libraries)
    for i in range(6):
        numbers[f"a{i}"] = records[f"a{i}"].copy()
    numbers["arity"] = np.zeros(len(records), dtype=np.int64)
    for arch, call in np.unique(records[["arch", "number"]]).tolist():
        chosen = (records["arch"] == arch) & (records["number"] == call)
        columns.texts["name"][chosen] = name_of(call, arch)
        numbers["arity"][chosen] = arity_of(name_of(call, arch))
    columns.texts["gate"][:] = np.array(GATES, dtype=object)[records["flags"] >> 8 & 3]
    columns.texts["decoded"][:] = _decoded(spooled, columns)
    return columns


def _decoded(spooled: Spooled, columns: Columns) -> list[str]:
    """Return each system call's arguments in words, joined by the unit separator, which no text among them holds."""
    read: dict[int, dict[int, tuple[str, bytes]]] = {}
    for syscall, index, what, length, data in spooled.arguments.tolist():
        read.setdefault(syscall, {})[index] = KINDS[what], data[:length]
    rows = zip(
        columns.texts["name"].tolist(), columns.numbers["arity"].tolist(), columns.numbers["returned"].tolist(),
        columns.numbers["result"].tolist(), *(columns.numbers[f"a{i}"].tolist() for i in range(6)), strict=True,
    )  # fmt: skip
    return [
        "\x1f".join(decode(name, tuple(words[:arity]), read.get(number, {}), result if returned else None))
        for number, (name, arity, returned, result, *words) in enumerate(rows, start=1)
    ]


def _faults(spooled: Spooled, timeline: Timeline) -> Columns:
    faults = spooled.faults
    columns = Columns(len(faults), ("chunk_address", "chunk_size"), ("where", "access", "mapping", "toucher"))
    numbers = columns.numbers
    numbers.update(_common(faults, "time", timeline.fault_places, timeline.start))
    major_ids = [id_ for note in spooled.notes if isinstance(note, Rings) for id_ in note.major_ids]
    numbers["major"] = np.isin(faults["id"], np.array(major_ids, dtype=np.uint64)).astype(np.int64)
    numbers["ring"] = np.where(faults["misc"] & 7 == _KERNEL_MISC, 0, 3)
    numbers["cause"] = timeline.causes(timeline.fault_calls)
    numbers["frame"] = np.full(len(faults), -1, dtype=np.int64)
    numbers["chunk_call"] = np.full(len(faults), -1, dtype=np.int64)
    numbers["address"] = faults["address"].copy()
    numbers["ip"] = faults["ip"].copy()
    return columns


def _library(spooled: Spooled, timeline: Timeline) -> Columns:
    records = spooled.into_libraries
    columns = Columns(len(records), (), ("function", "module"))
    numbers = columns.numbers
    numbers.update(_common(records, "began", timeline.places_in_libraries, timeline.start))
    numbers["end_ns"] = records["ended"].astype(np.int64) - timeline.start
    numbers["returned"] = (records["flags"] & RETURNED).astype(np.int64)
    numbers["result"] = records["result"].copy()
    for note in spooled.notes:
        if isinstance(note, ProbedFunction):
            chosen = records["probe"] == note.number
            columns.texts["function"][chosen] = note.function
            columns.texts["module"][chosen] = note.module
    # What was only seen to begin may have made any number of them.
    crossings = _crossings(records, timeline.syscall_library, columns.texts["module"] == _VDSO)
    numbers["crossings"] = np.where(records["flags"] & ENTRY_ONLY != 0, -1, crossings)
    return columns


def _crossings(
    records: npt.NDArray[np.void], within: npt.NDArray[np.int64], in_vdso: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return how many system calls were made in each library call; *within* says in which each of them was.

    Those that the vDSO makes, when it cannot answer, are also those of the library call that asked it.
    """
    made = within[within >= 0]
    passed_on = made[in_vdso[made]]
    asking = enclosing_calls(
        records, records["tid"][passed_on], records["began"][passed_on] - np.uint64(1), records["sp"][passed_on]
    )
    both = np.concatenate([made, asking[asking >= 0]])
    return np.bincount(both, minlength=len(records)).astype(np.int64)
