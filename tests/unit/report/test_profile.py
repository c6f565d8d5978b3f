"""A run's heap profile on a terminal: columns that stay apart, whatever stands in them."""

from __future__ import annotations

from observer.report.profile import print_sizes
from tests.builders import HEAP, call
from tests.columned import used
from tests.unit.report.screens import screen


def test_a_size_in_bytes_of_four_digits_stands_apart_from_the_calls() -> None:
    use = used([call(0, size=1000, result=HEAP)])
    text = screen(lambda console: print_sizes(console, use.profile))
    assert "1  1,000 bytes" in text
