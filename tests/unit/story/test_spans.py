"""What lay where, and from which event to which."""

from __future__ import annotations

from observer.model.addresses import Mapping
from observer.story.levels import Levels
from observer.story.room import Room, Rooms
from observer.story.spans import ALWAYS, PageSpan, Region, Spans, SpansOf
from tests.builders import HEAP, LIBC, MAP, PAGE, PID, Script, process_end, story_run
from tests.builders import site as place

CHILD = PID + 1


def spans_of(run: Script, **fields: object) -> Spans:
    spans = Spans(**fields)  # type: ignore[arg-type]
    for event in run.events:
        spans.take(event)
    spans.finish([])
    return spans


def only(run: Script) -> SpansOf:
    (held,) = spans_of(run).of[PID]
    return held


def test_a_piece_lives_from_its_call_to_its_free_and_leaves_room() -> None:
    run = Script()
    first = run.call("malloc", 100, result=HEAP + 16, site=place(7))
    gone = run.free(HEAP + 16)
    again = run.call("malloc", 40, result=HEAP + 16)
    held = only(run)
    assert [(p.start, p.size, p.born, p.died, p.call) for p in held.pieces] == [
        (HEAP + 16, 100, first, gone, first), (HEAP + 16, 40, again, ALWAYS, again),
    ]  # fmt: skip
    assert held.pieces[0].site == place(7)
    assert held.rooms == [
        Room(HEAP + 16, HEAP + 116, gone, again),
        Room(HEAP + 56, HEAP + 116, again, ALWAYS),
    ]


def test_what_a_realloc_leaves_is_room_and_a_refused_one_leaves_all() -> None:
    run = Script()
    run.call("malloc", 100, result=HEAP)
    run.call("realloc", 1 << 40, pointer=HEAP, result=0)
    moved = run.call("realloc", 300, pointer=HEAP, result=HEAP + 4096)
    held = only(run)
    assert [(p.start, p.born, p.died) for p in held.pieces] == [(HEAP, 0, moved), (HEAP + 4096, moved, ALWAYS)]
    assert held.rooms == [Room(HEAP, HEAP + 100, moved, ALWAYS)]


def test_a_page_is_there_from_its_fault_until_it_is_given_back() -> None:
    run = Script()
    run.syscall("mmap", 0, 4 * PAGE, 3, 0x22, (1 << 64) - 1, 0, result=MAP)
    read = run.fault(MAP, access="read", frame=7)
    written = run.fault(MAP + 5, frame=8)
    other = run.fault(MAP + 2 * PAGE, toucher="kernel")
    advised = run.syscall("madvise", MAP, PAGE, 4)
    gone = run.syscall("munmap", MAP, 4 * PAGE)
    held = only(run)
    assert held.pages == [
        PageSpan(MAP, read, written, read, "program", "zero", 7),
        PageSpan(MAP, written, advised, written, "program", "own", 8),
        PageSpan(MAP + 2 * PAGE, other, gone, other, "kernel", "own", None),
    ]
    assert held.regions == [Region(MAP, MAP + 4 * PAGE, 0, gone, "map#0", "rw-")]


def test_the_heap_is_a_region_for_every_place_of_its_break() -> None:
    run = Script()
    run.syscall("brk", 0, result=HEAP)
    up = run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000)
    run.fault(HEAP + 0x20000)
    down = run.syscall("brk", HEAP + 0x1000, result=HEAP + 0x1000)
    held = only(run)
    assert held.regions == [
        Region(HEAP, HEAP + 0x21000, up, down, "[heap]", "rw-"),
        Region(HEAP, HEAP + 0x1000, down, ALWAYS, "[heap]", "rw-"),
    ]
    assert [(page.start, page.died) for page in held.pages] == [(HEAP + 0x20000, down)]


def test_protection_cuts_a_region_and_a_move_takes_its_pages_along() -> None:
    run = Script()
    run.syscall("mmap", 0, 4 * PAGE, 0, 0x22, (1 << 64) - 1, 0, result=MAP)
    opened = run.syscall("mprotect", MAP, PAGE, 3)
    run.fault(MAP)
    moved = run.syscall("mremap", MAP, PAGE, 2 * PAGE, 1, result=MAP + 64 * PAGE)
    held = only(run)
    assert sorted(held.regions) == [
        Region(MAP, MAP + PAGE, opened, moved, "map#0", "rw-"),
        Region(MAP, MAP + 4 * PAGE, 0, opened, "map#0", "---"),
        Region(MAP + PAGE, MAP + 4 * PAGE, opened, ALWAYS, "map#0", "---"),
        Region(MAP + 64 * PAGE, MAP + 66 * PAGE, moved, ALWAYS, "map#0", "rw-"),
    ]
    assert [(p.start, p.born, p.died) for p in held.pages] == [
        (MAP, 2, moved), (MAP + 64 * PAGE, moved, ALWAYS),
    ]  # fmt: skip


def test_a_child_begins_with_what_its_parent_has_and_shares_its_frames() -> None:
    run = Script()
    run.syscall("brk", 0, result=HEAP)
    run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000)
    made = run.call("malloc", 100, result=HEAP + 16)
    run.fault(HEAP)
    forked = run.process("fork", child=CHILD)
    copied = run.fault(HEAP, pid=CHILD)
    run.free(HEAP + 16, pid=CHILD)
    spans = spans_of(run)
    (parent,), (child,) = spans.of[PID], spans.of[CHILD]
    assert [(p.born, p.died, p.call) for p in parent.pieces] == [(made, ALWAYS, made)]
    assert [(p.born, p.died, p.call) for p in child.pieces] == [(forked, 6, made)]
    assert [(p.how, p.born, p.died) for p in child.pages] == [("shared", forked, copied), ("own", copied, ALWAYS)]
    assert child.regions == [Region(HEAP, HEAP + 0x21000, forked, ALWAYS, "[heap]", "rw-")]


def test_an_exec_ends_all_and_only_so_many_processes_are_followed() -> None:
    run = Script()
    run.process("start", path="/bin/a")
    run.call("malloc", 100, result=HEAP)
    run.process("exec", path="/bin/b")
    run.process("fork", child=CHILD)
    run.call("malloc", 7, result=HEAP, pid=CHILD)
    spans = spans_of(run, most=1)
    first, second = spans.of[PID]
    assert [(p.born, p.died) for p in first.pieces] == [(1, 2)]
    assert second.pieces == []
    assert (list(spans.of), spans.left_out) == ([PID], 1)


def test_a_vfork_child_is_in_its_parents_memory_until_it_calls_exec() -> None:
    run = Script()
    run.process("start", path="/bin/a")
    run.call("malloc", 100, result=HEAP)
    run.process("vfork", child=CHILD)
    freed = run.free(HEAP, pid=CHILD)
    kept = run.call("malloc", 7, result=HEAP + 4096)
    run.process("exec", path="/bin/b", pid=CHILD)
    own = run.call("malloc", 11, result=HEAP, pid=CHILD)
    spans = spans_of(run)
    (parent,), (child,) = spans.of[PID], spans.of[CHILD]
    assert [(p.size, p.born, p.died) for p in parent.pieces] == [(100, 1, freed), (7, kept, ALWAYS)]
    assert [(p.size, p.born, p.died) for p in child.pieces] == [(11, own, ALWAYS)]


def test_what_was_there_from_the_beginning_is_known_from_the_end() -> None:
    spans = Spans()
    for event in story_run():
        spans.take(event)
    spans.finish([process_end()])
    (held,) = spans.of[PID]
    there = [region for region in held.regions if region.died == ALWAYS]
    ends = {(m.start, m.end) for m in process_end().mappings}
    begun = {(region.start, region.end) for region in there if region.born == 0}
    # Of the C library the run's own calls mapped two pages.
    assert begun - ends == {(LIBC + 0x2000, LIBC + 0x26000)}
    assert ends - begun == {(LIBC, LIBC + 0x26000), (HEAP, HEAP + 0x21000)}
    assert sum(region.end - region.start for region in there) == sum(end - start for start, end in ends)


def test_files_get_the_path_that_a_fault_or_the_end_tells() -> None:
    run = Script()
    run.syscall("mmap", 0, 4 * PAGE, 1, 2, 3, 0, result=LIBC)
    run.syscall("mmap", 0, 4 * PAGE, 1, 2, 4, 0, result=MAP)
    run.syscall("mmap", 0, 4 * PAGE, 1, 2, 5, 0, result=HEAP)
    run.fault(LIBC, access="exec", mapping="/usr/lib/libc.so.6")
    spans = Spans()
    for event in run.events:
        spans.take(event)
    end = process_end()
    spans.finish([end.__class__(PID, "", (Mapping(MAP, MAP + 4 * PAGE, "r--", "/etc/x"),), {}, 0, 0, 0, {})])
    (held,) = spans.of[PID]
    assert [region.name for region in sorted(held.regions)] == ["file", "/etc/x", "/usr/lib/libc.so.6"]


def test_levels_and_spans_agree_at_every_event() -> None:
    spans, levels, told = Spans(), Levels(), {}
    for event in story_run():
        spans.take(event)
        level = levels.take(event)
        if level is not None:
            told[event.n] = level
    spans.finish([])
    (held,) = spans.of[PID]
    for n, level in told.items():
        assert sum(p.size for p in held.pieces if p.born <= n < p.died) == level.asked
        assert sum(r.end - r.start for r in held.regions if r.name == "[heap]" and r.born <= n < r.died) == level.heap
    assert len(told) == 196


def test_rooms_are_cut_and_scraps_are_none() -> None:
    gone: list[Room] = []
    rooms = Rooms(gone.append)
    rooms.give(1000, 2000, 1)
    rooms.take(1010, 1900, 2)
    assert gone == [Room(1000, 2000, 1, 2)]
    rooms.take(0, ALWAYS, 3)
    assert gone[1:] == [Room(1900, 2000, 2, 3)]
