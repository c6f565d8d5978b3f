"""Columns as text: what is written is what is read back."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.report.page.packed import LARGEST, exact, packed
from tests.unit.seeded import seeded


def unpacked(text: str, *, rising: bool = False) -> list[int]:
    """Read a column back as the page's script does: words of seven bits, low ones first; odd ones are negative."""
    values, word, scale, last = [], 0, 1, 0
    for byte in b64decode(text):
        word += (byte & 127) * scale
        scale *= 128
        if byte < 128:
            value = -(word + 1) // 2 if word % 2 else word // 2
            last = last + value if rising else value
            values.append(last)
            word, scale = 0, 1
    assert scale == 1
    return values


@seeded
@given(st.lists(st.integers(1 - LARGEST, LARGEST - 1)), st.booleans())
def test_numbers_come_back(values: list[int], rising: bool) -> None:
    assert unpacked(packed(values, rising=rising), rising=rising) == values


def test_neighbours_in_a_rising_column_take_a_byte_each() -> None:
    assert len(b64decode(packed(range(0x7F00_0000_0000, 0x7F00_0000_0000 + 1000), rising=True))) == 999 + 7
    assert packed([]) == ""


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, (1 << 64) - 1])
def test_what_a_script_cannot_hold_is_refused(value: int) -> None:
    assert exact(value) == -1
    assert exact(LARGEST - 1) == LARGEST - 1
    with pytest.raises(ValueError, match="does not fit"):
        packed([3, value])
