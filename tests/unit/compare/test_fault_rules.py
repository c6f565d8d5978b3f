"""Level two: a fault, or a missing one, is explained by what the heap shows, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from observer.compare.fault_rules import rule_of
from observer.simulator.faulting import PageFault
from tests.builders import HEAP, MAP, PAGE, PID
from tests.unit.compare.runs import GROWN, THREAD, Run, brk, mapped, mmap, mprotect, with_frames

OTHER = PID + 1
MIB = 1 << 20
FIRST = HEAP + 0x2A0

Made = Callable[[bool], Run]


def _heap(grown: int = GROWN, **tunables: object) -> Run:
    """A heap whose first page is in memory: the first call touched it."""
    run = Run(frames=with_frames, **tunables)
    run.call("malloc", 24, FIRST, brk(grown), faults=(HEAP,))
    return run


def zeroes_that_are_there_already(evident: bool) -> Run:
    run = Run(frames=with_frames)
    if evident:
        run.call("calloc", 20_011, MAP + 16, mmap(MAP, mapped(20_011)), faults=(MAP,), count=1)
        return run
    run = _heap()
    run.malloc(20_011, 0x2C0, faults=(HEAP + 0x5000,))
    run.free(HEAP + 0x2C0)
    run.call("calloc", 20_011, HEAP + 0x2C0, count=1)  # used before, and nobody knows what is in it
    return run


def the_caches_table(evident: bool) -> Run:
    run = Run(frames=with_frames)
    run.call("malloc", 200_003, MAP + 16, mmap(MAP, mapped(200_003)), faults=(MAP,))
    place = HEAP + (0x20 if evident else 0x2000)
    run.call("malloc", 131_049, MAP + MIB + 16, brk(GROWN), mmap(MAP + MIB, mapped(131_049)), faults=(MAP + MIB, place))
    return run


def the_head_of_a_threads_heap(evident: bool) -> Run:
    run = Run(frames=with_frames)
    tid = OTHER if evident else PID
    place = THREAD + 0x30
    run.call(
        "malloc", 100, THREAD + 0x28C0, mmap(THREAD, 64 * MIB, 0), mprotect(THREAD, GROWN), tid=tid,
        faults=(THREAD + 0x2000, place),
    )  # fmt: skip
    return run


def the_rest_behind_a_piece(evident: bool) -> Run:
    """Nine bytes before the page's end the header of the rest begins; its links lie on the next page."""
    run = _heap()
    size = 3384 if evident else 3240
    run.malloc(size, 0x2C0, faults=(HEAP + PAGE,))
    return run


def the_links_of_a_freed_piece(evident: bool) -> Run:
    """The piece was dropped by the program, so freeing it brings its first page back."""
    run = _heap()
    piece = run.malloc(20_011, 0xFF0, faults=(HEAP + 0x5000,))
    run.malloc(24, 0xFF0 + 20_032)
    run.script.syscall("madvise", HEAP + PAGE, 4 * PAGE, 4)
    run.free(piece, faults=(HEAP + (0x1008 if evident else 0x3000),))
    return run


def behind_a_freed_piece(evident: bool) -> Run:
    run = _heap()
    piece = run.malloc(8200, 0x2C0, faults=(HEAP + 2 * PAGE,))
    run.malloc(24, 0x2C0 + 8208)
    run.script.syscall("madvise", HEAP + PAGE, 2 * PAGE, 4)
    run.free(piece, faults=(HEAP + (2 * PAGE if evident else PAGE),))
    return run


def a_part_cut_off_before_an_aligned_piece(evident: bool) -> Run:
    """What is asked for reaches from the top at 0x3F00 far behind the piece, and its end is written, too."""
    run = _heap(grown=0x41000)
    run.malloc(0x3C48, 0x2C0, faults=(HEAP + 0x3F08,))
    op, fields = ("memalign", {"alignment": 0x4000}) if evident else ("malloc", {})
    run.call(op, 100, HEAP + 0x4000, faults=(HEAP + 0x4068, HEAP + 0x7FA8), **fields)
    return run


def links_in_a_free_piece(evident: bool) -> Run:
    """A call writes into a free neighbour that the program had let go of; without the free, the piece is live."""
    run = _heap(grown=0x41000)
    piece = run.malloc(40_009, 0xFF0, faults=(HEAP + 0xA000,))
    run.malloc(24, 0xFF0 + 40_032)
    if evident:
        run.free(piece)
    run.malloc(56, 0xFF0 + 40_064, faults=(HEAP + PAGE,))
    return run


def filled_by_malloc(evident: bool) -> Run:
    """Each page of the piece comes in by the call itself."""
    run = _heap(perturb=165 if evident else 0)
    run.malloc(20_011, 0x2C0, faults=(HEAP + 0x5000, HEAP + 0x2000))
    return run


def filled_far_away(evident: bool) -> Run:
    run = _heap(perturb=165)
    run.malloc(20_011, 0x2C0, faults=(HEAP + 0x5000, HEAP + (0x2000 if evident else 0x9000)))
    return run


def overwritten_by_free(evident: bool) -> Run:
    run = _heap(perturb=7 if evident else 0)
    piece = run.malloc(20_011, 0x2C0, faults=(HEAP + 0x5000,))
    run.malloc(24, 0x2C0 + 20_032)
    run.free(piece, faults=(HEAP + 0x2000,))
    return run


def brought_back_from_swap(evident: bool) -> Run:
    run = _heap()
    run.script.fault(HEAP + 0x2B0, major=evident)
    return run


CASES: list[tuple[Made, str, str]] = [
    (zeroes_that_are_there_already, "calloc", "nothing had been written there"),
    (the_caches_table, "tcache-table", "at heap+0x20"),
    (the_head_of_a_threads_heap, "thread-arena", "the head of a thread's heap"),
    (the_rest_behind_a_piece, "links", "the rest behind the piece"),
    (the_links_of_a_freed_piece, "links", "the first bytes of the freed piece"),
    (behind_a_freed_piece, "links", "the piece behind the freed one"),
    (a_part_cut_off_before_an_aligned_piece, "memalign", "the header of a part that was cut off"),
    (links_in_a_free_piece, "links", "the links of its list"),
    (filled_by_malloc, "perturb", "filled with a pattern made of 165"),
    (filled_far_away, "perturb", "filled with a pattern made of 165"),
    (overwritten_by_free, "perturb", "filled with a pattern made of 7"),
    (brought_back_from_swap, "reclaim", "a major fault"),
]


@pytest.mark.parametrize(("make", "rule", "words"), CASES, ids=[make.__name__ for make, _rule, _words in CASES])
def test_where_the_evidence_is_the_rule_is_named_with_it(make: Made, rule: str, words: str) -> None:
    run = make(True)
    difference = run.only_difference()
    assert difference.rule == rule
    assert difference.why is not None
    assert words in difference.why
    assert run.together.comparison.unexplained == 0


@pytest.mark.parametrize("make", [case[0] for case in CASES], ids=[case[0].__name__ for case in CASES])
def test_without_the_evidence_the_same_is_unexplained(make: Made) -> None:
    run = make(False)
    differences = run.compare().differences
    assert {difference.rule for difference in differences} == {None}
    assert run.together.comparison.unexplained == len(differences)


def test_a_fault_in_a_call_that_nothing_explains_is_unexplained() -> None:
    run = _heap(grown=0x41000)
    run.malloc(100, 0x2C0, faults=(HEAP + 0x20000,))
    difference = run.only_difference()
    assert (difference.what, difference.observed, difference.rule) == (
        "allocator fault",
        "a fault at heap+0x20000",
        None,
    )
    assert run.together.comparison.faults.allocator.agree == 1


def test_a_missing_fault_at_a_new_piece_is_unexplained() -> None:
    run = _heap(grown=0x41000)
    run.malloc(24, 0x2C0 + 0x3000, faults=())
    [difference, *more] = [d for d in run.compare().differences if d.predicted == "1 for header"]
    assert (difference.observed, difference.rule, more) == ("none", None, [])


def test_the_programs_first_touch_agrees_and_its_second_is_unexplained() -> None:
    run = _heap()
    run.script.fault(HEAP + 0x3000)
    run.script.fault(HEAP + 0x3008)
    difference = run.only_difference()
    assert (difference.n, difference.what, difference.rule) == (len(run.events) - 1, "program fault", None)
    counts = run.together.comparison.faults.program
    assert (counts.observed, counts.predicted, counts.agree) == (2, 1, 1)


def test_a_fault_after_the_page_was_given_back_agrees() -> None:
    run = _heap()
    run.script.fault(HEAP + 0x3000)
    run.script.syscall("madvise", HEAP + 0x3000, PAGE, 4)
    run.script.fault(HEAP + 0x3000)
    assert run.compare().agree


def test_faults_elsewhere_are_counted_and_not_judged() -> None:
    run = _heap()
    run.script.fault(0x7F2A_2000_0000)
    run.malloc(100, 0x2C0, faults=(0x7F2A_2000_1000,))
    comparison = run.compare()
    assert (comparison.faults.elsewhere, comparison.agree) == (2, True)


def test_an_access_that_nobody_could_tell_may_fault_once_more_when_it_is_written() -> None:
    run = _heap()
    run.script.fault(HEAP + 0x3000, access=None)
    run.script.fault(HEAP + 0x3000)
    assert run.compare().unexplained == 0
    run = _heap()
    run.script.fault(HEAP + 0x3000)
    run.script.fault(HEAP + 0x3000, access=None)
    assert run.compare().unexplained == 1


@pytest.mark.parametrize(
    ("kind", "pages", "rule"),
    [
        ("first write", 1, None), ("first read", 1, None), ("stack growth", 1, None), ("file read", 1, None),
        ("huge first write", 512, "huge-pages"), ("huge zero page", 512, "huge-pages"),
        ("huge last owner", 1, "huge-pages"), ("copy on write", 1, "copy-on-write"),
        ("last owner", 1, "copy-on-write"), ("write after read", 1, "zero-page"), ("swapped in", 1, "reclaim"),
        ("swap cache", 1, "reclaim"), ("file read", 16, "fault-around"), ("shared first read", 2, "fault-around"),
    ],
)  # fmt: skip
def test_what_a_fault_of_the_model_is_beyond_a_first_touch(kind: str, pages: int, rule: str | None) -> None:
    assert rule_of(PageFault(HEAP, kind, 7, pages=pages)) == rule


def test_a_copy_after_fork_is_named_and_a_first_touch_is_not() -> None:
    run = _heap()
    run.script.fault(HEAP + 0x3000)
    run.script.process("fork", child=OTHER)
    run.script.fault(HEAP + 0x3000, pid=OTHER, tid=OTHER)
    run.script.fault(HEAP + 0x4000, pid=OTHER, tid=OTHER)
    difference = run.only_difference()
    assert (difference.n, difference.rule) == (len(run.events) - 2, "copy-on-write")


# ---- what is explained today although its evidence is missing -----------------------------------------------


def test_a_fault_in_the_middle_of_a_large_free_piece_is_not_its_links() -> None:
    run = _heap(grown=0x141000)
    piece = run.malloc(MIB, 0x2C0, faults=(HEAP + 0x100000,))
    run.malloc(24, 0x2C0 + MIB + 16)
    run.free(piece)
    run.malloc(56, 0x2C0 + MIB + 48, faults=(HEAP + 0x80000,))
    assert run.only_difference().rule is None


def test_a_missing_header_of_a_large_rest_is_not_explained() -> None:
    run = _heap(grown=0x41000)
    run.malloc(20_011, 0x2C0)  # behind it are 240 KB, and their size has to be written somewhere
    difference = run.only_difference()
    assert (difference.predicted, difference.rule) == ("1 for header of the rest", None)


def test_a_fault_far_from_an_aligned_piece_is_not_the_header_of_a_part() -> None:
    run = Run(frames=with_frames)
    run.call("malloc", 24, FIRST, brk(0x501000), faults=(HEAP,))
    aligned = HEAP + 0x16000 + 2 * MIB  # a multiple of 1 MiB
    assert aligned % MIB == 0
    run.call("memalign", 100, aligned, alignment=MIB, faults=(aligned - 16, aligned, aligned + MIB + 0x5000))
    assert run.only_difference().rule is None


def test_a_page_cannot_be_read_first_and_written_first_more_than_once_each() -> None:
    run = _heap()
    for _ in range(3):
        run.script.fault(HEAP + 0x3000, access=None)
    assert run.compare().unexplained == 1


def test_a_page_that_is_read_only_may_be_read_by_an_unknown_instruction() -> None:
    run = _heap()
    run.script.syscall("mmap", 0, PAGE, 1, 0x22, -1, 0, result=MAP)
    run.script.fault(MAP, access=None)
    assert run.compare().unexplained == 0
