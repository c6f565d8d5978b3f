"""Every chunk of a modelled allocator, with what it is: in use, in a cache, in a bin, top."""

from __future__ import annotations

from collections.abc import Iterator

from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, LAST_BIN, UNSORTED, bin_of
from observer.model.chunks import Chunk
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.calls import Calls

__all__ = ["inventory"]

_SMALL_BINS = 64


def inventory(calls: Calls) -> list[Chunk]:
    """Return the chunks of one process in the order of their addresses."""
    arenas = {id(arena): number for number, arena in enumerate(calls.arenas.ring)}
    waiting = dict(_waiting(calls))
    found = [*_in_use(calls, waiting, arenas)]
    for arena in calls.arenas.ring:
        found += _free(arena, arenas[id(arena)])
    return sorted(found)


def _waiting(calls: Calls) -> Iterator[tuple[int, tuple[str, int | None]]]:
    """Yield the chunks that count as in use and are not: state and bin, by address."""
    for thread in calls.threads.values():
        cache = thread.cache
        if cache.made:
            yield cache.address - HEADER, ("cache", None)
        for index, chunks in enumerate(cache.lists):
            for chunk in chunks:
                yield chunk, ("tcache", index)
        for large in cache.large:
            for _size, chunk in large:
                yield chunk, ("tcache", None)
    for arena in calls.arenas.ring:
        for index, chunks in enumerate(arena.fast.lists):
            for chunk in chunks:
                yield chunk, ("fast", index)


def _in_use(
    calls: Calls, waiting: dict[int, tuple[str, int | None]], arenas: dict[int, int]
) -> Iterator[Chunk]:  # fmt: skip
    for address, word in calls.state.words.items():
        if word & IS_MAPPED:
            state, bin_ = waiting.get(address, ("mmapped", None))
            yield Chunk(address, word & ~FLAGS, state, 0, bin_)
            continue
        state, bin_ = waiting.get(address, ("in use", None))
        yield Chunk(address, word & ~FLAGS, state, arenas.get(id(calls.arenas.of(address, word)), 0), bin_)


def _free(arena: Arena, number: int) -> Iterator[Chunk]:
    """Yield what lies in the bins of *arena*, and its top."""
    unsorted = set(arena.bins.backwards(UNSORTED))
    for address, size in arena.bins.sizes.items():
        if address in unsorted:
            yield Chunk(address, size, "unsorted", number, UNSORTED)
        else:
            bin_ = min(bin_of(size), LAST_BIN)
            yield Chunk(address, size, "small" if bin_ < _SMALL_BINS else "large", number, bin_)
    if arena.top_size:
        yield Chunk(arena.top, arena.top_size, "top", number)
