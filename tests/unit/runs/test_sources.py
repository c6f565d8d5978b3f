"""Where allocations came from: asked of the model where there is one and enough was recorded, else left as it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from observer.model.events import Call, Event
from observer.model.machine import Meta
from observer.runs.sources import Sources
from observer.trace.part import Part
from observer.trace.values import events_of
from tests.builders import machine, meta, request
from tests.unit.simulator.test_glibc_side import Reality
from tests.unit.trace.test_tables import part_of

MEMORY = ("brk", "madvise", "mmap", "mprotect", "mremap", "munmap")
HOW = "inferred: by the model of glibc 2.36, as long as it gives every pointer exactly"


def run_of(bits: int = 64, release: str = "2.36", **fields: Any) -> Meta:
    fields = {"syscalls": MEMORY, "instruments": ("calls",), **fields}
    return meta(machine=machine(libc_version=release, program_bits=bits), request=request("./story", **fields))


def parts(calls_each: int) -> list[Part]:
    """A run of five calls, in parts of so many calls."""
    reality = Reality()
    pointer = reality.do("malloc", 100)
    reality.do("free", pointer=pointer)
    for _ in range(3):
        reality.do("malloc", 100)
    numbered: list[list[Event]] = []
    n = 0
    for i, ((call, inside), _outcome) in enumerate(reality.said):
        events = [call, *inside]
        cause = n
        for event in events:
            fields: dict[str, Any] = {"n": n, "t_ns": 1000 * n}
            fields |= {"end_ns": 1000 * n + 900} if event is call else {"cause": cause}
            events[events.index(event)] = replaced(event, **fields)
            n += 1
        if i % calls_each == 0:
            numbered.append([])
        numbered[-1] += events
    return [part_of(events) for events in numbered]


def replaced(event: Event, **fields: Any) -> Event:
    return msgspec.structs.replace(event, **fields)


def asked(run: Meta, given: list[Part]) -> tuple[list[str | None], dict[str, str]]:
    """Let the model listen; return what it said of each call, in the tables and in the events, and how it is known."""
    how: dict[str, str] = {}
    told = list(Sources().listen(iter(given), run.machine, run.request, how))
    assert told == given
    in_tables = [part.sites.words.words[number] for part in told for number in part.calls.coded["served_by"]]
    in_events = [event.served_by for part in told for event in events_of(part) if isinstance(event, Call)]
    assert in_tables == in_events
    return in_tables, how


@pytest.mark.parametrize("calls_each", [1, 2, 5])
@pytest.mark.parametrize("syscalls", [MEMORY, None, (*MEMORY, "openat")])
def test_each_allocation_is_named_in_the_part_that_it_lies_in(
    syscalls: tuple[str, ...] | None, calls_each: int
) -> None:
    told, how = asked(run_of(syscalls=syscalls), parts(calls_each))
    # The heap grew for the cache of the thread, whose table comes before the first piece.
    assert told == ["top", None, "tcache", "top", "top"]
    assert how == {"call.served_by": HOW}


@pytest.mark.parametrize(
    "run",
    [
        run_of(instruments=("faults",)), run_of(syscalls=("brk", "mmap", "munmap")), run_of(bits=32),
        run_of(release=""), run_of(release="9.99"),
    ],
    ids=["no calls", "no mremap", "i386", "no release", "unknown release"],
)  # fmt: skip
def test_where_it_cannot_follow_nothing_is_said(run: Meta) -> None:
    assert asked(run, parts(5)) == ([None] * 5, {})
