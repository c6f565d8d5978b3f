"""What the pointers of a run tell of the real heap: which memory is handed out, which is free, which was never used.

Nothing is predicted here. Chunk sizes are glibc's for 64-bit machines (8 bytes of header, multiples of 16, at least
32), and a rest that is too small for a chunk stays with the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from observer.compare.tunables import Tunables
from observer.model.pieces import FreePieces

__all__ = ["Chunk", "Shadow", "chunk_size"]

_SMALLEST: Final = 32
_HEAP: Final = 0


def chunk_size(request: int) -> int:
    """Return the bytes that glibc's chunk takes for a request.

    >>> chunk_size(1), chunk_size(24), chunk_size(25), chunk_size(131048)
    (32, 32, 48, 131056)
    """
    return max((request + 23) & -16, _SMALLEST)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: where it begins (16 bytes before the pointer), its size, what was asked for, by which call and task.

    `mapped` are the bytes of the mapping that it has for itself, 0 for a chunk in a heap.
    """

    start: int
    size: int
    asked: int
    call: int
    task: int
    mapped: int = 0


class Shadow:
    """The heaps of one process as its pointers show them.

    `live` are chunks by pointer, `freed` those that were freed and not used since by start (`call` is the free's);
    `free` the free areas, freed neighbours joined.
    """

    def __init__(self, tunables: Tunables) -> None:
        self.tunables = replace(tunables)
        self.break_start = self.break_end = self.break_highest = 0
        self.live: dict[int, Chunk] = {}
        self.freed: dict[int, Chunk] = {}
        self.free = FreePieces()
        self._tiles = FreePieces()  # the same areas as the chunks that make them up
        self._cached: dict[tuple[int, int], list[int]] = {}
        self._ends: dict[int, int] = {}
        self._cut_behind: dict[int, int] = {}

    def copy(self) -> Shadow:
        """Return the shadow of a forked child."""
        twin = Shadow(self.tunables)
        twin.break_start, twin.break_end, twin.break_highest = self.break_start, self.break_end, self.break_highest
        twin.live, twin.freed, twin._ends = dict(self.live), dict(self.freed), dict(self._ends)
        twin._cut_behind = dict(self._cut_behind)
        twin.free, twin._tiles = self.free.copy(), self._tiles.copy()
        twin._cached = {key: list(starts) for key, starts in self._cached.items()}
        return twin

    # ---- questions ------------------------------------------------------------------------------------------

    def _region(self, address: int) -> int:
        """Return which heap an address is in: 0 the one that brk makes, else its 64 MiB."""
        return _HEAP if self.break_start <= address < max(self.break_highest, 1) else 1 + (address >> 26)

    def in_main_heap(self, address: int) -> bool:
        """Whether *address* lies in the heap that brk makes."""
        return self._region(address) == _HEAP

    def is_new(self, start: int) -> bool:
        """Whether nothing at *start* or above it, in its heap, was handed out and is still below the heap's end."""
        return start >= self._ends.get(self._region(start), 0)

    def area_for(self, size: int) -> tuple[int, int] | None:
        """Return the lowest free area of at least *size* bytes as (start, size)."""
        start, _looked = self.free.find(size, "first")
        return None if start is None else self.free.overlapping(start, start + 1)[0]

    def area_at(self, address: int) -> tuple[int, int] | None:
        """Return the free area that *address* lies in as (start, size)."""
        return next(iter(self.free.overlapping(address, address + 1)), None)

    def is_cached(self, start: int) -> bool:
        """Whether the freed chunk at *start* is one that a thread cache holds."""
        chunk = self.freed.get(start)
        return chunk is not None and start in self._cached.get((chunk.task, chunk.size), ())

    def longest_joined(self, area: tuple[int, int], *, fast: bool) -> int:
        """Return the longest run of bytes in *area* outside chunks that a cache (or, if *fast*, a fast bin) keeps."""
        longest, begin = 0, area[0]
        for start, size in self._tiles.overlapping(area[0], sum(area)):
            if self.is_cached(start) or (fast and size <= self.tunables.mxfast):
                longest, begin = max(longest, start - begin), start + size
        return max(longest, sum(area) - begin)

    # ---- changes --------------------------------------------------------------------------------------------

    def hand_out(self, pointer: int, asked: int, call: int, task: int, *, mapped: int = 0, alignment: int = 0) -> None:
        """Note that *pointer* is in use from now on; what alignments make it skip at the heap's end is free."""
        chunk = Chunk(pointer - 16, chunk_size(asked), asked, call, task, mapped)
        region = self._region(chunk.start)
        last = self._ends.get(region, 0)
        if not mapped:
            chunk = replace(chunk, size=chunk.size + self._too_small_rest(chunk.start + chunk.size, last))
        self.live[pointer] = chunk
        if mapped:
            return
        end = chunk.start + chunk.size
        if 0 < chunk.start - last <= alignment + self._cut_behind.get(region, 0) + 2 * _SMALLEST and last:
            self._tiles.add(last, chunk.start - last)
            _join(self.free, last, chunk.start - last)
        if end > last:
            self._ends[region], self._cut_behind[region] = end, alignment
        self._use(chunk.start, end)

    def _too_small_rest(self, end: int, last: int) -> int:
        """Return the free bytes behind *end*, up to what is in use or kept apart, if they are too few for a chunk."""
        area = self.area_at(end)
        if area is None:
            return 0
        stop = sum(area)
        for tile, _size in self._tiles.overlapping(end + 1, end + _SMALLEST):
            if tile > end and self.is_cached(tile):
                stop = tile
        return stop - end if stop < last and stop - end < _SMALLEST else 0

    def _use(self, start: int, end: int) -> None:
        _cut(self.free, start, end)
        for tile in _cut(self._tiles, start, end):
            chunk = self.freed.pop(tile, None)
            if chunk is not None and tile in (kept := self._cached.get((chunk.task, chunk.size), [])):
                kept.remove(tile)

    def take_back(self, pointer: int, task: int, call: int, *, by_free: bool) -> Chunk | None:
        """Note that *pointer* is free; return its chunk, or None when the run never handed it out.

        Only `free` itself moves the threshold when a mapped chunk goes; realloc does not.
        """
        chunk = self.live.pop(pointer, None)
        if chunk is None:
            return None
        if chunk.mapped:
            if by_free:
                self.tunables.freed_mapping(chunk.mapped)
            return chunk
        self._use(chunk.start, chunk.start + chunk.size)
        self.freed[chunk.start] = replace(chunk, task=task, call=call)
        kept = self._cached.setdefault((task, chunk.size), [])
        if chunk.size <= chunk_size(self.tunables.tcache_max) and len(kept) < self.tunables.tcache_count:
            kept.append(chunk.start)
        self._tiles.add(chunk.start, chunk.size)
        _join(self.free, chunk.start, chunk.size)
        return chunk

    def set_break(self, end: int) -> None:
        """Note where the break is; what lay above it is gone."""
        if not self.break_start:
            self.break_start = self.break_end = self.break_highest = end
        if end < self.break_end:
            self._use(end, self.break_end)
            self._ends[_HEAP] = min(self._ends.get(_HEAP, 0), end)
        self.break_end = end
        self.break_highest = max(self.break_highest, end)


def _cut(pieces: FreePieces, start: int, end: int) -> list[int]:
    """Take [start, end) out of *pieces*; return the starts of those that shared bytes with it."""
    touched = pieces.overlapping(start, end)
    for at, size in touched:
        pieces.remove(at)
        if at < start:
            pieces.add(at, start - at)
        if at + size > end:
            pieces.add(end, at + size - end)
    return [at for at, _size in touched]


def _join(pieces: FreePieces, start: int, size: int) -> None:
    left, right = pieces.neighbours(start, start + size)
    if right is not None:
        size += pieces.remove(right)
    if left is not None:
        size += pieces.remove(left)
        start = left
    pieces.add(start, size)
