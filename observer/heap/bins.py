"""The lists of free chunks of one arena: unsorted, small and large bins (doubly linked) and fast bins (singly)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from observer.glibc.chunks import ALIGNMENT, FLAGS, MINIMUM, SMALL_LIMIT, UNSORTED, bin_of
from observer.glibc.layout import BINS, Layout
from observer.heap.arenas import Found
from observer.heap.image import Image
from observer.model.chunks import STATES

__all__ = ["Listed", "demangled", "listed_of"]

_FD, _BK, _FD_SIZE, _BK_SIZE = 16, 24, 32, 40
_SMALLEST_LARGE: Final = bin_of(SMALL_LIMIT)
_MOST: Final = 1 << 22


class Listed(NamedTuple):
    """A chunk that a list holds: its state in STATES by number, and its place among the lists of that kind."""

    address: int
    size: int
    state: int
    bin: int
    place: str


def demangled(layout: Layout, word: int, address: int) -> int:
    """Return the pointer that is stored as *word* at *address*: exclusive-or with the place's page (2.32)."""
    return word ^ (address >> 12) if layout.mangled else word


def listed_of(image: Image, arena: Found, layout: Layout) -> Iterator[Listed]:
    """Yield what the arena's lists hold; what cannot be in them is taken down and left out."""
    if arena.is_unused:
        return
    for index, head in enumerate(arena.heads):
        yield from _fast(image, arena, layout, index, head)
    for index in range(1, BINS):
        yield from _bin(image, arena, layout, index)


def _fast(image: Image, arena: Found, layout: Layout, index: int, chunk: int) -> Iterator[Listed]:
    place, holder = f"the fast bin of {16 * index + MINIMUM:#x} of {arena.name}", arena.address
    seen = set[int]()
    while chunk:
        if chunk in seen or len(seen) >= _MOST:
            return image.found("the list is a cycle", holder, chunk, place)
        words = image.words(chunk, 3) if arena.holds(chunk) else None
        if words is None:
            return _no_chunk(image, chunk, holder, place)
        size = words[1] & ~FLAGS
        if size != 16 * index + MINIMUM:
            image.found(f"a chunk of {size:#x} bytes is in the list", chunk + 8, chunk, place)
        else:
            yield Listed(chunk, size, STATES.index("fast"), index, place)
        seen.add(chunk)
        holder = chunk + _FD
        chunk = demangled(layout, words[2], holder)
    return None


def _no_chunk(image: Image, pointer: int, holder: int, place: str) -> None:
    why = "" if pointer % ALIGNMENT else image.why_absent(pointer)
    if why:
        image.unread[why] = None
    else:
        image.found(f"the list leads to {pointer:#x}, where no chunk can be", holder, 0, place)


def _bin(image: Image, arena: Found, layout: Layout, index: int) -> Iterator[Listed]:
    header = layout.bin_header(arena.address, index)
    first, last = arena.bins[2 * index - 2 : 2 * index]
    if first == last == header:
        return
    kind = "unsorted" if index == UNSORTED else "small" if index < _SMALLEST_LARGE else "large"
    place = f"{kind} bin {index} of {arena.name}" if index != UNSORTED else f"the unsorted bin of {arena.name}"
    forwards = _follow(image, arena, header, first, _FD, _BK, place)
    if forwards.end != header:
        # What the break hides is reached from the other side.
        backwards = _follow(image, arena, header, last, _BK, _FD, "")
        forwards.chunks.update(backwards.chunks)
    elif (forwards.last or header) != last:
        image.found(f"its last chunk should be {last:#x}", header + _BK, forwards.last, place)
    if kind == "large" and forwards.end == header:
        _check_sizes(image, list(forwards.chunks.items()), place)
    for chunk, size in forwards.chunks.items():
        if index != UNSORTED and bin_of(size) != index:
            image.found(f"a chunk of {size:#x} bytes is in the list", chunk + 8, chunk, place)
        yield Listed(chunk, size, STATES.index(kind), index, place)


class _Followed:
    """A list as far as it can be followed: sizes by chunk, the last one, and where it leads then."""

    def __init__(self) -> None:
        self.chunks: dict[int, int] = {}
        self.last = 0
        self.end = 0


def _follow(image: Image, arena: Found, header: int, chunk: int, on: int, back: int, place: str) -> _Followed:
    """Follow a bin from *chunk* by the words at *on*; nothing is taken down where *place* is empty."""
    found, before, holder = _Followed(), header, header + on
    while chunk != header:
        problem = ""
        words = image.words(chunk, 4) if arena.holds(chunk) else None
        if chunk in found.chunks or len(found.chunks) >= _MOST:
            problem = "the list is a cycle"
        elif words is None:
            if place:
                _no_chunk(image, chunk, holder, place)
            return found
        elif words[1] & ~FLAGS < MINIMUM or words[1] & 8:
            problem = f"a chunk of {words[1] & ~FLAGS:#x} bytes is in the list"
        elif words[back >> 3] != before:
            problem = f"the chunk before it should be {before:#x}, and its link says {words[back >> 3]:#x}"
        if problem and place:
            image.found(problem, holder if "cycle" in problem else chunk + back, chunk, place)
        if words is None or problem:
            return found
        found.chunks[chunk] = words[1] & ~FLAGS
        found.last = before = chunk
        holder = chunk + on
        chunk = words[on >> 3]
    found.end = header
    return found


def _check_sizes(image: Image, chunks: list[tuple[int, int]], place: str) -> None:
    """Check the second list of a large bin, of the first chunk of each size, and that sizes fall."""
    for (_before, larger), (chunk, size) in pairwise(chunks):
        if size > larger:
            image.found(f"a chunk of {size:#x} bytes stands behind one of {larger:#x}", chunk + 8, chunk, place)
    firsts = [chunk for i, (chunk, size) in enumerate(chunks) if i == 0 or chunks[i - 1][1] != size]
    for i, chunk in enumerate(firsts):
        following, before = firsts[(i + 1) % len(firsts)], firsts[i - 1]
        for link, meant in ((_FD_SIZE, following), (_BK_SIZE, before)):
            stored = image.word(chunk + link)
            if stored is not None and stored != meant:
                image.found(f"the next size's chunk should be {meant:#x}, and its link says {stored:#x}",
                            chunk + link, chunk, place)  # fmt: skip
