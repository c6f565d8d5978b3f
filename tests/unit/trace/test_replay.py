"""From spools to events: causes, places, pieces and touchers, worked out in time order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from observer.model.addresses import Mapping
from observer.model.events import Call, ChunkRef, Event, Fault, Syscall
from observer.trace.reader import Trace
from observer.trace.values import events_of
from tests.builders import HEAP, MAP, PAGE, PID
from tests.unit.trace.collected import Collected, collect
from tests.unit.trace.spooling import KERNEL, LEFT, SP, USER, Recorder
from tests.unit.trace.written import trace_of

CHILD = PID + 6
READ_WRITE, ANONYMOUS = 3, 0x22


def assembled(recorder: Recorder) -> Collected:
    return collect(recorder.read())


def events(recorder: Recorder) -> list[Event]:
    """Write the tables of what was recorded, and read the events back."""
    directory = recorder.directory.parent / "trace"
    directory.mkdir()
    parts = assembled(recorder).parts
    trace, written = trace_of(parts, directory)
    found = list(trace.events())
    assert len(found) == written
    assert found == [event for part in parts for event in events_of(part)]
    assert [event.n for event in found] == list(range(written))
    return found


def chunks(found: Collected) -> list[tuple[int, int, int] | None]:
    """(call, address, size) of the piece that each fault hit."""
    columns = (found.faults.numbers[f"chunk_{name}"].tolist() for name in ("call", "address", "size"))
    return [None if chunk[0] < 0 else chunk for chunk in zip(*columns, strict=True)]


def only(found: list[Event], kind: type[Any]) -> Any:
    (event,) = [event for event in found if isinstance(event, kind)]
    return event


def grow(recorder: Recorder, began: int, size: int = 0x21000) -> None:
    """The two brk calls by which a heap begins."""
    recorder.syscall("brk", 0, began=began, ended=began + 1, result=HEAP)
    recorder.syscall("brk", HEAP + size, began=began + 2, ended=began + 3, result=HEAP + size)


def test_a_first_malloc_is_told_with_all_that_happens_inside_it(recorder: Recorder) -> None:
    recorder.start(100)
    recorder.call("malloc", 100, began=110, ended=130, result=HEAP + 0x2A0)
    grow(recorder, 112)
    recorder.fault(HEAP, 120)
    recorder.fault(HEAP + 0x2A0, 140)
    recorder.exit(150, status=7 << 8)
    start, call, first, second, inner, touch, end = events(recorder)
    assert (start.what, start.path, start.t_ns) == ("start", "/home/ada/story", 0)
    assert call == Call(
        n=1, t_ns=10, pid=PID, tid=PID, op="malloc", size=100, count=None, alignment=None, pointer=None,
        result=HEAP + 0x2A0, where="heap+0x2a0", end_ns=30, errno=None, site=None, origin="program", served_by=None,
        steps="1-2-3-4-5", inner=0,
    )  # fmt: skip
    assert (first.name, first.result, first.cause, first.gate, first.ring_before) == ("brk", HEAP, 1, "syscall", 3)
    assert (second.args, second.t_ns, second.end_ns) == ((HEAP + 0x21000,), 14, 15)
    assert (inner.cause, inner.toucher, inner.where, inner.mapping) == (1, "allocator", "heap+0x0", "[heap]")
    assert (touch.cause, touch.toucher, touch.chunk) == (None, "program", ChunkRef(1, HEAP + 0x2A0, 100))
    assert (end.what, end.status) == ("exit", 7)


def test_a_piece_lives_from_its_makers_return_to_the_entry_of_who_gives_it_back(recorder: Recorder) -> None:
    recorder.start(1)
    grow(recorder, 2)
    recorder.call("malloc", 100, began=10, ended=20, result=HEAP + 0x2A0)
    recorder.call("free", HEAP + 0x2A0, began=30, ended=40)
    for time in (5, 25, 35, 45):
        recorder.fault(HEAP + 0x2A0, time, sp=SP + 8)
    assert chunks(assembled(recorder)) == [None, (4, HEAP + 0x2A0, 100), None, None]


def test_the_piece_that_a_call_is_about_to_return_is_known_inside_the_call(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.call("calloc", 17, 16, began=10, ended=20, result=MAP + 16)
    for address in (MAP, MAP + 16, MAP + 16 + 271, MAP + 16 + 272):
        recorder.fault(address, 15)
    made = (1, MAP + 16, 272)
    assert chunks(assembled(recorder)) == [made, made, made, None]


def test_realloc_takes_the_old_piece_and_gives_a_new_one(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.call("malloc", 100, began=10, ended=11, result=HEAP + 0x10)
    recorder.call("realloc", HEAP + 0x10, 200, began=12, ended=13, result=HEAP + 0x310)
    recorder.call("realloc", 0, 300, began=14, ended=15, result=HEAP + 0x510)
    found = assembled(recorder)
    assert (found.live_chunks, found.live_bytes) == (2, 500)


def test_a_realloc_that_failed_keeps_the_old_piece(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.call("malloc", 100, began=10, ended=11, result=HEAP + 0x10)
    recorder.call("realloc", HEAP + 0x10, 1 << 60, began=12, ended=13, result=0)
    found = assembled(recorder)
    assert (found.live_chunks, found.live_bytes) == (1, 100)


def test_a_realloc_to_nothing_frees(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.call("malloc", 100, began=10, ended=11, result=HEAP + 0x10)
    recorder.call("realloc", HEAP + 0x10, 0, began=12, ended=13, result=0)
    assert assembled(recorder).live_chunks == 0


def test_arguments_go_where_the_operation_has_them(recorder: Recorder) -> None:
    told: list[tuple[str, tuple[int, ...], dict[str, int]]] = [
        ("malloc", (17,), {"size": 17}),
        ("calloc", (17, 23), {"count": 17, "size": 23}),
        ("realloc", (HEAP, 23), {"pointer": HEAP, "size": 23}),
        ("reallocarray", (HEAP, 17, 23), {"pointer": HEAP, "count": 17, "size": 23}),
        ("memalign", (64, 17), {"alignment": 64, "size": 17}),
        ("posix_memalign", (SP, 64, 17), {"alignment": 64, "size": 17}),
        ("malloc_usable_size", (HEAP,), {"pointer": HEAP}),
        ("malloc", ((1 << 64) - 1,), {"size": (1 << 64) - 1}),
        ("free", (HEAP,), {"pointer": HEAP}),
    ]
    recorder.start(1)
    for i, (op, arguments, _fields) in enumerate(told):
        recorder.call(op, *arguments, began=10 + 2 * i, ended=11 + 2 * i, result=MAP)
    calls = [event for event in events(recorder) if isinstance(event, Call)]
    nothing = {"size": None, "count": None, "alignment": None, "pointer": None}
    for call, (op, _arguments, fields) in zip(calls, told, strict=True):
        assert (call.op, {name: getattr(call, name) for name in nothing}) == (op, {**nothing, **fields})
        assert call.result == (None if op == "free" else MAP)


def test_an_allocation_that_gives_nothing_has_failed_unless_nothing_was_asked_for(recorder: Recorder) -> None:
    told: list[tuple[str, tuple[int, ...], int, int | None, str | None]] = [
        ("malloc", (1 << 60,), 0, 12, "1"),
        ("malloc", (0,), 0, None, "1-5"),
        ("calloc", (0, 8), HEAP, None, "1-5"),
        ("malloc", (8,), HEAP, None, "1-5"),
        ("realloc", (HEAP, 0), 0, None, "1-5"),
        ("free", (HEAP,), 0, None, None),
    ]
    recorder.start(1)
    for i, (op, arguments, result, _errno, _steps) in enumerate(told):
        recorder.call(op, *arguments, began=10 + 2 * i, ended=11 + 2 * i, result=result)
    calls = [event for event in events(recorder) if isinstance(event, Call)]
    assert [(call.errno, call.steps) for call in calls] == [(errno, steps) for *_call, errno, steps in told]


def test_a_call_that_never_returned_is_still_an_event(recorder: Recorder) -> None:
    recorder.start(1)
    for began, flags in ((10, 0), (20, LEFT)):
        recorder.call("malloc", 17, began=began, ended=99, flags=flags)
    calls = [event for event in events(recorder) if isinstance(event, Call)]
    for call in calls:
        assert (call.size, call.result, call.end_ns, call.errno, call.steps) == (17, None, None, None, "1")
    assert len(calls) == 2


def test_a_system_call_that_failed_tells_its_errno_and_changes_nothing(recorder: Recorder) -> None:
    recorder.start(1)
    grow(recorder, 2)
    recorder.syscall("munmap", HEAP, 0x21000, began=10, ended=11, result=-22)
    recorder.fault(HEAP, 12)
    found = events(recorder)
    call = next(event for event in found if isinstance(event, Syscall) and event.name == "munmap")
    assert (call.result, call.errno) == (-22, 22)
    assert only(found, Fault).mapping == "[heap]"


def test_a_system_call_that_did_not_return_has_no_result(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.syscall("execve", 1, 2, 3, began=10, ended=20, result=None)
    call = only(events(recorder), Syscall)
    assert (call.result, call.end_ns, call.args) == (None, None, (1, 2, 3))


def test_what_is_above_the_calls_stack_pointer_is_not_inside_the_call(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.call("malloc", 17, began=10, ended=20, result=MAP)
    recorder.syscall("madvise", MAP, PAGE, 4, began=12, ended=13, sp=SP + 64)
    recorder.syscall("madvise", MAP, PAGE, 4, began=14, ended=15, sp=SP - 64)
    assert assembled(recorder).syscalls.numbers["cause"].tolist() == [-1, 1]


def test_the_ring_of_a_fault_is_where_it_was_taken(recorder: Recorder) -> None:
    recorder.start(1)
    for time, misc in ((10, KERNEL), (11, USER), (12, 0x4000 | USER), (13, 0x4000 | KERNEL)):
        recorder.fault(MAP, time, misc=misc, user_ip=0x1149)
    faults = assembled(recorder).faults
    assert faults.numbers["ring"].tolist() == [0, 3, 3, 0]
    assert faults.texts["toucher"].tolist() == ["kernel", "program", "program", "kernel"]


def test_a_fault_at_its_own_instruction_is_an_execution(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(MAP + 8, 10, user_ip=MAP + 8, ip=MAP + 8)
    assert assembled(recorder).faults.texts["access"].tolist() == ["exec"]


def test_major_faults_are_known_by_the_event_that_sampled_them(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("rings", 2, major_ids=[17, 23])
    for i, identity in enumerate((16, 17, 22, 23)):
        recorder.fault(MAP, 10 + i, id=identity)
    assert assembled(recorder).faults.numbers["major"].tolist() == [0, 1, 0, 1]


def test_times_count_from_the_first_event(recorder: Recorder) -> None:
    recorder.fault(MAP, 1_000_017)
    recorder.start(1_000_000)
    assert [event.t_ns for event in events(recorder)] == [0, 17]


def test_a_forked_child_inherits_and_goes_its_own_way(recorder: Recorder) -> None:
    recorder.start(1)
    grow(recorder, 2)
    recorder.call("malloc", 100, began=10, ended=11, result=HEAP + 0x10)
    recorder.note("born", 20, how="fork", child=CHILD, child_pid=CHILD, shares=False)
    recorder.call("free", HEAP + 0x10, began=30, ended=31, pid=CHILD, tid=CHILD)
    recorder.fault(HEAP + 0x10, 40)
    recorder.fault(HEAP + 0x10, 41, pid=CHILD, tid=CHILD)
    found = assembled(recorder)
    assert chunks(found) == [(3, HEAP + 0x10, 100), None]
    assert found.faults.texts["where"].tolist() == ["heap+0x10", "heap+0x10"]
    assert [(row["what"], row["child"], row["pid"]) for row in found.processes][1:] == [("fork", CHILD, PID)]


def test_a_vfork_child_changes_its_parents_memory(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("born", 2, how="vfork", child=CHILD, child_pid=CHILD, shares=True)
    recorder.syscall("mmap", 0, PAGE, READ_WRITE, ANONYMOUS, began=3, ended=4, result=MAP, pid=CHILD, tid=CHILD)
    recorder.fault(MAP, 5)
    assert assembled(recorder).faults.texts["mapping"].tolist() == ["map#0"]


def test_an_exec_begins_with_a_fresh_address_space(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.call("malloc", 100, began=10, ended=11, result=MAP + 16)
    recorder.syscall("mmap", 0, PAGE, READ_WRITE, ANONYMOUS, began=12, ended=13, result=MAP)
    recorder.start(20, (Mapping(0x400000, 0x401000, "r-x", "/bin/true", inode=7),), first=False, path="/bin/true")
    recorder.fault(MAP + 16, 30)
    found = assembled(recorder)
    assert [found.faults.texts[name].tolist() for name in ("mapping", "where")] == [[None], [None]]
    assert chunks(found) == [None]
    assert [(row["what"], row["path"]) for row in found.processes] == [
        ("start", "/home/ada/story"), ("exec", "/bin/true"),
    ]  # fmt: skip


def test_the_signal_that_killed_is_the_fatal_one(recorder: Recorder) -> None:
    recorder.start(1)
    for time, name, address in ((10, "SIGSEGV", 8), (20, "SIGALRM", None), (30, "SIGSEGV", 16)):
        recorder.note(
            "signal", time, signal=name, code=1, address=address, ip=0x1149, sp=SP, cs=0x33, stack=0, bytes="fa",
            reason=None, access=None, in_call=False, behind="",
        )  # fmt: skip
    recorder.exit(40, status=11)
    found = assembled(recorder)
    assert [(row["signal"], row["address"], row["fatal"]) for row in found.signals] == [
        ("SIGSEGV", 8, False), ("SIGALRM", None, False), ("SIGSEGV", 16, True),
    ]  # fmt: skip
    assert [(row["what"], row["status"], row["path"]) for row in found.processes][1:] == [("killed", 11, "SIGSEGV")]


def test_a_core_dump_is_part_of_no_signals_number(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.exit(40, status=0x80 | 6)
    assert [(row["what"], row["status"], row["path"]) for row in assembled(recorder).processes][1:] == [
        ("killed", 6, "SIGABRT")
    ]


def test_a_process_killed_by_a_real_time_signal_is_told_too(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.exit(40, status=40)
    assert [(row["what"], row["status"]) for row in assembled(recorder).processes][1:] == [("killed", 40)]


def test_a_thread_ends_when_it_begins_to_exit_a_process_when_it_is_gone(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("born", 2, how="clone", child=CHILD, child_pid=PID, shares=True)
    recorder.exit(10, tid=CHILD)
    recorder.exit(20)
    ends = [(row["what"], row["tid"], row["t_ns"]) for row in assembled(recorder).processes]
    assert ends == [("start", PID, 0), ("clone", PID, 1), ("exit", CHILD, 9), ("exit", PID, 20)]


def test_an_i386_call_is_named_by_its_own_table(recorder: Recorder) -> None:
    recorder.start(1)
    # The number of munmap here is that of execve there.
    recorder.syscall("munmap", MAP, PAGE, began=10, ended=11, arch=0x40000003, cs=0x23, gate=1)
    calls = assembled(recorder).syscalls
    assert [calls.texts[name].tolist() for name in ("name", "gate")] == [["execve"], ["int80"]]
    assert [calls.numbers[name].tolist() for name in ("number", "ring_before")] == [[11], [3]]


def test_frames_are_those_of_the_pages_at_the_end(recorder: Recorder) -> None:
    present = 1 << 63
    recorder.start(1)
    recorder.fault(MAP + 17, 10)
    recorder.fault(MAP + PAGE, 11)
    recorder.fault(MAP + 9 * PAGE, 12)
    recorder.note(
        "end", 20, path="/home/ada/story", mappings=[], resident={}, rss={}, break_start=HEAP, frames=[[MAP, 2, 8]]
    )
    words = [7, present | 0x1234, 0x1235]
    (recorder.directory / "frames.bin").write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    found = collect(recorder.read(), residency=True)
    assert found.faults.numbers["frame"].tolist() == [0x1234, -1, -1]
    assert found.findings.has_visible_frames


def test_frames_are_found_in_whatever_stretches_they_were_saved(recorder: Recorder) -> None:
    present = 1 << 63
    recorder.start(1)
    for page in (0, 3, 4, 5, 40, 41, 99):
        recorder.fault(MAP + page * PAGE, 10 + page)
    stretches = [[MAP + 40 * PAGE, 1, 0], [MAP, 1, 8], [MAP + 4 * PAGE, 2, 16]]
    recorder.note("end", 200, path="", mappings=[], resident={}, rss={}, break_start=HEAP, frames=stretches)
    words = [present | 40, present | 1, present | 4, present | 5]
    (recorder.directory / "frames.bin").write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    found = collect(recorder.read(), residency=True)
    assert found.faults.numbers["frame"].tolist() == [1, -1, 4, 5, 40, -1, -1]


def test_what_was_attached_lies_where_it_was_found_and_leaves_in_all_its_parts(recorder: Recorder) -> None:
    recorder.start(1)
    shared = {"protection": "rw-", "path": "/SYSV00000000 (deleted)", "shared": True, "inode": 7}
    parts = [
        {**shared, "start": MAP, "end": MAP + PAGE, "offset": 0},
        {**shared, "start": MAP + 2 * PAGE, "end": MAP + 3 * PAGE, "offset": 2 * PAGE},
        {**shared, "start": MAP + 3 * PAGE, "end": MAP + 4 * PAGE, "offset": 0},
    ]
    recorder.note("region", 10, start=MAP, end=MAP + 4 * PAGE, mappings=parts)
    recorder.fault(MAP + 2 * PAGE, 11)
    recorder.note("detached", 20, address=MAP)
    recorder.fault(MAP + 2 * PAGE, 21)
    recorder.fault(MAP + 3 * PAGE, 22)
    mapped = assembled(recorder).faults.texts["mapping"].tolist()
    assert mapped == [shared["path"], None, shared["path"]]


def test_a_run_of_nothing_has_no_events(recorder: Recorder) -> None:
    assert events(recorder) == []


def test_a_trace_moves_without_breaking(recorder: Recorder, tmp_path: Path) -> None:
    recorder.start(1)
    before = events(recorder)
    moved = (tmp_path / "trace").rename(tmp_path / "it's moved")
    assert list(Trace.open(moved).events()) == before
