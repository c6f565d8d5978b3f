"""A hand-in marked: its attempt, the handout's beside it for the questions, and what becomes of each check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from observer.labs.attempt import Attempt, make_attempt, sources_in
from observer.labs.box import Box
from observer.labs.judging import Answer, CheckResult, Observed, answers_of, judge
from observer.labs.lab import Lab
from observer.labs.recording import Recorder
from observer.labs.values import Value

__all__ = ["Handout", "Marked", "Marker", "sources_of"]


@dataclass(frozen=True, slots=True)
class Marked:
    """What an attempt came to. Without `results`, it was our failure (XX), which is never scored."""

    attempt: Attempt
    results: list[CheckResult] = field(default_factory=list)

    @property
    def score(self) -> int:
        """The points that were given."""
        return sum(result.points for result in self.results)

    @property
    def max_score(self) -> int:
        """The points of all checks that can be verified on this machine."""
        return sum(result.max_points for result in self.results)


@dataclass(frozen=True, slots=True)
class Handout:
    """What the program of a handout does, which the questions of a lab are about: the answers by their ids.

    There are none where the program could not be run: the reason is `why`, and `failed` says that it is our failure.
    """

    answers: Mapping[str, Value]
    why: str = ""
    failed: bool = False


class Marker:
    """Marks hand-ins. What the handout of a lab does is observed once for those whose sizes are the same."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._handouts: dict[tuple[Path, tuple[int, ...]], Handout] = {}

    def handout(self, lab: Lab, seed: str) -> Handout:
        """Return what the program of the handout of *lab* does for *seed*."""
        key = lab.folder, tuple(lab.values(seed).values())
        known = self._handouts.get(key)
        if known is None:
            known = self._observed(lab, seed)
            if not known.failed:
                self._handouts[key] = known
        return known

    def _observed(self, lab: Lab, seed: str) -> Handout:
        sources = sources_in(lab.folder / "handout", lab.sources)
        attempt = make_attempt(lab, sources, seed, self._recorder, box=Box.NONE)
        if attempt.verdict == "XX":
            return Handout({}, attempt.why, failed=True)
        why = attempt.why if attempt.program is None else ""
        return Handout(answers_of(lab, attempt, seed), why)

    def mark(
        self, lab: Lab, sources: Mapping[str, bytes], seed: str, answers: Mapping[str, Answer], *, box: Box,
        handout: Handout | None = None, keep: Path | None = None,
    ) -> Marked:  # fmt: skip
        """Return the marks of *sources*; *handout* is another one than that of *seed*; the trace goes to *keep*.

        Raises:
            BadLab: a check cannot be judged at all: an error of the lab.
            ObserverError: temporary files cannot be written.
        """
        if handout is None:
            handout = self.handout(lab, seed) if lab.questions else Handout({})
        if handout.failed:
            return Marked(Attempt("XX", handout.why))
        attempt = make_attempt(lab, sources, seed, self._recorder, box=box, keep=keep)
        if attempt.verdict == "XX":
            return Marked(attempt)
        return Marked(attempt, judge(lab, Observed(lab, attempt, seed, answers, handout.answers)))


def sources_of(lab: Lab, *folders: Path) -> dict[str, bytes]:
    """Return the sources of *lab* out of *folders*, of which the later ones go before the earlier."""
    found: dict[str, bytes] = {}
    for folder in folders:
        found |= sources_in(folder, lab.sources)
    return found
