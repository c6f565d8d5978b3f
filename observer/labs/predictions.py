"""Predictions: asked before anything is observed, asked again after an answer that is none, then sealed.

The seal is a hash (SHA-256) over the lab, the seed, the answers and a random salt: it shows that answers were not
touched afterwards. It proves nothing against somebody who makes a new seal.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from observer.errors import BadLab
from observer.labs.judging import Answer
from observer.labs.lab import Question

__all__ = ["Sealed", "answer_of", "ask", "fitting", "seal"]

_YES: Final = frozenset({"y", "yes", "예", "네"})
_NO: Final = frozenset({"n", "no", "아니요", "아니오"})
_MOST_DIGITS: Final = 15
_MOST_LINES: Final = 200
"""Lines that are taken for one lab: no student types so many, `yes | observer lab predict` types for ever."""
_NOTHING_DONE: Final = "nothing is sealed, and nothing was run"
_AT_A_TERMINAL: Final = "answer by hand, at a terminal"
_TYPES: Final[dict[str, type]] = {"number": int, "yes or no": bool, "word": str}


class Sealed(msgspec.Struct, frozen=True):
    """Answers by the ids of their questions, and the seal over them."""

    answers: dict[str, Answer]
    salt: str
    seal: str

    def is_whole(self, lab: str, seed: str) -> bool:
        """Whether the answers are those that were sealed, for this lab and seed."""
        return self.seal == _hash(lab, seed, self.answers, self.salt)


def seal(lab: str, seed: str, answers: dict[str, Answer]) -> Sealed:
    """Return *answers* with a seal."""
    salt = secrets.token_hex(16)
    return Sealed(answers, salt, _hash(lab, seed, answers, salt))


def _hash(lab: str, seed: str, answers: dict[str, Answer], salt: str) -> str:
    return hashlib.sha256(msgspec.json.encode([lab, seed, sorted(answers.items()), salt])).hexdigest()


def answer_of(question: Question, text: str) -> Answer | None:
    """Return the answer that *text* is to *question*; None if it is none."""
    text = text.strip()
    if question.answer == "number":
        digits = re.sub(r"[,_\s]", "", text)
        return int(digits) if re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", digits) else None
    if question.answer == "word":
        return text if len(text.split()) == 1 else None
    word = text.lower()
    return True if word in _YES else False if word in _NO else None


def fitting(questions: Sequence[Question], answers: dict[str, Answer]) -> dict[str, Answer]:
    """Return those of *answers* that are to one of *questions*, and of its kind."""
    kinds = {question.id: _TYPES[question.answer] for question in questions}
    return {name: answer for name, answer in answers.items() if type(answer) is kinds.get(name)}


def ask(
    questions: Sequence[Question], language: str, ask_for: Callable[[str], str], say: Callable[[str], None]
) -> dict[str, Answer]:
    """Return an answer to each of *questions*; *ask_for* shows a prompt and returns a line, or raises EOFError.

    Answers are shown once more and may be taken back until they are confirmed: no slip of the fingers is sealed, and
    none reveals anything.

    Raises:
        BadLab: there were very many lines, and still nothing was confirmed.
    """
    confirm = {
        "en": "Seal these answers? They cannot be changed afterwards (yes or no): ",
        "ko": "이 답을 봉인합니까? 나중에 바꿀 수 없습니다(예 또는 아니요): ",
    }[language]
    numbers = iter(range(_MOST_LINES))

    def line(prompt: str) -> str:
        if next(numbers, None) is None:
            raise BadLab(f"{_MOST_LINES} lines were read, and nothing is confirmed", _NOTHING_DONE, _AT_A_TERMINAL)
        return ask_for(prompt)

    while True:
        answers = {question.id: _asked(question, language, line, say) for question in questions}
        for question in questions:
            say(f"  {question.id} = {_written(answers[question.id], language)}")
        word = line(confirm).strip().lower()
        while word not in _YES | _NO:
            word = line(confirm).strip().lower()
        if word in _YES:
            return answers


def _asked(question: Question, language: str, ask_for: Callable[[str], str], say: Callable[[str], None]) -> Answer:
    wanted = {
        "en": {"number": "a number", "yes or no": "yes or no", "word": "a word"},
        "ko": {"number": "수", "yes or no": "예 또는 아니요", "word": "낱말"},
    }[language][question.answer]
    say(question.text.of(language))
    while (answer := answer_of(question, ask_for(f"  {question.id} ({wanted}): "))) is None:
        pass
    return answer


def _written(answer: Answer, language: str) -> str:
    if isinstance(answer, bool):
        return {"en": ("no", "yes"), "ko": ("아니요", "예")}[language][answer]
    return str(answer)
