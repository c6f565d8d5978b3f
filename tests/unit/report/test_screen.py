"""The way to the terminal: whatever is put there steers nothing."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from observer.report.screen import heading, make_console, paragraph, put
from tests.unit.report.screens import screen

HOSTILE = "a\x1b[31mb\x9b1m\u202ec\x7f"


@pytest.mark.parametrize("text", [HOSTILE, Text(HOSTILE, "bold"), Text.assemble("  ", (HOSTILE, "red"), "  7")])
def test_what_somebody_forgot_to_escape_is_escaped(text: Text | str) -> None:
    out = io.StringIO()
    console = make_console(out)
    put(console, text)
    paragraph(console, text, first=HOSTILE)
    assert out.getvalue().replace("\n", "").isprintable()
    assert out.getvalue().count("a\\x1b[31mb\\x9b1m\\u202ec\\x7f") == 3


def test_a_title_with_a_long_word_beside_it_has_it_below() -> None:
    assert screen(lambda console: heading(console, "The peak", "of one"), 60) == "\nThe peak  of one\n"
    lines = screen(lambda console: heading(console, "The peak", "of this run " * 6), 60).splitlines()
    assert lines[:2] == ["", "The peak"]
    assert len(lines) == 4
    assert all(line.startswith("  ") for line in lines[2:])
    assert max(map(len, lines)) <= 60
