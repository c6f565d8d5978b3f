"""Which events of a run a page can stand at: all of them, or, of a long run, one in so many and the rare ones."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from observer.story.spans import ALWAYS

__all__ = ["MOST", "Moments"]

MOST: Final = 100_000
_MOST_RARE: Final = 5_000


class Moments:
    """The moments of a page: the numbers of the events it can stand at.

    Args:
        total: how many events the run has.
        rare: the numbers of events that are to be kept in any case, as far as they are not too many.
        most: moments beside these.
    """

    def __init__(self, total: int, rare: Iterable[int] = (), most: int = MOST) -> None:
        self.total = total
        self.stride = max(-(-total // most), 1)
        self._kept: list[int] | None = None
        self._set: frozenset[int] = frozenset()
        if self.stride > 1:
            some = sorted(rare)
            few = some if len(some) <= _MOST_RARE else []
            self._set = frozenset([*range(0, total, self.stride), *few, total - 1])
            self._kept = sorted(self._set)

    @property
    def is_whole(self) -> bool:
        """Whether every event is kept."""
        return self._kept is None

    def keeps(self, n: int) -> bool:
        """Whether event *n* is one of them."""
        return self._kept is None or n in self._set

    def sees(self, born: int, died: int) -> bool:
        """Whether what is there after the events from *born* on, before *died*, is there at any moment."""
        if self._kept is None:
            return born < died
        at = bisect_left(self._kept, born)
        return at < len(self._kept) and (died == ALWAYS or self._kept[at] < died)
