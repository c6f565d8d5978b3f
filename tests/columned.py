"""A run of hand-made events as the columns that a trace has of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from observer.model.call_columns import Apart, CallColumns, CallTotals, End, Faults, Frames, PlaceNames
from observer.model.events import Call, Event, Fault, Process, Site, is_glibc
from observer.model.operations import ALLOCATING, kind_of
from observer.model.stacks import CallStack, alike
from observer.runs.profiled import profiled, weighed
from observer.story.memory_use import MemoryUse
from observer.story.weights import Stack, Weights
from tests.builders import PAGE


class ColumnsOfEvents:
    """What `trace.call_columns.ColumnsOfRun` finds in tables, of *events*; calls come *at_once* so many.

    Calls are *apart*; for each of the *stacks* one stands, which may be another.
    """

    def __init__(
        self, events: Sequence[Event], at_once: int = 1 << 20, apart: Apart = Apart.LINES,
        stacks: Mapping[int, int] | None = None,
    ) -> None:  # fmt: skip
        self._events, self._at_once, self._apart, self._stacks = events, at_once, apart, stacks or {}
        self.events = max((event.n for event in events), default=0) + 1
        named: dict[tuple[str, int | None, str | None], Site | None] = {}
        for event in events:
            if isinstance(event, Call | Fault):
                named.setdefault(self._key(event), event.site)
        self._numbers = {key: number for number, key in enumerate(named)}
        texts, numbers, ops = zip(*named, strict=True) if named else ((), (), ())
        self.names = PlaceNames(texts, list(named.values()), numbers, ops)

    def _key(self, event: Call | Fault) -> tuple[str, int | None, str | None]:
        stack, op = (event.stack, event.op) if isinstance(event, Call) else (None, None)
        is_apart = stack is not None and self._apart is not Apart.LINES
        return (
            text_of(event.site),
            self._stacks.get(stack or 0) if is_apart else None,
            op if self._apart is Apart.FUNCTIONS else None,
        )

    def calls(self, *, times: bool) -> Iterator[CallColumns]:
        calls = [event for event in self._events if isinstance(event, Call)]
        for first in range(0, len(calls), self._at_once):
            yield self._columns(calls[first : first + self._at_once], times=times)

    def _columns(self, calls: Sequence[Call], *, times: bool) -> CallColumns:
        rows = [
            (
                call.n, call.t_ns if times else 0, (-1 if call.end_ns is None else call.end_ns) if times else 0, call.pid,
                kind_of(call.op), call.pointer or 0, call.result or 0, call.bytes_counted, self._place(call),
                is_glibc(call.allocator), call.origin != "program",
            )
            for call in calls
        ]  # fmt: skip
        types = (*[np.int64] * 4, np.int8, *[np.uint64] * 3, np.int64, np.bool_, np.bool_)
        return CallColumns(
            *(np.array(column, dtype=type_) for column, type_ in zip(zip(*rows, strict=True), types, strict=True))
        )  # type: ignore[arg-type]

    def _place(self, event: Call | Fault) -> int:
        return self._numbers[self._key(event)]

    def faults(self) -> Faults:
        faults = [event for event in self._events if isinstance(event, Fault)]
        places = np.array([self._place(fault) for fault in faults], dtype=np.int64)
        firsts = np.array([fault.n for fault in faults], dtype=np.int64)
        return Faults(places, np.ones(len(faults), dtype=np.int64), firsts)

    def frames(self) -> Frames:
        found = Counter(
            (event.chunk.call, event.pid) for event in self._events
            if isinstance(event, Fault) and event.chunk is not None and event.access != "read"
        )  # fmt: skip
        rows = [(call, pid, many) for (call, pid), many in sorted(found.items())]
        return Frames(*(np.array([row[i] for row in rows], dtype=np.int64) for i in range(3)))

    def ends(self) -> list[End]:
        ended = {"exit", "killed", "stopped"}
        lives = [event for event in self._events if isinstance(event, Process) and event.what in {*ended, "exec"}]
        last = {event.pid: event.n for event in lives if event.what in ended}
        return [
            End(event.n, event.pid, event.what == "exec") for event in lives
            if event.what == "exec" or last[event.pid] == event.n
        ]  # fmt: skip


def totals_of(events: Sequence[Event]) -> CallTotals:
    """Return what the calls of *events* came to, where each of them is told, too."""
    calls = [event for event in events if isinstance(event, Call)]
    alike = Counter((call.op, call.steps, call.end_ns is None) for call in calls)
    refused = sum(call.op in ALLOCATING and call.result == 0 and call.bytes_asked > 0 for call in calls)
    return CallTotals(
        [(*kind, times) for kind, times in alike.items()], frozenset((call.pid, call.tid) for call in calls), refused, 0,
        [],
    )  # fmt: skip


def told_of(events: Sequence[Event]) -> Iterator[tuple[Event, bool]]:
    """Yield all *events*, and before each call the same for the sake of pieces."""
    for event in events:
        if isinstance(event, Call):
            yield event, True
        yield event, False


class RunOfEvents:
    """A trace of *events*, with these *stacks*."""

    def __init__(
        self, events: Sequence[Event], at_once: int = 1 << 20, stacks: Mapping[int, CallStack] | None = None
    ) -> None:  # fmt: skip
        self._events, self._at_once, self._stacks = events, at_once, stacks or {}

    def columns(self, apart: Apart = Apart.LINES) -> ColumnsOfEvents:
        return ColumnsOfEvents(self._events, self._at_once, apart, alike(self._stacks))

    def stacks(self) -> Mapping[int, CallStack]:
        return self._stacks

    def events(self, kinds: frozenset[str] | None = None) -> Iterator[Event]:
        return (event for event in self._events if kinds is None or event.__struct_config__.tag in kinds)

    def call_totals(self) -> CallTotals:
        return totals_of(self._events)

    def told(self) -> Iterator[tuple[Event, bool]]:
        return told_of(self._events)


def weigh(
    events: Sequence[Event], stacks: Mapping[int, CallStack] | None = None, at_once: int = 1 << 20
) -> dict[Stack, Weights]:  # fmt: skip
    """Return what each stack of a run of *events* weighs."""
    return weighed(RunOfEvents(events, at_once, stacks))


def used(events: Sequence[Event], at_once: int = 1 << 20) -> MemoryUse:
    """Return what a run of *events* used memory for, of which *at_once* calls are looked at at a time."""
    return profiled(RunOfEvents(events, at_once), PAGE)


def text_of(site: Site | None) -> str:
    return site.text if site is not None else "?"
