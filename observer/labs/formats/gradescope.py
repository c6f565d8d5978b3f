"""results.json of Gradescope, as its specification of autograders describes it.

Source: gradescope-autograders.readthedocs.io, "Autograder Specifications". Without a score it counts as a failure of
the autograder, which is what a failure of ours is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from observer.labs.formats.telling import about, details, earned, is_ours, title
from observer.labs.grading import Document
from observer.labs.judging import PASSED, UNVERIFIABLE, CheckResult
from observer.model.filenames import safe
from observer.recording.text import to_json

__all__ = ["as_gradescope"]

_VISIBILITY: Final = {"visible": "visible", "hidden": "after_published"}


def as_gradescope(documents: Sequence[Document]) -> str:
    """Return results.json for *documents*, which are one student's."""
    result: dict[str, object] = {
        "output": "\n".join(map(about, documents)), "output_format": "text", "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"verdicts": {safe(each.file): each.verdict for each in documents}},
    }  # fmt: skip
    if not is_ours(documents):
        result["score"] = round(sum(map(earned, documents)), 2)
        result["tests"] = [_test(each, check, documents) for each in documents for check in each.checks]
    return msgspec.json.format(to_json(result)).decode() + "\n"


def _test(document: Document, check: CheckResult, documents: Sequence[Document]) -> dict[str, object]:
    test: dict[str, object] = {
        "name": title(document, check, documents), "score": check.points, "max_score": check.max_points,
        "output": details(check), "output_format": "text", "visibility": _VISIBILITY[check.visibility],
    }  # fmt: skip
    if check.status != UNVERIFIABLE:
        test["status"] = "passed" if check.status == PASSED else "failed"
    return test
