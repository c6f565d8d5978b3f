"""Spools merged into windows: everything once, in the order in which it began, little of it held at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.recording import merge
from observer.recording.merge import Batch, Inlet, look, windows
from tests.unit.seeded import seeded

LAYOUT = np.dtype([("began", "<u8"), ("tag", "<u4")])
Times = list[int]


def records(times: Times) -> npt.NDArray[np.void]:
    made = np.zeros(len(times), dtype=LAYOUT)
    made["began"], made["tag"] = times, range(len(times))
    return made


def inlet(times: Times, piece: int, first: int = 0) -> Inlet:
    whole = records(times)

    def pieces() -> Iterator[npt.NDArray[np.void]]:
        for at in range(0, len(times), piece):
            yield whole[at : at + piece]

    return Inlet(pieces, look(pieces, LAYOUT, "began"), "began", first)


def merged(spools: dict[str, list[Inlet]]) -> list[tuple[int, dict[str, Batch]]]:
    return [(window.high, dict(window.batches)) for window in windows(spools, dict.fromkeys(spools, "began"))]


SPOOL = st.lists(st.integers(1, 60), max_size=40)


@seeded
@given(st.lists(SPOOL, min_size=1, max_size=3), st.integers(1, 5))
def test_each_record_comes_once_in_the_order_of_beginnings(spools: list[Times], piece: int) -> None:
    firsts = np.cumsum([0, *map(len, spools)]).tolist()
    inlets = [inlet(times, piece, first) for times, first in zip(spools, firsts, strict=False)]
    found, before = [], 0
    for high, batches in merged({"call": inlets}):
        times, indexes = batches["call"].records["began"].tolist(), batches["call"].indexes.tolist()
        assert all(before <= time < high for time in times)
        before = high
        found += list(zip(times, indexes, strict=True))
    joined = [time for times in spools for time in times]
    assert found == sorted(zip(joined, range(len(joined)), strict=True))


def test_a_run_without_records_is_one_window() -> None:
    ((high, batches),) = merged({"call": [inlet([], 4)], "fault": []})
    assert (high, len(batches["call"].records), len(batches["fault"].records)) == (1 << 63, 0, 0)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_TARGET", 10)


@pytest.mark.usefixtures("small_windows")
def test_a_spool_that_is_nearly_in_order_is_held_in_pieces() -> None:
    times = [time + (3 if time % 2 else 0) for time in range(1, 1001)]
    sizes = [len(batches["call"].records) for _high, batches in merged({"call": [inlet(times, 10)]})]
    assert (sum(sizes), max(sizes) <= 30, len(sizes) > 30) == (1000, True, True)


@pytest.mark.usefixtures("small_windows")
def test_what_began_long_before_its_neighbours_holds_nothing_up() -> None:
    times = [*range(100, 1100), 5]  # a call that began first and never returned
    parts = merged({"call": [inlet(times, 10)]})
    assert parts[0][1]["call"].records["began"].tolist()[0] == 5
    assert max(len(batches["call"].records) for _high, batches in parts) <= 40


def test_a_file_that_became_shorter_meanwhile_ends_there() -> None:
    looks = iter([3, 1])

    def pieces() -> Iterator[npt.NDArray[np.void]]:
        for at in range(next(looks)):
            yield records([10 * at + 1, 10 * at + 2])

    ((_high, batches),) = merged({"call": [Inlet(pieces, look(pieces, LAYOUT, "began"), "began")]})
    assert batches["call"].records["began"].tolist() == [1, 2]
