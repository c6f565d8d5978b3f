"""What the pointers of a run tell of the real heap: which memory is handed out, which is free, which was never used.

Nothing is predicted here. Chunk sizes are glibc's; a rest that is too small for a chunk stays with the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from observer.glibc.chunks import HEADER, MINIMUM, chunk_size
from observer.glibc.parameters import Parameters
from observer.model.account import request_of
from observer.model.events import Call
from observer.model.operations import OPERATIONS
from observer.model.pieces import FreePieces

__all__ = ["Chunk", "Shadow"]

_HEAP: Final = 0


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

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters.copy()
        self.break_start = self.break_end = self.break_highest = 0
        self.live: dict[int, Chunk] = {}
        self.freed: dict[int, Chunk] = {}
        self.free = FreePieces()
        self._tiles = FreePieces()  # the same areas as the chunks that make them up
        self._cached: dict[tuple[int, int], list[int]] = {}
        self._ends: dict[int, int] = {}
        self._reserved: list[tuple[int, int]] = []

    def copy(self) -> Shadow:
        """Return the shadow of a forked child."""
        twin = Shadow(self.parameters)
        twin.break_start, twin.break_end, twin.break_highest = self.break_start, self.break_end, self.break_highest
        twin.live, twin.freed, twin._ends = dict(self.live), dict(self.freed), dict(self._ends)
        twin._reserved = list(self._reserved)
        twin.free, twin._tiles = self.free.copy(), self._tiles.copy()
        twin._cached = {key: list(starts) for key, starts in self._cached.items()}
        return twin

    # ---- questions ------------------------------------------------------------------------------------------

    def _region(self, address: int) -> int:
        """Return which heap an address is in: 0 the one that brk makes, else its 64 MiB."""
        return _HEAP if self.break_start <= address < max(self.break_highest, 1) else 1 + (address >> 26)

    def reserve(self, start: int, length: int) -> None:
        """Note that a thread reserved [start, start+length) for heaps of its own."""
        self._reserved.append((start, start + length))

    def is_reserved(self, address: int) -> bool:
        """Whether *address* lies in what a thread reserved."""
        return any(start <= address < end for start, end in self._reserved)

    def end_of_free(self, start: int) -> int:
        """Return how far memory is free from *start* on; a gap of 16 bytes may be a rest that pointers do not show."""
        end = start
        while True:
            area = self.area_at(end) or self.area_at(end + HEADER)
            if area is None:
                return end
            end = sum(area)

    def free_tail(self, start: int, end: int) -> int:
        """Return where the free end of the main heap begins once [start, end) is free, too."""
        if self.is_new(self.end_of_free(end)):
            before = self.area_at(start - 1) or self.area_at(start - 1 - HEADER)
            return before[0] if before is not None and sum(before) >= start - HEADER else start
        last = self._ends.get(_HEAP, 0)
        tail = self.area_at(last - 1)
        return tail[0] if tail is not None else last

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

    def area_below_break(self, size: int) -> tuple[int, int] | None:
        """Return the lowest free area of at least *size* bytes in the heap that the break bounds."""
        areas = self.free.overlapping(self.break_start, self.break_end)
        return next((area for area in areas if area[1] >= size), None)

    def area_at(self, address: int) -> tuple[int, int] | None:
        """Return the free area that *address* lies in as (start, size)."""
        return next(iter(self.free.overlapping(address, address + 1)), None)

    def whole_piece(self, start: int) -> int | None:
        """Return the bytes of the freed piece that begins at *start*, or None."""
        chunk = self.freed.get(start)
        return chunk.size if chunk is not None else None

    def has_piece_edge(self, start: int, end: int, reach: int) -> bool:
        """Whether a free piece begins or ends in [start, end), its first *reach* bytes or the word at its end."""
        for tile, size in self._tiles.overlapping(start - reach, end + HEADER):
            if start - reach < tile < end or start <= tile + size < end:
                return True
        return False

    def begin_of(self, start: int) -> int | None:
        """Return where the free chunk begins that a piece at *start* is cut from: a freed one's, or the top's."""
        return self._begin(start, self._ends.get(self._region(start), 0))

    def is_cached(self, start: int) -> bool:
        """Whether the freed chunk at *start* is one that a thread cache holds."""
        chunk = self.freed.get(start)
        return chunk is not None and start in self._cached.get((chunk.task, chunk.size), ())

    def longest_joined(self, area: tuple[int, int], *, fast: bool) -> int:
        """Return the longest run of bytes in *area* outside chunks that a cache (or, if *fast*, a fast bin) keeps."""
        longest, begin = 0, area[0]
        for start, size in self._tiles.overlapping(area[0], sum(area)):
            if self.is_cached(start) or (fast and size <= self.parameters.fast_limit):
                longest, begin = max(longest, start - begin), start + size
        return max(longest, sum(area) - begin)

    def pieces_of(self, calls: Iterable[tuple[Call, object]]) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of the memory that *calls* give back and hand out."""
        for call, _asked in calls:
            chunk = self.live.get(call.pointer or 0)
            if chunk is not None:
                yield chunk.start, chunk.start + chunk.size
            if call.result and OPERATIONS[call.op].allocates:
                yield call.result - HEADER, call.result - HEADER + chunk_size(request_of(call))

    def allows(self, calls: Iterable[Call]) -> bool:
        """Whether in this order no call returns memory that is in use at that moment."""
        freed: list[tuple[int, int]] = []
        taken: list[tuple[int, int]] = []
        for call in calls:
            chunk = self.live.get(call.pointer or 0) if OPERATIONS[call.op].releases else None
            if chunk is not None and (call.result or not call.bytes_asked):
                freed.append((chunk.start, chunk.start + chunk.size))
            if call.result and OPERATIONS[call.op].allocates:
                start = call.result - HEADER
                end = start + chunk_size(request_of(call))
                if any(low < end and start < high for low, high in taken) or not self._is_unused(start, end, freed):
                    return False
                taken.append((start, end))
        return True

    def _is_unused(self, at: int, end: int, freed: list[tuple[int, int]]) -> bool:
        """Whether [at, end) is free, was never used, or is among *freed*; 16 bytes may be a rest that does not show."""
        while at < end - HEADER and not self.is_new(at):
            area = self.area_at(at) or self.area_at(at + HEADER)
            beyond = [high for low, high in freed if low <= at + HEADER < high] + (
                [sum(area)] if area is not None else []
            )
            if not beyond:
                return False
            at = max(beyond)
        return True

    # ---- changes --------------------------------------------------------------------------------------------

    def hand_out(self, pointer: int, asked: int, call: int, task: int, *, mapped: int = 0, alignment: int = 0) -> None:
        """Note that *pointer* is in use from now on; what an *alignment* has cut off before and behind it is free."""
        chunk = Chunk(pointer - HEADER, chunk_size(asked), asked, call, task, mapped)
        if mapped:
            self.live[pointer] = chunk
            return
        region = self._region(chunk.start)
        last = self._ends.get(region, 0)
        begin = self._begin(chunk.start, last)
        if not alignment:
            chunk = replace(chunk, size=chunk.size + self._too_small_rest(chunk.start + chunk.size, last))
        self.live[pointer] = chunk
        end = chunk.start + chunk.size
        area = self.area_at(chunk.start)
        self._ends[region] = max(last, end)
        self._use(chunk.start, end)
        if alignment and begin is not None:
            whole = begin + chunk_size(chunk.size + alignment + MINIMUM)
            self._cut_around(chunk, begin, whole if area is None else min(whole, sum(area)), region)

    def _begin(self, start: int, last: int) -> int | None:
        """Return where the chunk that a piece at *start* was cut from begins: the top at *last*, or a freed one."""
        area = self.area_at(start)
        if area is None:
            return last or None
        begin = area[0]
        for tile, size in self._tiles.overlapping(area[0], start):
            if self.is_cached(tile):
                begin = tile + size
        return begin

    def _cut_around(self, chunk: Chunk, begin: int, whole: int, region: int) -> None:
        """memalign asked for [begin, whole) and gives back what it does not need of it (_int_memalign)."""
        end = chunk.start + chunk.size
        if chunk.start - begin >= MINIMUM:
            self._release(replace(chunk, start=begin, size=chunk.start - begin))
        if whole - end >= MINIMUM and (end < self._ends[region] or self._would_cache(whole - end, chunk.task)):
            self._ends[region] = max(self._ends[region], whole)
            self._release(replace(chunk, start=end, size=whole - end))

    def _would_cache(self, size: int, task: int) -> bool:
        kept = self._cached.get((task, size), ())
        return size < self.parameters.cache_limit and len(kept) < self.parameters.cache_count

    def _too_small_rest(self, end: int, last: int) -> int:
        """Return the free bytes behind *end*, up to what is in use or kept apart, if they are too few for a chunk."""
        area = self.area_at(end)
        if area is None:
            return 0
        stop = sum(area)
        for tile, _size in self._tiles.overlapping(end + 1, end + MINIMUM):
            if tile > end and self.is_cached(tile):
                stop = tile
        return stop - end if stop < last and stop - end < MINIMUM else 0

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
                self.parameters.freed_mapping(chunk.mapped, chunk.mapped)
            return chunk
        self._release(replace(chunk, task=task, call=call))
        return chunk

    def cut_off(self, pointer: int, whole: int, task: int, call: int) -> None:
        """Note that the chunk of *pointer* was *whole* bytes before: what it no longer has was freed by itself."""
        chunk = self.live[pointer]
        end = chunk.start + chunk.size
        if chunk.start + whole - end >= MINIMUM:
            self._release(Chunk(end, chunk.start + whole - end, 0, call, task))

    def _release(self, chunk: Chunk) -> None:
        """Let *chunk* be free: in the thread's cache if there is room, and gone as far as the heap has shrunk."""
        self._use(chunk.start, chunk.start + chunk.size)
        size = chunk.size
        if self.in_main_heap(chunk.start):
            size = min(size, self.break_end - chunk.start)
        if size <= 0:
            return
        self.freed[chunk.start] = chunk
        if self._would_cache(chunk.size, chunk.task):
            self._cached.setdefault((chunk.task, chunk.size), []).append(chunk.start)
        self._tiles.add(chunk.start, size)
        _join(self.free, chunk.start, size)

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
