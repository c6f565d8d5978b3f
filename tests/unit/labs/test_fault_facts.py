"""Facts about pages and frames; of events made by hand."""

from __future__ import annotations

import pytest

from observer.labs.program import Program, program_in
from observer.labs.values import Unknown, Value
from observer.labs.vocabulary import fact_of
from tests.builders import HEAP, MAP, PAGE, PID, Script, meta, site

PATH = "/home/ada/story"
DONTNEED, WILLNEED = 4, 3
REFUSED = {"faults": "not observed: refused", "faults in kernel mode": "not observed: refused"}


@pytest.fixture
def run() -> Script:
    script = Script()
    script.process("start", path=PATH)
    return script


def seen(run: Script, **fields: object) -> Program:
    return program_in(run.events, meta(**fields), PATH)


def fact(name: str, run: Script, **named: Value) -> Value:
    return fact_of(name)(seen(run), **named)


def test_pages_are_counted_once_however_often_they_come_in(run: Script) -> None:
    for page in (0, 1, 0, 2, 0):
        run.fault(MAP + page * PAGE + 5, site=site(7))
    run.fault(MAP + 9 * PAGE, site=site(8))
    run.fault(MAP + 10 * PAGE, toucher="allocator", site=site(7))
    run.fault(MAP + 11 * PAGE, pid=PID + 1, tid=PID + 1, site=site(7))
    run.fault(MAP + 12 * PAGE, mapping="/lib/libc.so.6", site=site(7))
    assert [fact("touched", run), fact("touched", run, line="story.c:7")] == [4, 3]


def test_frames_are_what_was_brought_in_and_not_given_up(run: Script) -> None:
    for page in range(3):
        run.fault(MAP + page * PAGE)
    run.syscall("madvise", MAP, 2 * PAGE, DONTNEED)
    run.fault(MAP)
    run.fault(MAP)
    assert fact("frames", run) == 3
    run.fault(MAP + PAGE)
    run.fault(MAP + 7 * PAGE)
    assert fact("frames", run) == 4


def test_frames_of_a_line_are_those_that_it_brought_in(run: Script) -> None:
    for page in range(5):
        run.fault(MAP + page * PAGE, site=site(7 if page < 3 else 8))
    assert [fact("frames", run, line=f"story.c:{line}") for line in (7, 8, 9)] == [3, 2, 0]


@pytest.mark.parametrize(
    ("name", "words", "fields", "most"),
    [
        ("madvise", (MAP, PAGE, DONTNEED), {}, 3), ("madvise", (MAP, 1, DONTNEED), {}, 3),
        ("madvise", (MAP, PAGE, WILLNEED), {}, 4), ("madvise", (MAP, PAGE, DONTNEED), {"errno": 22}, 4),
        ("munmap", (MAP + PAGE, 2 * PAGE), {}, 3), ("munmap", (MAP + 5 * PAGE, PAGE), {}, 4),
        ("madvise", (MAP, PAGE, DONTNEED), {"pid": PID + 1, "tid": PID + 1}, 4),
    ],
)  # fmt: skip
def test_pages_are_given_up_by_what_takes_them_back(
    run: Script, name: str, words: tuple[int, ...], fields: dict[str, int], most: int
) -> None:
    run.process("fork", child=PID + 1)
    for page in range(3):
        run.fault(MAP + page * PAGE)
    run.syscall(name, *words, **fields)
    run.fault(MAP + 9 * PAGE)
    assert fact("frames", run) == most


def test_a_break_that_moves_down_takes_the_pages_above_it(run: Script) -> None:
    run.syscall("brk", 0, result=HEAP)
    run.syscall("brk", HEAP + 3 * PAGE, result=HEAP + 3 * PAGE)
    for page in range(3):
        run.fault(HEAP + page * PAGE)
    run.fault(MAP)
    run.syscall("brk", HEAP + PAGE + 1, result=HEAP + PAGE + 1)
    run.fault(MAP + PAGE)
    assert fact("frames", run) == 4
    run.fault(MAP + 2 * PAGE)
    assert fact("frames", run) == 5


@pytest.mark.parametrize("name", ["touched", "frames"])
def test_what_cannot_be_observed_is_unknown_not_zero(run: Script, name: str) -> None:
    assert isinstance(fact_of(name)(seen(run, how=REFUSED)), Unknown)
