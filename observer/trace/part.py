"""A stretch of a run as it becomes a part of the tables: columns of events, those filled in that need no replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.arch.architecture import GATES, KERNEL_RING, USER_RING
from observer.arch.known import NATIVE
from observer.instruments.names import KINDS, arity_of, decode, name_of
from observer.model.events import Call, Event, KernelWork
from observer.model.operations import FAMILY
from observer.recording.notes import Note, ProbedFunction, Rings
from observer.recording.records import ENTRY_ONLY, RETURNED
from observer.trace.allocators import allocator_names
from observer.trace.columns import Columns, SiteTable
from observer.trace.spooled import Arguments, Spooled
from observer.trace.timeline import Moments

__all__ = ["Part", "PartMaker"]

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]

_KERNEL_MISC: Final = 1
_ENOMEM, _EINVAL = 12, 22
_VDSO: Final = "[vdso]"
_GIVING: Final = frozenset({"malloc_usable_size", "malloc_trim", "mallopt"})
_INTS: Final = frozenset({"malloc_trim", "mallopt"})
"""What returns an int: the upper half of the register may hold anything."""
_SETTINGS: Final = ("parameter", "value")
_FOUND_WORDS: Final = (
    "where", "origin", "served_by", "steps", "misuse", "misuse_given_at", "misuse_freed_at",
)  # fmt: skip
_GATES: Final = np.array(GATES, dtype=object)


class Part:
    """What began in one window: columns of the frequent kinds, rows of the rare ones.

    `events` are its events, of them `call_events` those of its calls' rows, once somebody asked (`values.events_of`).
    `fault_work` and `syscall_work` have by row what the kernel did, where that was recorded.
    `open` is how many of its calls have not yet ended in the replay: until then what it says of them is not all.
    `open_rows` are the rows of its calls that had not ended with the window.
    `overdue` are the rows, by kind, of those that were open when the part was taken, and have ended since.
    """

    def __init__(
        self, sites: SiteTable, calls: Columns, syscalls: Columns, faults: Columns, into_libraries: Columns
    ) -> None:  # fmt: skip
        self.sites = sites
        self.calls = calls
        self.syscalls = syscalls
        self.faults = faults
        self.into_libraries = into_libraries
        self.signals: list[dict[str, Any]] = []
        self.processes: list[dict[str, Any]] = []
        self.lost: list[dict[str, Any]] = []
        self.events: list[Event] | None = None
        self.call_events: list[Call] = []
        self.fault_work: dict[int, KernelWork] = {}
        self.syscall_work: dict[int, KernelWork] = {}
        self.open = 0
        self.open_rows: list[int] = []
        self.overdue: dict[str, list[int]] | None = None

    @classmethod
    def empty(cls, sites: SiteTable) -> Part:
        """Return a part without events."""
        return cls(sites, *(Columns(0, {}, ()) for _kind in range(4)))

    def close(self, kind: str, row: int) -> None:
        """The call (*kind* `call`, `library` or `syscall`) of this *row* has ended."""
        self.open -= 1
        if self.overdue is not None:
            self.overdue[kind].append(row)

    @property
    def last_ns(self) -> int:
        """When its last event began; 0 if it has none."""
        columns = (self.calls, self.syscalls, self.faults, self.into_libraries)
        frequent = (int(each.numbers["t_ns"].max()) for each in columns if each.length)
        return max([*frequent, *(row["t_ns"] for row in (*self.signals, *self.processes))], default=0)

    def __len__(self) -> int:
        columns = (self.calls, self.syscalls, self.faults, self.into_libraries)
        rows = (self.signals, self.processes, self.lost)
        return sum(each.length for each in columns) + sum(map(len, rows))


class PartMaker:
    """Makes the parts of one recording; they are to be asked for in order."""

    def __init__(self, spooled: Spooled, sites: SiteTable, *, all_syscalls: bool) -> None:
        self._sites = sites
        self._allocators = allocator_names(spooled.notes)
        self._probes = {note.number: note for note in spooled.notes if isinstance(note, ProbedFunction)}
        self._major_ids = _major_ids(spooled.notes)
        self._arguments = Arguments(spooled.arguments)
        self._all_syscalls = all_syscalls
        self._open_libraries: list[_LibraryRow] = []
        self._kinds: dict[tuple[int, int], tuple[str, int]] = {}
        self._operations = np.array([sites.words.number(operation.name) for operation in FAMILY], dtype=np.int32)

    def part(self, moments: Moments, start: int) -> Part:
        """Return the columns of one window with everything that needs no replay filled in; times count from *start*."""
        part = Part(
            self._sites, self._calls(moments, start), self._syscalls(moments, start), self._faults(moments, start),
            self._library(moments, start),
        )  # fmt: skip
        self._count_crossings(moments, part)
        return part

    # ---- allocator calls ------------------------------------------------------------------------------------

    def _calls(self, moments: Moments, start: int) -> Columns:
        calls = moments.calls.records
        columns = Columns(len(calls), {}, ())
        for name in _FOUND_WORDS:
            columns.coded[name] = np.zeros(len(calls), dtype=np.int32)
        columns.coded["op"] = self._operations[calls["op"]]
        columns.coded["allocator"] = self._whose(calls["implementation"])
        numbers = columns.numbers
        for name in ("site", "stack"):
            numbers[name] = np.zeros(len(calls), dtype=np.int64)
        for name in ("where_at", "misuse_given", "misuse_freed"):
            numbers[name] = np.full(len(calls), -1, dtype=np.int64)
        numbers.update(_common(calls, "began", moments.call_places[len(moments.open_calls) :], start))
        numbers["end_ns"] = calls["ended"].astype(np.int64) - start
        numbers["returned"] = (calls["flags"] & RETURNED).astype(np.int64)
        numbers["inner_calls"] = calls["inner"].astype(np.int64)
        numbers["result"] = calls["result"].copy()
        for name in ("errno", "has_result"):
            numbers[name] = np.zeros(len(calls), dtype=np.int64)
        for role in ("size", "count", "alignment", "pointer"):
            numbers[role] = np.zeros(len(calls), dtype=np.uint64)
            numbers[f"has_{role}"] = np.zeros(len(calls), dtype=np.int64)
        for role in _SETTINGS:
            numbers[role], numbers[f"has_{role}"] = np.zeros((2, len(calls)), dtype=np.int64)
        for i in np.unique(calls["op"]).tolist():
            _fill_operation(numbers, calls, i)
        return columns

    def _whose(self, implementations: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        number = self._sites.words.number
        if len(implementations) and (implementations == implementations[0]).all():
            only = number(self._allocators.get(int(implementations[0])))
            return np.full(len(implementations), only, dtype=np.int32)
        known, places = np.unique(implementations, return_inverse=True)
        return np.array([number(self._allocators.get(each)) for each in known.tolist()], dtype=np.int32)[places]

    # ---- system calls ---------------------------------------------------------------------------------------

    def _syscalls(self, moments: Moments, start: int) -> Columns:
        records = moments.syscalls.records
        columns = Columns(len(records), {"site": 0}, ())
        numbers = columns.numbers
        numbers.update(_common(records, "began", moments.syscall_places, start))
        numbers["number"] = records["number"].astype(np.int64)
        numbers["result"] = records["result"].copy()
        numbers["returned"] = (records["flags"] & RETURNED).astype(np.int64)
        failed = (records["result"] < 0) & (records["result"] > -4096)
        numbers["errno"] = np.where(failed, -records["result"], 0)
        numbers["ring_before"] = np.where(
            records["cs"] & NATIVE.modes.privilege == NATIVE.modes.user, USER_RING, KERNEL_RING
        )
        numbers["end_ns"] = records["ended"].astype(np.int64) - start
        numbers["cause"] = _numbered(moments.syscall_calls, moments.call_places)
        numbers["within"] = _numbered(moments.syscall_libraries, moments.library_places)
        for i in range(6):
            numbers[f"a{i}"] = records[f"a{i}"].copy()
        kinds = [self._kind(*kind) for kind in zip(records["arch"].tolist(), records["number"].tolist(), strict=True)]
        columns.texts["name"] = [name for name, _arity in kinds]
        numbers["arity"] = np.array([arity for _name, arity in kinds], dtype=np.int64)
        columns.texts["gate"] = _GATES[records["flags"] >> 8 & 3].tolist()
        columns.texts["decoded"] = self._decoded(columns, moments.syscalls.indexes)
        return columns

    def _kind(self, arch: int, call: int) -> tuple[str, int]:
        known = self._kinds.get((arch, call))
        if known is None:
            name = name_of(call, arch)
            known = self._kinds[arch, call] = name, arity_of(name)
        return known

    def _decoded(self, columns: Columns, indexes: Integers) -> list[str | None]:
        """Return each system call's arguments in words, joined by the unit separator, which no text of theirs holds."""
        read = self._arguments.of(indexes + 1)
        rows = zip(
            (indexes + 1).tolist(), columns.texts["name"], columns.numbers["arity"].tolist(),
            columns.numbers["returned"].tolist(), columns.numbers["result"].tolist(),
            *(columns.numbers[f"a{i}"].tolist() for i in range(6)), strict=True,
        )  # fmt: skip
        told: list[str | None] = []
        for number, name, arity, returned, result, *words in rows:
            pieces = {index: (KINDS[what], data) for index, (what, data) in read.get(number, {}).items()}
            told.append("\x1f".join(decode(name or "", tuple(words[:arity]), pieces, result if returned else None)))
        return told

    # ---- page faults and library calls ----------------------------------------------------------------------

    def _faults(self, moments: Moments, start: int) -> Columns:
        faults = moments.faults.records
        columns = Columns(
            len(faults), {"site": 0, "frame": -1, "chunk_call": -1, "chunk_address": 0, "chunk_size": 0},
            ("where", "access", "mapping", "toucher"),
        )  # fmt: skip
        numbers = columns.numbers
        numbers.update(_common(faults, "time", moments.fault_places, start))
        numbers["major"] = np.isin(faults["id"], self._major_ids).astype(np.int64)
        numbers["ring"] = np.where(faults["misc"] & 7 == _KERNEL_MISC, 0, 3)
        numbers["cause"] = _numbered(moments.fault_calls, moments.call_places)
        numbers["address"] = faults["address"].copy()
        numbers["ip"] = faults["ip"].copy()
        return columns

    def _library(self, moments: Moments, start: int) -> Columns:
        records = moments.libraries.records
        columns = Columns(len(records), {"site": 0, "crossings": 0}, ())
        numbers = columns.numbers
        numbers.update(_common(records, "began", moments.library_places[len(moments.open_libraries) :], start))
        numbers["end_ns"] = records["ended"].astype(np.int64) - start
        numbers["returned"] = (records["flags"] & RETURNED).astype(np.int64)
        numbers["result"] = records["result"].copy()
        probes = [self._probes.get(number) for number in records["probe"].tolist()]
        columns.texts["function"] = [probe.function if probe is not None else None for probe in probes]
        columns.texts["module"] = [probe.module if probe is not None else None for probe in probes]
        return columns

    def _count_crossings(self, moments: Moments, part: Part) -> None:
        """Count the system calls of each library call: its own, and those of the vDSO's functions that it asked.

        What was only seen to begin may have made any number of them.
        """
        records = moments.libraries.records
        own = [_LibraryRow(part, row) for row in range(len(records))]
        rows = [*self._open_libraries, *own]
        within = moments.syscall_libraries
        for inner, outer in zip(within[within >= 0].tolist(), moments.asking.tolist(), strict=True):
            rows[inner].cross()
            if outer >= 0 and rows[inner].is_of_vdso:
                rows[outer].cross()
        entry_only = (records["flags"] & ENTRY_ONLY != 0).tolist()
        for row, is_unknown in zip(own, entry_only, strict=True):
            if is_unknown or not self._all_syscalls:
                row.forget()
        ends = np.concatenate([moments.open_libraries["ended"], records["ended"]])
        are_open = (ends >= moments.high).tolist()
        part.open += sum(are_open[len(self._open_libraries) :])
        for row, is_open in zip(self._open_libraries, are_open, strict=False):
            if not is_open:
                row.part.close("library", row.row)
        self._open_libraries = [row for row, is_open in zip(rows, are_open, strict=True) if is_open]


class _LibraryRow:
    """One call into a library, in its part."""

    __slots__ = ("part", "row")

    def __init__(self, part: Part, row: int) -> None:
        self.part = part
        self.row = row

    @property
    def is_of_vdso(self) -> bool:
        return self.part.into_libraries.texts["module"][self.row] == _VDSO

    def cross(self) -> None:
        crossings = self.part.into_libraries.found["crossings"]
        if crossings[self.row] >= 0:
            crossings[self.row] += 1

    def forget(self) -> None:
        self.part.into_libraries.found["crossings"][self.row] = -1


def _common(records: Records, time: str, places: Integers, start: int) -> dict[str, npt.NDArray[Any]]:
    return {
        "n": places, "t_ns": records[time].astype(np.int64) - start, "pid": records["pid"].astype(np.int64),
        "tid": records["tid"].astype(np.int64),
    }  # fmt: skip


def _numbered(indexes: Integers, places: Integers) -> Integers:
    """Return the places of *indexes*, -1 for those that are -1."""
    if not len(places):
        return np.full(len(indexes), -1, dtype=np.int64)
    return np.where(indexes >= 0, places[np.maximum(indexes, 0)], -1)


def _major_ids(notes: Sequence[Note]) -> npt.NDArray[np.uint64]:
    found = [id_ for note in notes if isinstance(note, Rings) for id_ in note.major_ids]
    return np.array(found, dtype=np.uint64)


def _fill_operation(numbers: dict[str, npt.NDArray[Any]], calls: Records, i: int) -> None:
    """Fill in what the registers of all calls of one operation mean."""
    operation, chosen = FAMILY[i], calls["op"] == i
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


def _is_forbidden(alignments: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which alignments posix_memalign(3) refuses: those that are no power of two or less than a pointer's."""
    odd = alignments & (alignments - np.uint64(1)) != 0
    found: npt.NDArray[np.bool_] = odd | (alignments % np.uint64(8) != 0) | (alignments == 0)
    return found
