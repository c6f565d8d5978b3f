"""An arena finds a chunk: fast bin, small bin, unsorted bin, large bins, top, and if all fail, the kernel."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from observer.glibc.chunks import HEADER, LARGEST, MINIMUM, SMALL_LIMIT, UNSORTED, bin_of, chunk_size
from observer.simulator.glibc import mapped
from observer.simulator.glibc.coalescing import Coalescing
from observer.simulator.glibc.state import State
from observer.simulator.glibc.tcache import ThreadCache

__all__ = ["Arena"]

_MOST_SORTED: Final = 10000
_INNER_STRUCT: Final = 768
"""The request for the thread cache's structure when an arena makes it: the size of its chunk, as if that were one."""


class Arena(Coalescing):
    """The search. Every method returns a chunk's address, 0 for none; `state.served` says where it came from."""

    def __init__(self, state: State, flag: int) -> None:
        super().__init__(state, flag)
        self._cache_by_arena = state.version.tcache_made == "free"
        self.threads = 0

    def allocate(self, request: int, cache: ThreadCache) -> int:
        """Return a chunk for *request* bytes. Chunks of that size may go into *cache* on the way."""
        if request > LARGEST:
            return 0
        self.state.used.add(self.number)
        chunk = self._find(chunk_size(request), cache)
        if chunk and self.state.parameters.perturb and self.state.touches is not None:
            self.state.touches.write(chunk + HEADER, request)
        return chunk

    def _find(self, size: int, cache: ThreadCache) -> int:
        if size <= self.state.parameters.fast_limit and (chunk := self._from_fast_bin(size, cache)):
            return chunk
        if size < SMALL_LIMIT:
            if chunk := self._from_small_bin(size, cache):
                return chunk
        elif self.fast.filled:
            self.consolidate()
        while True:
            chunk = (
                self._from_unsorted(size, cache)
                or self._from_large_bin(size)
                or self._from_next_bins(size)
                or self._from_top(size)
            )
            if chunk or not self.fast.filled:
                return chunk or self._from_kernel(size, cache)
            self.consolidate()

    # ---- one size: fast bins, small bins --------------------------------------------------------------------

    def _from_fast_bin(self, size: int, cache: ThreadCache) -> int:
        chunks = self.fast.of(size)
        if not chunks:
            return 0
        chunk = chunks.pop()
        room = cache.room_for(size)
        while chunks and room is not None and len(room) < cache.count:
            self._into(room, chunks.pop())
        self.state.served = "fastbin"
        return chunk

    def _from_small_bin(self, size: int, cache: ThreadCache) -> int:
        head = -(size >> 4)
        backward = self.bins.backward
        if backward[head] == head:
            return 0
        chunk = self._use(backward[head])
        if cache.pending and size < cache.limit:
            self._let_make(cache)
        room = cache.room_for(size)
        while room is not None and len(room) < cache.count and backward[head] != head:
            self._into(room, self._use(backward[head]))
        self.state.served = "smallbin"
        return chunk

    def _into(self, room: list[int], chunk: int) -> None:
        """Move a chunk into the list of a thread's cache."""
        room.append(chunk)
        if self.state.touches is not None:
            self.state.touches.cache_put(chunk)

    def _let_make(self, cache: ThreadCache) -> None:
        """From 2.43 a cache that does not exist yet is made as soon as an arena could put a chunk into it."""
        if not self._cache_by_arena or not cache.pending:
            return
        cache.pending = False
        if cache.count and (chunk := self.allocate(_INNER_STRUCT, cache)):
            cache.adopt(chunk)

    # ---- the unsorted bin -----------------------------------------------------------------------------------

    def _from_unsorted(self, size: int, cache: ThreadCache) -> int:
        bins, limit = self.bins, self.state.parameters.unsorted_limit
        backward, head = bins.backward, -UNSORTED
        is_cached, count = False, 0
        while (victim := backward[head]) != head:
            found = bins.sizes[victim]
            if victim == self.last_remainder and backward[victim] == head and size < min(SMALL_LIMIT, found - MINIMUM):
                return self._split_remainder(victim, size)
            if found == size:
                if not self._keep_exact(victim, size, cache):
                    self.state.served = "unsorted"
                    return victim
                is_cached = True
                continue
            bins.sort(victim, found)
            count += 1
            if (is_cached and 0 < limit < count) or count >= _MOST_SORTED:
                break
        return self._last_kept(size, cache) if is_cached else 0

    def _split_remainder(self, victim: int, size: int) -> int:
        self.state.served = "split"
        self._split(victim, size)
        self.last_remainder = victim + size
        return victim

    def _keep_exact(self, victim: int, size: int, cache: ThreadCache) -> bool:
        """Take a chunk of exactly the size; return whether it went into the thread's cache."""
        self._use(victim)
        self._let_make(cache)
        room = cache.room_for(size)
        if room is None:
            return False
        self._into(room, victim)
        return True

    def _last_kept(self, size: int, cache: ThreadCache) -> int:
        self.state.served = "unsorted"
        return cache.leave(cache.lists[(size - MINIMUM) >> 4].pop())

    # ---- larger chunks --------------------------------------------------------------------------------------

    def _from_large_bin(self, size: int) -> int:
        if size < SMALL_LIMIT:
            return 0
        chunk = self.bins.best_fit(bin_of(size), size)
        if chunk:
            self._divide(chunk, size)
            self.state.served = "largebin"
        return chunk

    def _from_next_bins(self, size: int) -> int:
        chunk = self.bins.next_filled(bin_of(size))
        if chunk:
            rest = self._divide(chunk, size)
            if rest and size < SMALL_LIMIT:
                self.last_remainder = rest
            self.state.served = "split"
        return chunk

    def _from_top(self, size: int) -> int:
        if self.top_size < size + MINIMUM:
            return 0
        chunk = self.top
        self.top, self.top_size = chunk + size, self.top_size - size
        self.state.words[chunk] = size | self.flag
        if self.state.touches is not None:
            self.state.touches.headers(chunk, chunk + size)
        self.state.served = "top"
        return chunk

    def _divide(self, chunk: int, size: int) -> int:
        """Hand out the low part of a free chunk; return the rest's address, 0 if it is handed out, too."""
        if self.bins.sizes[chunk] - size < MINIMUM:
            self._use(chunk)
            return 0
        self._split(chunk, size)
        return chunk + size

    def _split(self, chunk: int, size: int) -> None:
        whole = self.bins.remove(chunk)
        self.state.words[chunk] = size | self.flag
        if self.state.touches is not None:
            self.state.touches.header(chunk)
        self.bins.push(UNSORTED, chunk + size, whole - size)

    def _use(self, chunk: int) -> int:
        """Hand out a whole free chunk."""
        size = self.bins.remove(chunk)
        self.state.words[chunk] = size | self.flag
        if self.state.touches is not None:
            self.state.touches.header(chunk + size)
            if self.flag:
                self.state.touches.header(chunk)
        return chunk

    # ---- the kernel -----------------------------------------------------------------------------------------

    def _from_kernel(self, size: int, cache: ThreadCache) -> int:
        """Ask for a mapping of its own, or let the heap grow and cut the chunk from top."""
        is_large = self.state.parameters.maps(size)
        if is_large and (chunk := mapped.make(self.state, size)):
            return chunk
        chunk = self.grow(size, cache, tried_mapping=is_large)
        if not chunk and (chunk := self._from_top(size)):
            self.state.served = "growth"
        return chunk

    @abstractmethod
    def grow(self, size: int, cache: ThreadCache, *, tried_mapping: bool) -> int:
        """Make top large enough for a chunk of *size* bytes, if the kernel agrees; return one mapped instead."""
