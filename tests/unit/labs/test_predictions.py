"""Predictions: asked until they are answers, confirmed, sealed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from observer.errors import BadLab
from observer.labs.catalogue import find_lab
from observer.labs.lab import Lab, Question
from observer.labs.predictions import Sealed, answer_of, ask, fitting, seal

LAB: Lab = find_lab("use_after_free")
SMALL, LARGE, SIGNAL = LAB.questions
HOW_MANY: Question = find_lab("first_malloc").questions[0]


def asked(
    lines: Iterable[str], questions: Iterable[Question] = (HOW_MANY, SMALL)
) -> tuple[dict[str, object], list[str]]:
    left, said = iter(lines), []

    def line(prompt: str) -> str:
        said.append(prompt)
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return dict(ask(list(questions), "en", line, said.append)), said


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        (HOW_MANY, " 1,009 ", 1009), (HOW_MANY, "1 000", 1000), (HOW_MANY, "0", 0), (HOW_MANY, "two", None),
        (HOW_MANY, "-1", None), (HOW_MANY, "", None), (HOW_MANY, "1.5", None), (HOW_MANY, "9" * 16, None),
        (HOW_MANY, "٣", None), (SMALL, "yes", True), (SMALL, "N", False), (SMALL, "예", True), (SMALL, "maybe", None),
        (SMALL, "1", None), (SIGNAL, " SIGSEGV ", "SIGSEGV"), (SIGNAL, "  ", None),
        (SIGNAL, "because it asks for too much", None),
    ],
)  # fmt: skip
def test_an_answer_is_of_the_kind_that_is_asked_for(question: Question, text: str, answer: object) -> None:
    assert answer_of(question, text) == answer


def test_a_slip_of_the_fingers_is_asked_again_and_reveals_nothing() -> None:
    answers, said = asked(["tow", "", "7", "yess", "no", "yes"])
    assert answers == {"how_many": 7, "small": False}
    assert [text for text in said if "how_many (" in text] == ["  how_many (a number): "] * 3
    assert not any(word in " ".join(said).lower() for word in ("observed", "hint", "wrong", "right"))


def test_answers_can_be_taken_back_before_they_are_sealed() -> None:
    answers, _said = asked(["7", "no", "hm", "no", "8", "yes", "yes"])
    assert answers == {"how_many": 8, "small": True}


def test_without_an_answer_there_are_none() -> None:
    with pytest.raises(EOFError):
        asked(["7"])


@pytest.mark.parametrize("typed", [["y"], ["7", "no", "no"], ["7", "no", "hm"]])
def test_who_types_for_ever_is_not_asked_for_ever(typed: list[str]) -> None:
    with pytest.raises(BadLab, match="200 lines were read, and nothing is confirmed: nothing is sealed"):
        asked(itertools.chain(typed, itertools.repeat(typed[-1])))


def test_a_seal_holds_for_these_answers_this_lab_and_this_seed() -> None:
    sealed = seal("a", "s", {"q": 7})
    assert sealed.is_whole("a", "s")
    assert not sealed.is_whole("b", "s")
    assert not sealed.is_whole("a", "t")
    assert not Sealed({"q": 8}, sealed.salt, sealed.seal).is_whole("a", "s")
    assert seal("a", "s", {"q": 7}).seal != sealed.seal


def test_answers_of_another_kind_or_to_no_question_do_not_count() -> None:
    given = {"small": 1, "large": True, "signal": "x", "more": 3}
    assert fitting(LAB.questions, given) == {"large": True, "signal": "x"}  # type: ignore[arg-type]
