"""The dialogue of --ask: what is no answer is said to be none and asked for again."""

from __future__ import annotations

import io

from observer.report.asking import ask
from tests.builders import HEAP, call, fault, syscall
from tests.unit.compare.test_questions import questions, row

ENTERS = row(1, call(1, result=HEAP), syscall(2, "brk", 0))
TOUCHES = row(3, fault(3), fault(4), fault(5), what="touch", site="story.c:32", access="")


def dialogue(answers: str, *, predictor: str = "the book") -> tuple[str, tuple[int, int]]:
    out = io.StringIO()
    tally = ask(questions([ENTERS, TOUCHES], 10, predictor), io.StringIO(answers), out)
    return out.getvalue(), (tally.right, tally.given)


def test_answers_are_counted_in_any_spelling() -> None:
    assert dialogue("Yes\n3\n")[1] == (2, 2)
    assert dialogue("n\n1,024\n")[1] == (0, 2)
    assert dialogue(" y \n0_003\n")[1] == (2, 2)


def test_what_is_no_answer_is_asked_for_again_and_nothing_is_revealed() -> None:
    text, counts = dialogue("hello\ny\n-1\n3.5\n3\n")
    assert counts == (2, 2)
    before, _said, after = text.partition("that is no answer: y or n; an empty line skips")
    assert "the heap grew" not in before
    assert "right. the heap grew" in after
    assert text.count("that is no answer: a whole number, 0 or more; an empty line skips") == 2


def test_an_answer_to_the_other_kind_of_question_is_none() -> None:
    text, counts = dialogue("3\ny\ny\n3\n")
    assert counts == (2, 2)
    assert text.count("that is no answer") == 2


def test_an_empty_line_skips_and_reveals() -> None:
    text, counts = dialogue("\n3\n")
    assert counts == (1, 1)
    assert "skipped. the heap grew" in text


def test_q_and_the_end_of_the_answers_end_it() -> None:
    for answers in ("y\nq\n", "y\n", "y\nquit"):
        text, counts = dialogue(answers)
        assert counts == (1, 1)
        assert "skipped" not in text


def test_answers_that_never_are_any_end_in_a_skip() -> None:
    text, counts = dialogue("hello\n" * 1000)
    assert counts == (0, 0)
    assert text.count("that is no answer") == 6
    assert text.count("skipped. ") == 2


def test_the_reveal_names_who_predicted() -> None:
    assert "The book says: spare room." in dialogue("y\n3\n")[0]
    assert "The model of glibc says: spare room." in dialogue("y\n3\n", predictor="the model of glibc")[0]
