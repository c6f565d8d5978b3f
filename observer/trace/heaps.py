"""The pieces that calls say are alive, beside the chunks in use that a walk through the heap found, one by one.

Where a heap lies, and what is in use there, `instruments/heaps.py` has noted at the process's last stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import HEADER, chunk_size
from observer.model.addresses import PAGE
from observer.model.events import ChunkRef
from observer.recording.notes import Snapped, Walked
from observer.recording.records import HEAP_CHUNK, INFERRED, KIND, MAPPED, OF_CACHE
from observer.trace.doubts import Doubts
from observer.trace.process import ProcessState

__all__ = ["Beside", "compared"]

_Words = npt.NDArray[np.uint64]
_Which = npt.NDArray[np.bool_]
_KIND: Final = np.uint64(KIND)
_PAGE: Final = np.uint64(PAGE)
_HEADER: Final = np.uint64(HEADER)
_LARGEST: Final = 1 << 62
_PER_CALL: Final = 2
"""Chunks that one call may have under way: realloc's old and new one."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What one process's heap comes to, by its `note` and by the calls; bytes are those of chunks.

    `pieces` has the chunks for the live pieces as large as was asked for, `walked` those and all others in use as the
    walk found them, but for threads' caches, which are the allocator's own. `larger` is what chunks have beyond what
    was asked for (a mapping of its own: beyond whole pages), `guessed` chunks without a piece where the walk had to
    guess, `unowned` (so many as `strangers`) all others.

    `others` counts the live pieces of other allocators, `aside` those that have mappings of their own, which no walk
    meets. `disagreeing` pieces should be chunks in use, and are not, or do not fit; `first` says which is the first.
    `under_way` calls of the process had not returned.
    """

    note: Walked | Snapped
    pieces: int
    walked: int
    larger: int
    guessed: int
    unowned: int
    strangers: int
    others: int
    aside: int
    disagreeing: int
    first: str
    doubts: Doubts
    under_way: int = 0

    @property
    def explains_strangers(self) -> str:
        """Why chunks in use may have no piece, empty if there is no reason."""
        if self.doubts.is_partial:
            return "chunks that were in use before the recording began"
        if self.doubts.has_others:
            return "chunks that another allocator of the process took for itself"
        if self.strangers <= _PER_CALL * (self.doubts.unended + self.under_way):
            return "chunks of calls that did not return"
        if self.strangers <= _PER_CALL * self.doubts.unended + self.note.ending:
            return "chunks that ending threads were giving back from their caches"
        return ""


def compared(note: Walked | Snapped, chunks: npt.NDArray[Any], state: ProcessState, *, under_way: int = 0) -> Beside:
    """Set the *chunks* in use of a process, HEAP_CHUNKs, beside the pieces that live in it.

    *under_way* calls had not returned when the heap was walked.
    """
    nothing = np.array([((1 << 64) - 1, MAPPED)], dtype=HEAP_CHUNK.dtype)
    chunks = np.sort(np.concatenate([chunks, nothing]), order="address")
    addresses, sizes, kinds = chunks["address"], chunks["size"] & ~_KIND, chunks["size"] & _KIND
    live, foreign = state.live.pieces()
    places = np.array([piece.address for piece in live], dtype=np.uint64) - _HEADER
    needed = np.array([chunk_size(min(piece.size, _LARGEST)) for piece in live], dtype=np.uint64)
    which = np.minimum(np.searchsorted(addresses, places), len(addresses) - 1)
    met, inside = addresses[which] == places, _inside(places, note)
    in_pages = met & (kinds[which] == MAPPED) & (sizes[which] >= needed) & (sizes[which] < needed + _PAGE)
    needed = np.where(in_pages, sizes[which], needed)
    wrong = np.where(met, sizes[which] < needed, inside & ~foreign)
    taken = met & ~wrong
    owned = np.zeros(len(addresses), dtype=bool)
    owned[which[met]] = True
    alone = ~owned & (kinds != MAPPED) & (kinds != OF_CACHE)
    guessed = alone & (kinds == INFERRED)
    strange = alone & ~guessed
    return Beside(
        note=note, pieces=_sum(needed, taken | wrong), walked=_sum(sizes, owned | alone),
        larger=_sum(sizes[which] - needed, taken), guessed=_sum(sizes, guessed),
        unowned=_sum(sizes, strange), strangers=int(strange.sum()), others=int((foreign & ~met).sum()),
        aside=int((~foreign & ~met & ~inside).sum()), disagreeing=int(wrong.sum()),
        first=_first(live, wrong, sizes[which] * met) or _stranger(addresses, sizes, strange),
        doubts=state.doubts.copy(), under_way=under_way,
    )  # fmt: skip


def _inside(places: _Words, note: Walked | Snapped) -> _Which:
    inside = np.zeros(len(places), dtype=bool)
    for start, end in note.regions:
        inside |= (places >= np.uint64(start)) & (places < np.uint64(end))
    return inside


def _sum(sizes: _Words, which: _Which) -> int:
    return int(sizes[which].sum())


def _first(live: list[ChunkRef], wrong: _Which, sizes: _Words) -> str:
    """Say of the first piece that is *wrong* what is there instead."""
    if not wrong.any():
        return ""
    i = int(np.argmax(wrong))
    piece, size = live[i], int(sizes[i])
    there = f"is a chunk of {size:,}" if size else "no chunk is in use"
    return f"{piece.size:,} bytes of call {piece.call} at {piece.address:#x}, where {there}"


def _stranger(addresses: _Words, sizes: _Words, strange: _Which) -> str:
    if not strange.any():
        return ""
    i = int(np.argmax(strange))
    return f"a chunk of {int(sizes[i]):,} bytes in use at {int(addresses[i]) + HEADER:#x}, which no call has returned"
