"""Overlapping calls: which orders there are, which of them pointers allow, and what stays where it is."""

from __future__ import annotations

from typing import Any

from observer.compare.order import Window, arranged, orders, windows
from observer.model.events import Call
from tests.builders import HEAP, PID, call, fault, process, syscall

OTHER = PID + 1


def at(n: int, end_ns: int | None = None, **fields: Any) -> Call:
    """A malloc of thread OTHER that begins at 1000 n."""
    return call(n, **{"tid": OTHER, "end_ns": end_ns or n * 1000 + 500, "result": HEAP + 32 * n, **fields})


def test_calls_that_overlap_stand_in_one_window_and_no_others() -> None:
    run = [at(0, 2500), fault(1), at(2, tid=PID), at(3), fault(4), at(5, 7000), process(6, "clone", child=9), at(7)]
    told = [[event.n for event, _inside in window.items] for window in windows((event, []) for event in run)]
    assert told == [[0, 1, 2], [3], [4], [5], [6], [7]]


def test_a_chain_is_cut_after_eight() -> None:
    run = [at(n, 100_000, tid=n) for n in range(20)]
    found = list(windows((event, []) for event in run))
    assert [(len(window.items), window.is_cut) for window in found] == [(8, True), (8, True), (4, False)]


def test_a_window_is_cut_only_where_a_call_behind_it_overlaps() -> None:
    born = process(1, "clone", child=9)
    overlapped = [at(0, 2500), born, at(2, tid=PID), at(5)]
    apart = [at(0, 2500), born, at(3, tid=PID), at(5)]
    assert [window.is_cut for window in windows((event, []) for event in overlapped)] == [True, False, False, False]
    assert [window.is_cut for window in windows((event, []) for event in apart)] == [False] * 4


def test_what_comes_behind_a_call_that_lasts_and_lasts_is_not_waited_for() -> None:
    run = [at(0, 10**9), *(fault(n) for n in range(1, 600)), at(600, tid=PID)]
    found = windows((event, []) for event in run)
    first = next(found)
    assert (first.is_cut, len(first.items)) == (True, 8)
    assert sum(len(window.items) for window in found) == 593


def test_a_call_that_ended_before_another_began_comes_before_it() -> None:
    assert orders([at(0, 900, tid=1), at(1, 5000, tid=2), at(2, tid=3)]) == ([(0, 1, 2), (0, 2, 1)], True)


def test_calls_of_one_thread_keep_their_order() -> None:
    assert orders([at(0, 9000), at(1), at(2)]) == ([(0, 1, 2)], True)


def test_the_order_of_entries_is_first_and_there_are_not_too_many() -> None:
    found, are_all = orders([at(n, 100_000, tid=n) for n in range(8)])
    assert (found[0], len(found), len(set(found)), are_all) == (tuple(range(8)), 24, 24, False)


def test_the_orders_of_four_are_all() -> None:
    found, are_all = orders([at(n, 100_000, tid=n) for n in range(4)])
    assert (len(set(found)), are_all) == (24, True)


def test_calls_of_which_each_ended_before_the_other_began_keep_their_order() -> None:
    assert orders([at(2, 2500, tid=1), at(3, 1500, tid=2)]) == ([(0, 1)], False)


def test_only_calls_change_places_and_each_process_has_its_own() -> None:
    window = [at(0, 9000), fault(1), at(2, tid=PID), at(3, pid=7, tid=7)]
    asked = syscall(4, "brk", 0, cause=2)
    seen = []

    def choose(pid: int, calls: list[Any], is_cut: bool) -> tuple[int, ...]:
        assert not is_cut
        seen.append((pid, [(one.n, [each.name for each in inside]) for one, inside in calls]))
        return (1, 0)

    items = [(event, [asked, fault(5)] if event.n == 2 else []) for event in window]
    assert [event.n for event, _inside in arranged(Window(items), choose)] == [2, 1, 0, 3]
    assert seen == [(PID, [(0, []), (2, ["brk"])])]
    assert arranged(Window(items[:1]), choose) == items[:1]
