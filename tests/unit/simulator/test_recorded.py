"""A recorded run as a workload: what it did comes again when the workload is run."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from observer.model.events import Call, ChunkRef, Event, Fault
from observer.simulator.generate import PROFILES, generate
from observer.simulator.machine import BookMachine
from observer.simulator.recorded import RecordedWorkload
from observer.simulator.workload import Operation, parse, render
from tests.builders import HEAP, MAP, PAGE, PID, Script, held, in_libc, story_run

CHILD = PID + 1


def text_of(events: Iterable[Event]) -> str:
    return render(RecordedWorkload(held(events)).operations())


def left_out(events: Iterable[Event]) -> dict[str, int]:
    recorded = RecordedWorkload(held(events))
    list(recorded.operations())
    return recorded.left_out


def simulated(operations: Iterable[Operation]) -> list[Event]:
    return list(BookMachine().run(operations))


def calls(events: Iterable[Event]) -> list[tuple[object, ...]]:
    return [
        (event.pid, event.op, event.bytes_asked, event.alignment, event.pointer, event.result)
        for event in events
        if isinstance(event, Call)
    ]


def pages(events: Iterable[Event]) -> set[tuple[int, int]]:
    return {(event.pid, event.address // PAGE) for event in events if isinstance(event, Fault) and event.cause is None}


def run_of(*steps: tuple[object, ...]) -> Script:
    script = Script()
    script.process("start")
    for name, *rest in steps:
        fields = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        getattr(script, str(name))(*rest, **fields)
    return script


# ---- there and back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_simulated_run_recorded_and_run_again_makes_the_same_calls_and_faults(profile: str, seed: int) -> None:
    made = [operation for operation in generate(seed, 300, profile) if operation.kind != "dontneed"]
    first = simulated(made)
    text = text_of(first)
    again = list(parse(text.encode().splitlines()))
    second = simulated(again)
    assert calls(second) == calls(first)
    assert pages(second) == pages(first)
    assert left_out(first) == {}
    assert text_of(second) == text


WHOLE = """malloc p1 9000
touch p1 4080
map m2 12288
touch m2 0 8193
fork
touch p1 4080
calloc p3 10 16
fork
free p1
exit
realloc p1 20000
exit
readonly m2
lock m2
unlock m2
dontneed m2
unmap m2
populate m4 8192
memalign p5 256 100
free p1
"""


def test_text_that_is_written_as_a_recording_writes_it_comes_back_as_it_was() -> None:
    again = text_of(simulated(parse(WHOLE.encode().splitlines())))
    assert again == WHOLE


def test_a_run_of_pages_is_one_touch_and_a_gap_begins_another() -> None:
    text = "map m1 32768\ntouch m1 0 8193\ntouch m1 16384\nread m1 20480 4097\ntouch m1 28672\n"
    assert text_of(simulated(parse(text.encode().splitlines()))) == text


def test_the_chapters_run_becomes_a_workload_that_is_legal() -> None:
    recorded = RecordedWorkload(held(story_run()))
    operations = list(recorded.operations())
    assert list(parse(render(operations).encode().splitlines())) == [
        Operation(op.kind, op.name, op.numbers, line) for line, op in enumerate(operations, 1)
    ]
    events = simulated(operations)
    first = [call for call in calls(story_run()) if call[1] != "free"]
    assert [call[2] for call in calls(events) if call[1] != "free"] == [call[2] for call in first]


# ---- calls --------------------------------------------------------------------------------------------------


def test_realloc_of_nothing_is_malloc_and_to_nothing_is_free() -> None:
    script = run_of(
        ("call", "realloc", 100, {"result": HEAP}), ("call", "realloc", 200, {"pointer": HEAP, "result": HEAP + 512}),
        ("call", "realloc", 0, {"pointer": HEAP + 512, "result": 0}), ("call", "realloc", 70, {"pointer": 7, "result": HEAP}),
    )  # fmt: skip
    assert text_of(script.events) == "malloc p1 100\nrealloc p1 200\nfree p1\nmalloc p2 70\n"


def test_the_whole_family_is_said_with_the_words_there_are() -> None:
    script = run_of(
        ("call", "reallocarray", 10, {"count": 7, "result": HEAP}), ("call", "valloc", 50, {"result": HEAP + 4096}),
        ("call", "posix_memalign", 60, {"alignment": 64, "result": HEAP + 9024}),
        ("call", "aligned_alloc", 60, {"alignment": 48, "result": HEAP + 9600}),
        ("call", "cfree", None, {"pointer": HEAP}), ("call", "malloc_trim", 0, {"result": 1}),
        ("call", "malloc_usable_size", None, {"pointer": HEAP + 4096, "result": 56}),
    )  # fmt: skip
    assert text_of(script.events) == ("malloc p1 70\nmemalign p2 4096 50\nmemalign p3 64 60\nmalloc p4 60\nfree p1\n")


def test_what_cannot_be_said_is_counted() -> None:
    script = run_of(
        ("free", HEAP), ("free", HEAP), ("free", 0), ("call", "malloc", 1 << 63, {"result": 0}),
        ("call", "malloc", 10, {"result": None, "end_ns": None}), ("call", "calloc", 1 << 62, {"count": 4, "result": HEAP}),
        ("syscall", "mmap", 0, 4096, 3, 0x21, -1, 0, {"result": MAP}),
        ("syscall", "mmap", 0, 4096, 1, 0x22, -1, 0, {"result": MAP + PAGE}),
        ("syscall", "mmap", 0, 8192, 3, 0x22, -1, 0, {"result": MAP + 8 * PAGE}),
        ("syscall", "munmap", MAP + 8 * PAGE, 4096), ("syscall", "madvise", MAP + 8 * PAGE, 8192, 3),
    )  # fmt: skip
    assert text_of(script.events) == "map m1 8192\n"
    assert left_out(script.events) == {
        "free of memory that was not seen to be handed out": 2, "calls that returned nothing": 2, "calls with numbers larger than any object": 1,
        "mappings that are not private, anonymous and writable": 2, "munmap of a part of a mapping": 1, "madvise": 1,
    }  # fmt: skip


@pytest.mark.parametrize("flags", [0x32, 0x02, 0x21, 0x20])
def test_a_mapping_put_over_others_of_a_file_or_shared_cannot_be_said(flags: int) -> None:
    script = run_of(("syscall", "mmap", MAP, 4096, 3, flags, -1, 0, {"result": MAP}))
    assert left_out(script.events) == {"mappings that are not private, anonymous and writable": 1}


def test_calls_of_the_kernel_inside_the_allocator_or_refused_or_by_the_loader_are_not_the_programs() -> None:
    mapping = (0, 4096, 3, 0x22, -1, 0)
    script = run_of(
        ("syscall", "mmap", *mapping, {"result": MAP, "cause": 0}),
        ("syscall", "mmap", *mapping, {"result": -12, "errno": 12}),
        ("syscall", "mmap", *mapping, {"result": MAP, "site": in_libc()}),
        ("syscall", "munmap", MAP + PAGE, 4096),
    )  # fmt: skip
    loader = type(in_libc())("map_object", None, None, "ld-linux-x86-64.so.2", 7)
    script.syscall("mmap", *mapping, result=MAP + PAGE, site=loader)
    assert text_of(script.events) == "map m1 4096\n"
    assert left_out(script.events) == {}


# ---- touches ------------------------------------------------------------------------------------------------


def test_only_touches_of_what_has_a_name_are_said_and_not_those_of_the_allocator() -> None:
    first = run_of(("call", "malloc", 9000, {"result": HEAP}))
    chunk = {"chunk": _chunk(1, HEAP, 9000)}
    first.fault(HEAP + 5000, **chunk)
    first.fault(HEAP + 8999, access="read", **chunk)
    first.fault(HEAP + 100, cause=1, toucher="allocator", **chunk)
    first.fault(HEAP + 9000, **chunk)  # behind its end
    first.fault(HEAP + 0x9000)  # in no piece at all
    assert text_of(first.events) == "malloc p1 9000\ntouch p1 5000\nread p1 8999\n"


def _chunk(call: int, address: int, size: int) -> ChunkRef:
    return ChunkRef(call, address, size)


# ---- processes ----------------------------------------------------------------------------------------------


def test_a_child_stands_where_it_was_forked_though_its_events_came_later() -> None:
    script = run_of(
        ("call", "malloc", 100, {"result": HEAP}), ("process", "fork", {"child": CHILD}),
        ("call", "malloc", 7, {"result": HEAP + 112}), ("call", "malloc", 9, {"result": HEAP + 112, "pid": CHILD}),
        ("free", HEAP, {"pid": CHILD}), ("free", HEAP),
    )  # fmt: skip
    assert text_of(script.events) == ("malloc p1 100\nfork\nmalloc p2 9\nfree p1\nexit\nmalloc p3 7\nfree p1\n")


def test_what_came_before_exec_is_another_run() -> None:
    script = run_of(
        ("call", "malloc", 100, {"result": HEAP}), ("process", "exec"), ("call", "malloc", 7, {"result": HEAP})
    )
    assert text_of(script.events) == "malloc p1 7\n"


def test_no_events_no_operations() -> None:
    assert text_of([]) == ""


# ---- what is not right today --------------------------------------------------------------------------------


def test_calloc_of_any_number_of_nothings_can_be_read_again() -> None:
    script = run_of(("call", "calloc", 0, {"count": (1 << 64) - 1, "result": HEAP}))
    list(parse(text_of(script.events).encode().splitlines()))


def test_advice_about_the_pages_of_a_piece_is_said_or_counted() -> None:
    events = simulated(parse(b"malloc p1 20000\ntouch p1 0 20000\ndontneed p1\ntouch p1 8192".splitlines()))
    assert "dontneed p1" in text_of(events) or left_out(events)
