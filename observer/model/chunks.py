"""What a chunk of glibc's heap is at a moment, whoever says so: a model, or who has read the heap."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["STATES", "Chunk"]

STATES: Final = (
    "in use", "tcache", "fast", "unsorted", "small", "large", "free", "top", "fence", "mmapped", "cache",
)  # fmt: skip
"""What a chunk may be. `free`: its neighbour says so, and it is in no list that could be read; `fence`: closes a part
of a heap that cannot grow any more; `cache`: in use by the allocator itself, for a thread's cache.
"""


class Chunk(NamedTuple):
    """A chunk: its address (16 bytes before the program's pointer), its bytes, its state, its arena (by its place in
    the ring, the main one is 0), and the bin it is in.
    """

    address: int
    size: int
    state: str
    arena: int = 0
    bin: int | None = None
