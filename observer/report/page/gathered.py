"""Everything of a run that a page shows, gathered in one pass over its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from observer.model.events import Event, Process
from observer.model.machine import Meta
from observer.model.stacks import CallStack
from observer.report.kernel_side import told
from observer.report.page.columns import EventColumns
from observer.report.page.memory import LevelColumns
from observer.report.page.moments import Moments
from observer.story.departures import Departures
from observer.story.language import Language
from observer.story.levels import Levels
from observer.story.spans import Spans
from observer.story.summary import Tally

__all__ = ["Gathered", "gather"]


class Gathered:
    """What was gathered: `events` by columns, `spans` and `levels` of each process, totals.

    Args:
        meta: of the run.
        moments: which events the page can stand at.
        language: that of the sentences.
        stacks: those of calls by their numbers, none where callers were not kept.
    """

    def __init__(self, meta: Meta, moments: Moments, language: Language, stacks: Mapping[int, CallStack]) -> None:
        self.meta, self.moments = meta, moments
        self.events = EventColumns(partial(told, language), stacks)
        self.spans = Spans(meta.machine.page_size, None if moments.is_whole else moments.sees)
        self.levels: dict[int, LevelColumns] = {}
        self.paths: dict[int, str] = {}
        self.tally, self.departures = Tally(), Departures()
        self._levels = Levels(meta.machine.page_size)
        self._moved: dict[int, int] = {}

    def take(self, event: Event) -> None:
        """Take the next event in."""
        self.tally.add(event)
        self.departures.add(event)
        self.spans.take(event)
        if self.moments.keeps(event.n):
            self.events.take(event)
        else:
            self.events.watch(event)
        if isinstance(event, Process):
            self._follow(event)
        self._level(event)

    def _follow(self, event: Process) -> None:
        if event.what in ("start", "exec", "joined") and event.path is not None:
            self.paths[event.pid] = event.path
        elif event.what in ("fork", "vfork") and event.child is not None:
            self.paths.setdefault(event.child, self.paths.get(event.pid, ""))

    def _level(self, event: Event) -> None:
        level = self._levels.take(event)
        if level is None or event.pid not in self.spans.of:
            return
        before = self._moved.get(event.pid)
        is_new = before is None or self.moments.sees(before, event.n)
        self._moved[event.pid] = event.n
        self.levels.setdefault(event.pid, LevelColumns()).add(event.n, level, is_new)


def gather(
    meta: Meta, events: Iterable[Event], moments: Moments, language: Language, stacks: Mapping[int, CallStack]
) -> Gathered:  # fmt: skip
    """Gather what a page shows of *events*, given in order of n."""
    gathered = Gathered(meta, moments, language, stacks)
    for event in events:
        gathered.take(event)
    gathered.spans.finish(meta.ends)
    return gathered
