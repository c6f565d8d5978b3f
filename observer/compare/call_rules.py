"""Level one, explained: why a call was served otherwise than the book says, with evidence from pointers and breaks.

Each rule looks at one kind of difference and answers with an Explanation, or with None when its evidence is not there.
Nothing is explained by the mere fact that something differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from observer.compare.explanation import Explanation
from observer.compare.shadow import Shadow
from observer.glibc.chunks import HEADER, chunk_size
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
from observer.model.addresses import PAGE, page_up
from observer.model.events import Call
from observer.model.operations import FREEING, RESIZING

__all__ = ["CallCase", "explain_call"]

_HUGE: Final = 2 << 20
_TOP: Final = 32
_TABLE: Final = 0x310
"""The most that the thread cache's table takes (glibc 2.43)."""
_MAPPED_MORE: Final = 32
"""A mapped chunk's own words, and what an alignment cuts off."""
_FITS_ANYWHERE: Final = 1 << 46
_RELEASES: Final = FREEING | RESIZING


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
        return (self.call.result or 0) - HEADER

    @property
    def in_thread_heap(self) -> bool:
        """Whether the piece lies in a heap that a thread reserved."""
        return bool(self.call.result) and self.shadow.is_reserved(self.start)

    @property
    def frees(self) -> bool:
        """Whether the call hands nothing out."""
        return self.call.op in FREEING or not self.call.result

    def asks_only(self, *names: str) -> bool:
        """Whether all its system calls have one of *names*; advice to use huge pages does not count."""
        rest = self.observed.asks
        if self.shadow.parameters.hugetlb:
            rest = tuple(ask for ask in rest if ask.name != "madvise")
        return all(ask.name in names for ask in rest)

    @property
    def grown_plainly(self) -> bool:
        """Whether the break moved up, by no more than the request, the padding and page rounding make."""
        grown = sum(ask.amount for ask in self.observed.asks if ask.name == "brk")
        unit = _HUGE if self.shadow.parameters.hugetlb else PAGE
        most = -(-(self.room + self.shadow.parameters.top_pad + _TOP) // unit) * unit + PAGE
        return self.asks_only("brk") and 0 < grown <= most


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
    """The piece has a mapping of its own, as large as it needs, or the kernel resized the one it had."""
    threshold = case.shadow.parameters.mmap_threshold
    mapped = [ask for ask in case.observed.asks if ask.maps(case.call.result or 0)]
    if case.frees or len(mapped) != 1 or case.shadow.parameters.mmap_max == 0 or not _first_heap_only(case):
        return None
    if not case.chunk < mapped[0].amount <= page_up(case.room + _MAPPED_MORE):
        return None
    old = case.shadow.live.get(case.call.pointer or 0)
    if mapped[0].name == "mremap" and old is not None and old.mapped:
        return Explanation("mmap-threshold", f"the piece had a mapping of its own, of {old.mapped:,} bytes")
    if mapped[0].name == "mmap" and case.room >= threshold:
        return Explanation(
            "mmap-threshold", f"{case.call.bytes_asked:,} bytes asked; the threshold stood at {threshold:,}"
        )
    return None


def _first_heap_only(case: CallCase) -> bool:
    """Whether beside the mapping only the heap was begun, which the cache's table needs: one growth by padding."""
    grown = sum(ask.amount for ask in case.observed.asks if ask.name == "brk")
    unit = _HUGE if case.shadow.parameters.hugetlb else PAGE
    most = -(-(_TABLE + case.shadow.parameters.top_pad + _TOP) // unit) * unit
    return case.asks_only("brk", "mmap", "mremap", "munmap") and 0 <= grown <= most


def _thread_heap(case: CallCase) -> Explanation | None:
    made = any(ask.reserves for ask in case.observed.asks)
    if case.call.tid == case.call.pid or not (case.in_thread_heap or made):
        return None
    if not case.asks_only("mmap", "munmap", "mprotect", "madvise"):
        return None
    return Explanation("thread-arena", f"the piece lies in a heap of task {case.call.tid}")


def _padding(case: CallCase) -> Explanation | None:
    """The heap had spare room: because more was asked for earlier than was needed, or because a page was not full."""
    end = case.start + case.chunk
    if case.in_thread_heap or case.observed.asks or case.predicted.served != GROWTH:
        return None
    pad = case.shadow.parameters.top_pad
    left = case.shadow.break_end - end
    if pad and left + _TOP <= pad + PAGE:
        return Explanation("top-pad", f"{left:,} bytes were still spare in the heap behind it")
    if left < PAGE:
        return Explanation("layout", f"the page at the heap's end had {left:,} bytes left behind it")
    return None


def _not_joined(case: CallCase) -> Explanation | None:
    """The book found a free piece, the real allocator did not take one: is there any, and who holds it?"""
    if case.predicted.served != FREE_PIECE or (case.observed.served == GROWTH and not case.grown_plainly):
        return None
    room, shadow = case.room, case.shadow
    area = shadow.area_for(room)
    if area is not None and shadow.is_reserved(area[0]) and not case.in_thread_heap:
        elsewhere, area = area, shadow.area_below_break(room)
        if area is None:
            return Explanation("thread-arena", f"the {elsewhere[1]:,} free bytes at hand lie in a thread's heap")
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
    area = case.shadow.area_at(case.start) or case.shadow.area_at(case.start + HEADER)
    if area is None or case.observed.asks:
        return None
    old = case.shadow.freed.get(case.start)
    if old is not None and old.size == case.chunk:
        if case.shadow.is_cached(case.start):
            return Explanation("tcache", f"the piece that call {old.call} freed, kept whole for its size")
        rule = "fast-bins" if old.size <= case.shadow.parameters.fast_limit else "bins"
        return Explanation(rule, f"the piece that call {old.call} freed, kept whole for its size")
    return Explanation(
        "bins", f"cut from {area[1]:,} free bytes, where the book's largest free piece has {case.book_largest:,}"
    )


def _needs_more(case: CallCase) -> Explanation | None:
    """The real heap was full, the book's was not: after giving memory back, or since its pages end elsewhere."""
    if case.in_thread_heap or case.predicted.served == FREE_PIECE or not case.grown_plainly:
        return None
    spare = case.shadow.break_end - case.start
    if spare >= case.chunk + _TOP + alignment_of(case.call):
        return None
    back = case.shadow.break_highest - case.shadow.break_end
    if back:
        return Explanation("trim", f"{back:,} bytes of the heap had been given back")
    return Explanation("layout", f"{spare:,} bytes were spare at the heap's end, {case.chunk + _TOP:,} needed")


def _in_place(case: CallCase) -> Explanation | None:
    old = case.shadow.live.get(case.call.pointer or 0)
    if old is None or case.call.op not in RESIZING:
        return None
    if old.mapped:
        fits = case.chunk + 8 <= old.mapped and not case.observed.asks
        return Explanation("mmap-threshold", f"its mapping has {old.mapped:,} bytes") if fits else None
    end = old.start + old.size
    if case.chunk <= old.size:
        return Explanation("realloc", f"the chunk has {old.size:,} bytes, enough without moving")
    free_end = case.shadow.end_of_free(end)
    if case.shadow.is_new(free_end):  # what is free there reaches the heap's end
        return _at_heaps_end(case, old.start + case.chunk)
    if old.start + case.chunk <= free_end and not case.observed.asks:
        return Explanation("realloc", f"the {free_end - end:,} bytes behind the piece were free")
    return None


def _at_heaps_end(case: CallCase, end: int) -> Explanation | None:
    """The piece was the last; it grew into spare room up to *end*, or the heap grew with it."""
    grown = case.observed.moved_break
    if case.in_thread_heap:
        fits = case.asks_only("mprotect")
    else:
        fits = end <= case.shadow.break_end + grown and (not case.observed.asks or case.grown_plainly)
    return Explanation("realloc", "the piece was the last in the heap") if fits else None


def _rounded(case: CallCase) -> Explanation | None:
    old = case.shadow.live.get(case.call.pointer or 0)
    if case.predicted.served != IN_PLACE or old is None or old.size >= case.chunk:
        return None
    if case.observed.asks and not case.grown_plainly:
        return None
    return Explanation("layout", f"the chunk has {old.size:,} bytes, {case.chunk:,} are needed; the book rounds more")


def _refused(case: CallCase) -> Explanation | None:
    asked, alignment = case.call.bytes_asked, case.call.alignment
    if case.observed.served != REFUSED:
        return None
    if case.call.op == "aligned_alloc" and alignment is not None and alignment.bit_count() != 1:
        return Explanation("memalign", f"an alignment of {alignment:,} is no power of two: EINVAL")
    if asked > _FITS_ANYWHERE or asked >= case.memory_bytes > 0 or any(ask.failed for ask in case.observed.asks):
        return Explanation("limit", f"{asked:,} bytes, on a machine with {case.memory_bytes:,}")
    return None


_SERVED: Final = {
    OWN_MAPPING: (_mapped,),
    SPARE_ROOM: (_thread_heap, _rounded, _not_joined, _padding),
    GROWTH: (_thread_heap, _rounded, _not_joined, _needs_more),
    FREE_PIECE: (_thread_heap, _rounded, _reused),
    IN_PLACE: (_mapped, _in_place),
    REFUSED: (_refused,),
}


# ---- served alike, but asking otherwise ---------------------------------------------------------------------


def _unmapped(case: CallCase) -> Explanation | None:
    chunk = case.shadow.live.get(case.call.pointer or 0)
    if case.call.op not in _RELEASES or chunk is None or not chunk.mapped:
        return None
    whole = sum(ask.amount for ask in case.observed.asks) == chunk.mapped
    if not (case.observed.asks and case.asks_only("munmap") and whole):
        return None
    return Explanation("mmap-threshold", f"its mapping of {chunk.mapped:,} bytes is given back")


def _trimmed(case: CallCase) -> Explanation | None:
    """The break moved down: over free memory only, and as much of it as the threshold asks for."""
    chunk = case.shadow.live.get(case.call.pointer or 0)
    back = -case.observed.moved_break
    if case.call.op not in _RELEASES or chunk is None or back <= 0 or not case.asks_only("brk"):
        return None
    kept = chunk.start + (case.chunk if case.call.result else 0)
    free_from = case.shadow.free_tail(kept, chunk.start + chunk.size)
    spare = case.shadow.break_end - free_from
    if case.shadow.break_end - back < free_from or spare < case.shadow.parameters.trim_threshold:
        return None
    return Explanation("trim", f"{back:,} of {spare:,} bytes that were free at the heap's end")


def _thread_heap_shrinks(case: CallCase) -> Explanation | None:
    chunk = case.shadow.live.get(case.call.pointer or 0)
    if case.call.op not in _RELEASES or chunk is None or chunk.mapped or not case.shadow.is_reserved(chunk.start):
        return None
    if not case.observed.asks or not all(
        ask.name in ("madvise", "munmap") or ask.reserves for ask in case.observed.asks
    ):
        return None
    return Explanation("thread-arena", "the end of a thread's heap is given back")


def _asked_by_program(case: CallCase) -> Explanation | None:
    if case.call.op != "malloc_trim" or not case.asks_only("brk", "madvise") or case.observed.moved_break > 0:
        return None
    return Explanation("asked", f"{case.call.op} was called")


def _amount(case: CallCase) -> Explanation | None:
    """Both heaps grew, by different amounts: how much more than the request needs?"""
    grown = case.observed.moved_break
    needed = page_up(case.room + _TOP)
    if case.frees or not case.grown_plainly:
        return None
    if grown > needed + PAGE or (case.shadow.parameters.top_pad and grown > needed):
        return Explanation("top-pad", f"{grown - needed:,} bytes more than {case.room:,} bytes need")
    if grown != case.predicted.moved_break:
        return Explanation("layout", f"{grown:,} bytes, as its own chunks and the 32 bytes kept at the end need")
    return None


def _knew_break(case: CallCase) -> Explanation | None:
    questions = [ask for ask in case.predicted.asks if _is_question(ask)]
    if not questions or any(map(_is_question, case.observed.asks)) or not case.shadow.break_start:
        return None
    if case.observed.moved_break != case.predicted.moved_break or not case.grown_plainly:
        return None
    return Explanation("startup", f"the break was at {case.shadow.break_end:#x} when the program began")


def _huge_advice(case: CallCase) -> Explanation | None:
    advised = any(ask.name == "madvise" for ask in case.observed.asks)
    if case.shadow.parameters.hugetlb and advised and case.observed.moved_break == case.predicted.moved_break:
        return Explanation("huge-pages", "glibc.malloc.hugetlb asks for huge pages")
    return None


def _is_question(ask: Ask) -> bool:
    return ask.name == "brk" and not ask.amount


_ASKED: Final = (
    _refused, _unmapped, _trimmed, _thread_heap_shrinks, _asked_by_program, _thread_heap, _mapped, _huge_advice,
    _amount, _knew_break,
)  # fmt: skip
