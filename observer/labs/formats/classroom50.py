"""result.json of Classroom 50, version 1; whose submission it is, its runner says in the environment.

Source: the wiki of foundation50/classroom50, "Advanced Autograding". Scores are whole numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from observer.errors import ObserverError
from observer.labs.formats.telling import is_ours, title
from observer.labs.grading import Document
from observer.labs.judging import PASSED
from observer.recording.text import to_json

__all__ = ["as_classroom50"]

_FROM_RUNNER: Final = {
    "classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "submission": "SUBMISSION_TAG", "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
}  # fmt: skip


def as_classroom50(documents: Sequence[Document]) -> str:
    """Return result.json for *documents*, which are one student's.

    Raises:
        ObserverError: one of them is our failure: there is no result then, which its runner takes for what it is; or
            the environment does not say whose submission it is.
    """
    if is_ours(documents):
        why = next(each.why for each in documents if each.score is None)
        raise ObserverError("there is no result", why, "grade it again")
    missing = [name for name in _FROM_RUNNER.values() if not os.environ.get(name)]
    if missing:
        why = f"{missing[0]} is not in the environment"
        raise ObserverError("there is no result", why, "run it as an autograder of Classroom 50")
    tests = [
        {"test-name": title(each, check, documents), "passed": check.status == PASSED, "score": check.points,
         "max-score": check.max_points}
        for each in documents for check in each.checks
    ]  # fmt: skip
    result = {
        "schema": "classroom50/result/v1",
        **{field: os.environ[name] for field, name in _FROM_RUNNER.items()},
        "review": os.environ.get("REVIEW_URL") or os.environ["COMMIT_URL"],
        "datetime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(each.score or 0 for each in documents),
        "max-score": sum(each.max_score for each in documents),
        "tests": tests,
    }
    return msgspec.json.format(to_json(result)).decode() + "\n"
