"""A table for a spreadsheet: a row a hand-in."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from observer.labs.grading import Document
from observer.report.spreadsheet import cell

__all__ = ["as_csv"]

_COLUMNS: Final = ("file", "lab", "seed", "verdict", "score", "max_score", "points", "why")


def as_csv(documents: Sequence[Document]) -> str:
    """Return the table, with its heading; what a spreadsheet would take for a formula is written as text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([cell(getattr(each, name)) for name in _COLUMNS] for each in documents)
    return out.getvalue()
