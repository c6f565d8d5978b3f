"""Chunks with a mapping of their own: made, resized by mremap(2), and given back by munmap(2) when they are freed."""

from __future__ import annotations

from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, WORD, round_up
from observer.simulator.glibc.state import State

__all__ = ["base_of", "forget", "make", "remap", "shift", "total_of", "unmap", "usable_of"]


def make(state: State, size: int) -> int:
    """Map a chunk of *size* bytes; return its address, 0 if the kernel refuses."""
    total = round_up(size + state.version.mapped_overhead, state.page)
    if total >> 64:
        return 0
    start = state.kernel.mmap(total)
    if start is None:
        return 0
    state.advise_huge(start, total)
    state.parameters.mapped += 1
    state.words[start] = (total - state.version.mapped_tail) | IS_MAPPED
    state.served = "mmap"
    if state.touches is not None:
        state.touches.write(start, HEADER)
    return start


def base_of(state: State, chunk: int) -> int:
    """Return where the chunk's mapping begins."""
    return chunk - state.leads.get(chunk, 0)


def total_of(state: State, chunk: int) -> int:
    """Return the bytes of the chunk's mapping."""
    return state.leads.get(chunk, 0) + (state.words[chunk] & ~FLAGS) + state.version.mapped_tail


def usable_of(state: State, chunk: int) -> int:
    """Return the bytes that a program may use of a mapped chunk."""
    own = WORD if state.version.mapped_tail else HEADER
    return (state.words[chunk] & ~FLAGS) - own


def shift(state: State, chunk: int, lead: int) -> int:
    """Let the chunk begin *lead* bytes further on, for an alignment; return its address."""
    word = state.words.pop(chunk)
    moved = chunk + lead
    state.words[moved], state.leads[moved] = word - lead, lead
    if state.touches is not None:
        state.touches.write(moved, HEADER)
    return moved


def remap(state: State, chunk: int, size: int) -> int:
    """Resize the mapping for a chunk of *size* bytes; return the chunk's address, 0 if the kernel refuses."""
    base, old, lead = base_of(state, chunk), total_of(state, chunk), state.leads.get(chunk, 0)
    new = round_up(size + lead + state.version.mapped_overhead, state.page)
    if new == old:
        return chunk
    start = state.kernel.mremap(base, old, new)
    if start is None:
        return 0
    if not state.version.huge_heaps or old < state.parameters.huge_page:
        state.advise_huge(start, new)
    forget(state, chunk)
    state.words[start + lead] = (new - lead - state.version.mapped_tail) | IS_MAPPED
    if lead:
        state.leads[start + lead] = lead
    if state.touches is not None:
        state.touches.header(start + lead)
    return start + lead


def unmap(state: State, chunk: int) -> None:
    """Give a chunk's mapping back; the thresholds are the caller's concern."""
    base, total = base_of(state, chunk), total_of(state, chunk)
    forget(state, chunk)
    state.parameters.mapped -= 1
    state.kernel.munmap(base, total)


def forget(state: State, chunk: int) -> None:
    """Let the chunk be in use no longer."""
    del state.words[chunk]
    state.leads.pop(chunk, None)
