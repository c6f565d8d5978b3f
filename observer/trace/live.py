"""The pieces that are allocated at a moment, found by any address inside them."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import Final

from observer.model.addresses import PAGE
from observer.model.events import ChunkRef

__all__ = ["LiveChunks"]

_PAGE_SHIFT: Final = PAGE.bit_length() - 1
_SMALL_PAGES = 16


class LiveChunks:
    """Live allocations. Small ones are listed under each page they touch, large ones by start."""

    def __init__(self) -> None:
        self._by_start: dict[int, ChunkRef] = {}
        self._pages: dict[int, dict[int, ChunkRef]] = {}
        self._large: list[int] = []

    def __len__(self) -> int:
        return len(self._by_start)

    def copy(self) -> LiveChunks:
        """Return an independent copy (fork)."""
        twin = LiveChunks()
        twin._by_start = dict(self._by_start)
        twin._pages = {page: dict(chunks) for page, chunks in self._pages.items()}
        twin._large = list(self._large)
        return twin

    def pieces(self) -> list[ChunkRef]:
        """Return all of them, in the order in which they were made."""
        return list(self._by_start.values())

    @property
    def bytes(self) -> int:
        """Bytes asked for by all live pieces."""
        return sum(chunk.size for chunk in self._by_start.values())

    def add(self, chunk: ChunkRef) -> None:
        """*chunk* was returned by the allocator."""
        start = chunk.address
        self.remove(start)
        self._by_start[start] = chunk
        first, last = _pages_of(start, chunk.size)
        if last - first >= _SMALL_PAGES:
            insort(self._large, start)
            return
        for page in range(first, last + 1):
            listed = self._pages.get(page)
            if listed is None:
                listed = self._pages[page] = {}
            listed[start] = chunk

    def remove(self, address: int) -> ChunkRef | None:
        """The piece at *address* was given back; return it, or None when none was live there."""
        chunk = self._by_start.pop(address, None)
        if chunk is None:
            return None
        first, last = _pages_of(address, chunk.size)
        if last - first >= _SMALL_PAGES:
            del self._large[bisect_right(self._large, address) - 1]
            return chunk
        for page in range(first, last + 1):
            listed = self._pages[page]
            del listed[address]
            if not listed:
                del self._pages[page]
        return chunk

    def find(self, address: int) -> ChunkRef | None:
        """Return the live piece that holds *address*."""
        listed = self._pages.get(address >> _PAGE_SHIFT)
        for chunk in listed.values() if listed is not None else ():
            if chunk.address <= address < chunk.address + max(chunk.size, 1):
                return chunk
        i = bisect_right(self._large, address) - 1
        if i >= 0:
            chunk = self._by_start[self._large[i]]
            if address < chunk.address + chunk.size:
                return chunk
        return None


def _pages_of(start: int, size: int) -> tuple[int, int]:
    """Return the numbers of the first and the last page that a piece touches."""
    return start >> _PAGE_SHIFT, (start + (size or 1) - 1) >> _PAGE_SHIFT
