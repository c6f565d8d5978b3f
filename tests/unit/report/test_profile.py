"""A run's heap profile on a terminal: columns that stay apart, whatever stands in them."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from observer.report.profile import print_fragmentation, print_lifetimes, print_peak, print_sizes
from observer.report.source import Sources
from observer.story.language import ENGLISH, KOREAN, Language
from tests.builders import HEAP, call, free, site
from tests.columned import used
from tests.unit.report.screens import screen


def test_a_size_in_bytes_of_four_digits_stands_apart_from_the_calls() -> None:
    use = used([call(0, size=1000, result=HEAP)])
    text = screen(lambda console: print_sizes(console, use.profile))
    assert "1  1,000 bytes" in text


@pytest.mark.parametrize("language", [ENGLISH, KOREAN])
@pytest.mark.parametrize("columns", [60, 66, 73, 79])
def test_a_narrow_terminal_is_wide_enough(columns: int, language: Language) -> None:
    sizes = (*range(24, 1100, 16), 3000, 70_000, 300_000, 900_000)
    pieces = [HEAP + n * (1 << 20) for n in range(len(sizes))]
    made = [call(n, size=size, result=at, site=site(n)) for n, (size, at) in enumerate(zip(sizes, pieces, strict=True))]
    use = used([*made, *(free(1000 + n * n, at) for n, at in enumerate(pieces[:-9]))])
    sources = Sources(None)
    for show in (
        lambda c: print_sizes(c, use.profile, language),
        lambda c: print_peak(c, use, sources, language),
        lambda c: print_lifetimes(c, use.profile, sources, language, inferred=True),
        lambda c: print_fragmentation(c, use, language, beside=True),
    ):
        lines = screen(show, columns).splitlines()
        assert [line for line in lines if cell_len(line) > columns] == []
