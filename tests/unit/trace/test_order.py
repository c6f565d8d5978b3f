"""The one order of a run, and what lies inside which allocator call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.recording.records import CALL
from observer.trace.order import Elsewhere, enclosing_calls, number
from tests.unit.seeded import seeded

SP = 0x7FFD_0000_1000
Span = tuple[int, int]


def times(*parts: list[int]) -> list[list[int]]:
    return [places.tolist() for places in number([np.array(part, dtype=np.uint64) for part in parts])]


def test_everything_has_a_place_in_one_order() -> None:
    assert times([10, 30], [20, 40]) == [[0, 2], [1, 3]]


def test_at_equal_times_the_order_of_the_parts_counts_and_within_one_the_order_of_writing() -> None:
    assert times([5, 5], [5], [5, 4]) == [[1, 2], [3], [4, 0]]


def test_records_written_late_are_put_where_they_began() -> None:
    assert times([30, 10, 20]) == [[2, 0, 1]]


def test_of_nothing_nothing_is_numbered() -> None:
    assert number([]) == []
    assert times([], []) == [[], []]


@seeded
@given(st.lists(st.lists(st.integers(0, 20), max_size=8), min_size=1, max_size=4))
def test_places_are_a_stable_sort(parts: list[list[int]]) -> None:
    flat = [(time, which, i) for which, part in enumerate(parts) for i, time in enumerate(part)]
    expected = [
        [sorted(flat).index((time, which, i)) for i, time in enumerate(part)] for which, part in enumerate(parts)
    ]
    assert times(*parts) == expected


def call_records(*calls: tuple[int, int, int, int]) -> np.ndarray:
    """Records of (began, ended, tid, stack pointer)."""
    records = np.zeros(len(calls), dtype=CALL.dtype)
    for i, name in enumerate(("began", "ended", "tid", "sp")):
        records[name] = [call[i] for call in calls]
    return records


def inside(
    calls: list[tuple[int, int, int, int]], *things: tuple[int, int, int], elsewhere: Sequence[Elsewhere] = ()
) -> list[int]:
    """Indexes of the calls that things (tid, time, stack pointer) lie in."""
    columns = [np.array([thing[i] for thing in things], dtype=np.uint64) for i in range(3)]
    records = call_records(*calls)
    return enclosing_calls(records, columns[0].astype(np.uint32), columns[1], columns[2], elsewhere).tolist()


def test_a_thing_lies_in_the_call_that_was_entered_and_had_not_returned() -> None:
    calls = [(10, 20, 1, SP), (30, 40, 1, SP)]
    found = inside(calls, *((1, time, SP - 64) for time in (5, 10, 15, 20, 25, 30, 40, 41)))
    assert found == [-1, 0, 0, 0, -1, 1, 1, -1]


def test_calls_are_found_in_whatever_order_they_were_written() -> None:
    assert inside([(30, 40, 1, SP), (10, 20, 1, SP)], (1, 15, SP - 64), (1, 35, SP - 64)) == [1, 0]


def test_a_thing_of_another_thread_lies_in_no_call_of_this_one() -> None:
    calls = [(10, 20, 1, SP), (12, 18, 2, SP + 0x10000)]
    assert inside(calls, (1, 15, SP - 64), (2, 15, SP), (3, 15, SP - 64)) == [0, 1, -1]


def test_what_happens_above_the_calls_stack_pointer_is_not_inside_it() -> None:
    assert inside([(10, 20, 1, SP)], (1, 15, SP + 8), (1, 15, SP), (1, 15, SP - 8)) == [-1, 0, 0]


def test_the_innermost_of_nested_calls_wins() -> None:
    # A signal handler allocates while a call is interrupted.
    calls = [(10, 50, 1, SP), (20, 30, 1, SP - 0x400)]
    assert inside(calls, *((1, time, SP - 0x800) for time in (15, 25, 35))) == [0, 1, 0]


@pytest.mark.parametrize("nested", [1, 2, 3, 4, 17])
def test_after_any_number_of_nested_calls_the_outer_one_is_still_found(nested: int) -> None:
    calls = [(10, 1000, 1, SP), *((20 + 10 * i, 25 + 10 * i, 1, SP - 0x400) for i in range(nested))]
    assert inside(calls, (1, 999, SP - 64)) == [0]


def test_what_a_signal_handler_does_is_not_the_calls_that_it_interrupted() -> None:
    calls = [(10, 50, 1, SP), (20, 60, 2, SP + 0x10000)]
    things = [(1, 15, SP - 64), (1, 23, SP - 64), (1, 29, SP - 64), (1, 37, SP - 64), (2, 23, SP)]
    assert inside(calls, *things, elsewhere=[Elsewhere(1, 17, 31)]) == [0, -1, -1, 0, 1]


def test_what_a_handlers_own_call_does_is_that_calls() -> None:
    calls = [(10, 50, 1, SP), (20, 30, 1, SP - 0x400)]
    things = [(1, time, SP - 0x800) for time in (15, 19, 25, 33, 45)]
    assert inside(calls, *things, elsewhere=[Elsewhere(1, 17, 41)]) == [0, -1, 1, -1, 0]


def test_a_handler_in_a_handlers_call_is_neithers() -> None:
    calls = [(10, 90, 1, SP), (20, 60, 1, SP - 0x400)]
    away = [Elsewhere(1, 17, 71), Elsewhere(1, 31, 47)]
    assert inside(calls, *((1, time, SP - 0x800) for time in (23, 37, 53, 67, 79)), elsewhere=away) == [1, -1, 1, -1, 0]


def test_without_calls_nothing_lies_in_one() -> None:
    assert inside([], (1, 15, SP)) == [-1]
    assert enclosing_calls(call_records(), *(np.empty(0, dtype=t) for t in (np.uint32, np.uint64, np.uint64))).size == 0


SPANS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(1, 3)), max_size=12)


@seeded
@given(spans=SPANS, things=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 70)), min_size=1, max_size=12))
def test_calls_one_after_another_agree_with_a_search(spans: list[tuple[int, int, int]], things: list[Span]) -> None:
    calls, free_from = [], dict.fromkeys(range(5), 0)
    for began, length, tid in sorted(spans):
        if began > free_from[tid]:
            calls.append((began, began + length, tid, SP))
            free_from[tid] = began + length
    expected = [
        next((i for i, call in enumerate(calls) if call[2] == tid and call[0] <= time <= call[1]), -1)
        for tid, time in things
    ]
    assert inside(calls, *((tid, time, SP - 64) for tid, time in things)) == expected
