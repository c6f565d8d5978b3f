"""Level one, explained: why a call was served otherwise than the book says, with evidence from pointers and breaks.

Each rule looks at one kind of difference and answers with an Explanation, or with None when its evidence is not there.
Nothing is explained by the mere fact that something differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from observer.compare.departures import Explanation
from observer.compare.shadow import Shadow, chunk_size
from observer.model.account import (
    FREE_PIECE,
    GROWTH,
    IN_PLACE,
    OWN_MAPPING,
    REFUSED,
    SPARE_ROOM,
    UNKNOWN,
    Account,
    Ask,
    alignment_of,
    request_of,
)
from observer.model.events import Call

__all__ = ["CallCase", "explain_call"]

_PAGE: Final = 4096
_TOP: Final = 32
_FITS_ANYWHERE: Final = 1 << 46


@dataclass(frozen=True, slots=True)
class CallCase:
    """One call with both accounts, and the real heap as it was before it. `book_largest`: the book's largest piece."""

    call: Call
    observed: Account
    predicted: Account
    shadow: Shadow
    book_largest: int
    memory_bytes: int

    @property
    def chunk(self) -> int:
        """Bytes of the chunk that the real allocator needs for the request."""
        return chunk_size(request_of(self.call))

    @property
    def room(self) -> int:
        """Bytes that a free area must have to serve it: an aligned piece needs more than its chunk."""
        alignment = alignment_of(self.call)
        return self.chunk + alignment + (_TOP if alignment else 0)

    @property
    def start(self) -> int:
        """Where the real chunk begins."""
        return (self.call.result or 0) - 16

    @property
    def in_thread_heap(self) -> bool:
        """Whether the piece lies in a heap that is not the one brk makes."""
        return bool(self.call.result) and not self.shadow.in_main_heap(self.start)


def explain_call(case: CallCase) -> Explanation | None:
    """Return what explains that *case*'s accounts differ, or None."""
    if case.observed.served == UNKNOWN:
        return None
    if case.observed.served != case.predicted.served:
        rules: tuple[Callable[[CallCase], Explanation | None], ...] = _SERVED.get(case.observed.served, ())
    else:
        rules = _ASKED
    for rule in rules:
        found = rule(case)
        if found is not None:
            return found
    return None


# ---- served by something else -------------------------------------------------------------------------------


def _mapped(case: CallCase) -> Explanation | None:
    threshold = case.shadow.tunables.mmap_threshold
    mapped = [ask for ask in case.observed.asks if ask.name in ("mmap", "mremap") and not ask.failed]
    if not mapped or case.shadow.tunables.mmap_max == 0:
        return None
    old = case.shadow.live.get(case.call.pointer or 0)
    if old is not None and old.mapped:
        return Explanation("mmap-threshold", f"the piece had a mapping of its own, of {old.mapped:,} bytes")
    if case.chunk >= threshold or case.room >= threshold:
        return Explanation(
            "mmap-threshold", f"{case.call.bytes_asked:,} bytes asked; the threshold stood at {threshold:,}"
        )
    return None


def _thread_heap(case: CallCase) -> Explanation | None:
    if case.call.tid != case.call.pid and case.in_thread_heap:
        return Explanation("thread-arena", f"the piece lies in a heap of task {case.call.tid}")
    return None


def _padding(case: CallCase) -> Explanation | None:
    """The heap had spare room: because more was asked for earlier than was needed, or because a page was not full."""
    end = case.start + case.chunk
    if case.in_thread_heap or not end <= case.shadow.break_end:
        return None
    pad = case.shadow.tunables.top_pad
    left = case.shadow.break_end - end
    if pad and left + _TOP <= pad + _PAGE:
        return Explanation("top-pad", f"{left:,} bytes were still spare in the heap behind it")
    return (
        Explanation("layout", f"the page at the heap's end had {left:,} bytes left behind it") if left < _PAGE else None
    )


def _not_joined(case: CallCase) -> Explanation | None:
    """The book found a free piece, the real allocator did not take one: is there any, and who holds it?"""
    if case.predicted.served != FREE_PIECE:
        return None
    room, shadow = case.room, case.shadow
    area = shadow.area_for(room)
    if area is None:
        largest = shadow.free.largest
        return Explanation("layout", f"no free piece had the {room:,} bytes; the largest had {largest:,}")
    if shadow.longest_joined(area, fast=False) < room:
        return Explanation("tcache", f"the {area[1]:,} free bytes at hand are pieces that the thread cache keeps apart")
    if shadow.longest_joined(area, fast=True) < room:
        return Explanation("fast-bins", f"the {area[1]:,} free bytes at hand are pieces in fast bins, not joined")
    if alignment_of(case.call):
        return Explanation("memalign", f"no free piece holds {room:,} bytes at such an alignment")
    return None


def _reused(case: CallCase) -> Explanation | None:
    """The real allocator had a free piece, the book had none: it gave them to others, or they lie elsewhere."""
    area = case.shadow.area_at(case.start) or case.shadow.area_at(case.start + 16)
    if area is None:
        return None
    old = case.shadow.freed.get(case.start)
    if old is not None and old.size == case.chunk:
        if case.shadow.is_cached(case.start):
            return Explanation("tcache", f"the piece that call {old.call} freed, kept whole for its size")
        rule = "fast-bins" if old.size <= case.shadow.tunables.mxfast else "bins"
        return Explanation(rule, f"the piece that call {old.call} freed, kept whole for its size")
    return Explanation(
        "bins", f"cut from {area[1]:,} free bytes, where the book's largest free piece has {case.book_largest:,}"
    )


def _trimmed(case: CallCase) -> Explanation | None:
    shadow = case.shadow
    if not case.in_thread_heap and shadow.break_highest > shadow.break_end:
        back = shadow.break_highest - shadow.break_end
        return Explanation("trim", f"{back:,} bytes of the heap had been given back")
    return None


def _needs_a_page(case: CallCase) -> Explanation | None:
    """The real heap's last page was full; the book's was not."""
    if case.in_thread_heap or not any(ask.grows for ask in case.observed.asks):
        return None
    spare = case.shadow.break_end - case.start
    if spare < case.chunk + _TOP:
        return Explanation("layout", f"{spare:,} bytes were spare at the heap's end, {case.chunk + _TOP:,} needed")
    return None


def _in_place(case: CallCase) -> Explanation | None:
    old = case.shadow.live.get(case.call.pointer or 0)
    if old is None or case.call.op not in ("realloc", "reallocarray"):
        return None
    if old.mapped:
        fits = case.chunk + 8 <= old.mapped
        return Explanation("mmap-threshold", f"its mapping has {old.mapped:,} bytes") if fits else None
    end = old.start + old.size
    if case.chunk <= old.size:
        return Explanation("realloc", f"the chunk has {old.size:,} bytes, enough without moving")
    area = case.shadow.area_at(end)
    if area is not None and area[0] <= end:
        return Explanation("realloc", f"the {sum(area) - end:,} bytes behind the piece were free")
    if case.shadow.is_new(end):
        return Explanation("realloc", "the piece was the last in the heap")
    return None


def _rounded(case: CallCase) -> Explanation | None:
    old = case.shadow.live.get(case.call.pointer or 0)
    if case.predicted.served == IN_PLACE and old is not None and old.size < case.chunk:
        return Explanation(
            "layout", f"the chunk has {old.size:,} bytes, {case.chunk:,} are needed; the book rounds more"
        )
    return None


def _refused(case: CallCase) -> Explanation | None:
    asked = case.call.bytes_asked
    if case.observed.served != REFUSED:
        return None
    if asked > _FITS_ANYWHERE or asked >= case.memory_bytes > 0 or any(ask.failed for ask in case.observed.asks):
        return Explanation("limit", f"{asked:,} bytes, on a machine with {case.memory_bytes:,}")
    return None


_SERVED: Final = {
    OWN_MAPPING: (_mapped,),
    SPARE_ROOM: (_thread_heap, _rounded, _not_joined, _padding),
    GROWTH: (_thread_heap, _rounded, _not_joined, _trimmed, _needs_a_page),
    FREE_PIECE: (_thread_heap, _rounded, _reused),
    IN_PLACE: (_mapped, _in_place),
    REFUSED: (_refused,),
}


# ---- served alike, but asking otherwise ---------------------------------------------------------------------


def _asks_of_free(case: CallCase) -> Explanation | None:
    asks = case.observed.asks
    if case.call.op not in ("free", "cfree", "realloc") or not asks:
        return None
    chunk = case.shadow.live.get(case.call.pointer or 0)
    if chunk is not None and chunk.mapped and all(ask.name == "munmap" for ask in asks):
        return Explanation("mmap-threshold", f"its mapping of {chunk.mapped:,} bytes is given back")
    if all(ask.name == "brk" and ask.amount <= 0 for ask in asks):
        back = -sum(ask.amount for ask in asks)
        return Explanation("trim", f"{back:,} bytes given back") if back else None
    if chunk is not None and not chunk.mapped and not case.shadow.in_main_heap(chunk.start):
        return Explanation("thread-arena", "the end of a thread's heap is given back")
    return None


def _asked_by_program(case: CallCase) -> Explanation | None:
    return Explanation("asked", f"{case.call.op} was called") if case.call.op == "malloc_trim" else None


def _amount(case: CallCase) -> Explanation | None:
    """Both heaps grew, by different amounts: how much more than the request needs?"""
    grown = sum(ask.amount for ask in case.observed.asks if ask.name == "brk")
    needed = -(-(case.room + _TOP) // _PAGE) * _PAGE
    pad = case.shadow.tunables.top_pad
    most = -(-(case.room + pad + _TOP) // _PAGE) * _PAGE
    if pad and needed < grown <= most + _PAGE:
        return Explanation("top-pad", f"{grown - needed:,} bytes more than {case.room:,} bytes need")
    if 0 < grown <= needed + _PAGE:
        return Explanation("layout", f"{grown:,} bytes, as its own chunks and the 32 bytes kept at the end need")
    return None


def _knew_break(case: CallCase) -> Explanation | None:
    questions = [ask for ask in case.predicted.asks if _is_question(ask)]
    if questions and not any(map(_is_question, case.observed.asks)) and case.shadow.break_start:
        return Explanation("startup", f"the break was at {case.shadow.break_end:#x} when the program began")
    return None


def _huge_advice(case: CallCase) -> Explanation | None:
    if case.shadow.tunables.hugetlb and any(ask.name == "madvise" for ask in case.observed.asks):
        return Explanation("huge-pages", "glibc.malloc.hugetlb asks for huge pages")
    return None


def _is_question(ask: Ask) -> bool:
    return ask.name == "brk" and not ask.amount


_ASKED: Final = (_refused, _asks_of_free, _asked_by_program, _thread_heap, _mapped, _huge_advice, _amount, _knew_break)
