"""Predict first: what is asked, what counts as an answer, what is revealed."""

from __future__ import annotations

from typing import Any

import pytest

from observer.compare.questions import Question, Questions, Tally
from observer.compare.result import Row
from observer.compare.rows import Aligned
from observer.model.departures import COMPARED
from tests.builders import HEAP, call, fault, free, process, syscall


def row(
    n: int, *events: Any, what: str = "malloc(100)", site: str = "", rules: tuple[str, ...] = (),
    access: str | None = None,
) -> Row:  # fmt: skip
    return Row(n, what, site or f"story.c:{n}", events, "the heap grew", "spare room", rules, access=access)


def questions(rows: list[Row], most: int, predictor: str = "the book") -> list[Question]:
    found = Questions(predictor)
    aligned = Aligned(0, found.add)
    for each in rows:
        aligned.add(each)
    aligned.finish()
    return found.chosen(most)


def test_a_call_is_asked_whether_it_enters_the_kernel() -> None:
    entered, stayed = questions([
        row(1, call(1, result=HEAP), syscall(2, "brk", 0), rules=("layout",)), row(3, call(3, result=HEAP)),
    ], 10)  # fmt: skip
    assert entered.text == "malloc(100) at story.c:1: will it enter the kernel? [y/n]"
    assert (entered.answer, stayed.answer) == (True, False)
    layout = COMPARED["layout"]
    assert entered.reveal == f"the heap grew. The book says: spare room. {layout.title}: {layout.why}."
    assert stayed.reveal == "the heap grew. The book says: spare room."


def test_a_fault_in_a_call_does_not_make_it_enter_by_a_system_call() -> None:
    [question] = questions([row(1, call(1, result=HEAP), fault(2))], 10)
    assert question.answer is False


def test_a_loop_that_touches_is_asked_how_many_faults_it_takes() -> None:
    touches = [row(n, fault(n), what="touch", site="story.c:32", access="") for n in range(23)]
    [question] = questions(touches, 10)
    assert question.text == "story.c:32 touches memory: how many page faults will this take?"
    assert (question.answer, type(question.answer)) == (23, int)


def test_an_operation_of_a_workload_is_named() -> None:
    touch = "touch a 0 8192"
    [question] = questions([row(1, fault(1), fault(2), what=touch, site="line 2", access=touch)], 10)
    assert question.text == "touch a 0 8192 at line 2: how many page faults will this take?"
    assert question.answer == 2


def test_frees_and_lives_are_not_asked() -> None:
    assert questions([row(1, free(1, HEAP)), row(2, process(2, "exit")), row(3)], 10) == []


def test_of_those_alike_only_the_first_is_asked() -> None:
    rows = [row(n, call(n, result=HEAP), site="story.c:44") for n in (1, 3)]
    rows.insert(1, row(2, free(2, HEAP)))
    assert len(questions(rows, 10)) == 1


@pytest.mark.parametrize(("most", "lines"), [(0, []), (1, [0]), (2, [0, 5]), (3, [0, 3, 6]), (10, list(range(10)))])
def test_they_are_spread_over_the_run(most: int, lines: list[int]) -> None:
    rows = [row(n, call(n, result=HEAP)) for n in range(10)]
    asked = [question.text for question in questions(rows, most)]
    assert asked == [f"malloc(100) at story.c:{n}: will it enter the kernel? [y/n]" for n in lines]


@pytest.mark.parametrize(
    ("words", "read"),
    [("y", True), (" YES\n", True), ("no", False), ("N", False), ("", None), ("maybe", None), ("1", None)],
)
def test_yes_and_no(words: str, read: bool | None) -> None:
    assert Question("?", True, "").read(words) is read


@pytest.mark.parametrize(
    ("words", "read"), [("17", 17), (" 0 ", 0), ("y", None), ("", None), ("-1", None), ("1.5", None), ("²", None)]
)
def test_numbers(words: str, read: int | None) -> None:
    assert Question("?", 17, "").read(words) == read


def test_a_number_without_end_is_no_answer() -> None:
    assert Question("?", 17, "").read("9" * 5000) is None


def test_a_tally_counts_and_keeps_what_was_missed() -> None:
    tally = Tally()
    assert tally.add(Question("first?", True, ""), True)
    assert not tally.add(Question("second?", 23, ""), 22)
    assert (tally.right, tally.given, tally.missed) == (1, 2, ["second?"])
