"""Fast bins: lists of small freed chunks, last in first out, that stay in use and join nobody until consolidation.

Gone in 2.43.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["FastBins"]

_LISTS: Final = 10


class FastBins:
    """The ten lists of an arena; `filled` is set by every push and cleared by consolidation alone."""

    __slots__ = ("filled", "lists")

    def __init__(self) -> None:
        self.filled = False
        self.lists: list[list[int]] = [[] for _ in range(_LISTS)]

    def of(self, size: int) -> list[int]:
        """Return the list of chunks of *size* bytes; the last one is the head."""
        return self.lists[(size >> 4) - 2]

    def drain(self) -> Iterator[int]:
        """Yield all chunks, smallest sizes first, each list from its head; none is left."""
        self.filled = False
        for chunks in self.lists:
            while chunks:
                yield chunks.pop()

    def copy(self) -> FastBins:
        """Return those of a forked child."""
        twin = FastBins()
        twin.filled, twin.lists = self.filled, [list(chunks) for chunks in self.lists]
        return twin
