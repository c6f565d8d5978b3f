"""Two runs, or two moments of one, place by place: what each place came to in the one and in the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from observer.model.events import Event, Site
from observer.story.places import MEASURES, Place, Places

__all__ = ["Difference", "Totals", "differences", "places_until", "totals"]

Totals = Mapping[str, int]
"""A number for each of MEASURES."""


class Difference(NamedTuple):
    """What one place came to `before` and `after`, by measure; `site` is one of its calls or faults in either."""

    text: str
    site: Site | None
    before: Totals
    after: Totals

    def by(self, measure: str) -> int:
        """Return how much more of *measure* there was after than before."""
        return self.after[measure] - self.before[measure]


def places_until(events: Iterable[Event], n: int | None = None) -> list[Place]:
    """Return what the places of a run had come to after event *n*, or at its end."""
    places = Places()
    for event in events:
        if n is not None and event.n > n:
            break
        places.add(event)
    return list(places.places.values())


def differences(before: Iterable[Place], after: Iterable[Place], measure: str) -> list[Difference]:
    """Return the places that came to anything else in *after* than *before*, those first that differ most in *measure*.

    A place is one by its text, `story.c:28`: a line that moved from one build to the next is two.
    """
    found = {place.text: Difference(place.text, place.site, _of(place), _NOTHING) for place in before}
    for place in after:
        known = found.get(place.text)
        was, site = (known.before, known.site or place.site) if known is not None else (_NOTHING, place.site)
        found[place.text] = Difference(place.text, site, was, _of(place))
    differ = [each for each in found.values() if each.before != each.after]
    return sorted(differ, key=lambda each: (-abs(each.by(measure)), each.text))


def totals(places: Iterable[Place]) -> Totals:
    """Return what all *places* came to together."""
    listed = list(places)
    return {name: sum(map(value, listed)) for name, value in MEASURES.items()}


def _of(place: Place) -> Totals:
    return {name: value(place) for name, value in MEASURES.items()}


_NOTHING: Totals = dict.fromkeys(MEASURES, 0)
