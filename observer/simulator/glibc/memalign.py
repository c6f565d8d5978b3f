"""memalign(3) and its relatives: a chunk with room to spare, of which lead and tail go back."""

from __future__ import annotations

from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, LARGEST, MINIMUM, chunk_size, round_up
from observer.simulator.glibc import mapped
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.arenas import Thread
from observer.simulator.glibc.calls import Calls

__all__ = ["allocate_aligned", "effective"]


def effective(alignment: int) -> int:
    """Return the power of two, at least 32, that an alignment above 16 is rounded up to.

    >>> effective(17), effective(48), effective(4096)
    (32, 64, 4096)
    """
    return max(MINIMUM, 1 << (alignment - 1).bit_length())


def allocate_aligned(calls: Calls, thread: Thread, alignment: int, request: int) -> int:
    """Return a chunk whose pointer is a multiple of *alignment*, a power of two above 16; 0 if there is none."""
    size = chunk_size(request)
    if request > LARGEST and not calls.state.version.refuses_late:
        return 0
    if calls.state.version.tcache_made == "small request":
        calls.prepare_cache(thread, size)
    if calls.state.version.memalign_from_tcache and (chunk := thread.cache.get_aligned(size, alignment)):
        calls.state.served = "tcache"
        return chunk
    arena = calls.arena(thread, request + alignment + MINIMUM)
    chunk = _in_arena(calls, thread, arena, alignment, size) if arena is not None else 0
    if chunk or arena is None or not calls.is_threaded:
        return chunk
    other = calls.arenas.retry(thread, arena, request)
    return _in_arena(calls, thread, other, alignment, size) if other is not None else 0


def _in_arena(calls: Calls, thread: Thread, arena: Arena, alignment: int, size: int) -> int:
    if size > LARGEST:
        return 0
    chunk = arena.allocate(size + alignment + MINIMUM, thread.cache)
    if not chunk:
        return 0
    if calls.state.words[chunk] & IS_MAPPED:
        return _align_mapped(calls, chunk, alignment)
    served = calls.state.served
    chunk = _give_lead(calls, thread, arena, chunk, alignment)
    _give_tail(calls, thread, arena, chunk, size)
    calls.state.served = served
    return chunk


def _lead(chunk: int, alignment: int, least: int) -> int:
    """Return the bytes from *chunk* to the first place for a chunk with an aligned pointer, none or *least*."""
    if not (chunk + HEADER) & (alignment - 1):
        return 0
    lead = round_up(chunk + HEADER, alignment) - HEADER - chunk
    return lead if lead >= least else lead + alignment


def _align_mapped(calls: Calls, chunk: int, alignment: int) -> int:
    least = 0 if calls.state.version.mapped_tail else MINIMUM
    lead = _lead(chunk, alignment, least)
    return mapped.shift(calls.state, chunk, lead) if lead else chunk


def _give_lead(calls: Calls, thread: Thread, arena: Arena, chunk: int, alignment: int) -> int:
    lead = _lead(chunk, alignment, MINIMUM)
    if not lead:
        return chunk
    words, touches = calls.state.words, calls.state.touches
    size, moved = words.pop(chunk) & ~FLAGS, chunk + lead
    words[moved] = (size - lead) | arena.flag
    if touches is not None:
        touches.headers(moved, chunk + size)
        touches.header(chunk)
    if calls.state.version.memalign_parts == "freed":
        arena.give_part_back(chunk, lead, thread.cache)
    else:
        arena.merge(chunk, lead)
    return moved


def _give_tail(calls: Calls, thread: Thread, arena: Arena, chunk: int, size: int) -> None:
    words = calls.state.words
    rest = (words[chunk] & ~FLAGS) - size
    if not _is_given(calls, arena, chunk + size + rest, rest):
        return
    words[chunk] = size | arena.flag
    if calls.state.touches is not None:
        calls.state.touches.header(chunk)
    if calls.state.version.memalign_parts == "freed":
        if calls.state.touches is not None:
            calls.state.touches.header(chunk + size)
        arena.give_part_back(chunk + size, rest, thread.cache)
    else:
        arena.settle(chunk + size, rest)


def _is_given(calls: Calls, arena: Arena, behind: int, rest: int) -> bool:
    """Whether a tail of *rest* bytes goes back."""
    match calls.state.version.memalign_parts:
        case "freed":
            return rest > MINIMUM
        case "joined":
            return rest >= MINIMUM or (rest > 0 and (behind == arena.top or arena.is_free(behind)))
        case _:
            return rest >= MINIMUM
