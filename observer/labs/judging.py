"""The checks of a lab beside what a program did: passed, failed, not reached, or not verifiable here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from observer.errors import BadLab
from observer.labs.attempt import Attempt
from observer.labs.lab import Check, Lab
from observer.labs.language import BadExpression, Verdict
from observer.labs.program import Program
from observer.labs.values import Missing, Unknown, Value
from observer.labs.vocabulary import fact_of
from observer.model.chapter import SECTIONS
from observer.story.sentences import sentence

__all__ = [
    "FAILED",
    "NOT_REACHED",
    "PASSED",
    "UNVERIFIABLE",
    "Answer",
    "CheckResult",
    "Observed",
    "answers_of",
    "judge",
]

PASSED: Final = "passed"
FAILED: Final = "failed"
NOT_REACHED: Final = "not reached"
UNVERIFIABLE: Final = "not verifiable here"

Answer = int | bool | str
_OUTCOMES: Final = {True: PASSED, False: FAILED, None: UNVERIFIABLE}


class CheckResult(msgspec.Struct, frozen=True):
    """What became of one check. `max_points` is 0 where it cannot be verified here: it never counts against anybody.

    `seen`, `expected` and `why` are words; `lines` are the source lines it speaks of, `row` the first event there;
    `book` names the sections of the book that it is about.
    """

    name: str
    status: str
    points: int
    max_points: int
    that: str
    seen: str = ""
    expected: str = ""
    why: str = ""
    lines: tuple[str, ...] = ()
    row: str = ""
    hint: dict[str, str] = {}
    visibility: str = "visible"
    book: str = ""


class Observed:
    """What *attempt* did, a student's predictions, and the lab's parameters, for the language to ask.

    Questions are about the program of the handout: *handout* has what that answers to each.
    """

    def __init__(
        self, lab: Lab, attempt: Attempt, seed: str, answers: Mapping[str, Answer],
        handout: Mapping[str, Value] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.program = attempt.program
        self._attempt = attempt
        self._values = lab.values(seed)
        self._answers = answers
        self._handout = handout

    def fact(self, name: str, words: tuple[Value, ...], named: Mapping[str, Value]) -> Value:
        """Return what the fact *name* is for these arguments, of which `@NAME` is a line of the source."""
        if self.program is None:
            return Missing(self._attempt.why)
        placed = [self._placed(word) for word in words]
        by_name = {key: self._placed(word) for key, word in named.items()}
        absent = [each for each in (*placed, *by_name.values()) if isinstance(each, Missing | Unknown)]
        if absent:
            return absent[0]
        return fact_of(name)(self.program, *placed, **by_name)

    def place(self, anchor: str) -> str | Missing:
        """Return the line that is called *anchor*, as `file.c:12`."""
        places = self._attempt.anchors.get(anchor, [])
        if len(places) == 1:
            return places[0]
        if places:
            return Missing(f"// @{anchor} stands at {len(places)} lines of the source: {', '.join(places)}")
        return Missing(f"no line of the source says // @{anchor}")

    def parameter(self, name: str) -> int:
        """Return the value of the lab's parameter *name* for this seed."""
        return self._values[name]

    def prediction(self, question: str) -> Value:
        """Return what was predicted."""
        return self._answers.get(question, Missing("nothing was predicted"))

    def observed(self, question: str) -> Value:
        """Return the answer that the run gives to *question*."""
        return self._handout[question]

    def _placed(self, word: Value) -> Value:
        return self.place(word[1:]) if isinstance(word, str) and word.startswith("@") else word


def answers_of(lab: Lab, handout: Attempt, seed: str) -> dict[str, Value]:
    """Return what the program of the handout answers to each question of *lab*."""
    observed = Observed(lab, handout, seed, {})
    return {question.id: question.observe.value(observed) for question in lab.questions}


def judge(lab: Lab, observed: Observed) -> list[CheckResult]:
    """Return what becomes of each check, in their order; raises BadLab where one cannot be judged at all."""
    results: list[CheckResult] = []
    for check in lab.checks:
        status = {result.name: result.status for result in results}
        failed = [name for name in check.needs if status[name] in (FAILED, NOT_REACHED)]
        results.append(_not_reached(lab, check, failed[0]) if failed else _judged(lab, check, observed))
    return results


def _not_reached(lab: Lab, check: Check, because: str) -> CheckResult:
    return CheckResult(
        name=check.name, status=NOT_REACHED, points=0, max_points=check.points, that=check.that.text,
        why=f"{because!r} must pass first", visibility=_visibility(check), hint=check.hint._asdict(),
        book=_book(lab, check),
    )  # fmt: skip


def _judged(lab: Lab, check: Check, observed: Observed) -> CheckResult:
    try:
        verdict = check.that.judge(observed)
    except BadExpression as error:
        raise BadLab(f"{lab.folder / 'checks.toml'}, check {check.name!r}: that: {error}") from error
    return _result(lab, check, verdict, observed)


def _result(lab: Lab, check: Check, verdict: Verdict, observed: Observed) -> CheckResult:
    lines = tuple(line for line in map(observed.place, check.that.anchors) if isinstance(line, str))
    return CheckResult(
        name=check.name, status=_OUTCOMES[verdict.holds], points=check.points if verdict.holds else 0,
        max_points=0 if verdict.holds is None else check.points, that=check.that.text, seen=verdict.seen,
        expected=verdict.expected, why=verdict.why, lines=lines, row=_row(observed.program, lines),
        hint=check.hint._asdict(), visibility=_visibility(check), book=_book(lab, check),
    )  # fmt: skip


def _book(lab: Lab, check: Check) -> str:
    """Return the sections of the book that explain what *check* is about."""
    return ", ".join(dict.fromkeys(SECTIONS[concept] for concept in check.concepts or lab.concepts))


def _visibility(check: Check) -> str:
    return "visible" if check.visible else "hidden"


def _row(program: Program | None, lines: tuple[str, ...]) -> str:
    """Return the first event of the first of *lines* that has one, as the story tells it."""
    if program is None:
        return ""
    for line in lines:
        file, _colon, number = line.rpartition(":")
        for event in program.at(file, int(number)):
            return sentence(event, program.moved.get(event.n), at_site=False)
    return ""
