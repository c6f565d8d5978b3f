"""Hand-ins graded: each built and run again in a box, and judged; nothing that it claims of a run is believed."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from observer.errors import BadLab, ObserverError
from observer.labs.box import Box
from observer.labs.catalogue import find_lab
from observer.labs.handin import HandIn, parse_hand_in, suspicions
from observer.labs.judging import FAILED, PASSED, Answer, CheckResult
from observer.labs.lab import Lab
from observer.labs.marking import Marker
from observer.labs.predictions import fitting
from observer.labs.recording import Recorder

__all__ = ["OURS", "SUSPECT", "Document", "Grader", "failed"]

OURS: Final = "XX"
"""The verdict of what failed on our side; it is never scored."""
SUSPECT: Final = "SUSPECT"
"""The verdict of a hand-in that a person must look at; its score is what its sources earn."""
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,60}")


class Document(msgspec.Struct, frozen=True):
    """What became of one hand-in. Of verdict XX, our failure, `score` is null: it is to be graded again.

    `max_score` are the points of what can be verified on this machine, of the `points` of the lab; `notes` say what
    else was found.
    """

    file: str
    lab: str
    seed: str
    verdict: str
    why: str
    score: int | None
    max_score: int
    points: int
    checks: tuple[CheckResult, ...] = ()
    notes: tuple[str, ...] = ()


class Grader:
    """Grades hand-ins of labs that lie in *labs*, or, without it, in the package; their programs run in *box*.

    Where one lab is named, a hand-in of any but this *only* one scores nothing.
    """

    def __init__(self, labs: Path | None = None, box: Box = Box.BUBBLEWRAP, only: str | None = None) -> None:
        self._only = only
        self._labs = labs
        self._box = box
        self._recorder = Recorder()
        self._marker = Marker(self._recorder)
        with tempfile.TemporaryDirectory(prefix="observer-box-") as folder:
            Path(folder).chmod(0o755)
            self._no_box = box.why_not(Path(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process that records for it."""
        self._recorder.close()

    def grade(self, name: str, content: bytes) -> Document:
        """Return what becomes of the hand-in in the file *name*; whatever its *content* is, that is a document."""
        try:
            given = parse_hand_in(name, content)
        except BadLab as error:
            return failed(name, "RE", f"{error.what}: {error.why}")
        if _NAME.fullmatch(given.lab) is None:
            return failed(name, "RE", f"{given.lab[:60]!r} is no lab's name", given)
        if self._only is not None and given.lab != self._only:
            return failed(name, "RE", f"it is a hand-in of {given.lab}, not of {self._only}", given)
        if self._no_box:
            return failed(name, OURS, self._no_box, given)
        try:
            return self._graded(name, given)
        except ObserverError as error:
            return failed(name, OURS, f"{error.what}: {error.why}" if error.why else error.what, given)

    def _graded(self, name: str, given: HandIn) -> Document:
        lab = self._lab(given.lab)
        answers, notes = _answers(lab, given)
        sources = {name: text.encode(errors="replace") for name, text in given.sources.items()}
        marked = self._marker.mark(lab, sources, given.seed, answers, box=self._box)
        verdict, why, is_ours = marked.attempt.verdict, marked.attempt.why, marked.attempt.verdict == OURS
        suspicious = suspicions(given)
        if suspicious and not is_ours:
            why = "; ".join([*suspicious, *([f"{verdict}: {why}"] if verdict != "OK" else [])])
            verdict = SUSPECT
        return Document(
            file=name, lab=lab.name, seed=given.seed, verdict=verdict, why=why, score=None if is_ours else marked.score,
            max_score=lab.points if is_ours else marked.max_score, points=lab.points, checks=tuple(marked.results),
            notes=(*notes, *_other_outcomes(given, marked.results)),
        )  # fmt: skip

    def _lab(self, name: str) -> Lab:
        return find_lab(name if self._labs is None else f"{self._labs}/{name}")


def _answers(lab: Lab, given: HandIn) -> tuple[dict[str, Answer], tuple[str, ...]]:
    if given.predictions is None:
        return {}, ("nothing was predicted",)
    if not given.predictions.is_whole(lab.name, given.seed):
        return {}, ("the predictions are not what was sealed; they do not count",)
    return fitting(lab.questions, given.predictions.answers), ()


def _other_outcomes(given: HandIn, results: list[CheckResult]) -> list[str]:
    """Say which checks came out otherwise where the hand-in was made."""
    there = given.recording.checks if given.recording is not None else {}
    differ = {PASSED, FAILED}
    return [
        f"{each.name!r} {each.status}; where it was made, it {there[each.name]}"
        for each in results if {each.status, there.get(each.name)} == differ
    ]  # fmt: skip


def failed(name: str, verdict: str, why: str, given: HandIn | None = None) -> Document:
    """Return the document of a hand-in that cannot be graded."""
    lab, seed = ("", "") if given is None else (given.lab, given.seed)
    return Document(name, lab, seed, verdict, why, None if verdict == OURS else 0, 0, 0)
