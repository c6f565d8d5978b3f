"""Folding a stream of events into passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from observer.model.events import Event
from observer.story.fold import Fold, fold
from observer.story.rows import Passage
from tests.builders import HEAP, MAP, PID, call, fault, free, process, signal, site, story_run, syscall


def shape(events: Iterable[Event], *, expand: bool = False) -> list[list[tuple[int, int]]]:
    """(n of the first event, count) of every row, passage by passage."""
    return [[(row.first.n, row.count) for row in passage.rows.values()] for passage in fold(events, expand=expand)]


def counted(passages: Iterable[Passage]) -> int:
    rows = [row for passage in passages for row in passage.rows.values()]
    return sum(row.count + sum(nested.count for nested in row.inside.values()) for row in rows)


def test_what_happens_inside_a_call_is_told_under_it() -> None:
    events = [call(0), syscall(1, "brk", 0, cause=0), syscall(2, "brk", HEAP, cause=0), fault(3, cause=0), fault(4)]
    first, second = fold(events)
    (row,) = first.rows.values()
    assert [nested.first.n for nested in row.inside.values()] == [1, 2, 3]
    assert [row.first.n for row in second.rows.values()] == [4]


def test_alike_neighbours_become_one_row() -> None:
    assert shape([call(n) for n in range(5)] + [free(5, HEAP), free(6, HEAP)]) == [[(0, 5)], [(5, 2)]]


def test_sizes_do_not_keep_calls_apart_but_lines_and_steps_do() -> None:
    assert shape([call(0, size=1), call(1, size=2)]) == [[(0, 2)]]
    assert shape([call(0, site=site(1)), call(1, site=site(2))]) == [[(0, 1)], [(1, 1)]]
    assert shape([call(0), call(1, steps="1-2-3-4-5")]) == [[(0, 1)], [(1, 1)]]


def test_a_loop_that_allocates_and_touches_is_one_passage() -> None:
    events = [maker(2 * i + j) for i in range(1000) for j, maker in enumerate((call, fault))]
    assert shape(events) == [[(0, 1000), (1, 1000)]]


def test_a_loop_whose_turns_are_irregular_is_one_passage() -> None:
    events: list[Event] = []
    for i in range(1000):
        events.append(call(len(events)))
        if i % 40 == 17:
            events.append(fault(len(events)))
        if i % 300 == 200:
            events.append(free(len(events), HEAP, site=site(40)))
    (passage,) = fold(events)
    assert [row.count for row in passage.rows.values()] == [1000, 25, 3]


def test_a_loop_that_maps_touches_and_unmaps_is_one_passage() -> None:
    events: list[Event] = []
    for i in range(9):
        n = len(events)
        events.append(call(n, steps="1-2-3-4-5"))
        events.append(syscall(n + 1, "mmap", 0, 1 << 20, 3, 0x22, cause=n))
        events += [fault(n + 2 + j, MAP + 4096 * j, mapping=f"map#{i}") for j in range(3)]
        events += [free(n + 5, MAP), syscall(n + 6, "munmap", MAP, 1 << 20, cause=n + 5)]
    (passage,) = fold(events)
    assert [row.count for row in passage.rows.values()] == [9, 27, 9]
    assert [nested.count for row in passage.rows.values() for nested in row.inside.values()] == [9, 9]


def test_straight_code_is_not_taken_for_a_loop() -> None:
    events = [call(0, site=site(1)), fault(1, site=site(2)), call(2, site=site(3)), fault(3, site=site(4))]
    assert len(shape(events)) == 4


def test_the_break_is_followed_from_call_to_call() -> None:
    events = [syscall(0, "brk", 0, result=HEAP), syscall(1, "brk", HEAP + 0x21000, result=HEAP + 0x21000)]
    rows = [row for passage in fold(events) for row in passage.rows.values()]
    assert [row.moved for row in rows] == [0, 0x21000]


def test_a_childs_break_begins_where_its_parents_was() -> None:
    events = [
        syscall(0, "brk", 0, result=HEAP),
        process(1, "fork", child=77),
        syscall(2, "brk", HEAP + 4096, result=HEAP + 4096, pid=77, tid=77),
    ]
    assert [row.moved for passage in fold(events) for row in passage.rows.values()] == [0, None, 4096]


def test_the_start_up_is_one_row_until_the_programs_own_code_runs() -> None:
    passages = list(fold(story_run()))
    (start,) = passages[1].rows.values()
    assert start.before_main is not None
    assert start.count == 96 + 21
    assert start.before_main["fault", "loader"] == 84
    assert next(iter(passages[2].rows.values())).first.n == start.last.n + 1


def test_the_start_up_can_be_told_in_full() -> None:
    rows = [row for passage in fold(story_run(), expand=True) for row in passage.rows.values()]
    assert all(row.before_main is None for row in rows)


def test_no_event_is_folded_away() -> None:
    assert counted(fold(story_run())) == len(story_run())
    assert counted(fold(story_run(), expand=True)) == len(story_run())


def test_a_signal_inside_a_call_does_not_end_the_call() -> None:
    events = [call(0), signal(1, "SIGALRM", fatal=False), syscall(2, "brk", 0, cause=0), free(3, HEAP)]
    first, second, third = fold(events)
    assert [nested.first.n for nested in next(iter(first.rows.values())).inside.values()] == [2]
    assert (second.n, third.n) == (1, 3)


def test_a_call_that_never_returned_is_still_told() -> None:
    assert shape([call(0), call(1, end_ns=None), process(2, "exit", status=0)]) == [[(0, 1)], [(1, 1)], [(2, 1)]]


def two_threads(rounds: int) -> Iterator[Event]:
    for n in range(0, 2 * rounds, 2):
        yield call(n, tid=PID + 1)
        yield call(n + 1, tid=PID + 2)


def test_threads_are_folded_each_for_itself() -> None:
    assert shape(two_threads(500)) == [[(0, 500)], [(1, 500)]]


def test_passages_come_in_the_order_of_their_first_events() -> None:
    events = [call(n, tid=PID + n % 3, site=site(n % 7)) for n in range(300)]
    firsts = [passage.n for passage in fold(events)]
    assert firsts == sorted(firsts)


def test_memory_stays_bounded_while_one_thread_sleeps() -> None:
    folder = Fold()
    folder.add(call(0, tid=PID + 1))
    held = 0
    for n in range(1, 5000):
        told = folder.add(call(n, site=site(n)))
        held += 1 - len(told)
        assert held < 300
    folder.finish()
