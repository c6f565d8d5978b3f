"""The arenas of a process and the parts of memory that they have chunks in (malloc/arena.c of glibc).

The main arena lies in the data of the C library, or of the static program. Where no symbol tells its address it is
known by its shape: 127 pairs of words, of which the last points to itself and each other one does, or into memory that
a heap may be in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import ALIGNMENT, FLAGS, HEADER, round_up
from observer.glibc.layout import BINS, FAST_BINS, HEAP_SIZES, Layout
from observer.heap.image import Image
from observer.heap.values import Region
from observer.model.addresses import PAGE

__all__ = ["Found", "Where", "arenas_from", "find_main"]

_NONCONTIGUOUS: Final = 2
_MOST_ODD_BINS: Final = 16
"""How many pairs may be neither empty nor credible, in an arena that is still known by the others."""
_MOST_ARENAS: Final = 1 << 14
_MOST_HEAPS: Final = 1 << 16
_WORD = np.uint64(8)


@dataclass(frozen=True, slots=True)
class Where:
    """Where to look in a process: addresses in bytes, ranges [start, end).

    `release` is what glibc calls itself, empty if that is not known; `data` are the writable parts of the file that has
    it, `main_arena` its address if a symbol tells it, else 0. `writable` are the ranges of memory of no file, in order,
    `break_area` the one below the break, None if there is none.
    """

    release: str
    data: tuple[tuple[int, int], ...]
    writable: tuple[tuple[int, int], ...]
    break_area: tuple[int, int] | None
    main_arena: int = 0


@dataclass(slots=True)
class Found:
    """An arena as its malloc_state has it. `heads` are the chunks at the heads of the fast bins, `bins` the pairs.

    `top` is 0 where it has no memory yet; `regions` are the parts that it has chunks in. Those of a main arena whose
    break could not be moved are not known before its lists are: it has them in some of the ranges `scattered`.
    """

    address: int
    number: int
    is_main: bool
    is_contiguous: bool
    is_locked: bool
    heads: list[int]
    top: int
    last_remainder: int
    bins: list[int]
    next: int
    system_mem: int
    regions: list[Region] = field(default_factory=list)
    scattered: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """What findings call it."""
        return "the main arena" if self.is_main else f"arena {self.number}"

    @property
    def is_unused(self) -> bool:
        """Whether nothing was ever asked of it: the first call is what makes the bins."""
        return not self.top and not any(self.bins)

    def holds(self, address: int) -> bool:
        """Whether a chunk of it may begin at *address*."""
        if address % ALIGNMENT:
            return False
        for region in self.regions:  # asked for every chunk of a list
            if region.start <= address < region.end:
                return True
        return any(start <= address < end for start, end in self.scattered)

    def gather(self, known: Iterable[int]) -> None:
        """Take those of the `scattered` ranges as its regions that hold *known* chunks, or top."""
        known = [*known, self.top]
        held = [area for area in self.scattered if any(area[0] <= chunk < area[1] for chunk in known)]
        self.regions += [Region(start, end, inferred=True) for start, end in held]
        self.scattered = ()


def find_main(image: Image, where: Where, layout: Layout) -> int:
    """Return the address at which something of a main arena's shape lies in the data, 0 if nothing does."""
    best, most = 0, BINS - _MOST_ODD_BINS
    for start, end in where.data:
        words = image.array(start, end)
        if len(words) < layout.state_size // 8:
            continue
        places = np.arange(len(words), dtype=np.uint64) * _WORD + np.uint64(start)
        own = np.zeros(len(words) + 2, dtype=bool)
        own[: len(words) - 1] = (words[:-1] == places[:-1] - np.uint64(HEADER)) & (words[1:] == words[:-1])
        last = np.nonzero(own[:-2] & ~own[2:])[0]  # behind the last bin there is none
        for at in (last - (layout.bins >> 3) - 2 * (BINS - 1)).tolist():
            score = _likeness(image, words, at, start, where, layout)
            if score > most:
                best, most = start + 8 * at, score
    return best


def _likeness(
    image: Image, words: npt.NDArray[np.uint64], at: int, start: int, where: Where, layout: Layout
) -> int:  # fmt: skip
    """Return how many things at word *at* are as they are in a malloc_state: its bins, and its link."""
    first = at + (layout.bins >> 3)
    if at < 0 or at + (layout.state_size >> 3) > len(words):
        return 0
    pairs = words[first : first + 2 * BINS].astype(np.int64).reshape(BINS, 2)
    address = start + 8 * at
    headers = np.array([layout.bin_header(address, i) for i in range(1, BINS + 1)], dtype=np.int64)
    empty = (pairs == headers[:, None]).all(axis=1)
    credible = _inside(pairs[:, 0], where.writable) & _inside(pairs[:, 1], where.writable)
    following = int(words[at + (layout.next >> 3)])
    return int((empty | credible).sum()) + (following == address or _may_be_arena(image, following, layout))


def _inside(addresses: npt.NDArray[np.int64], ranges: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    if not ranges:
        return np.zeros(len(addresses), dtype=bool)
    bounds = np.array(ranges, dtype=np.int64)
    which = np.searchsorted(bounds[:, 0], addresses, side="right") - 1
    inside: npt.NDArray[np.bool_] = (which >= 0) & (addresses < bounds[np.maximum(which, 0), 1])
    inside &= addresses % ALIGNMENT == 0
    return inside


def arenas_from(image: Image, main: int, where: Where, layout: Layout) -> list[Found]:
    """Return the arenas of the ring that begins with the one at *main*, with the parts that they have chunks in."""
    ring: list[Found] = []
    for number, address in enumerate(_ring(image, main, layout)):
        found = _read_state(image, address, number, layout)
        if found is None:
            _cannot_read(image, address, "the list of arenas")
            continue
        if number == 0:
            _place_main(image, found, where)
        else:
            _place_heaps(image, found, layout)
        ring.append(found)
    return ring


def _ring(image: Image, main: int, layout: Layout) -> Iterator[int]:
    seen, address = set[int](), main
    while address not in seen and len(seen) < _MOST_ARENAS:
        yield address
        seen.add(address)
        place = address + layout.next
        following = image.word(place)
        if following is None:
            return _cannot_read(image, place, "the list of arenas")
        if following != main and not _may_be_arena(image, following, layout):
            return image.found(f"the next arena is {following:#x}, where none is", place, 0, "the list of arenas")
        address = following
    if address != main:
        image.found("the list of arenas does not come back to the main arena", address + layout.next)
    return None


def _may_be_arena(image: Image, address: int, layout: Layout) -> bool:
    """Whether a thread's heap has an arena at *address*: behind a header that names it."""
    heap = address - layout.heap_header
    return not heap % PAGE and image.word(heap) == address


def _read_state(image: Image, address: int, number: int, layout: Layout) -> Found | None:
    words = image.words(address, layout.state_size >> 3)
    if words is None:
        return None
    fast, bins = layout.fast_bins, layout.bins >> 3
    found = Found(
        address, number, number == 0, not words[0] >> 32 & _NONCONTIGUOUS, bool(words[0] & 0xFFFFFFFF),
        words[fast >> 3 : (fast >> 3) + FAST_BINS] if fast is not None else [], words[layout.top >> 3],
        words[layout.last_remainder >> 3], words[bins : bins + 2 * BINS], words[layout.next >> 3],
        words[layout.system_mem >> 3],
    )  # fmt: skip
    if found.top == layout.bin_header(address, 1):
        found.top = 0
    return found


def _cannot_read(image: Image, address: int, place: str) -> None:
    why = image.why_absent(address)
    if why:
        image.unread[why] = None
    else:
        image.found("nothing is there to read", address, 0, place)


# ---- the main arena's memory --------------------------------------------------------------------------------


def _place_main(image: Image, arena: Found, where: Where) -> None:
    """Find the parts of the main arena: below the break, and what was mapped where that could not be moved."""
    end = _top_end(image, arena, where) if arena.top else None
    if end is None:
        return
    area = next(((low, high) for low, high in where.writable if low <= arena.top < high), None)
    if area is None or end > area[1]:
        image.found("top lies in no memory of the heap", arena.top, arena.top, arena.name)
    elif arena.is_contiguous:
        start = round_up(end - arena.system_mem, ALIGNMENT)
        if not area[0] <= start <= arena.top:
            image.found(f"it has {arena.system_mem:#x} bytes, more than there are", arena.address, 0, arena.name)
            start = area[0]
        arena.regions = [Region(start, end)]
    else:
        arena.scattered = where.writable


def _top_end(image: Image, arena: Found, where: Where) -> int | None:
    head = image.word(arena.top + 8) if not arena.top % ALIGNMENT else None
    if head is not None:
        return arena.top + (head & ~FLAGS)
    _cannot_read(image, arena.top, arena.name)
    if where.break_area is not None:
        arena.regions = [Region(*where.break_area, inferred=True)]
    return None


# ---- threads' heaps -----------------------------------------------------------------------------------------


def _place_heaps(image: Image, arena: Found, layout: Layout) -> None:
    """Follow the heaps of a thread's arena from the one with its top to the one with the arena itself."""
    own = arena.address - layout.heap_header
    seen = set[int]()
    heap = _heap_of(image, arena.top, arena.address) or own
    while heap and heap not in seen and len(seen) < _MOST_HEAPS:
        seen.add(heap)
        words = image.words(heap, 3)
        if words is None:
            _cannot_read(image, heap, f"the heaps of {arena.name}")
            heap = 0
            break
        owner, before, size = words
        if owner != arena.address or not layout.heap_header < size <= max(HEAP_SIZES):
            image.found(f"its heap's header is of arena {owner:#x}, {size:#x} bytes", heap, 0, arena.name)
            heap = 0
            break
        first = layout.first_chunk if heap == own else layout.heap_header
        arena.regions.append(Region(heap + round_up(first, ALIGNMENT), heap + size))
        heap = before
    if heap in seen:
        image.found("the list of heaps is a cycle", heap + 8, 0, arena.name)
    if own not in seen:
        image.found("the heap with the arena itself is not in its list of heaps", own, 0, arena.name)
    arena.regions.sort(key=lambda region: region.start)
    if not any(region.start <= arena.top < region.end for region in arena.regions):
        image.found("top lies in no heap of its arena", arena.top, arena.top, arena.name)


def _heap_of(image: Image, address: int, arena: int) -> int | None:
    """Return the heap that holds *address*, if it is one of *arena*."""
    bases = (address & -size for size in HEAP_SIZES)
    return next((base for base in bases if image.word(base) == arena), None)
