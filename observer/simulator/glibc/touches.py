"""The words that the allocator itself reads and writes, by operation, in order.

Every write is told. Reads are told where they can be the first access to a page: the key of a chunk that goes to the
thread cache, and the old bytes that realloc copies. All other words that are read were written by the allocator before,
and a program cannot give their pages back without losing its heap. Bin heads, counters and the like lie in libc's data
or in the first page of a thread's heap, and are not told.
"""

from __future__ import annotations

from observer.glibc.chunks import SMALL_LIMIT

__all__ = ["Touch", "Touches"]

Touch = tuple[int, int, bool]
"""Address, bytes, and whether it is a write."""


class Touches:
    """The accesses of one call, `seen` in order; `c` is a chunk's address everywhere."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: list[Touch] = []

    def take(self) -> list[Touch]:
        """Return what was seen, and begin anew."""
        seen, self.seen = self.seen, []
        return seen

    # ---- the thread cache -----------------------------------------------------------------------------------

    def cache_key(self, c: int) -> None:
        """A freed chunk is looked at: is it in the cache already?"""
        self.seen.append((c + 24, 8, False))

    def cache_put(self, c: int) -> None:
        """A chunk goes into the cache: its link and its key."""
        self.seen.append((c + 16, 16, True))

    def cache_get(self, c: int) -> None:
        """A chunk leaves the cache: its key is cleared."""
        self.seen.append((c + 24, 8, True))

    # ---- fast bins and bins ---------------------------------------------------------------------------------

    def fast_push(self, c: int) -> None:
        """A chunk goes into a fast bin: its link."""
        self.seen.append((c + 16, 8, True))

    def binned(self, c: int, size: int, behind: int) -> None:
        """A free chunk is made and linked at the front of a bin, before *behind* (below 0: the bin's head)."""
        self.seen.append((c + 8, 24 if size < SMALL_LIMIT else 40, True))
        self.seen.append((c + size, 8, True))
        if behind > 0:
            self.seen.append((behind + 24, 8, True))

    def linked(self, c: int, before: int, behind: int) -> None:
        """A free chunk moves to a place in a list."""
        self.seen.append((c + 16, 16, True))
        if before > 0:
            self.seen.append((before + 16, 8, True))
        if behind > 0:
            self.seen.append((behind + 24, 8, True))

    def unlinked(self, before: int, behind: int) -> None:
        """The neighbours in the list of a chunk that leaves it."""
        if behind > 0:
            self.seen.append((behind + 24, 8, True))
        if before > 0:
            self.seen.append((before + 16, 8, True))

    def sizes_linked(self, chunks: tuple[int, ...]) -> None:
        """The links between representatives of sizes in a large bin."""
        for c in chunks:
            self.seen.append((c + 32, 16, True))

    # ---- headers --------------------------------------------------------------------------------------------

    def header(self, c: int) -> None:
        """A chunk's size word."""
        self.seen.append((c + 8, 8, True))

    def headers(self, first: int, second: int) -> None:
        """The size words of two chunks."""
        self.seen.append((first + 8, 8, True))
        self.seen.append((second + 8, 8, True))

    # ---- whole ranges ---------------------------------------------------------------------------------------

    def write(self, start: int, length: int) -> None:
        """A range is filled or cleared."""
        if length > 0:
            self.seen.append((start, length, True))

    def copy(self, old: int, new: int, length: int) -> None:
        """A range is copied."""
        self.seen.append((old, length, False))
        self.seen.append((new, length, True))
