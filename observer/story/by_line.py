"""The steps that each source line took: one line of the program, how often it went which way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from observer.model.call_columns import StepsTaken
from observer.model.events import Call, Event, Fault
from observer.story.steps import is_step_six

__all__ = ["LineSteps", "steps_by_line", "steps_in"]


@dataclass(slots=True)
class LineSteps:
    """One source line: allocating calls by their steps, other calls by name, and its page faults (step 6)."""

    place: str
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    step_six: int = 0


def steps_in(events: Iterable[Event]) -> Iterator[StepsTaken]:
    """Yield the steps that each of *events* took."""
    for event in events:
        if isinstance(event, Call):
            yield StepsTaken(event.n, event.site, event.op, event.steps, 1)
        elif isinstance(event, Fault) and is_step_six(event):
            yield StepsTaken(event.n, event.site, None, None, 1)


def steps_by_line(taken: Iterable[StepsTaken]) -> list[LineSteps]:
    """Return the source lines that took steps, in the order in which they first did something."""
    found: dict[tuple[str, str | None, str | None], list[int]] = {}
    for each in taken:
        place = each.site.text if each.site is not None else "?"
        known = found.setdefault((place, each.op, each.steps), [each.first, 0])
        known[0], known[1] = min(known[0], each.first), known[1] + each.times
    lines: dict[str, LineSteps] = {}
    for (place, op, steps), (_first, times) in sorted(found.items(), key=lambda item: item[1][0]):
        line = lines.setdefault(place, LineSteps(place))
        if op is None:
            line.step_six += times
        elif steps is not None:
            line.calls[op, steps] += times
        else:
            line.others[op] += times
    return list(lines.values())
