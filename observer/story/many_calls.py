"""Very many calls at once, column by column, for who needs no value of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from observer.model.call_columns import CallColumns
from observer.model.events import Call, Site

__all__ = ["Alike", "ManyCalls"]


class Alike(NamedTuple):
    """So many calls of one operation that took the same steps; all of them returned."""

    op: str
    steps: str | None
    times: int


class ManyCalls(NamedTuple):
    """Calls in order of n that returned, and of which none broke a rule of malloc(3).

    Their places are numbers of `sites`. `alike` are in the order in which the first of each kind came, `tasks` are
    (pid, tid), `from_caches` the numbers of those that a thread cache served, `telling` those of which somebody needs
    an event: what was done in those calls, or what became of them, may still be asked.
    """

    columns: CallColumns
    sites: Sequence[Site | None]
    alike: list[Alike]
    tasks: set[tuple[int, int]]
    from_caches: list[int]
    telling: list[Call]
