"""Words on the command line."""

from __future__ import annotations

import pytest

from observer.cli.words import after_dashes, chosen
from observer.errors import UsageError

SIDES = ("glibc", "static", "musl")


@pytest.mark.parametrize(
    ("words", "program"),
    [(["--", "ls", "-l"], ["ls", "-l"]), (["ls", "--", "-l"], ["ls", "--", "-l"]), (["--", "--"], ["--"]), ([], [])],
)
def test_only_dashes_before_the_program_are_ours(words: list[str], program: list[str]) -> None:
    assert after_dashes(words) == program


def test_a_list_chooses_in_the_order_of_the_table() -> None:
    assert chosen("musl,glibc", SIDES, "side") == ["glibc", "musl"]
    assert chosen(None, SIDES, "side") == ["glibc", "static", "musl"]


@pytest.mark.parametrize(("only", "unknown"), [("glibc,uclibc,x", "'uclibc'"), ("", "''")])
def test_an_unknown_word_of_a_list_is_said_with_those_there_are(only: str, unknown: str) -> None:
    with pytest.raises(UsageError, match=f"no side {unknown} is known") as raised:
        chosen(only, SIDES, "side")
    assert raised.value.remedy == "--only with some of glibc, static, musl"
