"""One process at one moment of a run: the pieces that live, the pages that are there, the regions they lie in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from observer.model.addresses import Mapping, page_up
from observer.model.events import Event
from observer.model.machine import ProcessEnd
from observer.story.spans import HEAP, PageSpan, Piece, Region, Spans

__all__ = ["Moment", "moment"]


class Moment(NamedTuple):
    """What a process has after event `n`: each in the order of addresses. `path` is its program."""

    n: int
    pid: int
    path: str
    page_size: int
    pieces: tuple[Piece, ...]
    pages: tuple[PageSpan, ...]
    regions: tuple[Region, ...]

    def pages_in(self, start: int, end: int) -> tuple[PageSpan, ...]:
        """Return the pages that are there of those that [start, end) touches."""
        low = bisect_right(self.pages, start - self.page_size, key=_start)
        return self.pages[low : bisect_left(self.pages, end, key=_start)]

    @property
    def heap(self) -> tuple[int, int]:
        """Where the heap begins, and where the break is; zeros where there is none."""
        return next(((region.start, region.end) for region in self.regions if region.name == HEAP), (0, 0))

    def as_end(self) -> ProcessEnd:
        """Return the moment as if the process had stood so at its end: what is resident is what faults brought in."""
        start, end = self.heap
        mappings = tuple(
            Mapping(region.start, page_up(region.end, self.page_size), region.protection or "---", region.name)
            for region in self.regions
        )
        resident = {
            mapping.start: len(self.pages_in(mapping.start, mapping.end)) * self.page_size for mapping in mappings
        }  # fmt: skip
        total = sum(resident.values())
        return ProcessEnd(self.pid, self.path, mappings, resident, start, end, total, {})


def _start(page: PageSpan) -> int:
    return page.start


def moment(
    events: Iterable[Event], ends: Iterable[ProcessEnd], page_size: int, pid: int, n: int, path: str = ""
) -> Moment:  # fmt: skip
    """Return the process *pid* after event *n*.

    *events* are all of the run, in order of n: what was there from the beginning is told by its *ends*.
    """
    spans = Spans(page_size, lambda born, died: born <= n < died, most=1 << 30)
    for event in events:
        spans.take(event)
    spans.finish(ends)
    held = [each for each in spans.of.get(pid, []) if each.begun <= n][-1:]
    pieces = [piece for each in held for piece in each.pieces if piece.born <= n < piece.died]
    pages = [page for each in held for page in each.pages if page.born <= n < page.died]
    regions = [region for each in held for region in each.regions if region.born <= n < region.died]
    return Moment(n, pid, path, page_size, tuple(sorted(pieces)), tuple(sorted(pages)), tuple(sorted(regions)))
