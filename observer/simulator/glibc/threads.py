"""The arenas of threads: heaps of 64 MiB that are reserved by mmap(2) and opened page by page by mprotect(2).

Each heap begins with a header; the first one of an arena has the arena's own structure behind it.
"""

from __future__ import annotations

from typing import Final

from observer.glibc.chunks import HEADER, MINIMUM, NON_MAIN, round_down, round_up
from observer.glibc.parameters import HEAP_BYTES
from observer.simulator.glibc import mapped
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.kernel import ANONYMOUS, DONTNEED, NORESERVE, PROT_NONE
from observer.simulator.glibc.state import State
from observer.simulator.glibc.tcache import ThreadCache
from observer.simulator.glibc.touches import Touches

__all__ = ["Heap", "Heaps", "ThreadArena", "new_arena"]

_LEAST: Final = 32 << 10
_FENCE: Final = 16
_MOST: Final = (1 << 64) - 1
"""Sizes are counted as the library does, in 64 bits."""


class Heap:
    """One reservation: `size` bytes are in use, `opened` may be used; `fence` is the last header before the end of use
    once a later heap has taken over.
    """

    __slots__ = ("arena", "base", "fence", "fence_size", "opened", "page", "previous", "size")

    def __init__(self, base: int, size: int, page: int) -> None:
        self.base, self.size, self.opened, self.page = base, size, size, page
        self.fence = self.fence_size = 0
        self.arena: ThreadArena | None = None
        self.previous: Heap | None = None

    def copy(self) -> Heap:
        """Return that of a forked child, not yet in any arena."""
        twin = Heap(self.base, self.size, self.page)
        twin.opened, twin.fence, twin.fence_size = self.opened, self.fence, self.fence_size
        return twin


class Heaps:
    """All threads' heaps of a process by their base, and where the next one is tried first."""

    __slots__ = ("_hint", "_state", "by_base")

    def __init__(self, state: State) -> None:
        self._state = state
        self._hint = 0
        self.by_base: dict[int, Heap] = {}

    def of(self, address: int) -> Heap:
        """Return the heap that *address* lies in."""
        return self.by_base[address & -HEAP_BYTES]

    def make(self, size: int) -> Heap | None:
        """Return a new heap for *size* bytes and top_pad, None if it cannot be."""
        huge = self._state.parameters.huge_page if self._state.version.huge_heaps else 0
        if huge and (heap := self._make(size, huge)):
            return heap
        return self._make(size, self._state.page)

    def delete(self, heap: Heap) -> None:
        """Unmap a heap."""
        del self.by_base[heap.base]
        if heap.base + HEAP_BYTES == self._hint:
            self._hint = 0
        self._state.kernel.munmap(heap.base, HEAP_BYTES)

    def copy(self, state: State) -> Heaps:
        """Return those of a forked child, without heaps."""
        twin = Heaps(state)
        twin._hint = self._hint
        return twin

    def _make(self, size: int, page: int) -> Heap | None:
        padded = size + self._state.parameters.top_pad
        if padded > HEAP_BYTES and size > HEAP_BYTES:
            return None
        size = round_up(max(_LEAST, padded) if padded <= HEAP_BYTES else HEAP_BYTES, page)
        base = self._reserve()
        if base is None:
            return None
        if not self._state.kernel.mprotect(base, size):
            self._state.kernel.munmap(base, HEAP_BYTES)
            return None
        if self._state.version.huge_heaps:
            self._state.advise_huge(base, size)
        heap = self.by_base[base] = Heap(base, size, page)
        return heap

    def _reserve(self) -> int | None:
        """Return an aligned reservation: where the last one left off, or cut out of one twice as large."""
        kernel = self._state.kernel
        flags = ANONYMOUS | (NORESERVE if self._state.version.noreserve else 0)
        if self._hint:
            hint, self._hint = self._hint, 0
            start = kernel.mmap(HEAP_BYTES, PROT_NONE, flags, hint)
            if start is not None and not start & (HEAP_BYTES - 1):
                return start
            if start is not None:
                kernel.munmap(start, HEAP_BYTES)
        start = kernel.mmap(2 * HEAP_BYTES, PROT_NONE, flags)
        if start is None:
            return self._reserve_by_luck(flags)
        base = round_up(start, HEAP_BYTES)
        if base > start:
            kernel.munmap(start, base - start)
        else:
            self._hint = base + HEAP_BYTES
        kernel.munmap(base + HEAP_BYTES, HEAP_BYTES - (base - start))
        return base

    def _reserve_by_luck(self, flags: int) -> int | None:
        start = self._state.kernel.mmap(HEAP_BYTES, PROT_NONE, flags)
        if start is not None and start & (HEAP_BYTES - 1):
            self._state.kernel.munmap(start, HEAP_BYTES)
            return None
        return start


class ThreadArena(Arena):
    """An arena in heaps of its own; `newest` is the heap that top lies in."""

    def __init__(self, state: State, heaps: Heaps, first: Heap) -> None:
        super().__init__(state, NON_MAIN)
        self.heaps = heaps
        self.newest = first
        first.arena = self

    @property
    def opened_end(self) -> int:
        """Where the memory that may be used ends in the newest heap."""
        return self.newest.base + self.newest.opened

    def begin(self) -> None:
        """Lay out a new arena: header, structure, top."""
        version, heap = self.state.version, self.newest
        if self.state.touches is not None:
            self.state.touches.write(heap.base, version.heap_header + version.arena_struct)
        self._set_top(round_up(heap.base + version.heap_header + version.arena_struct, HEADER))

    # ---- growing --------------------------------------------------------------------------------------------

    def grow(self, size: int, cache: ThreadCache, *, tried_mapping: bool) -> int:
        """Open more of the newest heap, else begin another one, else map the chunk."""
        heap = self.newest
        if self._open(heap, size + MINIMUM - self.top_size):
            self._set_top(self.top)
            return 0
        another = self.heaps.make(size + MINIMUM + self.state.version.heap_header)
        if another is not None:
            self._take_over(another, cache)
            return 0
        return 0 if tried_mapping else mapped.make(self.state, size)

    def _open(self, heap: Heap, amount: int) -> bool:
        size = heap.size + round_up(amount, heap.page)
        if size > HEAP_BYTES:
            return False
        if size > heap.opened:
            if not self.state.kernel.mprotect(heap.base + heap.opened, size - heap.opened):
                return False
            heap.opened = size
        if self.state.version.huge_heaps and heap.size < self.state.parameters.huge_page:
            self.state.advise_huge(heap.base, size)
        heap.size = size
        return True

    def _take_over(self, heap: Heap, cache: ThreadCache) -> None:
        """Let top be in a new heap; the old one ends with a fence."""
        old, old_size, before = self.top, self.top_size, self.newest
        heap.arena, heap.previous, self.newest = self, before, heap
        if self.state.touches is not None:
            self.state.touches.write(heap.base, self.state.version.heap_header)
        self._set_top(heap.base + self.state.version.heap_header)
        kept = (old_size - MINIMUM) & -HEADER
        if kept >= MINIMUM:
            before.fence, before.fence_size = old + kept, _FENCE
        else:
            before.fence, before.fence_size = old, kept + _FENCE
        self.fence_off(old, old_size, cache)

    def _set_top(self, start: int) -> None:
        self.top, self.top_size = start, self.newest.base + self.newest.size - start
        if self.state.touches is not None:
            self.state.touches.header(start)

    # ---- shrinking ------------------------------------------------------------------------------------------

    def trim_if_large(self) -> None:
        """Unmap heaps that only top is in while the one before has room, then give the end of top back."""
        parameters = self.state.parameters
        while self.top == self.newest.base + self.state.version.heap_header and self._leave_newest():
            pass
        if self.top_size < parameters.trim_threshold:
            return
        spare = self.top_size - MINIMUM - 1
        given = round_down(spare - parameters.top_pad, self.newest.page) if spare > parameters.top_pad else 0
        if given:
            heap = self.newest
            heap.size -= given
            self.state.kernel.madvise(heap.base + heap.size, given, DONTNEED)
            self._set_top(self.top)

    def _leave_newest(self) -> bool:
        heap, before = self.newest, self.newest.previous
        if before is None:
            return False
        start = self.bins.feet.get(before.fence)
        room = HEAP_BYTES - before.size + before.fence_size + _FENCE
        room += self.bins.sizes[start] if start is not None else 0
        if room < self.state.parameters.top_pad + MINIMUM + self.state.page:
            return False
        self.heaps.delete(heap)
        self.newest = before
        if start is not None:
            self.bins.remove(start)
        self._set_top(before.fence if start is None else start)
        return True

    def copy(self, state: State, heaps: Heaps, touches: Touches | None) -> ThreadArena:
        """Return that of a forked child, with its heaps."""
        chain = [self.newest.copy()]
        original = self.newest.previous
        while original is not None:
            chain.append(original.copy())
            original = original.previous
        twin = ThreadArena(state, heaps, chain[0])
        for at, heap in enumerate(chain):
            heap.arena, heap.previous = twin, chain[at + 1] if at + 1 < len(chain) else None
            heaps.by_base[heap.base] = heap
        twin.bins, twin.fast = self.bins.copy(touches), self.fast.copy()
        twin.top, twin.top_size, twin.last_remainder = self.top, self.top_size, self.last_remainder
        twin.threads, twin.number = self.threads, self.number
        return twin


def new_arena(state: State, heaps: Heaps, request: int) -> ThreadArena | None:
    """Return an arena whose first heap has room for *request* bytes, or, if that is too much, for little."""
    own = state.version.heap_header + state.version.arena_struct + HEADER
    heap = heaps.make((request + own) & _MOST) or heaps.make(own)
    if heap is None:
        return None
    arena = ThreadArena(state, heaps, heap)
    arena.begin()
    return arena
