"""calloc(3): a chunk, cleared but for what the kernel has just given."""

from __future__ import annotations

from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, WORD, chunk_size
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.arenas import Thread
from observer.simulator.glibc.calls import Calls
from observer.simulator.glibc.threads import ThreadArena

__all__ = ["allocate_cleared"]


def allocate_cleared(calls: Calls, thread: Thread, request: int) -> int:
    """Return a chunk of *request* bytes that are zero, 0 if there is none."""
    if calls.hooked:
        return _by_hook(calls, thread, request)
    size = chunk_size(request)
    calls.prepare_cache(thread, size)
    if calls.state.version.calloc_from_tcache and (chunk := calls.cached(thread, size)):
        _clear(calls, chunk, (calls.state.words[chunk] & ~FLAGS) - WORD)
        return chunk
    arena = calls.arena(thread, request)
    top, top_size = _fresh_from(arena) if arena is not None else (0, 0)
    chunk = calls.allocate(thread, request)
    if chunk:
        _clear_used(calls, chunk, request, top, top_size)
    return chunk


def _by_hook(calls: Calls, thread: Thread, request: int) -> int:
    """Up to 2.33 the very first call runs as malloc, and clears what was asked for."""
    calls.hooked = False
    calls.prepare_cache(thread, chunk_size(request))
    chunk = calls.cached(thread, chunk_size(request)) or calls.allocate(thread, request)
    if chunk:
        _clear(calls, chunk, request)
    return chunk


def _fresh_from(arena: Arena) -> tuple[int, int]:
    """Return top and how many of its bytes may have been used before; what the kernel adds is zero."""
    if isinstance(arena, ThreadArena):
        return arena.top, max(arena.top_size, arena.opened_end - arena.top)
    return arena.top, arena.top_size


def _clear_used(calls: Calls, chunk: int, request: int, top: int, top_size: int) -> None:
    word, perturb = calls.state.words[chunk], calls.state.parameters.perturb
    size = word & ~FLAGS
    if word & IS_MAPPED:
        if perturb:
            _clear(calls, chunk, request)
    elif not perturb and chunk == top and size > top_size:
        _clear(calls, chunk, top_size - WORD)
    else:
        _clear(calls, chunk, size - WORD)


def _clear(calls: Calls, chunk: int, length: int) -> None:
    if calls.state.touches is not None:
        calls.state.touches.write(chunk + HEADER, length)
