"""A workload through the book's machine gives the events that a real run gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from observer.errors import BadWorkload
from observer.model.events import Call, Event, Fault, Process, Signal, Syscall
from observer.simulator.commit import Commitment
from observer.simulator.frames import Frames
from observer.simulator.machine import BookMachine
from observer.simulator.replacement import POLICIES
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


# ---- mappings -----------------------------------------------------------------------------------------------


def told(text: str, **options: Any) -> tuple[list[str], BookMachine]:
    """The run in short words: kind, what, and for faults the page in its mapping."""
    machine = BookMachine(**options)
    words = []
    for event in machine.run(parse(text.encode().splitlines())):
        if isinstance(event, Fault):
            words.append(f"{event.pid} {event.access} {event.where}")
        elif isinstance(event, Syscall):
            words.append(f"{event.pid} {event.name} {event.errno or 'ok'}")
        elif isinstance(event, Process):
            words.append(f"{event.pid} {event.what}")
        elif isinstance(event, Signal):
            words.append(f"{event.pid} {event.signal} {event.code}")
        else:
            words.append(f"{event.pid} {event.op}")
    return words, machine


def inside(text: str, **options: Any) -> list[str]:
    """What the workload does, without its begin and end."""
    return told(text, **options)[0][1:-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("map m 8K\ntouch m 0 8K\ntouch m 0 8K", ["1 mmap ok", "1 write map#1+0x0", "1 write map#1+0x1000"]),
        ("map m 1\ntouch m", ["1 mmap ok", "1 write map#1+0x0"]),
        ("populate m 8K\ntouch m 0 8K", ["1 mmap ok"]),
        ("shared m 8K\nread m\ntouch m", ["1 mmap ok", "1 read map#1+0x0"]),
        ("file m 64K\nread m 0 64K", ["1 mmap ok", "1 read map#1+0x0"]),
        ("file m 8K\nread m\ntouch m", ["1 mmap ok", "1 read map#1+0x0", "1 write map#1+0x0"]),
        ("map m 4K\nread m\ntouch m", ["1 mmap ok", "1 read map#1+0x0", "1 write map#1+0x0"]),
        ("stack s 8K\ntouch s 4096\ntouch s", ["1 write stack+0x1000", "1 write stack+0x0"]),
        ("map m 4K\nunmap m\nmap m 8K", ["1 mmap ok", "1 munmap ok", "1 mmap ok"]),
        ("map m 4K\nreadonly m\nread m\nwritable m\ntouch m", [
            "1 mmap ok", "1 mprotect ok", "1 read map#1+0x0", "1 mprotect ok", "1 write map#1+0x0",
        ]),
        ("map m 8K\nlock m\ntouch m 0 8K\nunlock m", ["1 mmap ok", "1 mlock ok", "1 munlock ok"]),
        ("map m 4K\ntouch m\ndontneed m\ntouch m", [
            "1 mmap ok", "1 write map#1+0x0", "1 madvise ok", "1 write map#1+0x0",
        ]),
        ("map m 4K\ntouch m\nlazyfree m\ntouch m", ["1 mmap ok", "1 write map#1+0x0", "1 madvise ok"]),
        ("map m 2M\nhugepage m\ntouch m 0 2M", ["1 mmap ok", "1 madvise ok", "1 write map#1+0x0"]),
        ("map m 4K\nlock m\ndontneed m\ntouch m", ["1 mmap ok", "1 mlock ok", "1 madvise ok"]),
        ("malloc a 100\ndontneed a\nlock a\nreadonly a", ["1 malloc", "1 brk ok", "1 brk ok", "1 write heap+0x0"]),
    ],
)  # fmt: skip
def test_what_each_operation_on_mappings_does(text: str, words: list[str]) -> None:
    assert inside(text) == words


def test_only_huge_pages_that_are_asked_for_come_where_one_has_to_ask() -> None:
    faults = {
        (thp, advice): told(f"map m 2M\n{advice} m\ntouch m 0 2M", thp=thp)[1].totals.faults_program
        for thp in ("always", "madvise", "never")
        for advice in ("hugepage", "nohugepage", "unlock")
    }
    assert faults == {
        ("always", "hugepage"): 1, ("always", "nohugepage"): 512, ("always", "unlock"): 1,
        ("madvise", "hugepage"): 1, ("madvise", "nohugepage"): 512, ("madvise", "unlock"): 512,
        ("never", "hugepage"): 512, ("never", "nohugepage"): 512, ("never", "unlock"): 512,
    }  # fmt: skip


def test_what_system_calls_bring_in_is_no_fault_of_the_program() -> None:
    _words, machine = told("populate m 20K\nmap n 12K\nlock n\nreadonly n\nwritable n")
    assert (machine.totals.populated, machine.totals.faults_program, machine.totals.resident_pages) == (8, 0, 8)


def test_mappings_lie_top_down_and_large_ones_at_two_mebibytes() -> None:
    events, _machine = run("map a 4K\nmap b 12K\nmap c 2M\nshared d 5000")
    starts = [event.result or 0 for event in events if isinstance(event, Syscall)]
    assert starts == sorted(starts, reverse=True)
    assert starts[0] - starts[1] == 12 << 10
    assert starts[2] % (2 << 20) == 0
    assert starts[2] - starts[3] == 8 << 10


def test_a_stack_grows_down_piece_by_piece_and_no_further_than_its_limit() -> None:
    words, _machine = told("stack s 4K\nstack t 4K\ntouch t\ntouch s")
    assert words[1:-1] == ["1 write stack+0x0", "1 write stack+0x0"]
    assert told("stack s 8M\ntouch s")[0][1:] == ["1 SIGSEGV 1", "1 killed"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("map m 0", "line 1: map m: a mapping of 0 bytes"),
        ("map m 4K\nmap m 4K", "line 2: m is in use"),
        ("malloc a 1\nmap a 4K", "line 2: a is in use"),
        ("malloc a 1\nunmap a", "line 2: unmap a: it is no mapping"),
        ("stack s 4K\nunmap s", "line 2: unmap s: it is no mapping"),
        ("map m 4K\nfree m", "line 2: free m: it did not come from malloc"),
        ("map m 4K\nrealloc m 8", "line 2: realloc m: it did not come from malloc"),
        ("malloc a 9\nrealloc a 0", "line 2: realloc to 0"),
        ("map m 4K\ntouch m 4096", "line 2: touch m: byte 4096 lies outside its 4096 bytes"),
        ("map m 4K\nread m 1 4096", "line 2: read m: byte 4096"),
        ("malloc a 8\nfork\nfree a\nfree a", "line 4: free a: no piece"),
        ("fork\nexit\nexit", "line 3: exit without a fork"),
        ("lock m", "line 1: lock m: no piece"),
    ],
)
def test_nonsense_with_mappings_is_named_by_its_line(text: str, words: str) -> None:
    with pytest.raises(BadWorkload, match=words):
        run(text)


# ---- what the kernel refuses --------------------------------------------------------------------------------


def test_an_allocation_that_no_address_space_holds_is_refused_and_freeing_it_does_nothing() -> None:
    events, machine = run("malloc a 100\nmalloc b 140737488355328\nrealloc a 140737488355328\ntouch a\nfree b\nfree a")
    calls = [event for event in events if isinstance(event, Call)]
    assert [(event.op, bool(event.result), event.errno) for event in calls] == [
        ("malloc", True, None), ("malloc", False, 12), ("realloc", False, 12), ("free", False, None),
        ("free", False, None),
    ]  # fmt: skip
    assert [bool(event.pointer) for event in calls[3:]] == [False, True]
    assert machine.totals.bytes_asked == 0


def test_a_refused_piece_cannot_be_used_but_its_name_is_taken() -> None:
    with pytest.raises(BadWorkload, match="line 2: touch a: it holds nothing, its allocation was refused"):
        run("malloc a 140737488355328\ntouch a")
    with pytest.raises(BadWorkload, match="line 2: a is in use"):
        run("malloc a 140737488355328\nmalloc a 1")


def test_a_refused_mapping_leaves_its_name_free() -> None:
    words = inside("map m 140737488355328\nmap m 4K\ntouch m")
    assert words == ["1 mmap 12", "1 mmap ok", "1 write map#1+0x0"]
    with pytest.raises(BadWorkload, match="line 2: touch m: it holds nothing"):
        run("map m 140737488355328\ntouch m")


@pytest.mark.parametrize(
    ("mode", "sizes", "granted"),
    [
        (0, ("400K", "400K", "400K"), [True, True, True]),  # no one of them is more than there is
        (0, ("600K", "400K"), [False, True]),
        (1, ("600K", "400M"), [True, True]),
        (2, ("100K", "64K", "44K"), [True, True, False]),  # half of 100 pages and 2 of swap: less than 52 in all
    ],
)
def test_overcommit_promises_by_its_mode(mode: int, sizes: tuple[str, ...], granted: list[bool]) -> None:
    text = "\n".join(f"map m{i} {size}" for i, size in enumerate(sizes))
    words = inside(text, commitment=Commitment(mode, 100, swap_pages=2))
    assert [word == "1 mmap ok" for word in words] == granted


def test_a_heap_that_may_not_grow_gives_nothing_and_goes_on() -> None:
    text = "malloc a 100\nmalloc b 1M\nmalloc c 100\nfree b\nfree a\nfree c"
    events = list(BookMachine(commitment=Commitment(2, 20)).run(parse(text.encode().splitlines())))
    assert [bool(event.result) for event in events if isinstance(event, Call) and event.op == "malloc"] == [
        True, False, True,
    ]  # fmt: skip


def test_what_is_unmapped_may_be_promised_again() -> None:
    commitment = Commitment(2, 100)
    words = inside("map m 120K\nmap n 120K\nunmap m\nmap n 120K", commitment=commitment)
    assert words == ["1 mmap ok", "1 mmap 12", "1 munmap ok", "1 mmap ok"]
    assert commitment.committed == 30


def test_a_childs_unmapping_leaves_the_parents_promise() -> None:
    commitment = Commitment(2, 1000)
    told("map m 64K\nfork\nunmap m\nexit", commitment=commitment)
    assert commitment.committed == 16


def test_shared_memory_is_promised_too() -> None:
    assert inside("shared m 64K", commitment=Commitment(2, 20)) == ["1 mmap 12"]


# ---- processes that are killed ------------------------------------------------------------------------------


def test_a_child_that_is_killed_leaves_out_what_is_left_of_it_with_its_own_children() -> None:
    words = inside("map m 4K\nfork\nnoaccess m\ntouch m\nmalloc a 1\nfork\ntouch m\nexit\nfree nothing\nexit\ntouch m")
    assert words == ["1 mmap ok", "1 fork", "2 mprotect ok", "2 SIGSEGV 2", "2 killed", "1 write map#1+0x0"]


def test_the_first_process_killed_ends_the_run() -> None:
    words, machine = told("map m 8K\ntouch m\nreadonly m\ntouch m 4096\nmalloc a 1\nexit")
    assert words == ["1 start", "1 mmap ok", "1 write map#1+0x0", "1 mprotect ok", "1 SIGSEGV 2", "1 killed"]
    assert machine.totals.operations == 4


def test_pages_before_the_forbidden_one_are_brought_in() -> None:
    words, machine = told("stack s 8M\ntouch s 7M 64K\ntouch s 0 7M")
    assert words[-2:] == ["1 SIGSEGV 1", "1 killed"]
    assert sum(word.startswith("1 write") for word in words) == machine.totals.faults_program == 16


def test_a_child_that_is_killed_gives_its_frames_back() -> None:
    frames = Frames()
    told("map m 64K\nfork\ntouch m 0 64K\nreadonly m\ntouch m\nexit\ntouch m", frames=frames)
    assert len(frames.users) == 1


def test_children_that_the_workload_does_not_end_end_with_it() -> None:
    assert told("fork\nfork\nmap m 4K")[0] == [
        "1 start", "1 fork", "2 fork", "3 mmap ok", "3 exit", "2 exit", "1 exit",
    ]  # fmt: skip
    assert told("fork\nmap m 4K\nunmap m\ntouch m")[0][-3:] == ["2 SIGSEGV 1", "2 killed", "1 exit"]


def test_grandchildren_have_numbers_of_their_own_and_names_are_each_processes_own() -> None:
    words = inside("map m 4K\nfork\nunmap m\nmap n 4K\nfork\ntouch n\nexit\nexit\ntouch m\nfork\ntouch m\nexit")
    assert words == [
        "1 mmap ok", "1 fork", "2 munmap ok", "2 mmap ok", "2 fork", "3 write map#2+0x0", "3 exit", "2 exit",
        "1 write map#1+0x0", "1 fork", "4 write map#1+0x0", "4 exit",
    ]  # fmt: skip


def test_a_childs_heap_is_its_own() -> None:
    events, machine = run("malloc a 100\nfork\nmalloc b 100\nmalloc c 9000\nexit\nmalloc b 100")
    b = [event.result for event in events if isinstance(event, Call) and (event.size, event.pid) != (9000, 2)][1:]
    assert b[0] == b[1]
    assert machine.totals.heap_bytes == 4096


# ---- few frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_with_few_frames_pages_come_back_with_major_faults(policy: str) -> None:
    text = "map m 32K\n" + "touch m 0 32K\n" * 3
    _words, machine = told(text, frames=Frames(4, policy))
    totals = machine.totals
    assert totals.faults_program == 8 + totals.faults_major
    assert 8 <= totals.faults_major <= 16
    assert (totals.swap_ins, totals.resident_pages) == (totals.faults_major, 4)
    assert totals.evictions == totals.faults_program - 4


def test_policies_that_look_at_uses_keep_the_page_that_is_used() -> None:
    text = "map m 20K\n" + "".join(f"touch m {page * 4096}\ntouch m\n" for page in (1, 2, 3, 4) * 3)
    faults = {policy: told(text, frames=Frames(3, policy))[1].totals.faults_program for policy in ("lru", "fifo")}
    assert faults["lru"] == 13
    assert faults["fifo"] > 13


def test_locked_memory_that_fills_all_frames_is_an_error_with_its_line() -> None:
    with pytest.raises(BadWorkload, match="line 3"):
        told("map m 16K\nlock m\nmalloc a 100", frames=Frames(4, "lru"))


def test_all_that_the_events_tell_is_in_the_sums() -> None:
    text = "malloc a 9000\ncalloc b 10 1000\nrealloc a 20000\nmap m 64K\ntouch m 0 64K\nread b\nfree b"
    events, machine = run(text)
    faults = [event for event in events if isinstance(event, Fault)]
    totals = machine.totals
    assert totals.faults_program == sum(event.cause is None for event in faults)
    assert totals.faults_allocator == sum(event.cause is not None for event in faults)
    assert totals.grown == sum(
        event.name == "brk" and bool(event.args[0]) for event in events if isinstance(event, Syscall)
    )
    assert totals.bytes_asked + totals.bytes_inside + totals.bytes_between == totals.heap_bytes
    assert (totals.operations, totals.calls) == (7, 4)
