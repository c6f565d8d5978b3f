"""The bins of an arena: unsorted (1), small (2 to 63, one size each), large (64 to 126, ranges of sizes).

Each bin is a doubly linked list; its head stands for the bin's number, negated. New chunks come to the front; the
oldest is at the back. A large bin is in descending order: chunks of one size stand together, the first of them
represents the size, and a further one of that size comes directly behind it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from observer.glibc.chunks import LAST_BIN, SMALL_LIMIT, UNSORTED, bin_of
from observer.simulator.glibc.touches import Touches

__all__ = ["Bins"]

_HEADS: Final = range(UNSORTED, LAST_BIN + 1)


class Bins:
    """Free chunks of an arena: `sizes` by address, `feet` addresses by where the chunk ends.

    `forward` leads from a head to the front and on to the back, `backward` the other way. `marked` has a bit for each
    bin that is not empty.
    """

    __slots__ = ("_distinct", "_representative", "backward", "feet", "forward", "marked", "sizes", "touches")

    def __init__(self, touches: Touches | None) -> None:
        self.touches = touches
        self.sizes: dict[int, int] = {}
        self.feet: dict[int, int] = {}
        self.forward: dict[int, int] = {-head: -head for head in _HEADS}
        self.backward: dict[int, int] = {-head: -head for head in _HEADS}
        self.marked = 0
        self._distinct: dict[int, list[int]] = {}
        self._representative: dict[int, int] = {}

    # ---- chunks come and go ---------------------------------------------------------------------------------

    def push(self, number: int, chunk: int, size: int) -> None:
        """Make *chunk* a free one, at the front of the unsorted bin or of a small one."""
        self.sizes[chunk] = size
        self.feet[chunk + size] = chunk
        front = self.forward[-number]
        if self.touches is not None:
            self.touches.binned(chunk, size, front)
        self._link(number, chunk, -number, front)

    def remove(self, chunk: int) -> int:
        """Take *chunk* out of whatever bin it is in; it is free no longer. Return its size."""
        size = self.sizes.pop(chunk)
        del self.feet[chunk + size]
        behind, before = self._unlink(chunk)
        if size >= SMALL_LIMIT and self._representative.get(size) == chunk:
            self._succeed(chunk, size, behind)
        if self.touches is not None:
            self.touches.unlinked(before, behind)
        return size

    def sort(self, chunk: int, size: int) -> None:
        """Move *chunk* from the unsorted bin to the bin of its size."""
        self._unlink(chunk)
        number = bin_of(size)
        if size < SMALL_LIMIT:
            before, behind = -number, self.forward[-number]
        else:
            before, behind = self._place_large(number, chunk, size)
        if self.touches is not None:
            self.touches.linked(chunk, before, behind)
        self._link(number, chunk, before, behind)

    # ---- what is found --------------------------------------------------------------------------------------

    def best_fit(self, number: int, size: int) -> int:
        """Return the chunk of a large bin that fits best, 0 if none does.

        Of several equal ones it is the second, so that the representative may stay.
        """
        sizes = self._distinct.get(number)
        if not sizes or sizes[-1] < size:
            return 0
        found = sizes[bisect_left(sizes, size)]
        first = self._representative[found]
        second = self.forward[first]
        return second if second > 0 and self.sizes[second] == found else first

    def next_filled(self, number: int) -> int:
        """Return the last chunk of the first bin above *number* that has any, 0 if all are empty."""
        above = self.marked >> (number + 1)
        if not above:
            return 0
        return self.backward[-(number + (above & -above).bit_length())]

    def backwards(self, number: int) -> list[int]:
        """Return the chunks of a bin from the last to the first."""
        found, chunk = [], self.backward[-number]
        while chunk > 0:
            found.append(chunk)
            chunk = self.backward[chunk]
        return found

    def copy(self, touches: Touches | None) -> Bins:
        """Return those of a forked child."""
        twin = Bins(touches)
        twin.sizes, twin.feet = dict(self.sizes), dict(self.feet)
        twin.forward, twin.backward, twin.marked = dict(self.forward), dict(self.backward), self.marked
        twin._distinct = {number: list(sizes) for number, sizes in self._distinct.items()}
        twin._representative = dict(self._representative)
        return twin

    # ---- links ----------------------------------------------------------------------------------------------

    def _link(self, number: int, chunk: int, before: int, behind: int) -> None:
        forward, backward = self.forward, self.backward
        forward[chunk], backward[chunk] = behind, before
        forward[before] = backward[behind] = chunk
        self.marked |= 1 << number

    def _unlink(self, chunk: int) -> tuple[int, int]:
        behind, before = self.forward.pop(chunk), self.backward.pop(chunk)
        self.forward[before], self.backward[behind] = behind, before
        if behind == before:  # both are the head
            self.marked &= ~(1 << -behind)
        return behind, before

    def _place_large(self, number: int, chunk: int, size: int) -> tuple[int, int]:
        """Return between which two *chunk* belongs; note the size if it is a new one."""
        first = self._representative.get(size)
        if first is not None:
            return first, self.forward[first]
        sizes = self._distinct.setdefault(number, [])
        at = bisect_left(sizes, size)
        behind = self._representative[sizes[at - 1]] if at else -number
        sizes.insert(at, size)
        self._representative[size] = chunk
        self._touch_sizes(sizes, at)
        return self.backward[behind], behind

    def _succeed(self, chunk: int, size: int, behind: int) -> None:
        """The representative of a size is gone: the next of that size follows, or the size is gone, too."""
        sizes = self._distinct[bin_of(size)]
        at = bisect_left(sizes, size)
        if behind > 0 and self.sizes[behind] == size:
            self._representative[size] = behind
            self._touch_sizes(sizes, at)
            return
        self._touch_sizes(sizes, at, without=True)
        del sizes[at]
        del self._representative[size]

    def _touch_sizes(self, sizes: list[int], at: int, *, without: bool = False) -> None:
        """The links between a size's representative and those of the next smaller and larger size, in a ring."""
        if self.touches is None:
            return
        ring = (sizes[at - 1], sizes[(at + 1) % len(sizes)])
        own = () if without else (self._representative[sizes[at]],)
        self.touches.sizes_linked(own + tuple(self._representative[size] for size in ring if size != sizes[at]))
