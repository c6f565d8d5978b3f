"""Names of addresses: what is written is what is understood."""

from __future__ import annotations

import pytest

from observer.model.where import Where


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Where("heap", 0), "heap+0x0"), (Where("map#17", 0x1FFF), "map#17+0x1fff"), (Where("stack"), "stack"),
        (Where("a+0x1", 7), "a+0x1+0x7"), (Where("two words.so", 255), "two words.so+0xff"),
    ],
)  # fmt: skip
def test_a_place_is_understood_as_it_is_written(where: Where, text: str) -> None:
    assert where.text == text
    assert Where.of(text) == where


def test_a_place_before_the_beginning_tells_no_offset() -> None:
    assert Where.of(Where("libc.so.6", -16).text).offset is None


@pytest.mark.parametrize("text", [None, "", "heap", "heap+0x", "heap+0xyz", "heap+17"])
def test_what_names_no_offset_has_none(text: str | None) -> None:
    assert Where.of(text) == Where(text or "", None)
