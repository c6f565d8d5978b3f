"""What a walk through a heap finds, as frozen values that msgspec can store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from observer.model.chunks import STATES, Chunk

__all__ = ["CHUNK", "Arena", "Cache", "Finding", "Heap", "Region", "Sum"]

CHUNK: Final = np.dtype([("address", "<u8"), ("size", "<u8"), ("state", "u1"), ("arena", "<u2"), ("bin", "<i2")])
"""A record of `Heap.records`: `state` counts in STATES, `arena` in `Heap.arenas`, `bin` is -1 for a chunk in none."""


class Finding(msgspec.Struct, frozen=True):
    """Something that cannot be: `what`, read at `address`, of the chunk `chunk` (0: of none), met in `place`."""

    what: str
    address: int
    chunk: int = 0
    place: str = ""

    def __str__(self) -> str:
        where = f" in {self.place}" if self.place else ""
        chunk = f", chunk {self.chunk:#x}" if self.chunk else ""
        return f"{self.what} at {self.address:#x}{chunk}{where}"


class Region(msgspec.Struct, frozen=True):
    """A part of an arena in which chunk follows chunk: [start, end), its top included.

    `inferred`: where chunks begin in it is told by what lies in it alone.
    """

    start: int
    end: int
    inferred: bool = False


class Sum(msgspec.Struct, frozen=True):
    """How many chunks, and how many bytes they have."""

    chunks: int = 0
    bytes: int = 0


class Arena(msgspec.Struct, frozen=True):
    """One arena: where its malloc_state lies, what it says of itself, and the sums of its chunks by state.

    `is_locked`: somebody was at work in it. From `inferred_from` on, chunks are told by what lies there alone.
    """

    address: int
    is_main: bool
    is_contiguous: bool
    is_locked: bool
    system_mem: int
    top: int
    last_remainder: int
    regions: tuple[Region, ...]
    sums: dict[str, Sum]
    inferred_from: int | None = None


class Cache(msgspec.Struct, frozen=True):
    """A thread's cache: the chunk that holds it, and how many chunks are in it."""

    chunk: int
    chunks: int


class Heap(msgspec.Struct, frozen=True):
    """The heap of one process at one moment.

    `layout` is the release whose structures were met, empty where no arena is. `unread` says why parts of the heap are
    not known; what is known of the others holds. `empty_caches` are chunks in use that may be caches with nothing in
    them, or the program's own, of the same size and all zero; `ending` counts the caches that were being emptied, each
    with a chunk in between perhaps, as their threads ended. `more_findings` counts those that are not in `findings`.
    `records` are all chunks, CHUNK each, in order of arena and address, those with mappings of their own behind.
    """

    layout: str
    arenas: tuple[Arena, ...] = ()
    caches: tuple[Cache, ...] = ()
    empty_caches: tuple[int, ...] = ()
    ending: int = 0
    findings: tuple[Finding, ...] = ()
    more_findings: int = 0
    unread: tuple[str, ...] = ()
    records: bytes = b""

    @property
    def table(self) -> npt.NDArray[Any]:
        """The chunks as an array of CHUNK."""
        return np.frombuffer(self.records, dtype=CHUNK)

    def chunks(self, *states: str) -> Iterator[Chunk]:
        """Yield the chunks, or those in one of *states*."""
        wanted = {STATES.index(state) for state in states}
        for address, size, state, arena, bin_ in self.table.tolist():
            if not wanted or state in wanted:
                yield Chunk(address, size, STATES[state], arena, bin_ if bin_ >= 0 else None)

    def sum(self, *states: str) -> Sum:
        """Return the sum over all arenas of the chunks in *states*."""
        parts = [arena.sums.get(state, Sum()) for arena in self.arenas for state in states]
        return Sum(sum(part.chunks for part in parts), sum(part.bytes for part in parts))
