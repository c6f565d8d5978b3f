"""Counters of the processor as nanoseconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from observer.recording.clock import counted, nanoseconds
from observer.recording.slots import HAPPENED

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


# ---- counters that were not read ----


def halves(*counters: int, latest: int = 0) -> list[int]:
    """Return what `counted` makes of beginnings and ends, one after the other."""
    began, ended = (np.array(counters[i::2], dtype=np.uint64) for i in range(2))
    return [int(each) for pair in zip(*counted(began, ended, latest), strict=True) for each in pair]


def test_up_to_one_that_was_read_in_time_the_others_lie_at_equal_distances() -> None:
    assert halves(100, 0, 0, 0, 500, 0) == [100, 200, 300, 400, 500, 503]
    assert halves(0, 0, 160, 0, latest=100) == [120, 140, 160, 163]


def test_up_to_one_before_which_something_happened_they_lie_close_to_the_last_that_was_read() -> None:
    assert halves(100, 0, 0, 500 | int(HAPPENED)) == [100, 103, 106, 500]
    assert halves(0, 104 | int(HAPPENED), latest=100) == [102, 104]


def test_what_was_read_stays_as_it_was() -> None:
    assert halves(100, 103, 110 | int(HAPPENED), 117) == [100, 103, 110, 117]


def test_before_the_first_that_was_ever_read_nothing_is_known() -> None:
    assert halves(0, 0, 100, 0) == [0, 0, 100, 103]
    assert halves(0, 0) == [0, 0]


Moments = list[tuple[int, str]]


@given(
    st.lists(
        st.tuples(st.integers(3, 1000), st.sampled_from(["", "", "", "time", "happened"])), min_size=2, max_size=60
    ),
    st.integers(1, 9),
)
def test_nothing_comes_later_than_what_happened_behind_it_and_all_is_in_order(moments: Moments, cut: int) -> None:
    truth, read, happened = [1000], [1000 | int(HAPPENED)], []
    for gap, why in moments:
        truth.append(truth[-1] + gap)
        read.append({"": 0, "time": truth[-1], "happened": truth[-1] | int(HAPPENED)}[why])
        if why == "happened":
            happened.append((len(truth) - 1, truth[-2] + 1))  # at the earliest moment that it may have
    truth, read = truth[: len(truth) & ~1], read[: len(read) & ~1]
    found: list[int] = []
    for at in range(0, len(read), 2 * cut):
        found += halves(*read[at : at + 2 * cut], latest=found[-1] if found else 0)
    assert found == sorted(found)
    assert all(found[i] == read[i] & ~int(HAPPENED) for i in range(len(found)) if read[i])
    assert all(found[at - 1] < moment <= found[at] for at, moment in happened if at < len(found))
