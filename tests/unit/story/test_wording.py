"""Sizes in words."""

from __future__ import annotations

import pytest

from observer.story.wording import short_size


@pytest.mark.parametrize(
    ("value", "short"),
    [
        (0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1 KiB"), (102300, "99.9 KiB"), (102380, "100 KiB"),
        (1023 * 1024 + 900, "1024 KiB"), (3 << 20, "3 MiB"), ((1 << 30) - 1, "1024 MiB"), (5 * (1 << 29), "2.5 GiB"),
        (1001 << 50, "1001 PiB"),
    ],
)  # fmt: skip
def test_a_short_size_has_no_fraction_from_a_hundred_on(value: int, short: str) -> None:
    assert short_size(value) == short
