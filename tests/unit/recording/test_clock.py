"""Counters of the processor as nanoseconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from observer.recording.clock import nanoseconds

KNOWN = np.array([1000, 2000, 5000], dtype=np.int64)
CLOCKS = np.array([100, 600, 1600], dtype=np.int64)


def at(*counters: int) -> list[int]:
    asked: npt.NDArray[np.uint64] = np.array(counters, dtype=np.uint64)
    return nanoseconds(asked, KNOWN, CLOCKS).tolist()


def test_pairs_are_met_and_lines_drawn_between() -> None:
    assert at(1000, 1500, 2000, 3500, 5000) == [100, 350, 600, 1100, 1600]


def test_lines_go_on_at_both_ends() -> None:
    assert at(500) == [-150]
    assert at(8000) == [2600]
    assert at(500, 8000) == [-150, 2600]


def test_one_pair_tells_one_time_and_none_tells_none() -> None:
    asked = np.array([7, 9], dtype=np.uint64)
    assert nanoseconds(asked, KNOWN[:1], CLOCKS[:1]).tolist() == [100, 100]
    assert nanoseconds(asked, KNOWN[:0], CLOCKS[:0]).tolist() == [0, 0]


def test_nothing_asked_is_nothing_told() -> None:
    assert at() == []


@given(st.lists(st.integers(1000, 5000), min_size=2, max_size=30))
def test_a_batch_is_told_as_its_parts_are_and_in_order(counters: list[int]) -> None:
    together = at(*counters)
    assert together == [at(counter)[0] for counter in counters]
    assert [time for _counter, time in sorted(zip(counters, together, strict=True))] == sorted(together)
