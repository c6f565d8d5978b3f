"""Where glibc's allocator keeps what it knows, by release: struct malloc_state, heap_info, the thread cache.

Offsets and sizes are bytes, on 64-bit machines. Source: the history of malloc/malloc.c and malloc/arena.c from 2.26 to
2.43; from 2.31 on beside the debugging information of Debian's and Ubuntu's builds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from observer.glibc.chunks import HEADER, round_up

__all__ = ["BINS", "FAST_BINS", "HEAP_SIZES", "LAYOUTS", "Layout", "layouts_of"]

BINS: Final = 127
"""Pairs of words in malloc_state.bins: the unsorted bin, 62 small and 63 large ones, and one that is never used."""
FAST_BINS: Final = 10
HEAP_SIZES: Final = (64 << 20, 8 << 20, 4 << 30)
"""What a thread's heap is aligned to: 64 MiB, or four huge pages where the tunable hugetlb gives their size (2.35)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The structures of one family of releases, from 2.`since` on.

    malloc_state: the offsets of `fast_bins` (None: there are none), `top`, `last_remainder`, `bins`, `next`,
    `system_mem`, and its `state_size`. heap_info: `heap_header`, its size; its first words are the arena, the heap
    before it, its size, and how much of it is accessible.

    tcache_perthread_struct: `cache_bins` numbers of `cache_width` bytes each, then as many list heads at `cache_heads`;
    the numbers count chunks, or with `cache_slots` those for which there is still room. `cache_sizes` are the chunks
    that the structure itself may lie in: its own size, or 16 more where the rest was too small to be one.

    `mangled` is whether singly linked lists are (safe linking).
    """

    since: int
    fast_bins: int | None = 0x10
    top: int = 0x60
    last_remainder: int = 0x68
    bins: int = 0x70
    next: int = 0x870
    system_mem: int = 0x888
    state_size: int = 0x898
    heap_header: int = 0x20
    cache_bins: int = 64
    cache_width: int = 2
    cache_slots: bool = False
    cache_heads: int = 128
    cache_sizes: tuple[int, ...] = (0x290, 0x2A0)
    mangled: bool = True

    @property
    def name(self) -> str:
        """The first release that has it."""
        return f"2.{self.since}"

    @property
    def first_chunk(self) -> int:
        """Where the first chunk lies in a heap that has its arena in it."""
        return round_up(self.heap_header + self.state_size + HEADER, 16) - HEADER

    def bin_header(self, arena: int, index: int) -> int:
        """Return the address that an empty bin's two words have: the bin as if it were a chunk."""
        return arena + self.bins + 16 * (index - 1) - HEADER


_2_30: Final = Layout(since=30, mangled=False)
_2_27: Final = replace(_2_30, since=27, cache_width=1, cache_heads=64, cache_sizes=(0x250, 0x260))
_2_26: Final = replace(
    _2_27, since=26, fast_bins=8, top=0x58, last_remainder=0x60, bins=0x68, next=0x868, system_mem=0x880,
    state_size=0x890,
)  # fmt: skip
_2_32: Final = replace(_2_30, since=32, mangled=True)
_2_35: Final = replace(_2_32, since=35, heap_header=0x30)
_2_42: Final = replace(_2_35, since=42, cache_bins=76, cache_slots=True, cache_heads=152, cache_sizes=(0x300, 0x310))
_2_43: Final = replace(
    _2_42, since=43, fast_bins=None, top=0x08, last_remainder=0x10, bins=0x18, next=0x818, system_mem=0x830,
    state_size=0x840, cache_sizes=(0x300, 0x310, 0x320),
)  # fmt: skip

LAYOUTS: Final = (_2_43, _2_42, _2_35, _2_32, _2_30, _2_27, _2_26)
"""All of them, the newest first."""


def layouts_of(release: str) -> tuple[Layout, ...]:
    """Return the layouts that a release may have: its own, all where it is not known, none before 2.26.

    >>> [layout.name for layout in layouts_of("2.36-9+deb12u14")], layouts_of("2.24")
    (['2.35'], ())
    """
    found = re.match(r"2\.(\d+)", release)
    if found is None:
        return LAYOUTS
    return tuple(layout for layout in LAYOUTS if layout.since <= int(found[1]))[:1]
