"""The steps that each source line took: one line of the program, how often it went which way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from observer.model.events import Call, Event, Fault
from observer.story.steps import is_step_six

__all__ = ["LineSteps", "steps_by_line"]


@dataclass(slots=True)
class LineSteps:
    """One source line: allocating calls by their steps, other calls by name, and its page faults (step 6)."""

    place: str
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    step_six: int = 0


def steps_by_line(events: Iterable[Event]) -> list[LineSteps]:
    """Return the source lines in the order in which they first did something; memory grows with lines only."""
    lines: dict[str, LineSteps] = {}
    for event in events:
        if isinstance(event, Call) or (isinstance(event, Fault) and is_step_six(event)):
            place = event.site.text if event.site is not None else "?"
            _count(lines.setdefault(place, LineSteps(place)), event)
    return list(lines.values())


def _count(line: LineSteps, event: Call | Fault) -> None:
    if isinstance(event, Fault):
        line.step_six += 1
    elif event.steps is not None:
        line.calls[event.op, event.steps] += 1
    else:
        line.others[event.op] += 1
