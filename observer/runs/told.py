"""The story of a run, taken while the run is made into a trace, to be told when its ledger is known."""

from __future__ import annotations

from collections.abc import Iterator

from observer.model.machine import Machine, Request
from observer.story.glance import Glance
from observer.story.rows import Passage
from observer.story.telling import Telling
from observer.trace.part import Part
from observer.trace.values import events_of

__all__ = ["Glanced", "Story"]


class Story:
    """Listens to a run; `telling` and the passages of its `head` are what there is to tell in the end."""

    def __init__(self) -> None:
        self.telling = Telling()
        self.head: list[Passage] = []

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts*, whose events have been taken."""
        for part in parts:
            for event in events_of(part):
                self.head += self.telling.take(event)
            yield part
        self.head += self.telling.finish()


class Glanced:
    """Listens to a run for its last screen alone; `glance` has taken its events in the end."""

    def __init__(self) -> None:
        self.glance = Glance()

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts*, whose events have been taken."""
        take = self.glance.take
        for part in parts:
            for event in events_of(part):
                take(event)
            yield part
