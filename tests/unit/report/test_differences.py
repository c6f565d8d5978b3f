"""Two runs beside each other, on a terminal."""

from __future__ import annotations

from observer.report.differences import print_differences
from observer.story.differences import Difference, Totals
from observer.story.places import MEASURES
from tests.unit.report.screens import screen


def totals(**values: int) -> Totals:
    return dict.fromkeys(MEASURES, 0) | values


def test_places_that_differ_in_other_numbers_are_counted_with_the_options_that_show_them() -> None:
    found = [
        Difference("story.c:28", None, totals(), totals(bytes=100, calls=1)),
        Difference("story.c:30", None, totals(faults=3), totals(faults=4)),
        Difference("libc.so.6+0x10", None, totals(resident=1), totals()),
    ]
    text = screen(lambda console: print_differences(console, ("a", "b"), (totals(), totals()), found, "bytes"))
    assert text.endswith("  and 2 places in other numbers: --by resident, faults\n")
    assert "other numbers" not in screen(
        lambda console: print_differences(console, ("a", "b"), (totals(), totals()), found[:1], "bytes")
    )
