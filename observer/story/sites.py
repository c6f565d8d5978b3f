"""Which places of the program asked for memory, which touched it first, and which kept it to the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from observer.model.events import Call, Event, Fault
from observer.model.operations import ALLOCATING
from observer.story.spans import ALWAYS, Piece
from observer.story.steps import is_step_six

__all__ = ["Leak", "SiteTotals", "Sites", "leaks_of"]

_NOWHERE: Final = "?"


@dataclass(slots=True)
class SiteTotals:
    """What one place came to: allocating `calls`, the `bytes` they asked for, and `frames` that it touched first.

    `first` is the n of its first event.
    """

    place: str
    first: int
    calls: int = 0
    bytes: int = 0
    frames: int = 0


@dataclass(slots=True)
class Leak:
    """`pieces` that one place asked for and nobody gave back, `bytes` in all; `first` is the n of the first call."""

    place: str
    first: int
    pieces: int = 0
    bytes: int = 0


class Sites:
    """Totals by place: `take` every event; memory grows with places only."""

    def __init__(self) -> None:
        self._by_place: dict[str, SiteTotals] = {}

    def take(self, event: Event) -> None:
        """Count *event*."""
        if isinstance(event, Call):
            if event.op in ALLOCATING:
                totals = self._of(event)
                totals.calls += 1
                totals.bytes += event.bytes_asked
        elif isinstance(event, Fault) and event.access != "read" and is_step_six(event):
            self._of(event).frames += 1

    def _of(self, event: Call | Fault) -> SiteTotals:
        place = event.site.text if event.site is not None else _NOWHERE
        totals = self._by_place.get(place)
        if totals is None:
            totals = self._by_place[place] = SiteTotals(place, event.n)
        return totals

    def top(self, most: int) -> list[SiteTotals]:
        """Return the *most* places that asked for most bytes, or touched most frames where that is the same."""
        ordered = sorted(self._by_place.values(), key=lambda totals: (-totals.bytes, -totals.frames, totals.first))
        return ordered[:most]


def leaks_of(pieces: Iterable[Piece]) -> list[Leak]:
    """Return what of *pieces* is there at the end, by place, most bytes first."""
    found: dict[str, Leak] = {}
    for piece in pieces:
        if piece.died != ALWAYS:
            continue
        place = piece.site.text if piece.site is not None else _NOWHERE
        leak = found.setdefault(place, Leak(place, piece.call))
        leak.first = min(leak.first, piece.call)
        leak.pieces += 1
        leak.bytes += piece.size
    return sorted(found.values(), key=lambda leak: (-leak.bytes, leak.first))
