"""Totals of a run in one pass.

Memory grows with the number of pieces alive at once, never with the number of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from observer.model.addresses import is_numbered
from observer.model.call_columns import CallTotals
from observer.model.chapter import took_step
from observer.model.events import Call, Event, Fault, Library, Lost, Process, Syscall
from observer.model.memory_calls import Map, Move, Protect, Unmap, memory_call
from observer.model.operations import ALLOCATES, ALLOCATING, RESIZES, RESIZING
from observer.story.breaks import Breaks
from observer.story.many_calls import ManyCalls
from observer.story.places import Places
from observer.story.steps import is_step_six
from observer.story.sums import sums_by

__all__ = ["Summary", "Tally", "summarise"]

_NEW: Final = ALLOCATING - RESIZING
_TABLES: Final = (
    "calls", "steps", "syscalls_inside", "syscalls_outside", "by_gate", "vdso_answers", "by_toucher", "by_place",
)  # fmt: skip


class Summary(msgspec.Struct, frozen=True):
    """What a run came to. Sizes are bytes; `from_kernel` and `to_kernel` count what moved inside allocator calls.

    `served` and `grown` are the allocating calls that needed no memory from the kernel, and those that did.
    `by_gate` counts system calls by the instruction that entered the kernel; `into_libraries` those into libraries,
    `into_libraries_crossing` those of them that made system calls, as far as that is known (of `into_libraries_known`);
    `vdso_answers` the calls of the vDSO.
    `step_six` counts the page faults on memory that malloc manages, `frames` those of them that brought a frame: a read
    of memory never written brings the shared page of zeros. Pieces are counted as alive in the
    process that asked for them; `unfinished` calls never returned.
    """

    events: int
    calls: dict[str, int]
    steps: dict[str, int]
    served: int
    grown: int
    refused: int
    unfinished: int
    asked: int
    live: int
    live_pieces: int
    peak: int
    from_kernel: int
    to_kernel: int
    break_growth: int
    break_shrink: int
    syscalls_inside: dict[str, int]
    syscalls_outside: dict[str, int]
    by_gate: dict[str, int]
    into_libraries: int
    into_libraries_crossing: int
    into_libraries_known: int
    vdso_answers: dict[str, int]
    vdso_crossing: int
    faults: int
    step_six: int
    frames: int
    by_toucher: dict[str, int]
    by_ring: dict[int, int]
    by_place: dict[str, int]
    major: int
    lost: int
    processes: int
    threads: int


def summarise(events: Iterable[Event]) -> Summary:
    """Return the totals of *events*, given in order of n."""
    tally = Tally()
    for event in events:
        tally.add(event)
    return tally.result()


class Tally:
    """The totals while they grow: `add` every event, ask for `result` at any time."""

    def __init__(self) -> None:
        self._breaks = Breaks()
        self._numbers: dict[str, int] = {}
        self._tables: dict[str, dict[str, int]] = {}
        self._calls: dict[tuple[str, str | None, bool], int] = {}
        """How many calls there were of each operation, with which steps, returned or not."""
        self._rings: Counter[int] = Counter()
        self.places = Places()
        self._tasks: set[tuple[int, int]] = set()
        self._inside: dict[int, str] = {}
        self._events = self._asked = 0

    def add(self, event: Event) -> None:
        """Take one event in."""
        self._events += 1
        self.places.add(event)
        if isinstance(event, Call):
            self._call(event)
        elif isinstance(event, Fault):
            self._fault(event)
        elif isinstance(event, Syscall):
            self._syscall(event, self._breaks.follow(event))
        elif isinstance(event, Library):
            self._library(event)
        elif isinstance(event, Lost):
            self._sum("lost", event.count)
        elif isinstance(event, Process):
            self._breaks.follow(event)
            self._process(event)

    def add_many(self, calls: ManyCalls) -> None:
        """Count many calls, but for what they are to `places`, which is a matter of order."""
        columns = calls.columns
        self._events += len(columns.n)
        self._tasks |= calls.tasks
        for op, steps, count in calls.alike:
            self._calls[op, steps, False] = self._calls.get((op, steps, False), 0) + count
        asks = (columns.kind == ALLOCATES) | (columns.kind == RESIZES)
        self._asked += sum(sums_by(np.zeros(int(asks.sum()), dtype=np.int64), columns.asked[asks], 1))
        self._sum("refused", sum(map(_is_refused, calls.telling)))

    def add_totals(self, totals: CallTotals, asked: int) -> None:
        """Count all calls of a run, which *asked* for so many bytes, but for what they are to `places`."""
        for op, steps, is_unfinished, count in totals.alike:
            kind = op, steps, is_unfinished
            self._calls[kind] = self._calls.get(kind, 0) + count
            self._events += count
        self._asked += asked
        self._tasks |= totals.tasks
        self._sum("refused", totals.refused)

    def enter(self, call: Call) -> None:
        """Note that what comes next may lie in a call that was counted already."""
        self._inside[call.tid] = call.op

    def _sum(self, name: str, amount: int) -> None:
        self._numbers[name] = self._numbers.get(name, 0) + amount

    def _count(self, name: str, what: str) -> None:
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = {}
        table[what] = table.get(what, 0) + 1

    def _call(self, event: Call) -> None:
        tid, op = event.tid, event.op
        self._tasks.add((event.pid, tid))
        self._inside[tid] = op
        kind = (op, event.steps, event.end_ns is None)
        self._calls[kind] = self._calls.get(kind, 0) + 1
        if op in ALLOCATING:
            self._asked += event.bytes_counted
            self._sum("refused", _is_refused(event))

    def _fault(self, event: Fault) -> None:
        self._tasks.add((event.pid, event.tid))
        self._sum("faults", 1)
        self._sum("major", event.major)
        self._sum("step_six", is_step_six(event))
        self._sum("frames", is_step_six(event) and event.access != "read")
        self._count("by_toucher", event.toucher)
        self._count("by_place", _place(event.mapping))
        self._rings[event.ring] += 1

    def _syscall(self, event: Syscall, moved: int | None) -> None:
        self._tasks.add((event.pid, event.tid))
        inside = event.cause is not None
        self._count("by_gate", event.gate)
        self._count("syscalls_inside" if inside else "syscalls_outside", event.name)
        if event.errno is not None or event.result is None:
            return
        gained = moved or 0
        self._sum("break_growth", max(gained, 0))
        self._sum("break_shrink", max(-gained, 0))
        if inside:
            gained += _mapped(event, self._inside.get(event.tid, ""))
            self._sum("from_kernel", max(gained, 0))
            self._sum("to_kernel", max(-gained, 0))

    def _library(self, event: Library) -> None:
        if event.module == "[vdso]":
            self._count("vdso_answers", event.function.removeprefix("__vdso_"))
            self._sum("vdso_crossing", bool(event.crossings))
        else:
            self._sum("into_libraries", 1)
            self._sum("into_libraries_crossing", bool(event.crossings))
            self._sum("into_libraries_known", event.crossings is not None)

    def _process(self, event: Process) -> None:
        self._tasks.add((event.pid, event.tid))

    def result(self) -> Summary:
        """Return the totals so far."""
        numbers = {**self._numbers, "events": self._events, "asked": self._asked}
        calls: Counter[str] = Counter()
        steps: Counter[str] = Counter()
        for (op, taken, is_unfinished), count in self._calls.items():
            calls[op] += count
            steps.update({taken: count} if taken is not None else {})
            outcome = "grown" if took_step(taken, 2) else "served"
            for name in ("unfinished",) if is_unfinished else (outcome,) if op in ALLOCATING else ():
                numbers[name] = numbers.get(name, 0) + count
        found = {**self._tables, "calls": calls, "steps": steps}
        names = {field.name: field.type for field in msgspec.structs.fields(Summary)}
        totals = {name: numbers.get(name, 0) for name, kind in names.items() if kind == "int" or kind is int}
        tables = {name: dict(Counter(found.get(name, {})).most_common()) for name in _TABLES}
        own = {"live": self.places.live, "live_pieces": self.places.count, "peak": self.places.peak}
        pids = {pid for pid, _tid in self._tasks}
        return msgspec.convert(
            {**totals, **tables, **own, "by_ring": self._rings, "processes": len(pids), "threads": len(self._tasks)},
            Summary,
        )


def _is_refused(call: Call) -> bool:
    return call.op in ALLOCATING and call.result == 0 and call.bytes_asked > 0


def _mapped(event: Syscall, op: str) -> int:
    """Bytes of usable address space that a system call inside *op* gained.

    A reservation without access is none yet: what is trimmed from it is no loss, and mprotect opens it.
    """
    call = memory_call(event)
    if isinstance(call, Map):
        return 0 if call.reserves else call.length
    if isinstance(call, Move):
        return call.new_length - call.length
    if isinstance(call, Protect):
        return call.length if op in ALLOCATING and "w" in call.protection else 0
    return -call.length if isinstance(call, Unmap) and op not in _NEW else 0


def _place(mapping: str | None) -> str:
    if not mapping:
        return "unknown"
    if is_numbered(mapping):
        return "mapped region"
    return mapping.strip("[]") if mapping.startswith("[") else "files"
