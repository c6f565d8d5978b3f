"""Graders' formats: each writes the documents of hand-ins as one text. What is XX, our failure, is never scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from observer.labs.formats.autolab import as_autolab
from observer.labs.formats.classroom50 import as_classroom50
from observer.labs.formats.gradescope import as_gradescope
from observer.labs.formats.junit import as_junit
from observer.labs.formats.page import as_page
from observer.labs.formats.spreadsheet import as_csv
from observer.labs.grading import Document

__all__ = ["FORMATS"]

FORMATS: Final[dict[str, Callable[[Sequence[Document]], str]]] = {
    "autolab": as_autolab, "classroom50": as_classroom50, "csv": as_csv, "gradescope": as_gradescope,
    "html": as_page, "junit": as_junit,
}  # fmt: skip
"""By name, what makes the text, with its last newline."""
