"""The list of free pieces, in address order, with the book's three ways to search it.

A search tells which piece it takes and how many pieces it looked at. The list is kept in blocks that know their largest
piece, so that what the book does by walking is answered without walking; the counts are those of the walk.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Final

__all__ = ["FreePieces"]

_BLOCK: Final = 256


class _Block:
    """A run of the list: starts and sizes side by side, and the largest size."""

    __slots__ = ("largest", "sizes", "starts")

    def __init__(self, starts: list[int], sizes: list[int]) -> None:
        self.starts = starts
        self.sizes = sizes
        self.largest = max(sizes, default=0)


class FreePieces:
    """Free pieces [start, start+size), disjoint; neighbours are joined by the caller."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = [_Block([], [])]
        self._firsts: list[int] = [0]
        self._by_size: list[tuple[int, int]] = []
        self._next = 0
        self.count = 0
        self.bytes = 0

    def copy(self) -> FreePieces:
        """Return an independent copy, the place where next fit goes on included."""
        twin = FreePieces()
        twin._blocks = [_Block(list(block.starts), list(block.sizes)) for block in self._blocks]
        twin._firsts, twin._by_size = list(self._firsts), list(self._by_size)
        twin._next, twin.count, twin.bytes = self._next, self.count, self.bytes
        return twin

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield (start, size) in address order."""
        for block in self._blocks:
            yield from zip(block.starts, block.sizes, strict=True)

    def _block_of(self, start: int) -> int:
        return max(bisect_right(self._firsts, start) - 1, 0)

    def add(self, start: int, size: int) -> None:
        """Put a piece into the list."""
        b = self._block_of(start)
        block = self._blocks[b]
        i = bisect_left(block.starts, start)
        block.starts.insert(i, start)
        block.sizes.insert(i, size)
        block.largest = max(block.largest, size)
        insort(self._by_size, (size, start))
        self.count += 1
        self.bytes += size
        if len(block.starts) > 2 * _BLOCK:
            self._split(b)
        elif i == 0 and b > 0:
            self._firsts[b] = start

    def _split(self, b: int) -> None:
        block = self._blocks[b]
        right = _Block(block.starts[_BLOCK:], block.sizes[_BLOCK:])
        self._blocks[b] = _Block(block.starts[:_BLOCK], block.sizes[:_BLOCK])
        self._blocks.insert(b + 1, right)
        self._firsts.insert(b + 1, right.starts[0])

    def remove(self, start: int) -> int:
        """Take the piece at *start* out; return its size. Raises KeyError when none begins there."""
        b = self._block_of(start)
        block = self._blocks[b]
        i = bisect_left(block.starts, start)
        if i == len(block.starts) or block.starts[i] != start:
            raise KeyError(start)
        size = block.sizes[i]
        del block.starts[i], block.sizes[i]
        if size == block.largest:
            block.largest = max(block.sizes, default=0)
        del self._by_size[bisect_left(self._by_size, (size, start))]
        self.count -= 1
        self.bytes -= size
        if not block.starts and len(self._blocks) > 1:
            del self._blocks[b], self._firsts[b]
            self._firsts[0] = 0
        return size

    def neighbours(self, start: int, end: int) -> tuple[int | None, int | None]:
        """Return (start of the free piece that ends at *start*, start of the one that begins at *end*)."""
        b = self._block_of(start)
        block = self._blocks[b]
        i = bisect_left(block.starts, start) - 1
        if i < 0 and b > 0:
            block = self._blocks[b - 1]
            i = len(block.starts) - 1
        left = block.starts[i] if i >= 0 and block.starts[i] + block.sizes[i] == start else None
        right_block = self._blocks[self._block_of(end)]
        j = bisect_left(right_block.starts, end)
        right = end if j < len(right_block.starts) and right_block.starts[j] == end else None
        return left, right

    def overlapping(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return (start, size) of the pieces that share bytes with [start, end), in address order."""
        found = []
        # The first of a block may be gone: then the piece before it, of the block before, may reach here.
        for block in self._blocks[max(self._block_of(start) - 1, 0) :]:
            if block.starts and block.starts[0] >= end:
                break
            for i in range(max(bisect_right(block.starts, start) - 1, 0), bisect_left(block.starts, end)):
                if block.starts[i] + block.sizes[i] > start:
                    found.append((block.starts[i], block.sizes[i]))
        return found

    @property
    def largest(self) -> int:
        """Bytes of the largest piece, 0 when there is none."""
        return self._by_size[-1][0] if self._by_size else 0

    def find(self, size: int, fit: str) -> tuple[int | None, int]:
        """Return (start of the piece to take, pieces looked at) by first, best or next fit; None if none fits."""
        if fit == "best":
            # The whole list is looked at, as a list in address order has to be.
            i = bisect_left(self._by_size, (size, 0))
            return (self._by_size[i][1] if i < len(self._by_size) else None), self.count
        if fit == "first":
            return self._walk(size, 0, 0)
        start, looked = self._walk(size, self._next, 0)
        if start is None and self._next:
            start, _ = self._walk(size, 0, 0)
            looked = self.count if start is None else min(looked + self._rank(start) + 1, self.count)
        if start is not None:
            self._next = start
        return start, looked

    def _walk(self, size: int, low: int, looked: int) -> tuple[int | None, int]:
        first = self._block_of(low)
        for block in self._blocks[first:]:
            i = bisect_left(block.starts, low)
            if block.largest >= size:
                for j in range(i, len(block.sizes)):
                    if block.sizes[j] >= size:
                        return block.starts[j], looked + j - i + 1
            looked += len(block.starts) - i
        return None, looked

    def _rank(self, start: int) -> int:
        b = self._block_of(start)
        return sum(len(block.starts) for block in self._blocks[:b]) + bisect_left(self._blocks[b].starts, start)
