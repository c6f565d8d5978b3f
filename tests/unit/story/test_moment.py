"""A process at one moment: what lives, what is there, and what lies behind what."""

from __future__ import annotations

import pytest

from observer.story.moment import Moment, moment
from tests.builders import HEAP, PAGE, PID, Script, process_end, site


def then(n: int) -> Moment:
    run = Script()
    run.process("start", path="/home/ada/story")
    made = run.call("malloc", 3 * PAGE, result=HEAP + 16, site=site(3))
    run.syscall("brk", HEAP, result=HEAP, cause=made)
    run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000, cause=made)
    run.fault(HEAP, cause=made, toucher="allocator")
    run.fault(HEAP + 2 * PAGE, site=site(5))
    run.free(HEAP + 16)
    return moment(run.events, [process_end()], PAGE, PID, n, "/home/ada/story")


@pytest.mark.parametrize(("n", "pieces", "pages"), [(0, 0, 0), (1, 1, 0), (4, 1, 1), (5, 1, 2), (6, 0, 2)])
def test_what_is_there_after_an_event(n: int, pieces: int, pages: int) -> None:
    found = then(n)
    assert (len(found.pieces), len(found.pages)) == (pieces, pages)


def test_pages_that_a_range_touches_are_those_it_ends_and_begins_in() -> None:
    found = then(5)
    assert [page.start for page in found.pages_in(HEAP + 4095, HEAP + 2 * PAGE + 1)] == [HEAP, HEAP + 2 * PAGE]
    assert [page.start for page in found.pages_in(HEAP + PAGE, HEAP + 2 * PAGE)] == []
    assert [page.start for page in found.pages_in(HEAP + 2 * PAGE + 4095, HEAP + 9 * PAGE)] == [HEAP + 2 * PAGE]


def test_it_can_be_drawn_as_an_end_with_what_faults_brought_in() -> None:
    end = then(5).as_end()
    assert (end.break_start, end.break_end) == (HEAP, HEAP + 0x21000)
    assert end.resident[HEAP] == 2 * PAGE
