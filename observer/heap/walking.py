"""The walk through a heap: arenas, lists, chunks, and what of all that agrees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from observer.glibc.layout import Layout, layouts_of
from observer.heap.agreement import Judge, sums_of
from observer.heap.arenas import Found, Where, arenas_from, find_main
from observer.heap.bins import Listed, listed_of
from observer.heap.caches import CacheReader
from observer.heap.image import Image, Memory
from observer.heap.mapped import mapped_chunks
from observer.heap.parts import walk_part
from observer.heap.values import CHUNK, Arena, Cache, Heap

__all__ = ["walk"]

_UNKNOWN: Final = "the structures of glibc {} are not known"
_NOT_CONTIGUOUS: Final = "parts of it were mapped, where the break could not be moved"


def walk(memory: Memory, where: Where, mapped: Iterable[int] = ()) -> Heap:
    """Return the heap that *memory* holds where *where* says.

    The chunks at the addresses *mapped*, each with a mapping of its own, are looked at, too. Where the release is not
    known, those structures are taken that fit best.
    """
    layouts, mapped = layouts_of(where.release), list(mapped)
    heaps = [_Walk(Image(memory), where, layout).heap(mapped) for layout in layouts]
    return min(heaps, key=_doubt, default=Heap("", unread=(_UNKNOWN.format(where.release),)))


def _doubt(heap: Heap) -> tuple[int, int, int]:
    """Return what speaks against the structures that a heap was read by: the less, the likelier they are its own."""
    faults = len(heap.findings) + heap.more_findings + len(heap.unread)
    cached = sum(cache.chunks for cache in heap.caches)
    return (faults if heap.arenas else 1 << 62), -cached, -len(heap.caches) - len(heap.empty_caches)


class _Walk:
    def __init__(self, image: Image, where: Where, layout: Layout) -> None:
        self._image = image
        self._where = where
        self._layout = layout
        self._cached: list[Cache] = []
        self._empty: list[int] = []
        self._ending = 0

    def heap(self, mapped: list[int]) -> Heap:
        """Return the heap, with the chunks at *mapped*."""
        image, layout = self._image, self._layout
        arenas = self._arenas()
        listed = [list(listed_of(image, arena, layout)) for arena in arenas]
        judges = [self._judge(arena, lists) for arena, lists in zip(arenas, listed, strict=True)]
        cached = self._in_caches(arenas, judges)
        every_list = not image.unread and not image.findings
        for arena, judge, lists in zip(arenas, judges, listed, strict=True):
            judge.take([*lists, *(each for each in cached if arena.holds(each.address))])
            judge.check(every_list=every_list)
        singly = {each.address for each in cached if not any(arena.holds(each.address) for arena in arenas)}
        table = np.concatenate([
            np.empty(0, dtype=CHUNK), *(judge.table for judge in judges),
            mapped_chunks(image, sorted(singly), "tcache"), mapped_chunks(image, mapped, "mmapped"),
        ])  # fmt: skip
        return Heap(
            layout.name if arenas else "",
            tuple(_summed(arena, judge) for arena, judge in zip(arenas, judges, strict=True)),
            tuple(self._cached), tuple(self._empty), self._ending, tuple(image.findings), image.more_findings,
            tuple(image.unread), table.tobytes(),
        )  # fmt: skip

    def _arenas(self) -> list[Found]:
        main = find_main(self._image, self._where, self._layout) or self._where.main_arena
        return arenas_from(self._image, main, self._where, self._layout) if main else []

    def _judge(self, arena: Found, listed: list[Listed]) -> Judge:
        known = sorted({each.address for each in listed})
        arena.gather(known)
        parts = [
            walk_part(self._image, region, arena.top, known, arena.name, is_main=arena.is_main)
            for region in arena.regions
        ]
        arena.regions = [
            stretch
            for region, part in zip(arena.regions, parts, strict=True)
            for stretch in (part.stretches() if region.inferred else [region])
        ]
        judge = Judge(self._image, arena, parts)
        if arena.is_main and not arena.is_contiguous and int(judge.table["size"].sum()) < arena.system_mem:
            self._image.unread[_NOT_CONTIGUOUS] = None
        return judge

    def _in_caches(self, arenas: list[Found], judges: list[Judge]) -> list[Listed]:
        """Find the threads' caches, which lie in chunks of the arenas, and return what is in them."""
        reader = CacheReader(
            self._image, self._layout, lambda address: any(arena.holds(address) for arena in arenas)
        )  # fmt: skip
        cached: list[Listed] = []
        for arena, judge in zip(arenas, judges, strict=True):
            for chunk in judge.in_use_of(self._layout.cache_sizes):
                is_first = chunk in judge.firsts and not self._layout.cache_slots
                found = reader.read(chunk, is_first=is_first, is_main=arena.is_main)
                if found is None:
                    continue
                if is_first or found:
                    self._cached.append(Cache(chunk, len(found)))
                    judge.hold_cache(chunk)
                else:
                    self._empty.append(chunk)
                cached += found
        self._ending = reader.ending
        return cached


def _summed(arena: Found, judge: Judge) -> Arena:
    return Arena(
        arena.address, arena.is_main, arena.is_contiguous, arena.is_locked, arena.system_mem, arena.top,
        arena.last_remainder, tuple(arena.regions), sums_of(judge.table), judge.inferred_from,
    )  # fmt: skip
