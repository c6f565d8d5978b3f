"""A hand-in and its checks in a student's words, as all formats say them; nothing in them steers a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from observer.labs.grading import OURS, Document
from observer.labs.judging import FAILED, PASSED, CheckResult
from observer.model.filenames import safe

__all__ = ["about", "details", "earned", "is_ours", "title"]


def is_ours(documents: Sequence[Document]) -> bool:
    """Whether one of *documents* could not be graded, by a failure of ours."""
    return any(document.verdict == OURS for document in documents)


def earned(document: Document) -> float:
    """Return the score of *document* of all the lab's points: what cannot be verified here counts neither way.

    >>> earned(Document("a", "lab", "1", "OK", "", 3, 6, 10))
    5.0
    """
    if not document.score or not document.max_score:
        return 0.0
    return round(document.score * document.points / document.max_score, 2)


def about(document: Document) -> str:
    """Return what is to be said of the whole hand-in."""
    lines = [f"{document.verdict}: {document.why}" if document.why else document.verdict, *document.notes]
    return "\n".join(map(safe, lines))


def title(document: Document, check: CheckResult, documents: Sequence[Document]) -> str:
    """Return the name of *check*, with that of its hand-in where there are several."""
    return safe(f"{document.file}: {check.name}" if len(documents) > 1 else check.name)


def details(check: CheckResult) -> str:
    """Return what *check* saw and expected, where, and its hint."""
    if check.status == PASSED:
        return f"{check.status}: {safe(check.that)}"
    rows = [("asks", check.that), ("seen", check.seen), ("expected", check.expected), ("because", check.why)]
    rows += [("line", ", ".join(check.lines)), ("happened", check.row)]
    if check.status == FAILED:
        rows += [("hint", check.hint.get("en", "")), ("book", f"section {check.book}" if check.book else "")]
    return "\n".join([check.status, *(f"{key}: {safe(text)}" for key, text in rows if text)])
