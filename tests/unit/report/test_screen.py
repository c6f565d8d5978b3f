"""The way to the terminal: whatever is put there steers nothing."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from observer.report.screen import make_console, paragraph, put

HOSTILE = "a\x1b[31mb\x9b1m\u202ec\x7f"


@pytest.mark.parametrize("text", [HOSTILE, Text(HOSTILE, "bold"), Text.assemble("  ", (HOSTILE, "red"), "  7")])
def test_what_somebody_forgot_to_escape_is_escaped(text: Text | str) -> None:
    out = io.StringIO()
    console = make_console(out)
    put(console, text)
    paragraph(console, text, first=HOSTILE)
    assert out.getvalue().replace("\n", "").isprintable()
    assert out.getvalue().count("a\\x1b[31mb\\x9b1m\\u202ec\\x7f") == 3
