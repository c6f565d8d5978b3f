"""Threads' caches: where each lies, and the chunks in it (tcache_perthread_struct of malloc/malloc.c).

The pointer to a thread's cache is thread-local. The structure is known by what it holds: it fills a chunk of its size,
and each list has as many chunks of the right size as its number says. Up to 2.41 the first chunk of a heap is one in
any case, unless the thread's first call was an aligned one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from observer.glibc.chunks import ALIGNMENT, FLAGS, HEADER, IS_MAPPED, MINIMUM
from observer.glibc.layout import Layout
from observer.heap.bins import Listed, demangled
from observer.heap.image import Image
from observer.model.chunks import STATES

__all__ = ["CacheReader"]

_SMALL: Final = 64
"""Lists that have one size each; those behind them (2.42) have a power of two each."""
_MOST_ROOM: Final = 65535
_MOST_COUNTED: Final = 127
"""The largest number that is a damaged cache's and not something else's."""
_LARGE_BITS: Final = 11


class CacheReader:
    """Reads what may be threads' caches; `holds` says whether a chunk of any arena may begin at an address."""

    def __init__(self, image: Image, layout: Layout, holds: Callable[[int], bool]) -> None:
        self._image = image
        self._layout = layout
        self._holds = holds
        self.ending = self._lacking = 0
        """Caches that their threads, which are ending, were emptying."""

    def read(self, chunk: int, *, is_first: bool, is_main: bool = False) -> list[Listed] | None:
        """Return what is in the cache that the in-use *chunk* holds; None if it holds none.

        Args:
            is_first: whether it is the first of its heap, and so one even if nothing in it fits.
            is_main: whether that heap is the main arena's, and the cache therefore of a thread that has not ended.
        """
        numbers, heads = self._structure(chunk)
        if not heads:
            return None
        counts = self._counts(numbers, heads)
        emptied = 0 if is_main and is_first else self._emptied(numbers, heads)
        if not emptied and (counts is None or not self._is_credible(counts, heads)):
            if not is_first or max(numbers) > _MOST_COUNTED or any(head % ALIGNMENT for head in heads):
                return None
            counts = numbers
        place = f"the thread cache at {chunk + HEADER:#x}"
        before = self._lacking
        found = [
            each for i, head in enumerate(heads)
            for each in self._list(chunk, place, i, head, (counts or numbers)[i], may_lack=i < emptied)
        ]  # fmt: skip
        self.ending += self._lacking > before
        return found

    def _structure(self, chunk: int) -> tuple[list[int], list[int]]:
        layout, start = self._layout, chunk + HEADER
        words = self._image.words(start, (layout.cache_heads >> 3) + layout.cache_bins)
        if words is None:
            return [], []
        raw = np.array(words[: layout.cache_heads >> 3], dtype="<u8").view(f"<u{layout.cache_width}")
        return raw[: layout.cache_bins].tolist(), words[layout.cache_heads >> 3 :]

    def _counts(self, numbers: list[int], heads: list[int]) -> list[int] | None:
        """Return how many chunks each list should have, None where the numbers are no cache's."""
        if not self._layout.cache_slots:
            return numbers
        room = {number for number, head in zip(numbers, heads, strict=True) if not head}
        if len(room) > 1:
            return None
        most = room.pop() if room else max(numbers)
        return [most - number for number in numbers] if max(numbers) <= most else None

    def _is_credible(self, counts: list[int], heads: list[int]) -> bool:
        """Whether a list has chunks if, and only if, its number says so."""
        return all(
            bool(head) == bool(count) and count <= _MOST_ROOM and (not head or self._may_be(head))
            for count, head in zip(counts, heads, strict=True)
        )

    def _emptied(self, numbers: list[int], heads: list[int]) -> int:
        """Return how many lists an ending thread may have emptied, or be emptying; 0 if it is no such cache.

        It takes the chunks out of one list after the other, and leaves the numbers as they are.
        """
        if self._layout.cache_slots or max(numbers) > _MOST_COUNTED:
            return 0
        first = next((i for i, head in enumerate(heads) if head), len(heads))
        is_left = self._is_credible(numbers[first:], heads[first:])
        return first + 1 if is_left else 0

    def _may_be(self, pointer: int) -> bool:
        return not pointer % ALIGNMENT and (self._holds(pointer - HEADER) or self._is_mapped(pointer - HEADER))

    def _is_mapped(self, chunk: int) -> bool:
        """Whether a chunk with a mapping of its own lies there: large caches may take them (2.43)."""
        head = self._image.word(chunk + 8)
        return self._layout.cache_slots and head is not None and head & FLAGS == IS_MAPPED

    def _list(
        self, cache: int, place: str, index: int, pointer: int, count: int, *, may_lack: bool
    ) -> Iterator[Listed]:  # fmt: skip
        holder = cache + HEADER + self._layout.cache_heads + 8 * index
        place = f"list {index} of {place}"
        seen = set[int]()
        while pointer and len(seen) < count:
            chunk = pointer - HEADER
            head = self._image.word(chunk + 8) if self._may_be(pointer) else None
            word = self._image.word(pointer)
            if head is None or word is None:
                self._image.found(f"the list leads to {pointer:#x}, where no chunk can be", holder, 0, place)
                return
            if pointer in seen:
                self._image.found("the list is a cycle", holder, chunk, place)
                return
            size = head & ~FLAGS
            if not _fits(size, index):
                self._image.found(f"a chunk of {size:#x} bytes is in the list", chunk + 8, chunk, place)
            else:
                yield Listed(chunk, size, STATES.index("tcache"), index, place)
            seen.add(pointer)
            holder, pointer = pointer, demangled(self._layout, word, pointer)
        if may_lack and not pointer and len(seen) < count:
            self._lacking += 1
        elif pointer or len(seen) != count:
            more = "more" if pointer else str(len(seen))
            number = cache + HEADER + self._layout.cache_width * index
            self._image.found(f"{count} chunks are counted, and the list has {more}", number, 0, place)


def _fits(size: int, index: int) -> bool:
    """Whether a chunk of *size* belongs into the list *index*."""
    if index < _SMALL:
        return size == MINIMUM + 16 * index
    return index == _SMALL + size.bit_length() - _LARGE_BITS
