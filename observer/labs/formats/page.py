"""The instructor's page: who got what, and where the class stumbles. One file, which runs no script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined

from observer.labs.grading import OURS, SUSPECT, Document
from observer.labs.judging import FAILED, NOT_REACHED, PASSED, UNVERIFIABLE
from observer.model.filenames import safe

__all__ = ["as_page"]

_STATUSES: Final = (PASSED, FAILED, NOT_REACHED, UNVERIFIABLE)
_MARKS: Final = {PASSED: "✓", FAILED: "✗", NOT_REACHED: "–", UNVERIFIABLE: "?"}
_APART: Final = (SUSPECT, OURS)
_MOST_SEEN: Final = 3
_WIDTH: Final = 240


@dataclass(frozen=True, slots=True)
class _Bar:
    """A part of a bar: how many there are, from where on and how wide it is in pixels."""

    status: str
    count: int
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class _Stumble:
    """A check as the whole class fared: the bars of its statuses, and what was seen most where it failed."""

    name: str
    failed: int
    bars: list[_Bar]
    seen: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Level:
    """How many reached a score, and the bar for them."""

    score: int
    count: int
    width: float


@dataclass(frozen=True, slots=True)
class _Lab:
    name: str
    documents: list[Document]
    checks: list[str]
    levels: list[_Level]
    stumbles: list[_Stumble]


def as_page(documents: Sequence[Document]) -> str:
    """Return the page of *documents*."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["safe_text"] = safe
    template = environment.from_string((files(__package__) / "class.html").read_text(encoding="utf-8"))
    named = sorted({each.lab for each in documents if each.checks})
    verdicts = Counter(each.verdict for each in documents)
    return template.render(
        labs=[_lab(name, [each for each in documents if each.lab == name]) for name in named], marks=_MARKS,
        total=len(documents), verdicts=sorted(verdicts.items()), width=_WIDTH,
        apart=[each for each in documents if each.verdict in _APART or not each.checks],
    ) + "\n"  # fmt: skip


def _lab(name: str, documents: list[Document]) -> _Lab:
    checks = list(dict.fromkeys(check.name for each in documents for check in each.checks))
    scores = Counter(each.score for each in documents if each.score is not None)
    most = max(scores.values(), default=1)
    levels = [_Level(score, count, _WIDTH * count / most) for score, count in sorted(scores.items(), reverse=True)]
    stumbles = sorted((_stumble(check, documents) for check in checks), key=lambda each: -each.failed)
    return _Lab(name, documents, checks, levels, stumbles)


def _stumble(name: str, documents: list[Document]) -> _Stumble:
    results = [check for each in documents for check in each.checks if check.name == name]
    counts = Counter(result.status for result in results)
    seen = Counter(result.seen or result.why for result in results if result.status == FAILED)
    return _Stumble(name, counts[FAILED] + counts[NOT_REACHED], list(_bars(counts)), seen.most_common(_MOST_SEEN))


def _bars(counts: Counter[str]) -> Iterator[_Bar]:
    whole, left = counts.total(), 0.0
    for status in _STATUSES:
        if counts[status]:
            width = _WIDTH * counts[status] / whole
            yield _Bar(status, counts[status], left, width)
            left += width
