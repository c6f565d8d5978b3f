"""A lab tried as whoever runs this: the solution scores full, the handout nothing, each mistake gets its hint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from observer.labs.box import Box
from observer.labs.judging import FAILED, PASSED, UNVERIFIABLE, Answer
from observer.labs.lab import Lab
from observer.labs.marking import Marked, Marker, sources_of
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


def lint(lab: Lab, marker: Marker) -> Linted:
    """Return what is wrong with *lab*, tried with a seed that is no student's; the solution with more seeds.

    Raises:
        BadLab: one of its files is not what it must be.
    """
    return _Trial(lab, marker).done()


class _Trial:
    def __init__(self, lab: Lab, marker: Marker) -> None:
        self._lab = lab
        self._marker = marker
        self._given = marker.handout(lab, _SEED)
        self._linted = Linted()

    def done(self) -> Linted:
        """Try it all, and return what was found."""
        self._handout()
        self._solution()
        for seed in _STUDENTS if self._lab.parameters else ():
            self._solution_of(seed)
        for folder in self._lab.mistakes:
            self._mistake(folder)
        if not self._lab.mistakes:
            self._linted.wrong.append("mistakes/ holds no typical wrong hand-in")
        return self._linted

    def _tried(self, *folders: Path) -> Marked:
        answers: dict[str, Answer] = {}
        for folder in folders[1:]:  # nobody has predicted anything when the handout is handed in
            answers |= _predictions(self._lab, folder)
        return self._marked(_SEED, answers, *folders)

    def _marked(self, seed: str, answers: dict[str, Answer], *folders: Path) -> Marked:
        self._linted.tried += 1
        sources = sources_of(self._lab, *folders)
        return self._marker.mark(self._lab, sources, seed, answers, box=Box.NONE, handout=self._given)

    def _handout(self) -> None:
        if self._given.why:
            self._linted.wrong.append(f"handout: {self._given.why}")
        marked = self._tried(self._lab.folder / "handout")
        passed = [result.name for result in marked.results if result.status == PASSED and result.points]
        self._linted.wrong += [f"handout: gets points for {name!r}" for name in passed]

    def _solution(self) -> None:
        marked = self._tried(self._lab.folder / "handout", self._lab.folder / "solution")
        if marked.attempt.verdict != "OK":
            self._linted.wrong.append(f"solution: {marked.attempt.verdict}, {marked.attempt.why}")
        for result in marked.results:
            if result.status == UNVERIFIABLE:
                self._linted.unverifiable.append(f"{result.name}: {result.why}")
            elif result.status != PASSED:
                seen = f"seen {result.seen}, expected {result.expected}"
                self._linted.wrong.append(f"solution: {result.name!r} {result.status}: {result.why or seen}")

    def _solution_of(self, seed: str) -> None:
        """Try the solution with another *seed*: all but the predictions, which are those of one seed, must pass."""
        marked = self._marked(seed, {}, self._lab.folder / "handout", self._lab.folder / "solution")
        predicted = {check.name for check in self._lab.checks if check.that.questions}
        for result in marked.results:
            if result.name not in predicted and result.status not in (PASSED, UNVERIFIABLE):
                values = ", ".join(f"{name} {value}" for name, value in self._lab.values(seed).items())
                self._linted.wrong.append(
                    f"solution: {result.name!r} {result.status} with {values}: seen {result.seen}"
                )
        if marked.attempt.verdict != "OK":
            self._linted.wrong.append(f"solution: {marked.attempt.verdict} with seed {seed}, {marked.attempt.why}")

    def _mistake(self, folder: Path) -> None:
        name = f"mistakes/{folder.name}"
        table = read_table(folder / _EXPECTED)
        table.only(("fails",))
        expected = table.words("fails")
        known = {check.name for check in self._lab.checks}
        for check in expected:
            if check not in known:
                raise table.error(f"there is no check {check!r}")
        if not expected:
            raise table.error("fails is missing: the names of the checks whose hints it must get")
        marked = self._tried(self._lab.folder / "handout", self._lab.folder / "solution", folder)
        if not marked.results:
            self._linted.wrong.append(f"{name}: {marked.attempt.verdict}, {marked.attempt.why}")
        for result in marked.results:
            if result.name in expected and result.status not in (FAILED, UNVERIFIABLE):
                self._linted.wrong.append(f"{name}: gets no hint of {result.name!r}, which is {result.status}")


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
