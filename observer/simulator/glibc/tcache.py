"""A thread's cache of freed chunks: a list for each size, last in first out, and (from 2.42, if asked for) large ones.

Chunks in it count as in use: they never join their neighbours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from observer.glibc.chunks import HEADER
from observer.simulator.glibc.state import State

__all__ = ["ThreadCache"]

_SIZES: Final = 64
_LARGE_LISTS: Final = 12
_FIRST_LARGE_BITS: Final = 11


class ThreadCache:
    """One thread's cache. `made` is whether its structure exists, `pending` whether it is still to be made.

    `lists` has the chunks of (size - 32) / 16, `large` (size, chunk) in ascending order by the size's bit length.
    """

    __slots__ = ("_state", "address", "count", "large", "limit", "lists", "made", "pending", "sizes")

    def __init__(self, state: State) -> None:
        self._state = state
        parameters = state.parameters
        self.count, self.limit, self.sizes = parameters.cache_count, parameters.cache_limit, parameters.cache_sizes
        self.lists: list[list[int]] = [[] for _ in range(_SIZES)]
        self.large: list[list[tuple[int, int]]] = [[] for _ in range(_LARGE_LISTS)]
        self.made, self.pending, self.address = False, True, 0

    def adopt(self, chunk: int) -> None:
        """The structure lies in *chunk*; all its bytes are written."""
        self.made, self.pending, self.address = True, False, chunk + HEADER
        if self._state.touches is not None:
            self._state.touches.write(self.address, self._state.version.tcache_struct)

    def room_for(self, size: int) -> list[int] | None:
        """Return the list that a small chunk of *size* bytes may be put in by the arena, None if it may not."""
        index = (size - 32) >> 4
        if not self.made or index >= self.sizes or len(self.lists[index]) >= self.count:
            return None
        return self.lists[index]

    def put(self, chunk: int, size: int) -> bool:
        """Take a freed chunk; return whether there was room."""
        if not self.made or size >= self.limit:
            return False
        touches = self._state.touches
        if touches is not None:
            touches.cache_key(chunk)
        index = (size - 32) >> 4
        if index >= _SIZES:
            return self._put_large(chunk, size)
        if len(self.lists[index]) >= self.count:
            return False
        self.lists[index].append(chunk)
        if touches is not None:
            touches.cache_put(chunk)
        self.table_changes(index)
        return True

    def get(self, size: int) -> int:
        """Return the chunk that serves *size*, 0 if none does."""
        if not self.made or size >= self.limit:
            return 0
        index = (size - 32) >> 4
        if index >= _SIZES:
            return self._get_large(size)
        found = self.lists[index]
        if not found:
            return 0
        self.table_changes(index)
        return self.leave(found.pop())

    def get_aligned(self, size: int, alignment: int) -> int:
        """Return the chunk put in last whose pointer is a multiple of *alignment*, 0 if none is."""
        if not self.made or size >= self.limit:
            return 0
        index = (size - 32) >> 4
        if index >= _SIZES:
            return self._get_large(size, alignment)
        found = self.lists[index]
        for at in range(len(found) - 1, -1, -1):
            if not (found[at] + HEADER) & (alignment - 1):
                self.table_changes(index)
                return self.leave(found.pop(at))
        return 0

    def table_changes(self, index: int) -> None:
        """A list's count and head are written; that can only be a fault where a fork left the page to two."""
        if self._state.has_forked and self._state.touches is not None:
            heads = self._state.version.tcache_struct // 5  # two bytes of count and eight of head for each list
            self._state.touches.write(self.address + 2 * index, 2)
            self._state.touches.write(self.address + heads + 8 * index, 8)

    def leave(self, chunk: int) -> int:
        """Return *chunk*, which was taken out of its list."""
        if self._state.touches is not None:
            self._state.touches.cache_get(chunk)
        return chunk

    def flush(self) -> Iterator[int]:
        """Yield all chunks as the thread ends, and the one of the structure; the cache is never made again."""
        was_made, self.made, self.pending = self.made, False, False
        for found in self.lists:
            while found:
                yield found.pop()
        for large in self.large:
            while large:
                yield large.pop(0)[1]
        if was_made:
            yield self.address - HEADER

    def facts(self) -> tuple[object, ...]:
        """Return what it holds, to be compared."""
        return self.lists, self.large, self.made, self.pending, self.address

    def copy(self, state: State) -> ThreadCache:
        """Return that of a forked child."""
        twin = ThreadCache(state)
        twin.lists = [list(found) for found in self.lists]
        twin.large = [list(found) for found in self.large]
        twin.made, twin.pending, twin.address = self.made, self.pending, self.address
        twin.count, twin.limit, twin.sizes = self.count, self.limit, self.sizes
        return twin

    def _put_large(self, chunk: int, size: int) -> bool:
        found = self.large[size.bit_length() - _FIRST_LARGE_BITS]
        if len(found) >= self.count:
            return False
        found.insert(bisect_left(found, (size, 0)), (size, chunk))
        if self._state.touches is not None:
            self._state.touches.cache_put(chunk)
        return True

    def _get_large(self, size: int, alignment: int = 1) -> int:
        found = self.large[size.bit_length() - _FIRST_LARGE_BITS]
        is_exact = alignment > 1 or self._state.version.tcache_large == "exact"
        for at in range(bisect_left(found, (size, 0)), len(found)):
            if is_exact and found[at][0] != size:
                return 0
            if not (found[at][1] + HEADER) & (alignment - 1):
                return self.leave(found.pop(at)[1])
        return 0
