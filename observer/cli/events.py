"""Events as people name them on a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observer.errors import NothingFound

if TYPE_CHECKING:
    from observer.trace.reader import Trace

__all__ = ["event_number"]


def event_number(trace: Trace, named: str) -> int:
    """Return the number of the event that is *named*, by its number or by what it is in every run.

    Raises:
        NothingFound: there are not so many.
        UsageError: it is no name of an event.
    """
    from observer.model.named import Nth, parse_event

    event = parse_event(named)
    if not isinstance(event, Nth):
        return event
    n = trace.nth(event)
    if n is None:
        what = event.op or f"{event.file}:{event.line}"
        raise NothingFound(f"there is no {named}", f"{what} has fewer than {event.ordinal} events", "--kind call")
    return n
