"""The dialogue of `observer compare --ask`: question, answer, reveal, tally."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TextIO

from rich.console import Console

from observer.compare.questions import Question, Tally
from observer.report.screen import heading, make_console, paragraph, put, safe

__all__ = ["ask"]


_SKIP: Final = ""
_END: Final = ("q", "quit")
_TRIES: Final = 3
"""So many times a question is asked: answers that come from a pipe may never be one."""


def ask(questions: Iterable[Question], answers: TextIO, out: TextIO) -> Tally:
    """Ask *questions*, reading answers line by line; an end of *answers* ends it. Return the tally."""
    console = make_console(out)
    heading(console, "Predict first", "an empty line skips a question, q ends")
    tally = Tally()
    for number, question in enumerate(questions, 1):
        paragraph(console, safe(question.text), first=f"  {number:>2}  ", hanging=6)
        word = _answer(console, question, answers, out)
        if word in _END:
            put(console)
            break
        answer = question.read(word)
        if answer is None:
            verdict = "skipped. "
        else:
            verdict = "right. " if tally.add(question, answer) else f"no: {_told(question.answer)}. "
        paragraph(console, verdict + safe(question.reveal), first="      ", hanging=6)
    put(console, f"  {tally.right} of {tally.given} predicted rightly")
    return tally


def _answer(console: Console, question: Question, answers: TextIO, out: TextIO) -> str:
    """Return the next line that answers *question*, skips it or ends; for one that does neither it is asked again."""
    for _ in range(_TRIES):
        out.write("      > ")
        out.flush()
        line = answers.readline()
        if not answers.isatty():  # nobody typed it here, the end of the line included
            out.write(line if line.endswith("\n") else f"{line}\n")
        word = line.strip().lower() if line else _END[0]
        if word == _SKIP or word in _END or question.read(word) is not None:
            return word
        paragraph(console, f"that is no answer: {question.wanted}; an empty line skips", first="      ", hanging=6)
    return _SKIP


def _told(answer: bool | int) -> str:
    if isinstance(answer, bool):
        return "it does" if answer else "it does not"
    return f"{answer:,}"
