"""What a process holds at any moment: the same as the totals at the end say, and no more than was given back."""

from __future__ import annotations

import pytest

from observer.model.events import Event
from observer.story.levels import Level, Levels
from observer.story.summary import summarise
from tests.builders import HEAP, MAP, PAGE, PID, Script, story_run

CHILD = PID + 1


def last(events: list[Event], pid: int = PID, page_size: int = PAGE) -> Level:
    levels, found = Levels(page_size), Level(0, 0, 0, 0)
    for event in events:
        level = levels.take(event)
        if level is not None and event.pid == pid:
            found = level
    return found


def test_the_end_of_the_story_is_what_its_totals_say() -> None:
    events = story_run()
    summary, level = summarise(events), last(events)
    assert level.asked == summary.live
    assert level.heap == summary.break_growth - summary.break_shrink


def test_only_what_changes_is_told() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    run.call("malloc", 100, result=HEAP)
    run.syscall("getpid", result=7)
    levels = Levels()
    assert [levels.take(event) for event in run.events] == [Level(0, 0, 0, 0), Level(100, 0, 0, 0), None]


def test_pieces_move_shrink_and_go() -> None:
    run = Script()
    run.call("malloc", 100, result=HEAP)
    run.call("realloc", 300, pointer=HEAP, result=HEAP + 0x1000)
    run.call("realloc", 1 << 40, pointer=HEAP + 0x1000, result=0)
    assert last(run.events).asked == 300
    run.call("realloc", 0, pointer=HEAP + 0x1000, result=0)
    run.free(HEAP + 0x5000)
    run.call("malloc", 8, result=HEAP)
    run.call("malloc", 1 << 40, result=None, end_ns=None)
    assert last(run.events).asked == 8


def test_frames_go_with_the_memory_that_is_given_back() -> None:
    run = Script()
    run.syscall("brk", 0, result=HEAP)
    run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000)
    for page in range(4):
        run.fault(HEAP + page * PAGE, mapping="[heap]")
    run.fault(HEAP + 5 * PAGE, mapping="[heap]", access="read")
    assert last(run.events) == Level(0, 0x21000, 0, 4 * PAGE)
    run.syscall("madvise", HEAP, PAGE, 4)
    assert last(run.events).frames == 3 * PAGE
    run.syscall("brk", HEAP + 2 * PAGE, result=HEAP + 2 * PAGE)
    assert last(run.events) == Level(0, 2 * PAGE, 0, PAGE)


@pytest.mark.parametrize(("flags", "mapped"), [(0x22, 8 * PAGE), (0x21, 0), (0x02, 0)])
def test_regions_are_those_that_no_file_is_behind_and_nobody_shares(flags: int, mapped: int) -> None:
    run = Script()
    run.syscall("mmap", 0, 8 * PAGE - 1, 3, flags, (1 << 64) - 1, 0, result=MAP)
    assert last(run.events).mapped == mapped
    run.syscall("munmap", MAP + 2 * PAGE, PAGE)
    run.syscall("mmap", MAP, PAGE, 3, 0x12, 3, 0, result=MAP)
    assert last(run.events).mapped == max(mapped - 2 * PAGE, 0)


def test_a_region_that_moves_takes_its_frames_along() -> None:
    run = Script()
    run.syscall("mmap", 0, 4 * PAGE, 3, 0x22, (1 << 64) - 1, 0, result=MAP)
    for page in (0, 3):
        run.fault(MAP + page * PAGE, mapping="map#0", toucher="allocator")
    run.syscall("mremap", MAP, 4 * PAGE, 2 * PAGE, 1, result=MAP)
    assert last(run.events) == Level(0, 0, 2 * PAGE, PAGE)
    run.syscall("mremap", MAP, 2 * PAGE, 16 * PAGE, 1, result=MAP + 64 * PAGE)
    assert last(run.events) == Level(0, 0, 16 * PAGE, PAGE)
    run.syscall("munmap", MAP + 64 * PAGE, 16 * PAGE)
    assert last(run.events) == Level(0, 0, 0, 0)


def test_a_child_begins_with_what_its_parent_had_and_goes_on_alone() -> None:
    run = Script()
    run.call("malloc", 100, result=HEAP)
    run.process("fork", child=CHILD)
    run.free(HEAP, pid=CHILD, tid=CHILD)
    run.call("malloc", 30, result=HEAP)
    assert (last(run.events).asked, last(run.events, CHILD).asked) == (30, 0)
    run.process("exec", path="/bin/true")
    assert last(run.events) == Level(0, 0, 0, 0)
