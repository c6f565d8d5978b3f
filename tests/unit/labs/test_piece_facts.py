"""Facts about pieces; of events made by hand, and of random calls beside a count of every byte."""

from __future__ import annotations

import random

import pytest

from observer.labs.program import Program, program_in
from observer.labs.values import Missing, Value
from observer.labs.vocabulary import fact_of
from tests.builders import HEAP, MAP, PID, Script, in_libc, meta, site

PATH = "/home/ada/story"


@pytest.fixture
def run() -> Script:
    script = Script()
    script.process("start", path=PATH)
    return script


def seen(run: Script) -> Program:
    return program_in(run.events, meta(), PATH)


def fact(name: str, run: Script, **named: Value) -> Value:
    return fact_of(name)(seen(run), **named)


def test_the_peak_is_what_lives_at_once_of_a_line_or_of_all(run: Script) -> None:
    run.call("malloc", 100, result=HEAP, site=site(7))
    run.call("realloc", 300, pointer=HEAP, result=MAP, site=site(11))
    run.call("malloc", 50, result=HEAP, site=site(7))
    run.free(MAP, site=site(7))
    run.call("malloc", 70, result=MAP, site=site(7), origin="libc")
    assert [fact("peak", run), fact("peak", run, line="story.c:7"), fact("peak", run, line="story.c:11")] == [
        350,
        100,
        300,
    ]


@pytest.mark.parametrize(
    ("start", "size", "meets"),
    [(-16, 16, 0), (-16, 17, 1), (0, 1, 1), (16, 8, 1), (31, 1, 1), (32, 9, 0), (-16, 99, 1), (0, 0, 1), (32, 0, 0)],
)
def test_a_piece_that_shares_a_byte_with_one_in_use_overlaps_it(run: Script, start: int, size: int, meets: int) -> None:
    run.call("malloc", 32, result=HEAP)
    run.call("malloc", 32, result=HEAP + 4096)
    run.call("malloc", size, result=HEAP + start, site=site(7))
    assert [fact("overlaps", run), fact("overlaps", run, line="story.c:7"), fact("overlaps", run, line="story.c:8")] == [
        meets, meets, 0,
    ]  # fmt: skip


def test_what_was_given_back_or_grows_where_it_is_overlaps_nothing(run: Script) -> None:
    run.call("malloc", 32, result=HEAP)
    run.call("realloc", 64, pointer=HEAP, result=HEAP)
    run.free(HEAP)
    run.call("malloc", 48, result=HEAP + 16)
    run.call("malloc", 48, result=HEAP, pid=PID + 1, tid=PID + 1)
    assert fact("overlaps", run) == 0
    run.call("malloc", 16, result=None)
    assert fact("overlaps", run) == 0


def test_overlaps_are_found_as_a_count_of_every_byte_finds_the_first() -> None:
    chance = random.Random(4121)
    hits = 0
    for _ in range(97):
        run, owner = Script(), dict[int, int]()
        run.process("start", path=PATH)
        live: dict[int, int] = {}
        for _ in range(41):
            if live and chance.random() < 0.45:
                gone = chance.choice(list(live))
                run.free(HEAP + gone)
                owner = {byte: piece for byte, piece in owner.items() if piece != gone}
                del live[gone]
                continue
            start, size = chance.randrange(4096), chance.randrange(1, 70)
            is_taken = any(byte in owner for byte in range(start, start + size))
            run.call("malloc", size, result=HEAP + start)
            if is_taken:
                hits += 1
                assert fact("overlaps", run) == 1
                break
            owner |= dict.fromkeys(range(start, start + size), start)
            live[start] = size
            assert fact("overlaps", run) == 0
    assert 31 < hits < 97


def test_alignment_is_that_of_the_worst_piece(run: Script) -> None:
    assert isinstance(fact("alignment", run), Missing)
    run.call("malloc", 1, result=HEAP)
    assert fact("alignment", run) == 4096
    run.call("calloc", 1, result=HEAP + 48)
    run.call("malloc", 1, result=HEAP + 32)
    run.call("malloc", 1, result=HEAP + 1, origin="libc")
    assert [fact("alignment", run), fact("alignment", run, op="malloc")] == [16, 32]


def brk(run: Script, end: int, **fields: object) -> None:
    run.syscall("brk", HEAP + end, result=HEAP + end, **fields)


def test_space_is_what_own_calls_and_lines_had_of_the_kernel_at_a_time(run: Script) -> None:
    run.syscall("brk", 0, result=HEAP)
    n = run.call("malloc", 5000, result=HEAP + 16, site=site(7))
    brk(run, 8192, cause=n, site=site(7))
    n = run.call("malloc", 9000, result=MAP, site=site(11))
    run.syscall("mmap", 0, 12288, 3, 0x22, -1, 0, result=MAP, cause=n, site=site(11))
    n = run.free(MAP, site=site(12))
    run.syscall("munmap", MAP, 12288, cause=n, site=site(12))
    brk(run, 20480, site=site(13))
    brk(run, 40960, site=in_libc())
    n = run.call("malloc", 1, result=HEAP + 6000, origin="libc")
    brk(run, 90000, cause=n)
    assert [fact("space", run), fact("space", run, line="story.c:7"), fact("space", run, line="story.c:11")] == [
        20480, 8192, 12288,
    ]  # fmt: skip


def test_utilisation_is_the_peak_of_the_payload_in_percent_of_the_space(run: Script) -> None:
    assert isinstance(fact("utilisation", run), Missing)
    run.syscall("brk", 0, result=HEAP)
    n = run.call("malloc", 3000, result=HEAP + 16, site=site(7))
    brk(run, 4096, cause=n, site=site(7))
    run.free(HEAP + 16, site=site(8))
    n = run.call("malloc", 500, result=HEAP + 16, site=site(9))
    brk(run, 8192, cause=n, site=site(9))
    lines = [fact("utilisation", run, line=f"story.c:{line}") for line in (7, 9)]
    assert [fact("utilisation", run), *lines] == [100 * 3000 // 8192, 73, 12]
    assert isinstance(fact("utilisation", run, line="story.c:8"), Missing)
