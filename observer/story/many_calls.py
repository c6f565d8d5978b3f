"""Very many calls at once, column by column, for who needs no value of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from observer.model.events import Call, Site
from observer.model.operations import ALLOCATES, FREES, RESIZES, kind_of

__all__ = ["ALLOCATES", "FREES", "RESIZES", "Alike", "ManyCalls", "kind_of"]

Row = tuple[int, int, int, int, int, int, "Site | None", bool]


class Alike(NamedTuple):
    """So many calls of one operation that took the same steps; all of them returned."""

    op: str
    steps: str | None
    times: int


class ManyCalls(NamedTuple):
    """Calls in order of n that returned, and of which none broke a rule of malloc(3).

    By row: `pointers` and `results` are 0 where there is none, `wastes` says whether chunks are glibc's. Of all:
    `alike` in the order in which the first of each kind came, `tasks` are (pid, tid), `from_caches` the numbers of
    those that a thread cache served, `telling` the rows of which somebody needs an event: what was done in those calls,
    or what became of them, may still be asked.
    """

    n: list[int]
    pids: list[int]
    kinds: list[int]
    pointers: list[int]
    results: list[int]
    asked: list[int]
    sites: list[Site | None]
    wastes: list[bool]
    alike: list[Alike]
    tasks: set[tuple[int, int]]
    from_caches: list[int]
    telling: dict[int, Call]

    def rows(self, first: int, last: int) -> Iterator[Row]:
        """Yield number, pid, kind, pointer, result, bytes asked for, site, and whether the chunk is glibc's."""
        mine = slice(first, last)
        columns = (self.n, self.pids, self.kinds, self.pointers, self.results, self.asked, self.sites, self.wastes)
        return zip(*(column[mine] for column in columns), strict=True)
