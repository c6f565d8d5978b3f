"""Where an address space has room for what is ours, out of the way of what the program will map itself."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from resource import RLIM_INFINITY, RLIMIT_STACK, prlimit
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.procfs import PAGE
from observer.model.addresses import Mapping
from observer.tracee.inline.landing_code import landing_code_of

__all__ = ["FOR_RING", "grows_downward", "near", "place_of_ring", "place_of_words"]

FOR_RING: Final = 1 << 28
"""Bytes that a ring may grow to."""

_CODE: Final = landing_code_of(NATIVE)
_GIGABYTE: Final = 1 << 30
_LOW: Final = 0x7000_0000
_APART: Final = 1 << 20
_FOR_STACK: Final = 1 << 26
_LOWEST: Final = 1 << 16  # vm.mmap_min_addr
_FAR: Final = 0x3A00_0000_0000
"""Above where the ring lies: the program's own mappings, from the top down and beside its text, never come by there."""


def near(mappings: Sequence[Mapping], places: Sequence[int], size: int, *, is_downward: bool) -> int:
    """Return where *size* bytes are free in reach of all *places*, out of the way of what will be mapped; 0 if nowhere.

    Where that is all done from the top down (*is_downward*), none comes between the topmost library and the stack.
    """
    low, high = max(max(places) - _CODE.reach, _LOWEST), min(places)
    found = 0
    if is_downward and _CODE.reach < _GIGABYTE:
        found = _below_stack(mappings, size, low, high + _CODE.reach - size)
    return found or _free_below(mappings, high - _CODE.away, size, low) or _free_below(mappings, high, size, low)


def grows_downward(pid: int) -> bool:
    """Whether the kernel maps from the top down: not where the stack has no limit (mmap_is_legacy, mm/util.c)."""
    try:
        return prlimit(pid, RLIMIT_STACK)[0] != RLIM_INFINITY
    except PermissionError:  # another user's
        return True


def _below_stack(mappings: Sequence[Mapping], size: int, low: int, limit: int) -> int:
    """Return a place for *size* bytes a little above the last mapping below the stack; 0 if not from *low* to *limit*.

    The kernel leaves 128 MiB between, or more (MIN_GAP, mm/util.c).
    """
    for below, above in itertools.pairwise(mappings):
        place = below.end + _APART
        if above.path == "[stack]" and low <= place <= limit and place + size + _FOR_STACK <= above.start:
            return place
    return 0


def place_of_ring(mappings: Sequence[Mapping]) -> int:
    """Return a place that the ring may grow at."""
    found = _free_below(mappings, _FAR, FOR_RING) if mappings[-1].end > _FAR else 0
    return found or _high(mappings, FOR_RING)


def place_of_words(mappings: Sequence[Mapping]) -> int:
    """Return a page in the lowest 2 GiB, 0 if none is free."""
    first = mappings[0].start if mappings else 0
    return _free_below(mappings, min(_LOW, first) if first else _LOW, PAGE)


def _free_below(mappings: Sequence[Mapping], limit: int, size: int, low: int = _LOWEST) -> int:
    """Return the highest page in a gap that has *size* bytes below *limit* and from *low* on; 0 if there is none."""
    end = 0
    found = 0
    for mapping in [*mappings, None]:
        start = mapping.start if mapping is not None else limit
        top = min(start, limit) - size & -PAGE
        if top >= max(end, low):
            found = top
        if mapping is None or mapping.start >= limit:
            break
        end = mapping.end
    return found


def _high(mappings: Sequence[Mapping], size: int) -> int:
    """Return a place for *size* bytes in the largest gap."""
    gaps = [
        (later.start - earlier.end, earlier.end) for earlier, later in itertools.pairwise(mappings)
        if later.start < NATIVE.kernel_half
    ]  # fmt: skip
    length, start = max(gaps, default=(0, 0))
    return start + length // 2 & -PAGE if length > 2 * size else 0
