"""A workload through the book's machine gives the events that a real run gives."""

from __future__ import annotations

from collections import Counter

import pytest

from observer.errors import BadWorkload
from observer.model.events import Call, Event, Fault, Syscall
from observer.simulator.machine import BookMachine
from observer.simulator.workload import parse


def run(text: str, fit: str = "first") -> tuple[list[Event], BookMachine]:
    machine = BookMachine(fit=fit)
    return list(machine.run(parse(text.encode().splitlines()))), machine


def test_the_first_malloc_takes_all_steps_and_its_brk_lies_inside_it() -> None:
    events, _machine = run("malloc a 100\ntouch a")
    [call] = [event for event in events if isinstance(event, Call)]
    assert call.steps == "1-2-3-4-5"
    calls = [event for event in events if isinstance(event, Syscall)]
    assert [(event.name, event.cause) for event in calls] == [("brk", call.n), ("brk", call.n)]
    assert [event.n for event in events] == list(range(len(events)))


def test_a_loop_over_a_large_piece_takes_one_fault_a_page_but_for_those_the_allocator_touched() -> None:
    events, machine = run("malloc a 100000\ntouch a 0 100000")
    by = Counter(event.toucher for event in events if isinstance(event, Fault))
    assert by["allocator"] == 1 + 1  # the header before the piece, and that of what is left behind it
    assert by["program"] + by["allocator"] == machine.totals.resident_pages
    assert all(event.chunk is not None for event in events if isinstance(event, Fault) and event.toucher == "program")


def test_reading_then_writing_takes_two_faults_a_page() -> None:
    events, _machine = run("malloc a 40960\nread a 8192 4096\ntouch a 8192 4096")
    mine = [event.access for event in events if isinstance(event, Fault) and event.toucher == "program"]
    assert mine == ["read", "read", "write", "write"]


def test_a_childs_writes_are_copied_and_the_parent_keeps_its_bytes() -> None:
    events, machine = run("malloc a 40000\ntouch a 0 40000\nfork\ntouch a 4096 8192\nexit\ntouch a 0 40000")
    child = [event for event in events if isinstance(event, Fault) and event.pid == 2]
    assert len(child) == 3
    assert machine.totals.resident_pages == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("malloc a 1\nfree a\nfree a", "line 3: free a: no piece"),
        ("malloc a 1\nmalloc a 2", "line 2: a is in use"),
        ("touch a", "line 1: touch a: no piece"),
        ("malloc a 10\ntouch a 8 8", "line 2: touch a: byte 15 lies outside"),
        ("exit", "line 1: exit without a fork"),
        ("memalign a 48 10", "line 1: alignment 48"),
    ],
)
def test_nonsense_is_named_by_its_line(text: str, words: str) -> None:
    with pytest.raises(BadWorkload, match=words):
        run(text)
