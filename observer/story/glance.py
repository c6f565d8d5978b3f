"""A run at a glance: what is worth knowing of it before anything else, taken in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.model.events import Call, Event, Process
from observer.story.crashes import Crash, Crashes
from observer.story.departures import Departures, Occurrence
from observer.story.places import Place
from observer.story.refusals import Refusal, Refusals
from observer.story.summary import Summary, Tally

__all__ = ["MEASURES", "Glance"]

MEASURES: Final[dict[str, Callable[[Place], int]]] = {
    "bytes": lambda place: place.asked,
    "calls": lambda place: place.calls,
    "live": lambda place: place.live,
    "resident": lambda place: place.frames,
    "waste": lambda place: place.wasted,
    "faults": lambda place: place.faults,
}
"""What places are ranked by: bytes asked for, allocating calls, bytes not freed, page frames that came to their pieces,
bytes of chunks beyond what was asked for, page faults taken."""


class Glance:
    """Takes a run event by event, in the order of n."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._departures = Departures()
        self._crashes = Crashes(self._tally.places)
        self._refusals = Refusals()
        self.programs: dict[int, str] = {}

    def take(self, event: Event) -> None:
        """Take the next event."""
        self._tally.add(event)
        self._departures.add(event)
        self._crashes.add(event)
        self._refusals.add(event)
        if type(event) is Process and event.path is not None:
            self.programs[event.pid] = event.path

    def summary(self) -> Summary:
        """Return the totals."""
        return self._tally.result()

    def departures(self) -> tuple[Occurrence, ...]:
        """Return where the run left the book."""
        return tuple(self._departures.result())

    def refusals(self) -> tuple[Refusal, ...]:
        """Return what the processor refused, those that ended a process among them."""
        return self._refusals.result()

    @property
    def crashes(self) -> list[Crash]:
        """The processes that a signal ended, in order."""
        return self._crashes.found

    def broken_rules(self) -> tuple[int, list[Call]]:
        """Return how many calls broke a rule of malloc(3), and the first of them."""
        return self._crashes.broken_count, self._crashes.broken

    def top(self, measure: str = "bytes") -> list[Place]:
        """Return the places with any of *measure* (see MEASURES), those with most first."""
        value = MEASURES[measure]
        found = [place for place in self._tally.places.places.values() if value(place)]
        return sorted(found, key=lambda place: (-value(place), place.text))
