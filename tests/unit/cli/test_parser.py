"""What is wrong with the words of a command line is said, and steers no terminal."""

from __future__ import annotations

import pytest

from observer.cli.main import main

HOSTILE = "a\x1b[31m\u202eb\x9b1m\udcff"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "x", HOSTILE), ("run", f"--{HOSTILE}", "true"), ("show", f"--lang={HOSTILE}", "x"), ("lab", HOSTILE),
        ("lab", "grade", f"--jobs={HOSTILE}", "x"), ("lab", "list", HOSTILE), ("simulate", f"--frames={HOSTILE}"),
        (HOSTILE,), ("show", HOSTILE), ("query", HOSTILE, "select 1"), ("compare", HOSTILE),
    ],
)  # fmt: skip
def test_a_complaint_quotes_words_without_what_could_steer_a_terminal(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in (2, 125, 127)
    said = capsys.readouterr().err
    assert "a\\x1b[31m" in said
    assert said.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "six_steps", "--fit=--"), ("lab", "start", "--seed=--", "leak_hunt"), ("show", "x", "--at=--"),
        ("run", "-o--", "true"), ("run", "--max-events=--", "true"), ("compare", "--at=--", "x"),
    ],
)  # fmt: skip
def test_two_dashes_are_no_value(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (2, 125)
    assert "-- is no value" in capsys.readouterr().err
