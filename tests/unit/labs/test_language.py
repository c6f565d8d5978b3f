"""The language of checks: what it reads, what it refuses, and what is neither true nor false."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.labs.language import BadExpression, Verdict, Words, parse
from observer.labs.values import Missing, Row, Unknown, Value
from tests.unit.seeded import seeded


def calls(op: str, n: int = 0, line: str = "") -> None:
    """A signature."""


def leaks(line: str = "") -> None:
    """Another."""


WORDS = Words(
    {name: inspect.signature(each) for name, each in {"calls": calls, "leaks": leaks, "hidden": leaks}.items()},
    ("steps", "size"), ("SIZE",), ("q1", "q2"),
)  # fmt: skip


class Held:
    """Facts of no run: 7 calls, of which the third took five steps; nothing is left; `hidden` cannot be observed."""

    def fact(self, name: str, words: tuple[Value, ...], named: Mapping[str, Value]) -> Value:
        if name == "hidden":
            return Unknown("nobody may look")
        if name == "leaks":
            return 0
        if len(words) == 1:
            return 7
        return Row({"steps": "1-2-3-4-5", "size": 100}) if words[1] == 3 else Missing("there are only 7 malloc")

    def parameter(self, name: str) -> int:
        return 1009

    def prediction(self, question: str) -> Value:
        return 5 if question == "q1" else Missing("nothing was predicted")

    def observed(self, question: str) -> Value:
        return 5


def judged(text: str) -> Verdict:
    return parse(text, WORDS).judge(Held())


@pytest.mark.parametrize(
    "text",
    [
        "leaks == 0", "leaks() == 0", 'leaks(line="@LOOP") == 0', 'calls("malloc") == 7', 'calls("malloc") != 8',
        'calls("malloc") < 8', 'calls("malloc") <= 7', 'calls("malloc") > 6', 'calls("malloc") >= 7',
        'calls("malloc", 3).steps == "1-2-3-4-5"', 'calls("malloc", 3).size == 100', "SIZE == 1009",
        "SIZE + 1 == 1010 and SIZE - 9 == 1000", "SIZE * 2 == 2018 and SIZE // 10 == 100 and SIZE % 10 == 9",
        'within(calls("malloc"), 5, 2)', 'within(calls("malloc"), 9, 2)', "not leaks == 1", "-leaks == 0",
        "leaks == 1 or SIZE == 1009", "prediction.q1 == observed", "prediction.q1 == observed.q2",
    ],
)  # fmt: skip
def test_holds(text: str) -> None:
    assert judged(text).holds is True


@pytest.mark.parametrize(
    "text",
    [
        "leaks == 1", 'calls("malloc") < 7', 'within(calls("malloc"), 5, 1)', "leaks == 0 and SIZE == 1",
        'calls("malloc", 8).steps == "1-5"', 'not calls("malloc", 3).size == 100', "prediction.q2 == observed",
        "hidden == 0 and leaks == 1", "prediction.q2 == observed.q2 and hidden == 0",
    ],
)  # fmt: skip
def test_fails(text: str) -> None:
    assert judged(text).holds is False


@pytest.mark.parametrize(
    "text",
    [
        "hidden == 0", "hidden + 1 <= 3", "leaks == 0 and hidden == 0", "leaks == 1 or hidden == 0", "not hidden == 0",
        "within(hidden, 3, 1)", "prediction.q2 == hidden",
    ],
)  # fmt: skip
def test_what_cannot_be_observed_is_neither_true_nor_false(text: str) -> None:
    verdict = judged(text)
    assert (verdict.holds, verdict.why) == (None, "nobody may look")


def test_the_verdict_says_what_was_seen_and_expected() -> None:
    assert judged('calls("malloc") <= SIZE') == Verdict(True, "7", "at most 1,009")
    assert judged('within(calls("malloc"), 2, 3)') == Verdict(False, "7", "2, give or take 3")
    assert judged("leaks == 0 and SIZE == 1") == Verdict(False, "1,009", "1")
    assert judged('calls("malloc", 8).size == 3').why == "there are only 7 malloc"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("leak == 0", "no fact or parameter 'leak'"), ("frees() == 0", "no fact 'frees'"), ("leaks ==", "cannot be read"),
        ('__import__("os")', "no fact '__import__'"), ("leaks.real == 0", "not of the language"),
        ('calls("malloc", 3).colour == 1', "no word of an event 'colour'"), ("[leaks] == 0", "not of the language"),
        ("(lambda: 0)() == 0", "not of the language"), ('"a" "b".join == 1', "not of the language"),
        ("SIZE ** SIZE == 1", "not of the language"), ("1 < leaks < 3", "one comparison at a time"),
        ("prediction.q3 == observed", "no question 'q3'"), ("leaks == observed", "one prediction.QUESTION"),
        ("calls() == 0", "missing a required argument"), ("calls(3) == 0", "must be a word in quotes"),
        ('calls("malloc", where="x") == 0', "it takes op, n, line"), ("leaks(*[1]) == 0", "not of the language"),
        ('leaks(**{"line": "x"}) == 0', "not of the language"), ("within(leaks, 3)", "within takes three"),
        ("leaks == 1.5", "not of the language"), ("leaks if SIZE else 0", "not of the language"),
        ("leaks == 0 " + "and leaks == 0 " * 50, "longer than 500"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_language_is_refused_before_anything_runs(text: str, says: str) -> None:
    with pytest.raises(BadExpression, match=says.replace("*", r"\*").replace("(", r"\(").replace(".", r"\.")):
        parse(text, WORDS)


@pytest.mark.parametrize(
    "text",
    [
        'leaks == "none"',
        "SIZE // leaks == 0",
        'calls("malloc", 3) == 0',
        "leaks",
        "SIZE * SIZE * SIZE * SIZE * SIZE * SIZE * SIZE == 0",
    ],
)
def test_operands_that_do_not_go_together_are_the_authors_error(text: str) -> None:
    with pytest.raises(BadExpression):
        judged(text)


def test_anchors_and_questions_are_known_without_a_run() -> None:
    expression = parse('leaks(line="@LOOP") == 0 and prediction.q1 == observed', WORDS)
    assert (expression.anchors, expression.questions) == (("LOOP",), ("q1",))


@seeded
@given(st.text(alphabet="leaks()=0 and or not.1<>[]{}\"'SIZE,+*-%\\\n\x00é", max_size=60))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    try:
        parse(text, WORDS).judge(Held())
    except BadExpression:
        return
