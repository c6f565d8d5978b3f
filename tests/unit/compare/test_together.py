"""A whole run beside the book: what is grouped, counted, summed up at the end, and what is kept for each process."""

from __future__ import annotations

from functools import partial

import pytest

from observer.compare.order import grouped
from observer.compare.result import End, Row
from observer.compare.together import Together
from observer.model.account import FREE_PIECE, GROWTH, SPARE_ROOM, Ask
from observer.simulator.book_side import BookSide
from observer.simulator.frame_side import FrameSide
from tests.builders import HEAP, MAP, PAGE, PID, Script, call, fault, meta, story_run, syscall
from tests.unit.compare.runs import GROWN, Run, brk, ended, mapped, mmap, with_frames

CHILD = PID + 7


# ---- what belongs to a call ---------------------------------------------------------------------------------


def test_what_a_call_caused_stands_with_it_whatever_comes_between() -> None:
    events = [
        call(0, end_ns=6500), fault(1), syscall(2, "brk", 0, cause=0), fault(3, cause=4), call(4), fault(5, cause=4),
        fault(6, cause=0), fault(7, cause=99),
    ]  # fmt: skip
    told = [(event.n, [inner.n for inner in inside]) for event, inside in grouped(events)]
    assert told == [(0, [2, 6]), (1, []), (3, []), (4, [5]), (7, [])]


# ---- calls --------------------------------------------------------------------------------------------------


def test_calls_that_never_returned_are_not_judged_but_move_the_break() -> None:
    run = Run()
    run.call("malloc", 100, None, brk(GROWN), end_ns=None)
    comparison = run.compare()
    assert (comparison.calls.total, comparison.calls.undetermined, comparison.agree) == (1, 1, True)
    assert run.together.side(PID).shadow.break_end == HEAP + GROWN


def test_system_calls_agree_one_by_one() -> None:
    run = Run()
    grown = (Ask("brk", 0), Ask("brk", 4096))
    run.call("malloc", 100, HEAP + 0x2A0, ("brk", (0,), HEAP), brk(GROWN), predicted=GROWTH, asks=grown)
    counts = run.compare().syscalls
    assert (counts.observed, counts.predicted, counts.agree) == (2, 2, 1)


def test_rows_come_in_order_with_both_accounts() -> None:
    rows: list[Row] = []
    together = Together.beside(meta(), BookSide, with_frames, on_row=rows.append)
    together.run(story_run())
    assert [row.n for row in rows] == sorted(row.n for row in rows)
    first = next(row for row in rows if row.what == "malloc(100)")
    assert (first.site, first.told_observed) == ("story.c:28", "the heap grew; brk 0, brk +135,168")
    assert first.told_predicted == "the heap grew; brk 0, brk +4,096"
    assert len(rows) == together.comparison.calls.total + together.comparison.faults.program.observed
    assert {row.access for row in rows if row.what == "touch"} == {""}
    assert {row.access for row in rows if row.what != "touch"} == {None}


def test_the_chapters_run_has_the_departures_it_was_made_with() -> None:
    together = Together.beside(meta(), BookSide, with_frames)
    together.run(story_run())
    found = {difference.rule for difference in together.comparison.differences}
    assert {"top-pad", "mmap-threshold"} <= found


def test_what_the_meta_says_is_what_the_rules_are_told() -> None:
    plain = meta()
    told = meta(how={**plain.how, "faults in kernel mode": "not visible without privilege"})
    for given, sees in ((plain, True), (told, False)):
        together = Together.beside(given, BookSide, with_frames)
        together.run([*Run(frames=with_frames).events])
        together.finish(ended(heap=0, resident_pages=3))
        [difference] = together.comparison.differences
        assert (difference.what, difference.rule) == ("resident pages", None if sees else "kernel-side")
        assert together.comparison.unexplained == sees


# ---- the end ------------------------------------------------------------------------------------------------


def at_the_end(run: Run, heap: int, resident_pages: int = 0) -> list[tuple[str, str | None]]:
    run.compare()
    run.together.finish(ended(heap=heap, resident_pages=resident_pages))
    return [(difference.what, difference.rule) for difference in run.together.comparison.differences]


def test_nothing_differs_at_the_end_when_nothing_did_before() -> None:
    run = Run()
    run.heap()
    assert at_the_end(run, GROWN) == []
    assert run.together.comparison.ends == [
        End("heap bytes at the end", GROWN, GROWN),
        End("heap pages resident", 0, 0),
    ]


def test_the_break_at_the_end_is_the_sum_of_what_was_explained() -> None:
    run = Run()
    run.call("malloc", 100, HEAP + 0x2A0, brk(GROWN), predicted=GROWTH, asks=(Ask("brk", 4096),))
    run.script.syscall("brk", HEAP + GROWN + PAGE, result=HEAP + GROWN + PAGE)
    assert at_the_end(run, GROWN + PAGE) == [("system calls", "top-pad"), ("break", "top-pad")]
    assert list(run.together.comparison.differences)[-1].why == "the sum of top-pad +131,072, program-break +4,096"
    assert run.together.comparison.unexplained == 0


@pytest.mark.parametrize("beyond", [-PAGE, PAGE, 16])
def test_a_break_that_is_not_the_sum_is_unexplained(beyond: int) -> None:
    run = Run()
    run.call("malloc", 100, HEAP + 0x2A0, brk(GROWN), predicted=GROWTH, asks=(Ask("brk", 4096),))
    assert at_the_end(run, GROWN + beyond)[1:] == [("break", None)]
    assert run.together.comparison.unexplained == 1


def test_one_unexplained_call_leaves_the_break_unexplained() -> None:
    run = Run()
    run.call("malloc", 100, HEAP + 0x2A0, brk(GROWN), predicted=GROWTH, asks=(Ask("brk", 4096),))
    run.malloc(100, 0x20, predicted=SPARE_ROOM)
    assert at_the_end(run, GROWN) == [("system calls", "top-pad"), ("served", None), ("break", None)]


def test_resident_pages_that_differ_are_unexplained() -> None:
    run = Run(frames=with_frames)
    run.call("malloc", 24, HEAP + 0x2A0, brk(GROWN), faults=(HEAP,))
    run.script.fault(HEAP + 5 * PAGE)
    assert at_the_end(run, GROWN, resident_pages=2) == []
    run = Run(frames=with_frames)
    run.call("malloc", 24, HEAP + 0x2A0, brk(GROWN), faults=(HEAP,))
    assert at_the_end(run, GROWN, resident_pages=2) == [("resident pages", None)]
    assert run.together.comparison.unexplained == 1


def test_what_only_the_kernel_touched_is_explained_where_that_could_not_be_seen() -> None:
    run = Run(frames=with_frames, sees_kernel=False)
    run.call("malloc", 24, HEAP + 0x2A0, brk(GROWN), faults=(HEAP,))
    assert at_the_end(run, GROWN, resident_pages=4) == [("resident pages", "kernel-side")]


def test_fewer_resident_pages_than_were_seen_to_come_are_no_work_of_the_kernel() -> None:
    run = Run(frames=with_frames, sees_kernel=False)
    run.call("malloc", 24, HEAP + 0x2A0, brk(GROWN), faults=(HEAP,))
    for page in range(1, 9):
        run.script.fault(HEAP + page * PAGE)
    assert at_the_end(run, GROWN, resident_pages=2) == [("resident pages", None)]


def test_a_break_that_the_program_moved_is_not_put_down_to_the_start() -> None:
    run = Run()
    run.heap()
    run.script.syscall("brk", HEAP + GROWN + 100 * PAGE, result=HEAP + GROWN + 100 * PAGE)
    assert at_the_end(run, GROWN + 100 * PAGE) != [("break", "startup")]


def test_the_end_of_another_process_is_not_that_of_the_first() -> None:
    run = Run()
    run.heap()
    run.compare()
    run.together.finish(ended(heap=7 * PAGE, resident_pages=3, pid=CHILD))
    assert run.together.comparison.ends == []
    assert run.together.comparison.agree


# ---- processes ----------------------------------------------------------------------------------------------


def two(run: Run) -> dict[str, int]:
    run.script.process("fork", child=CHILD)
    return {"pid": CHILD, "tid": CHILD}


def test_a_childs_heap_begins_as_its_parents_and_goes_its_own_way() -> None:
    run = Run()
    run.heap()
    piece = run.malloc(100, 0x2C0)
    run.malloc(24, 0x2C0 + 112)
    child = two(run)
    run.free(piece, **child)
    run.call("malloc", 100, piece, predicted=SPARE_ROOM, **child)
    run.call("malloc", 100, piece, predicted=SPARE_ROOM)  # the parent's is still in use
    first, second = run.compare().differences
    assert (first.rule, second.rule) == ("tcache", None)


def test_a_forked_child_is_known_though_it_said_nothing_yet() -> None:
    run = Run()
    run.heap()
    two(run)
    run.compare()
    child, parent = run.together.side(CHILD), run.together.side(PID)
    assert child is not parent
    assert child.shadow.live == parent.shadow.live


def test_a_vforked_childs_memory_is_its_parents_until_exec() -> None:
    run = Run()
    run.heap()
    run.script.process("vfork", child=CHILD)
    run.compare()
    assert run.together.side(CHILD) is run.together.side(PID)
    run.script.process("exec", pid=CHILD, tid=CHILD)
    run.together.run(run.events[-1:])
    assert run.together.side(CHILD) is not run.together.side(PID)
    assert run.together.side(CHILD).shadow.live == {}


def test_exec_begins_anew() -> None:
    run = Run()
    run.heap()
    run.script.process("exec")
    run.compare()
    assert run.together.side(PID).shadow.break_start == 0


# ---- the machine's own runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["first", "best", "next"])
def test_a_run_that_does_as_the_book_says_has_no_difference_in_what_was_served(fit: str) -> None:
    """The book's own heap as the observed one: same growth, same reuse, whatever its addresses."""
    book, script = BookSide(fit), Script()
    script.process("start")
    live: list[int] = []
    for n in range(300):
        if n % 3 == 2:
            script.free(live.pop(n * 7 % len(live)))
        else:
            outcome = book.heap.malloc(n * 37 % 900)
            n_call = script.call("malloc", n * 37 % 900, result=outcome.result)
            if outcome.grew:
                if outcome.break_before == book.heap.start:
                    script.syscall("brk", 0, result=outcome.break_before, cause=n_call)
                script.syscall("brk", outcome.break_after, result=outcome.break_after, cause=n_call)
            live.append(outcome.result)
            continue
        book.heap.free(script.events[-1].pointer)  # type: ignore[union-attr]
    together = Together(partial(BookSide, fit), partial(FrameSide, "never"), Run(top_pad=0).together._parameters)
    together.run(script.events)
    calls = together.comparison.calls
    assert calls.total == 300
    assert {difference.what for difference in together.comparison.differences} <= {"served", "allocator fault"}
    assert calls.agree >= 290  # 16 bytes of a rest are the neighbour's in one heap and free in the other


def test_a_mapping_is_followed_from_its_malloc_to_its_free() -> None:
    run = Run(frames=with_frames)
    run.call("malloc", 200_003, MAP + 16, mmap(MAP, mapped(200_003)), faults=(MAP,))
    run.script.fault(MAP + 3 * PAGE)
    run.free(MAP + 16, ("munmap", (MAP, mapped(200_003)), 0))
    run.script.fault(MAP + 4 * PAGE)
    comparison = run.compare()
    assert (comparison.agree, comparison.faults.program.agree, comparison.faults.elsewhere) == (True, 1, 1)


def test_the_book_that_finds_a_free_piece_where_the_real_one_does_too_agrees() -> None:
    run = Run()
    run.heap()
    piece = run.malloc(100, 0x2C0)
    run.malloc(24, 0x2C0 + 112)
    run.free(piece)
    run.malloc(100, 0x2C0, predicted=FREE_PIECE)
    assert run.compare().agree


# ---- what is beside the calls -------------------------------------------------------------------------------


def test_a_call_of_another_allocator_moves_nothing_of_the_heap_and_is_named() -> None:
    run = Run()
    piece = run.heap()
    run.call("malloc", 24, piece, predicted=FREE_PIECE, allocator="libother.so")
    run.free(piece, allocator="libother.so")
    found = run.only_difference()
    assert (found.rule, found.why) == ("other-allocator", "the call went to libother.so")
    assert piece in run.together.side(PID).shadow.live


def test_mallopt_changes_what_the_rules_depend_on() -> None:
    run = Run()
    run.heap()
    run.call("mallopt", None, 1, parameter=-3, value=9000)
    run.call("malloc", 9000, MAP + 16, mmap(MAP, 3 * PAGE), predicted=GROWTH)
    assert run.only_difference().rule == "mmap-threshold"
    assert not run.together.side(PID).shadow.parameters.dynamic


def test_a_program_has_the_environment_of_its_own_exec() -> None:
    run = Run(top_pad=0)
    run.script.process("exec", path="/bin/other", environment={"MALLOC_TOP_PAD_": "777"})
    run.compare()
    assert run.together.side(PID).shadow.parameters.top_pad == 777


def test_a_piece_given_back_in_a_call_that_began_later_may_be_handed_out() -> None:
    run = Run()
    piece = run.heap()
    run.call("malloc", 24, piece, tid=PID + 1, end_ns=1 << 40, predicted=FREE_PIECE)
    run.free(piece)
    assert {each.rule for each in run.compare().differences} <= {"tcache", "bins", "order", "thread-arena"}
    assert piece in run.together.side(PID).shadow.live
