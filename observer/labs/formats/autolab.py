"""What Autolab reads: a line for its reader with the stages, then, as the last line, the scores.

Source: docs.autolabproject.com, "Formatting Feedback". Each check is a problem of that name.
"""

from __future__ import annotations

from collections.abc import Sequence

from observer.labs.formats.telling import about, is_ours, title
from observer.labs.grading import Document
from observer.labs.judging import PASSED
from observer.recording.text import to_json

__all__ = ["as_autolab"]


def as_autolab(documents: Sequence[Document]) -> str:
    """Return the output of the autograder for *documents*, which are one student's; no scores where one is ours."""
    said = "".join(f"{about(each)}\n" for each in documents)
    if is_ours(documents):
        return said
    results = {
        title(each, check, documents): {"passed": check.status == PASSED} for each in documents for check in each.checks
    }
    scores = {title(each, check, documents): check.points for each in documents for check in each.checks}
    shown = {"_presentation": "semantic", "stages": ["checks"], "checks": results}
    lines = [shown, {"scores": scores}]
    return said + "".join(f"{to_json(line).decode()}\n" for line in lines)
