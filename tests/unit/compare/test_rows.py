"""Neighbours that tell the same are one entry."""

from __future__ import annotations

import msgspec
import pytest

from observer.compare.result import Row
from observer.compare.rows import fold
from tests.builders import HEAP, call, fault

ROW = Row(7, "malloc(100)", "story.c:28", (call(7, result=HEAP),), "the heap grew", "spare room", ("layout",))


def test_rows_alike_are_one_with_their_number_and_their_faults() -> None:
    touched = msgspec.structs.replace(ROW, n=9, events=(call(9), fault(10), fault(11)))
    [entry] = fold([ROW, touched, ROW])
    assert (entry.row, entry.count, entry.faults) == (ROW, 3, 2)


@pytest.mark.parametrize(
    "change", [{"what": "free"}, {"site": "?"}, {"told_observed": "x"}, {"told_predicted": "x"}, {"rules": ()}]
)
def test_another_word_begins_another(change: dict[str, object]) -> None:
    other = msgspec.structs.replace(ROW, **change)
    assert [entry.count for entry in fold([ROW, ROW, other, ROW])] == [2, 1, 1]


def test_no_rows_no_entries() -> None:
    assert list(fold([])) == []
