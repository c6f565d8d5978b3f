"""A hand-in marked: its attempt, the handout's beside it for the questions, and what becomes of each check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from observer.labs.attempt import Attempt, make_attempt, sources_in
from observer.labs.judging import Answer, CheckResult, Observed, judge
from observer.labs.lab import Lab

__all__ = ["Marked", "handout_of", "mark", "sources_of"]


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


def handout_of(lab: Lab, seed: str) -> Attempt:
    """Return what the program of the handout does, which the questions of *lab* are about."""
    return make_attempt(lab, sources_in(lab.folder / "handout", lab.sources), seed, trusted=True)


def mark(
    lab: Lab, sources: Mapping[str, bytes], seed: str, answers: Mapping[str, Answer], *, trusted: bool,
    handout: Attempt | None = None,
) -> Marked:  # fmt: skip
    """Return the marks of *sources*; *handout* is what the handout does for this seed, where that is known.

    Raises:
        BadLab: a check cannot be judged at all: an error of the lab.
        ObserverError: temporary files cannot be written.
    """
    if handout is None and lab.questions:
        handout = handout_of(lab, seed)
    if handout is not None and handout.verdict == "XX":
        return Marked(handout)
    attempt = make_attempt(lab, sources, seed, trusted=trusted)
    if attempt.verdict == "XX":
        return Marked(attempt)
    return Marked(attempt, judge(lab, Observed(lab, attempt, seed, answers, handout)))


def sources_of(lab: Lab, *folders: Path) -> dict[str, bytes]:
    """Return the sources of *lab* out of *folders*, of which the later ones go before the earlier."""
    found: dict[str, bytes] = {}
    for folder in folders:
        found |= sources_in(folder, lab.sources)
    return found
