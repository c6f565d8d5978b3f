"""A lab tried as whoever runs this: the solution scores full, the handout nothing, each mistake gets its hint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from observer.labs.attempt import Attempt
from observer.labs.judging import FAILED, PASSED, UNVERIFIABLE, Answer
from observer.labs.lab import Lab
from observer.labs.marking import Marked, handout_of, mark, sources_of
from observer.labs.predictions import fitting
from observer.labs.toml import read_table

__all__ = ["Linted", "lint"]

_SEED: Final = ""
_STUDENTS: Final = ("1", "2", "3")
"""Seeds of students, for whose sizes the solution must be one, too."""
_PREDICTIONS: Final = "predictions.toml"
_EXPECTED: Final = "expect.toml"


@dataclass(slots=True)
class Linted:
    """What is wrong with a lab, and what could not be verified on this machine."""

    wrong: list[str] = field(default_factory=list)
    unverifiable: list[str] = field(default_factory=list)
    tried: int = 0


def lint(lab: Lab) -> Linted:
    """Return what is wrong with *lab*, tried with a seed that is no student's; the solution with more seeds.

    Raises:
        BadLab: one of its files is not what it must be.
    """
    linted = Linted()
    handout = handout_of(lab, _SEED)
    _handout(lab, handout, linted)
    _solution(lab, handout, linted)
    for seed in _STUDENTS if lab.parameters else ():
        _solution_of(lab, seed, handout, linted)
    for folder in lab.mistakes:
        _mistake(lab, folder, handout, linted)
    if not lab.mistakes:
        linted.wrong.append("mistakes/ holds no typical wrong hand-in")
    return linted


def _tried(lab: Lab, handout: Attempt, linted: Linted, *folders: Path) -> Marked:
    linted.tried += 1
    answers: dict[str, Answer] = {}
    for folder in folders[1:]:  # nobody has predicted anything when the handout is handed in
        answers |= _predictions(lab, folder)
    return mark(lab, sources_of(lab, *folders), _SEED, answers, trusted=True, handout=handout)


def _predictions(lab: Lab, folder: Path) -> dict[str, Answer]:
    path = folder / _PREDICTIONS
    if not path.is_file():
        return {}
    table = read_table(path)
    table.only([question.id for question in lab.questions])
    answers = fitting(lab.questions, table.content)
    for name in table.content.keys() - answers.keys():
        raise table.error(f"{name} is no answer of the kind that is asked for")
    return answers


def _handout(lab: Lab, handout: Attempt, linted: Linted) -> None:
    if handout.program is None:
        linted.wrong.append(f"handout: {handout.why}")
    marked = _tried(lab, handout, linted, lab.folder / "handout")
    passed = [result.name for result in marked.results if result.status == PASSED and result.points]
    linted.wrong += [f"handout: gets points for {name!r}" for name in passed]


def _solution(lab: Lab, handout: Attempt, linted: Linted) -> None:
    marked = _tried(lab, handout, linted, lab.folder / "handout", lab.folder / "solution")
    if marked.attempt.verdict != "OK":
        linted.wrong.append(f"solution: {marked.attempt.verdict}, {marked.attempt.why}")
    for result in marked.results:
        if result.status == UNVERIFIABLE:
            linted.unverifiable.append(f"{result.name}: {result.why}")
        elif result.status != PASSED:
            seen = f"seen {result.seen}, expected {result.expected}"
            linted.wrong.append(f"solution: {result.name!r} {result.status}: {result.why or seen}")


def _solution_of(lab: Lab, seed: str, handout: Attempt, linted: Linted) -> None:
    """Try the solution with another *seed*: all but the predictions, which are those of one seed, must pass."""
    linted.tried += 1
    sources = sources_of(lab, lab.folder / "handout", lab.folder / "solution")
    marked = mark(lab, sources, seed, {}, trusted=True, handout=handout)
    predicted = {check.name for check in lab.checks if check.that.questions}
    for result in marked.results:
        if result.name not in predicted and result.status not in (PASSED, UNVERIFIABLE):
            values = ", ".join(f"{name} {value}" for name, value in lab.values(seed).items())
            linted.wrong.append(f"solution: {result.name!r} {result.status} with {values}: seen {result.seen}")
    if marked.attempt.verdict != "OK":
        linted.wrong.append(f"solution: {marked.attempt.verdict} with seed {seed}, {marked.attempt.why}")


def _mistake(lab: Lab, folder: Path, handout: Attempt, linted: Linted) -> None:
    name = f"mistakes/{folder.name}"
    table = read_table(folder / _EXPECTED)
    table.only(("fails",))
    expected = table.words("fails")
    known = {check.name for check in lab.checks}
    for check in expected:
        if check not in known:
            raise table.error(f"there is no check {check!r}")
    if not expected:
        raise table.error("fails is missing: the names of the checks whose hints it must get")
    marked = _tried(lab, handout, linted, lab.folder / "handout", lab.folder / "solution", folder)
    if not marked.results:
        linted.wrong.append(f"{name}: {marked.attempt.verdict}, {marked.attempt.why}")
    for result in marked.results:
        if result.name in expected and result.status not in (FAILED, UNVERIFIABLE):
            linted.wrong.append(f"{name}: gets no hint of {result.name!r}, which is {result.status}")
