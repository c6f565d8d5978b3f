"""realloc(3): at once, in place, into top, into a free neighbour, by mremap(2), and only then by a copy."""

from __future__ import annotations

from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, LARGEST, MINIMUM, WORD, chunk_size
from observer.simulator.glibc import mapped
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.arenas import Thread
from observer.simulator.glibc.calls import Calls

__all__ = ["resize"]


def resize(calls: Calls, thread: Thread, chunk: int, request: int) -> int:
    """Return the chunk that has *chunk*'s bytes and room for *request*, 0 if there is none: then *chunk* stays."""
    state = calls.state
    word = calls.word_of(chunk)
    if _keeps(calls, chunk, word, request):
        state.served = "in place"
        return chunk
    if state.version.tcache_made == "any call" and not word & IS_MAPPED:
        calls.prepare_cache(thread)
    if request > LARGEST:
        return 0
    if word & IS_MAPPED:
        return _resize_mapped(calls, thread, chunk, request)
    arena = calls.arenas.of(chunk, word)
    moved = _resize_in_arena(calls, thread, arena, chunk, request)
    return moved if moved or not calls.is_threaded else _move_elsewhere(calls, thread, chunk, request)


def _keeps(calls: Calls, chunk: int, word: int, request: int) -> bool:
    """Whether the release returns a request that fits at once."""
    spare = calls.usable(chunk) - request
    match calls.state.version.realloc_keeps:
        case "trim threshold":
            return 0 <= spare <= calls.state.parameters.trim_threshold
        case "padding or page":
            return 0 <= spare < 16 or (spare >= 0 and bool(word & IS_MAPPED) and spare <= calls.state.page)
        case "padding":
            return 0 <= spare < 16
        case _:
            return False


def _resize_mapped(calls: Calls, thread: Thread, chunk: int, request: int) -> int:
    state = calls.state
    moved = mapped.remap(state, chunk, chunk_size(request))
    if moved:
        state.served = "in place" if moved == chunk else "mremap"
        return moved
    size = state.words[chunk] & ~FLAGS
    if size - WORD >= chunk_size(request):
        state.served = "in place"
        return chunk
    calls.prepare_cache(thread, chunk_size(request))
    new = calls.cached(thread, chunk_size(request)) or calls.allocate(thread, request)
    if new:
        _copy(calls, chunk, new, size - HEADER)
        mapped.unmap(state, chunk)
    return new


def _resize_in_arena(calls: Calls, thread: Thread, arena: Arena, chunk: int, request: int) -> int:
    state = calls.state
    size, wanted = state.words[chunk] & ~FLAGS, chunk_size(request)
    state.used.add(arena.number)
    behind = chunk + size
    state.served = "in place"
    if size < wanted:
        if behind == arena.top and size + arena.top_size >= wanted + MINIMUM:
            return _extend_into_top(arena, chunk, size, wanted)
        free = arena.bins.sizes.get(behind, 0)
        if not free or size + free < wanted:
            return _resize_by_copy(calls, thread, arena, chunk, request)
        arena.bins.remove(behind)
        size += free
    _cut(thread, arena, chunk, size, wanted)
    return chunk


def _extend_into_top(arena: Arena, chunk: int, size: int, wanted: int) -> int:
    arena.top, arena.top_size = chunk + wanted, size + arena.top_size - wanted
    arena.state.words[chunk] = wanted | arena.flag
    if arena.state.touches is not None:
        arena.state.touches.headers(chunk, chunk + wanted)
    return chunk


def _resize_by_copy(calls: Calls, thread: Thread, arena: Arena, chunk: int, request: int) -> int:
    state = calls.state
    size, wanted = state.words[chunk] & ~FLAGS, chunk_size(request)
    new = arena.allocate(wanted - 15, thread.cache)
    if new == chunk + size:  # top began there, and has grown
        size += state.words.pop(new) & ~FLAGS
        _cut(thread, arena, chunk, size, wanted)
        state.served = "in place"
    elif new:
        served = state.served
        _copy(calls, chunk, new, size - WORD)
        calls.release_directly(thread, chunk)
        state.served = served
        return new
    else:
        return 0
    return chunk


def _move_elsewhere(calls: Calls, thread: Thread, chunk: int, request: int) -> int:
    """The chunk's own arena has nothing: allocate as malloc(3) does."""
    calls.prepare_cache(thread, chunk_size(request))
    new = calls.cached(thread, chunk_size(request)) or calls.allocate(thread, request)
    if new:
        _copy(calls, chunk, new, (calls.state.words[chunk] & ~FLAGS) - WORD)
        calls.release_directly(thread, chunk)
    return new


def _cut(thread: Thread, arena: Arena, chunk: int, size: int, wanted: int) -> None:
    """Let *chunk* be as large as is wanted; the rest is freed if it can be a chunk."""
    rest, touches = size - wanted, arena.state.touches
    if rest < MINIMUM:
        arena.state.words[chunk] = size | arena.flag
        if touches is not None:
            touches.headers(chunk, chunk + size)
        return
    arena.state.words[chunk] = wanted | arena.flag
    if touches is not None:
        touches.headers(chunk, chunk + wanted)
        touches.header(chunk + size)
    arena.give_part_back(chunk + wanted, rest, thread.cache)


def _copy(calls: Calls, old: int, new: int, length: int) -> None:
    if calls.state.touches is not None:
        calls.state.touches.copy(old + HEADER, new + HEADER, length)
