"""The story of a run, taken while the run is made into a trace, to be told when its ledger is known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from observer.model.machine import Machine, Request
from observer.runs.many import many_calls
from observer.story.glance import Glance
from observer.story.telling import Telling
from observer.trace.part import Part
from observer.trace.values import events_of, others_of

__all__ = ["Glanced", "Story"]


class Story:
    """Listens to a run for its whole story; `telling` has taken its events in the end."""

    def __init__(self) -> None:
        self.telling = Telling()

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts*, whose events have been taken."""
        for part in parts:
            for event in events_of(part):
                deque(self.telling.take(event), maxlen=0)
            yield part
        deque(self.telling.finish(), maxlen=0)


class Glanced:
    """Listens to a run for its last screen alone; `glance` has taken its events in the end."""

    def __init__(self) -> None:
        self.glance = Glance()

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts*, whose events have been taken."""
        for part in parts:
            calls = many_calls(part, self.glance.unfinished)
            if calls is not None:
                self.glance.take_many(calls, others_of(part))
            else:
                for event in events_of(part):
                    self.glance.take(event)
            yield part
