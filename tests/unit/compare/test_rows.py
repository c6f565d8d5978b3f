"""Neighbours that tell the same are one entry."""

from __future__ import annotations

import msgspec
import pytest

from observer.compare.result import Row
from observer.compare.rows import Aligned, Entry
from tests.builders import HEAP, call, fault


def fold(rows: list[Row], most: int | None = None) -> list[Entry]:
    aligned = Aligned(most)
    for row in rows:
        aligned.add(row)
    aligned.finish()
    return aligned.entries


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
    assert fold([]) == []


def test_entries_that_are_too_many_are_counted_and_all_are_handed_on() -> None:
    handed: list[int] = []
    aligned = Aligned(2, lambda entry: handed.append(entry.count))
    for what in ("a", "a", "b", "c", "c", "c", "d"):
        aligned.add(msgspec.structs.replace(ROW, what=what))
    assert handed == [2, 1, 3]
    aligned.finish()
    aligned.finish()
    assert ([entry.row.what for entry in aligned.entries], aligned.left_out, handed) == (["a", "b"], 2, [2, 1, 3, 1])
