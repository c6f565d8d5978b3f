"""A run at a glance: what is worth knowing of it before anything else, taken in one pass."""

from __future__ import annotations

from observer.model.events import Call, Event, Process
from observer.story.crashes import Crash, Crashes
from observer.story.departures import Departures, Occurrence
from observer.story.places import Places
from observer.story.refusals import Refusal, Refusals
from observer.story.summary import Summary, Tally

__all__ = ["Glance"]


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

    @property
    def places(self) -> Places:
        """What each place of the program came to."""
        return self._tally.places
