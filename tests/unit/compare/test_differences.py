"""Differences that are too many to be held wait in a file, and are all there again when they are asked for."""

from __future__ import annotations

import io
from typing import IO

import pytest

from observer.compare import differences as module
from observer.compare.differences import Difference, Differences
from observer.errors import BadTrace

RULES = (None, "tcache", "top-pad")


def difference(n: int) -> Difference:
    return Difference(n, "served", f"seen {n}", "the same", RULES[n % 3], None if n % 3 == 0 else f"since {n}")


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 100])
def test_all_come_back_in_order_as_often_as_wanted(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD", 8)
    opened: list[io.BytesIO] = []

    def aside() -> IO[bytes]:
        opened.append(io.BytesIO())
        return opened[-1]

    found = Differences(aside)
    for n in range(count):
        found.append(difference(n))
    assert len(found) == count
    assert len(opened) == (count >= 8)
    assert list(found) == list(found) == [difference(n) for n in range(count)]
    assert found.by_rule == {rule: len(range(i, count, 3)) for i, rule in enumerate(RULES) if count > i}
    found.confirm("tcache", confirmed=False)
    assert [each.confirmed for each in found] == [False if n % 3 == 1 else None for n in range(count)]


def test_without_a_file_all_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD", 2)
    found = Differences()
    for n in range(9):
        found.append(difference(n))
    assert list(found) == [difference(n) for n in range(9)]


def test_no_room_for_them_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD", 2)

    def full() -> IO[bytes]:
        raise OSError(28, "No space left on device")

    found = Differences(full)
    found.append(difference(0))
    with pytest.raises(BadTrace, match="cannot keep 2 differences") as error:
        found.append(difference(1))
    assert "TMPDIR" in str(vars(error.value))
