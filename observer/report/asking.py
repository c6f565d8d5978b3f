"""The dialogue of `observer compare --ask`: question, answer, reveal, tally."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from observer.compare.questions import Tally, questions
from observer.compare.result import Row
from observer.report.screen import heading, make_console, paragraph, put, safe

__all__ = ["ask"]


def ask(rows: Sequence[Row], most: int, answers: TextIO, out: TextIO) -> Tally:
    """Ask about *rows*, reading answers line by line; an end of *answers* ends it. Return the tally."""
    console = make_console(out)
    heading(console, "Predict first", "an empty line skips a question, q ends")
    tally = Tally()
    for number, question in enumerate(questions(rows, most), 1):
        paragraph(console, safe(question.text), first=f"  {number:>2}  ", hanging=6)
        out.write("      > ")
        out.flush()
        line = answers.readline()
        if not line or line.strip().lower() in ("q", "quit"):
            put(console)
            break
        answer = question.read(line)
        if answer is None:
            verdict = "skipped. "
        else:
            verdict = "right. " if tally.add(question, answer) else f"no: {_told(question.answer)}. "
        paragraph(console, verdict + safe(question.reveal), first="      ", hanging=6)
    put(console, f"  {tally.right} of {tally.given} predicted rightly")
    return tally


def _told(answer: bool | int) -> str:
    if isinstance(answer, bool):
        return "it does" if answer else "it does not"
    return f"{answer:,}"
