"""Hand-ins graded: each built and run again in a box, and judged; nothing that it claims of a run is believed."""

from __future__ import annotations

import csv
import errno
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from observer.errors import BadLab, ObserverError, UsageError
from observer.labs.box import why_no_box
from observer.labs.catalogue import find_lab
from observer.labs.handin import SUFFIX, HandIn, read_hand_in
from observer.labs.judging import Answer, CheckResult
from observer.labs.lab import Lab
from observer.labs.marking import mark
from observer.labs.predictions import fitting

__all__ = ["Document", "Grader", "as_csv", "files_of"]

_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,60}")
_COLUMNS: Final = ("file", "lab", "seed", "verdict", "score", "max_score", "why")


class Document(msgspec.Struct, frozen=True):
    """What became of one hand-in. Of verdict XX, our failure, `score` is null: it is to be graded again.

    `max_score` are the points of what can be verified on this machine; `notes` say what else was found.
    """

    file: str
    lab: str
    seed: str
    verdict: str
    why: str
    score: int | None
    max_score: int
    checks: tuple[CheckResult, ...] = ()
    notes: tuple[str, ...] = ()


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the hand-in files that *paths* name: files, and of folders those that end in SUFFIX, sorted.

    Raises:
        UsageError: there is none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"there is nothing to grade in {path}", f"no file in it ends in {SUFFIX}")
        found += inside
    return found


class Grader:
    """Grades hand-ins of labs that lie in *labs*, or, without it, in the package."""

    def __init__(self, labs: Path | None = None) -> None:
        self._labs = labs
        with tempfile.TemporaryDirectory(prefix="observer-box-") as folder:
            Path(folder).chmod(0o755)
            self._no_box = why_no_box(Path(folder))

    def grade(self, path: Path) -> Document:
        """Return what becomes of the hand-in in the file *path*; whatever is in it, that is a document."""
        try:
            given = read_hand_in(path)
        except OSError as error:
            ours = error.errno != errno.EINVAL
            return _failed(path, "XX" if ours else "RE", f"cannot read it: {error.strerror}")
        except BadLab as error:
            return _failed(path, "RE", f"{error.what}: {error.why}")
        if _NAME.fullmatch(given.lab) is None:
            return _failed(path, "RE", f"{given.lab[:60]!r} is no lab's name", given)
        if self._no_box:
            return _failed(path, "XX", self._no_box, given)
        try:
            return self._graded(path, given)
        except ObserverError as error:
            return _failed(path, "XX", f"{error.what}: {error.why}" if error.why else error.what, given)

    def _graded(self, path: Path, given: HandIn) -> Document:
        lab = self._lab(given.lab)
        answers, notes = _answers(lab, given)
        sources = {name: text.encode() for name, text in given.sources.items()}
        marked = mark(lab, sources, given.seed, answers, trusted=False)
        ours = marked.attempt.verdict == "XX"
        return Document(
            file=path.name, lab=lab.name, seed=given.seed, verdict=marked.attempt.verdict, why=marked.attempt.why,
            score=None if ours else marked.score, max_score=lab.points if ours else marked.max_score,
            checks=tuple(marked.results), notes=notes,
        )  # fmt: skip

    def _lab(self, name: str) -> Lab:
        return find_lab(name if self._labs is None else f"{self._labs}/{name}")


def _answers(lab: Lab, given: HandIn) -> tuple[dict[str, Answer], tuple[str, ...]]:
    if given.predictions is None:
        return {}, ("nothing was predicted",)
    if not given.predictions.is_whole(lab.name, given.seed):
        return {}, ("the predictions are not what was sealed; they do not count",)
    return fitting(lab.questions, given.predictions.answers), ()


def _failed(path: Path, verdict: str, why: str, given: HandIn | None = None) -> Document:
    lab, seed = ("", "") if given is None else (given.lab, given.seed)
    return Document(path.name, lab, seed, verdict, why, None if verdict == "XX" else 0, 0)


def as_csv(documents: Sequence[Document]) -> Iterator[str]:
    """Yield the lines of a table, one row a hand-in, with its heading.

    What a spreadsheet would take for a formula is written as text.
    """
    for row in (_COLUMNS, *([getattr(each, name) for name in _COLUMNS] for each in documents)):
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(_plain(value) for value in row)
        yield out.getvalue()


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
