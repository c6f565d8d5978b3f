"""What the allocator's memory is at a moment: asked for, rounded up, kept, resident or never touched."""

from __future__ import annotations

from observer.model.events import ChunkRef, Event
from observer.story.profile import ranked
from tests.builders import HEAP, MAP, PAGE, PID, Script, site
from tests.columned import used


def run_with_a_large_piece() -> list[Event]:
    """A heap of 33 pages with two pieces, of which one is freed, and a mapping of 10 pages of which three came."""
    run = Script()
    run.process("start", path="/home/ada/story")
    run.syscall("brk", 0, result=HEAP)
    first = run.call("malloc", 100, result=HEAP + 0x2A0, allocator="glibc")
    run.syscall("brk", HEAP + 33 * PAGE, result=HEAP + 33 * PAGE, cause=first)
    run.fault(HEAP, toucher="allocator")
    run.call("malloc", 3 * PAGE, result=HEAP + 0x310, allocator="glibc")
    run.fault(HEAP + 2 * PAGE)
    run.fault(HEAP + 5 * PAGE)
    large = run.call("malloc", 9 * PAGE, result=MAP + 16, allocator="glibc")
    run.syscall("mmap", 0, 10 * PAGE, 3, 0x22, (1 << 64) - 1, 0, result=MAP, cause=large)
    for page in (0, 1, 4):
        run.fault(
            MAP + page * PAGE, toucher="allocator" if not page else "program", chunk=ChunkRef(large, MAP + 16, 9 * PAGE)
        )
    run.call("free", None, pointer=HEAP + 0x310)
    run.syscall("mmap", 0, 10 * PAGE, 3, 0x22, (1 << 64) - 1, 0, result=MAP - 10 * PAGE)
    run.process("exit", status=0)
    return run.events


def test_the_parts_of_what_is_mapped_add_up() -> None:
    use = used(run_with_a_large_piece())
    told = use.peak
    assert (told.mapped, told.asked, told.pieces) == (43 * PAGE, 100 + 12 * PAGE, 3)
    assert told.asked + told.rounding + told.headers + told.idle == told.mapped
    assert told.headers == 24


def test_pages_are_under_live_pieces_or_not() -> None:
    use = used(run_with_a_large_piece())
    assert (use.peak.resident, use.peak.vacant) == (3 * PAGE, PAGE)
    assert (use.end.resident, use.end.vacant) == (6 * PAGE, 2 * PAGE)


def test_what_was_never_touched_is_of_whole_pages_and_of_its_line() -> None:
    use = used(run_with_a_large_piece())
    assert (use.peak.untouched, use.end.untouched) == (9 * PAGE, 6 * PAGE)
    assert [each.untouched for each in ranked(use.places, "untouched")] == [9 * PAGE]


def test_pages_that_were_freed_and_are_still_there_are_told_by_whose_piece_brought_them_in() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    run.syscall("brk", 0, result=HEAP)
    run.syscall("brk", HEAP + 33 * PAGE, result=HEAP + 33 * PAGE)
    run.fault(HEAP, toucher="allocator")
    for line, pages in ((5, 4), (7, 3)):
        at = HEAP + 0x10 + (line - 5) * 4 * PAGE
        made = run.call("malloc", pages * PAGE, result=at, allocator="glibc", site=site(line))
        for page in range(pages):
            run.fault(at - 0x10 + page * PAGE + 0x20, chunk=ChunkRef(made, at, pages * PAGE))
        if line == 5:
            run.call("free", None, pointer=at)
    run.call("malloc", 16, result=HEAP + 0x10 + PAGE, allocator="glibc", site=site(9))
    run.process("exit", status=0)
    use = used(run.events)
    assert [(each.place.site.line, each.vacant) for each in ranked(use.places, "vacant") if each.place.site] == [
        (5, 2 * PAGE)
    ]
    assert use.end.vacant == 3 * PAGE


def test_what_the_program_mapped_itself_is_not_the_allocators() -> None:
    assert used(run_with_a_large_piece()).end.mapped == 43 * PAGE


def test_a_process_that_ended_holds_nothing() -> None:
    run = Script()
    run.process("start", path="/home/ada/story")
    run.syscall("brk", 0, result=HEAP)
    run.syscall("brk", HEAP + PAGE, result=HEAP + PAGE)
    run.process("fork", child=PID + 1)
    run.process("exit", status=0, pid=PID + 1, tid=PID + 1)
    run.call("malloc", 10, result=HEAP + 16)
    run.process("exit", status=0)
    use = used(run.events)
    assert (use.end.mapped, max(use.mapped)) == (PAGE, 2 * PAGE)
