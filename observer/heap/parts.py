"""From chunk to chunk through one part of an arena."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import FLAGS, IS_MAPPED, MINIMUM, NON_MAIN, PREV_IN_USE
from observer.heap.image import PIECE, Image
from observer.heap.sets import among, distinct
from observer.heap.values import Region

__all__ = ["HEAD", "Part", "walk_part"]

HEAD: Final = np.dtype([("address", "<u8"), ("head", "<u8"), ("prev_size", "<u8")])
"""A chunk's address and its first two words: size with flags, and what it says of the chunk before it."""

_FENCE: Final = 16
_MOST_CHUNKS: Final = 1 << 22
_MOST_SEARCHED: Final = 64 << 20
"""Bytes in which the first chunk is searched for, where nothing tells it."""


@dataclass(slots=True)
class Part:
    """The chunks of one part as HEADs, in order. `fences` are the addresses of those that close a part.

    Chunks from `inferred_from` on (None: none) are told by what lies there alone.
    """

    heads: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=HEAD))
    fences: list[int] = field(default_factory=list)
    inferred_from: int | None = None

    def stretches(self) -> list[Region]:
        """Return where chunk follows chunk without a gap."""
        starts, sizes = self.heads["address"], self.heads["head"] & ~np.uint64(FLAGS)
        if not len(starts):
            return []
        ends = starts + sizes
        breaks = np.nonzero(ends[:-1] != starts[1:])[0] + 1
        firsts, lasts = starts[[0, *breaks]].tolist(), ends[[*(breaks - 1), -1]].tolist()
        return [Region(start, end, inferred=True) for start, end in zip(firsts, lasts, strict=True)]


def walk_part(
    image: Image, region: Region, top: int, known: Sequence[int], place: str, *, is_main: bool
) -> Part:  # fmt: skip
    """Walk from the region's start to *top* and take that in, or to the fence that closes the region.

    Where sizes lead nowhere it goes on at the next of the *known* chunks, in order of address, and takes that down. An
    inferred region may have several stretches of chunks, one of which ends with top.
    """
    part = Part()
    last = top if not region.inferred and region.start <= top < region.end else region.end
    runs: list[npt.NDArray[Any]] = []
    at: int | None = _inferred(image, part, region, region.start, top) if region.inferred else region.start
    while at is not None and at < last:
        goal = top if at <= top < last else last
        stopped = _run(image, at, goal, runs)
        if stopped == last:
            break
        if sum(map(len, runs)) >= _MOST_CHUNKS:
            image.unread["it has more chunks than are looked at"] = None
            break
        if stopped == top:
            behind: int | None = _take_top(image, runs, top)
        else:
            behind = _fences(image, part, runs, stopped, is_main=is_main)
        if behind is None:
            at = _resumed(image, stopped, goal, known, place)
        else:
            at = _inferred(image, part, region, behind, top) if is_main and behind < last else None
    if last == top:
        _take_top(image, runs, top)
    part.heads = np.concatenate([np.empty(0, dtype=HEAD), *runs])
    return part


def _take_top(image: Image, runs: list[npt.NDArray[Any]], top: int) -> int:
    """Take top as the last chunk of a stretch; return where it ends: something else may be mapped right behind it."""
    runs.append(_one(image, top))
    return top + (int(runs[-1]["head"][0]) & ~FLAGS if len(runs[-1]) else MINIMUM)


def _run(image: Image, at: int, last: int, runs: list[npt.NDArray[Any]]) -> int:
    """Take chunks from *at* on while they end at or before *last*; return where that ended."""
    total = sum(map(len, runs))
    while at < last and total < _MOST_CHUNKS:
        piece = image.piece(at + 8)
        base, words = piece.base, piece.words
        i, furthest = (at + 8 - base) >> 3, (last + 8 - base) >> 3
        end = min(PIECE >> 3, furthest)
        found: list[int] = []
        while i < end:
            size = words[i] & ~FLAGS
            following = i + (size >> 3)
            if size < MINIMUM or size & 8 or following > furthest:
                break
            found.append(i)
            i = following
        runs.append(_heads(base, words, found))
        total += len(found)
        at = base + 8 * i - 8
        if i < end:
            break
    return at


def _heads(base: int, words: memoryview, places: list[int]) -> npt.NDArray[Any]:
    """Return the chunks whose size words have these *places* in a piece."""
    indexes, array = np.array(places, dtype=np.int64), np.frombuffer(words, dtype="<u8")
    heads = np.empty(len(places), dtype=HEAD)
    heads["address"] = indexes * 8 + (base - 8)
    heads["head"], heads["prev_size"] = array[indexes], array[indexes - 1]
    return heads


def _one(image: Image, address: int) -> npt.NDArray[Any]:
    words = image.words(address, 2)
    return np.array([(address, words[1], words[0])] if words else [], dtype=HEAD)


def _fences(image: Image, part: Part, runs: list[npt.NDArray[Any]], at: int, *, is_main: bool) -> int | None:
    """Take the fence at *at*; return where it ends, None if there is none.

    Two headers of 16 bytes close a part of the main arena, or three. In a thread's heap one of no bytes follows one of
    them, or a chunk of 32 that is no thread's.
    """
    first, head = at, image.word(at + 8)
    fences: list[int] = []
    while head is not None and head & ~PREV_IN_USE == _FENCE and (head & PREV_IN_USE or at == first):
        fences.append(at)
        at += _FENCE
        head = image.word(at + 8)
    is_closed = len(fences) > 1 if is_main else head == PREV_IN_USE
    if not is_closed:
        return None
    part.fences += fences
    runs += [_one(image, fence) for fence in fences]
    before = runs[-1][-1:].tolist() if runs and not fences else []
    if before and before[0][1] & (NON_MAIN | ~FLAGS) == MINIMUM:
        part.fences.append(before[0][0])
    return at if is_main else at + _FENCE


def _resumed(image: Image, at: int, last: int, known: Sequence[int], place: str) -> int | None:
    """Say why the walk stopped at *at*; return the next chunk that is known, the last one if no other is."""
    head = image.word(at + 8)
    if head is not None:
        size = head & ~FLAGS
        is_size = size >= MINIMUM and not size & 8
        what = f"a chunk of {size:#x} bytes " + ("reaches beyond its heap" if is_size else "cannot be")
        image.found(what, at + 8, at, place)
    elif why := image.why_absent(at + 8):
        image.unread[why] = None
    else:
        image.found("a chunk should be where the memory was never used", at, 0, place)
    i = bisect_right(known, at)
    return min(known[i], last) if i < len(known) else last


# ---- parts whose beginning nothing tells --------------------------------------------------------------------


def _inferred(image: Image, part: Part, region: Region, start: int, top: int) -> int | None:
    """Return the lowest place from *start* on from which sizes lead to *top*, or to a fence.

    None where none does, or the region is too large to be searched.
    """
    found, last = None, region.end if region.inferred else top
    if last - start <= _MOST_SEARCHED:
        found = _lowest_leading(image.array(start, last + 2 * _FENCE), start, (last - start) >> 4, top)
    if found is None and not region.inferred:
        image.unread[f"where a part of it begins could not be found (from {start:#x} on)"] = None
    elif found is not None and part.inferred_from is None:
        part.inferred_from = found
    return found


def _lowest_leading(words: npt.NDArray[np.uint64], start: int, units: int, top: int) -> int | None:
    """Return the lowest place in *units* of 16 bytes from *start* on from which sizes lead to *top*, or to a fence."""
    heads = words[1 : 2 * units : 2].astype(np.int64)
    sizes = heads & ~FLAGS
    fences = np.nonzero(sizes == _FENCE)[0]
    fences = fences[words[2 * fences + 3] == np.uint64(_FENCE | PREV_IN_USE)]
    goals = np.append(fences, (top - start) >> 4)
    following = np.arange(units) + (sizes >> 4)
    is_ours = heads & (IS_MAPPED | NON_MAIN) == 0  # what is mapped singly may lie right below
    places = np.nonzero((sizes >= MINIMUM) & (sizes & 8 == 0) & (following <= units) & is_ours)[0]
    places = distinct(np.append(places, goals[(goals >= 0) & (goals < units)]))
    leads = among(places, goals) | among(following[places], goals)
    steps = np.searchsorted(places, following[places])
    steps[steps == len(places)] = 0
    steps = np.where(leads | (places[steps] != following[places]), np.arange(len(places)), steps)
    for _ in range(units.bit_length()):  # each time twice as far
        leads |= leads[steps]
        steps = steps[steps]
    begins = places[leads & (sizes[places] >= MINIMUM) & (heads[places] & PREV_IN_USE != 0)]
    return start + 16 * int(begins[0]) if len(begins) else None
