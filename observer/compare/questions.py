"""Predict first: what a person can be asked about a run before seeing it."""

from __future__ import annotations

from dataclasses import dataclass, field

from observer.compare.result import Row
from observer.compare.rows import Entry
from observer.model.departures import COMPARED
from observer.model.events import Call, Fault, Syscall
from observer.model.operations import ALLOCATING

__all__ = ["Question", "Questions", "Tally"]

_DIGITS = 20
_THOUSANDS = str.maketrans("", "", ",_")
_YES = {"y": True, "yes": True, "n": False, "no": False}


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its true answer: True or False, or a number; `reveal` says what happened, and why."""

    text: str
    answer: bool | int
    reveal: str

    def read(self, words: str) -> bool | int | None:
        """Return the answer that *words* give, None when they give none."""
        word = words.strip().lower()
        if isinstance(self.answer, bool):
            return _YES.get(word)
        digits = word.translate(_THOUSANDS)
        return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < _DIGITS else None

    @property
    def wanted(self) -> str:
        """What an answer looks like."""
        return "y or n" if isinstance(self.answer, bool) else "a whole number, 0 or more"


@dataclass(slots=True)
class Tally:
    """How many answers were given and right."""

    right: int = 0
    given: int = 0
    missed: list[str] = field(default_factory=list)

    def add(self, question: Question, answer: bool | int) -> bool:
        """Count an answer; return whether it was right."""
        is_right = answer == question.answer
        self.given += 1
        self.right += is_right
        if not is_right:
            self.missed.append(question.text)
        return is_right


class Questions:
    """What can be asked about a run: `add` every entry of its aligned list; of questions alike the first is kept.

    *predictor* names who predicted, as in `the book`.
    """

    def __init__(self, predictor: str = "the book") -> None:
        self._predictor = predictor
        self._found: dict[str, Question] = {}

    def add(self, entry: Entry) -> None:
        """Take the next entry in."""
        question = _about_call(entry, self._predictor) or _about_touch(entry, self._predictor)
        if question is not None:
            self._found.setdefault(f"{question.text} {question.answer}", question)

    def chosen(self, most: int) -> list[Question]:
        """Return up to *most* of them, in order, spread over all of the run."""
        every = list(self._found.values())
        if len(every) <= most:
            return every
        return [every[i * len(every) // most] for i in range(most)]


def _about_call(entry: Entry, predictor: str) -> Question | None:
    row = entry.row
    call = row.events[0] if row.events and isinstance(row.events[0], Call) else None
    if call is None or call.op not in ALLOCATING:
        return None
    entered = any(isinstance(event, Syscall) for event in row.events)
    return Question(f"{row.what} at {row.site}: will it enter the kernel? [y/n]", entered, _reveal(row, predictor))


def _about_touch(entry: Entry, predictor: str) -> Question | None:
    row = entry.row
    if row.access is None or any(not isinstance(event, Fault) for event in row.events):
        return None
    what = f"{row.access} at {row.site}" if row.access else f"{row.site} touches memory"
    return Question(f"{what}: how many page faults will this take?", entry.faults, _reveal(row, predictor))


def _reveal(row: Row, predictor: str) -> str:
    why = "; ".join(f"{COMPARED[rule].title}: {COMPARED[rule].why}" for rule in row.rules if rule in COMPARED)
    return f"{row.told_observed}. {predictor[:1].upper()}{predictor[1:]} says: {row.told_predicted}." + (
        f" {why}." if why else ""
    )
