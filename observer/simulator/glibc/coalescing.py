"""Chunks come back to an arena: into a fast bin, or joined with free neighbours into a bin or into top."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from observer.glibc.chunks import FLAGS, HEADER, MINIMUM, SMALL_LIMIT, UNSORTED
from observer.simulator.glibc.bins import Bins
from observer.simulator.glibc.fastbins import FastBins
from observer.simulator.glibc.state import State
from observer.simulator.glibc.tcache import ThreadCache

__all__ = ["CONSOLIDATE_FROM", "Coalescing"]

CONSOLIDATE_FROM: Final = 64 << 10
"""A joined chunk of at least that many bytes has the fast bins emptied and top looked at."""


class Coalescing(ABC):
    """The free chunks of an arena, and the rules by which they join.

    `top` is the chunk at the end of the heap and `top_size` its bytes (0 before there is a heap); `flag` is what the
    size words of chunks in use carry, `number` its place among the arenas that were made.
    """

    def __init__(self, state: State, flag: int) -> None:
        self.state = state
        self.flag = flag
        self.number = 0
        self.bins = Bins(state.touches)
        self.fast = FastBins()
        self.top = self.top_size = 0
        self.last_remainder = 0

    def give_back(self, chunk: int, size: int) -> None:
        """Free a chunk in use without a thread's cache."""
        self.state.used.add(self.number)
        if size <= self.state.parameters.fast_limit:
            self._fill_freed(chunk, size)
            self.fast.filled = True
            self.fast.of(size).append(chunk)
            if self.state.touches is not None:
                self.state.touches.fast_push(chunk)
        else:
            self.merge(chunk, size)

    def give_part_back(self, chunk: int, size: int, cache: ThreadCache) -> None:
        """Free a part that the allocator itself cut off; up to 2.41 it goes where a program's free would go."""
        self.state.words[chunk] = size | self.flag
        if not (self.state.version.inner_frees_cached and cache.put(chunk, size)):
            self.give_back(chunk, size)

    def merge(self, chunk: int, size: int) -> None:
        """Free a chunk and join it with what is free on both sides."""
        self._fill_freed(chunk, size)
        self.state.words.pop(chunk, None)
        before = self.bins.feet.get(chunk)
        if before is not None:
            size += self.bins.remove(before)
            chunk = before
        self.settle(chunk, size)

    def settle(self, chunk: int, size: int) -> None:
        """Join a free range with what is free behind it, put it in its bin, and trim if it has become large."""
        self.state.used.add(self.number)
        size = self._join_forward(chunk, size, direct=self.state.version.small_bins_direct)
        if size >= CONSOLIDATE_FROM:
            if self.fast.filled:
                self.consolidate()
            self.trim_if_large()

    def consolidate(self) -> None:
        """Empty the fast bins: every chunk joins its free neighbours and goes to the unsorted bin."""
        words = self.state.words
        for chunk in self.fast.drain():
            size = words.pop(chunk) & ~FLAGS
            before = self.bins.feet.get(chunk)
            if before is not None:
                size += self.bins.remove(before)
                chunk = before
            self._join_forward(chunk, size, direct=False)

    def facts(self) -> tuple[object, ...]:
        """Return what is free and in which order, to be compared."""
        fast = self.fast.lists, self.fast.filled
        return self.bins.sizes, self.bins.forward, fast, self.top, self.top_size, self.last_remainder

    def is_free(self, chunk: int) -> bool:
        """Whether *chunk* is in a bin."""
        return chunk in self.bins.sizes

    @abstractmethod
    def trim_if_large(self) -> None:
        """Give memory back to the kernel if top has reached the trim threshold."""

    def _join_forward(self, chunk: int, size: int, *, direct: bool) -> int:
        touches = self.state.touches
        end = chunk + size
        if end == self.top:
            self.top, self.top_size = chunk, size + self.top_size
            if touches is not None:
                touches.header(chunk)
            return self.top_size
        if end in self.bins.sizes:
            size += self.bins.remove(end)
        elif touches is not None:
            touches.header(end)
        self.bins.push(size >> 4 if direct and size < SMALL_LIMIT else UNSORTED, chunk, size)
        return size

    def _fill_freed(self, chunk: int, size: int) -> None:
        if self.state.parameters.perturb and self.state.touches is not None:
            self.state.touches.write(chunk + HEADER, size - HEADER)

    def fence_off(self, top: int, size: int, cache: ThreadCache) -> None:
        """Give up the old *top* of *size* bytes: two headers of 16 bytes end it, what is before them is freed."""
        kept = (size - MINIMUM) & -16
        if self.state.touches is not None:
            self.state.touches.header(top)
            self.state.touches.headers(top + kept, top + kept + HEADER)
        if kept >= MINIMUM:
            self.give_part_back(top, kept, cache)
