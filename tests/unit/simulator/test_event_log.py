"""What happens on the simulated machine, as the event values that the instruments yield."""

from __future__ import annotations

import msgspec

from observer.model.events import Call, ChunkRef, Event, Fault, Process, Signal, Site, Syscall
from observer.simulator.book import BookAllocator
from observer.simulator.event_log import EventLog
from observer.simulator.machine import BookMachine
from observer.simulator.paging import PageFault, SegmentationFault
from observer.simulator.workload import Operation, parse

START = 0x1000_0000


def log() -> EventLog:
    return EventLog("w", 1, START)


def test_every_event_is_of_the_one_vocabulary_and_the_clock_ticks_once_an_event() -> None:
    text = b"malloc a 9\nfork\nmap m 4K\nreadonly m\ntouch m\nexit\nfree a"
    events = list(BookMachine(source="w").run(parse(text.splitlines())))
    encoded = msgspec.json.encode(events)
    assert msgspec.json.decode(encoded, type=list[Event]) == events
    assert [(event.n, event.t_ns) for event in events] == [(n, n) for n in range(len(events))]
    assert {event.tid for event in events} == {event.pid for event in events} == {1, 2}


def test_a_call_that_grows_the_heap_takes_all_steps_and_names_its_place() -> None:
    made, heap = log(), BookAllocator(START)
    piece = made.call(
        Operation("calloc", "c", (7, 13), 5), heap.malloc(91), None, made.site(Operation("calloc", line=5))
    )
    [call] = made.waiting
    assert isinstance(call, Call)
    assert (call.op, call.size, call.count, call.bytes_asked, call.steps) == ("calloc", 13, 7, 91, "1-2-3-4-5")
    assert (call.where, call.served_by, call.site) == ("heap+0x10", "brk", Site(file="w", line=5))
    assert piece == ChunkRef(0, START + 16, 91)


def test_a_refused_call_has_an_error_and_no_place() -> None:
    made, heap = log(), BookAllocator(START, limit=4096)
    made.call(Operation("memalign", "c", (64, 1 << 20)), heap.memalign(64, 1 << 20), None, Site())
    [call] = made.waiting
    assert isinstance(call, Call)
    assert (call.result, call.errno, call.where, call.steps, call.alignment) == (0, 12, None, "1-2-3-4", 64)


def test_faults_are_the_programs_or_the_allocators() -> None:
    made = log()
    resolved = [PageFault(START + 4096, "first read", 0), PageFault(START + 8192, "copy on write", 9, major=True)]
    made.faults(resolved, None, ("heap", START), Site())
    made.faults(resolved[:1], None, ("map#3", START + 4096), Site(), cause=7)
    faults = [event for event in made.waiting if isinstance(event, Fault)]
    assert [(f.where, f.mapping, f.access, f.major, f.frame, f.toucher, f.cause) for f in faults] == [
        ("heap+0x1000", "[heap]", "read", False, None, "program", None),
        ("heap+0x2000", "[heap]", "write", True, 9, "program", None),
        ("map#3+0x0", "map#3", "read", False, None, "allocator", 7),
    ]  # fmt: skip
    assert (made.totals.faults_program, made.totals.faults_allocator, made.totals.faults_major) == (2, 1, 1)


def test_a_forbidden_access_is_a_fatal_signal_and_an_end() -> None:
    made = log()
    made.pid = 3
    made.segmentation_fault(SegmentationFault(START, "SEGV_ACCERR", []), Site())
    signal, end = made.waiting
    assert isinstance(signal, Signal)
    assert isinstance(end, Process)
    assert (signal.signal, signal.code, signal.address, signal.fatal, signal.pid) == ("SIGSEGV", 2, START, True, 3)
    assert (end.what, end.status, end.pid) == ("killed", None, 3)


def test_system_calls_have_the_numbers_of_x86_64() -> None:
    text = b"map m 4K\nlock m\nunlock m\nreadonly m\ndontneed m\nunmap m\nmalloc a 1"
    calls = [event for event in BookMachine().run(parse(text.splitlines())) if isinstance(event, Syscall)]
    assert {call.name: call.number for call in calls} == {
        "mmap": 9, "mlock": 149, "munlock": 150, "mprotect": 10, "madvise": 28, "munmap": 11, "brk": 12,
    }  # fmt: skip
