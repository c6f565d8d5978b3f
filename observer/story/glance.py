"""A run at a glance: what is worth knowing of it before anything else, taken in one pass."""

from __future__ import annotations

from collections.abc import Sequence

from observer.model.call_columns import CallTotals
from observer.model.events import Call, Event, Process, Signal
from observer.story.crashes import Crash, Crashes
from observer.story.departures import Departures, Occurrence
from observer.story.many_calls import ManyCalls
from observer.story.places import Places
from observer.story.profile import HeapProfile
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

    def take_many(self, calls: ManyCalls, others: Sequence[Event]) -> None:
        """Take many calls, and the *others* that came in between them, in the order of n."""
        self._tally.add_many(calls)
        self._departures.add_many(calls)
        told = sorted([*others, *calls.telling], key=lambda event: event.n)
        ends = [i for i, event in enumerate(told) if isinstance(event, Process | Signal)]
        rest, at = calls.columns, 0
        for i in (*ends, len(told)):
            before, rest = rest.upto(told[i].n) if i < len(told) else (rest, rest)
            self._tally.places.add_many(before, calls.sites)
            for event in told[at:i]:
                if isinstance(event, Call):
                    self.learn(event)
                else:
                    self.take(event)
            for event in told[i : i + 1]:
                self.take(event)
            at = i + 1

    def know(self, totals: CallTotals, profile: HeapProfile) -> None:
        """Take over what all calls came to, and what their places did."""
        places = [each.place for each in profile.places()]
        self._tally.add_totals(totals, sum(place.asked for place in places))
        self._departures.add_cached(totals.cached, totals.first_cached)
        self._tally.places.know(places, profile.live, profile.peak.live)

    def learn(self, call: Call) -> None:
        """Take a call in that others count."""
        self._tally.enter(call)
        self._departures.add(call)
        self._crashes.add(call)

    @property
    def unfinished(self) -> frozenset[int]:
        """The threads whose last call did not return."""
        return self._crashes.unfinished

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
