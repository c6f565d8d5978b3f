"""The known departures of Linux and glibc from the book: one table, and what switches each off.

A departure is named only with evidence from the run itself (`call_rules.py`, `fault_rules.py`); what none of them
explains is called unexplained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["DEPARTURES", "Departure", "Explanation"]


@dataclass(frozen=True, slots=True)
class Departure:
    """One mechanism that the book leaves out.

    `tunables` switch it off for an experiment (GLIBC_TUNABLES names without `glibc.malloc.`); `thp_off` says that
    prctl(PR_SET_THP_DISABLE) does.
    """

    id: str
    title: str
    why: str
    tunables: dict[str, str] = field(default_factory=dict)
    thp_off: bool = False

    @property
    def has_switch(self) -> bool:
        """Whether an experiment can do without this mechanism."""
        return bool(self.tunables) or self.thp_off

    @property
    def switch(self) -> str:
        """The switch in words: `GLIBC_TUNABLES=glibc.malloc.top_pad=0`."""
        if self.tunables:
            return "GLIBC_TUNABLES=" + ":".join(f"glibc.malloc.{name}={value}" for name, value in self.tunables.items())
        return "prctl(PR_SET_THP_DISABLE)" if self.thp_off else ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The departure that explains one difference, and the evidence in words."""

    rule: str
    evidence: str


_HUGE: Final = str(1 << 40)

DEPARTURES: Final = {
    departure.id: departure
    for departure in (
        Departure(
            "top-pad", "room asked for in advance",
            "malloc asks the kernel for 128 KiB more than it needs, so that the next calls need not ask",
            {"top_pad": "0"},
        ),
        Departure(
            "mmap-threshold", "large pieces are mapped apart",
            "a request of 128 KiB or more that no free piece serves gets a mapping of its own, given back by free",
            {"mmap_max": "0"},
        ),
        Departure(
            "trim", "free memory at the end of the heap goes back",
            "free moves the break down when more than 128 KiB lie free at the heap's end",
            {"trim_threshold": _HUGE},
        ),
        Departure(
            "tcache", "the thread cache",
            "freed pieces up to 1032 bytes wait, 7 of a size, in a cache of the thread: not joined with their "
            "neighbours, handed out again whole and last in, first out",
            {"tcache_count": "0"},
        ),
        Departure(
            "fast-bins", "fast bins",
            "freed pieces up to 128 bytes that the thread cache has no room for are not joined until much later",
            {"mxfast": "0"},
        ),
        Departure(
            "bins", "bins by size instead of one list",
            "free pieces are sorted into bins by size, and the one that fits best is taken, not the first",
        ),
        Departure(
            "layout", "pieces lie elsewhere",
            "headers of 8 bytes instead of 16, a cache's own table at the heap's start, earlier departures: free "
            "pieces have other sizes and neighbours than in the book's heap",
        ),
        Departure(
            "realloc", "realloc grows in place",
            "realloc takes the free piece behind it, or the heap's end, instead of moving",
        ),
        Departure(
            "memalign", "aligned pieces are cut out otherwise",
            "memalign asks for a larger piece, and gives back what lies before and behind",
        ),
        Departure(
            "thread-arena", "a heap of its own for a thread",
            "another thread gets its own heap, mapped apart and opened bit by bit with mprotect",
            {"arena_max": "1"},
        ),
        Departure(
            "startup", "the break was known",
            "the C library asked where the break is before the first malloc, while it started",
        ),
        Departure(
            "program-break", "the program moved the break itself",
            "sbrk or brk outside malloc: the allocator goes on behind it",
        ),
        Departure(
            "calloc", "calloc knows that new memory is zero",
            "memory that comes from the kernel is zero already, so calloc does not write it",
        ),
        Departure(
            "links", "lists inside the free pieces",
            "a free piece holds the links of the list it is in, its neighbours its size: free and malloc write them",
        ),
        Departure(
            "tcache-table", "the thread cache's table",
            "the first call makes a table for the thread cache at the beginning of the heap, and clears it",
        ),
        Departure(
            "perturb", "pieces filled to find mistakes",
            "MALLOC_PERTURB_ has malloc fill each piece, and free overwrite it: all of its pages come in at once",
            {"perturb": "0"},
        ),
        Departure(
            "huge-pages", "huge pages",
            "one fault brings in 512 pages at once where transparent huge pages are on for the mapping", thp_off=True,
        ),
        Departure(
            "zero-page", "the zero page",
            "a page that is only read shows one page of zeroes that all share; the first write to it is a fault again",
        ),
        Departure(
            "copy-on-write", "copy on write",
            "after fork parent and child share their frames until one of them writes: each such write is a fault",
        ),
        Departure(
            "fault-around", "faults bring in the neighbours",
            "a read of a mapped file brings in up to 16 pages around it that are in memory already",
        ),
        Departure(
            "kernel-side", "touched by the kernel itself",
            "a system call wrote or read there for the program; such faults are not visible to this user",
        ),
        Departure(
            "unplaced", "counted, but not placed",
            "where perf is refused, faults are counted between two stops and placed by the pages that came in: a "
            "second fault on a page (copy on write) tells none",
        ),
        Departure(
            "reclaim", "taken away and brought back",
            "the kernel had taken the page away for want of memory, and a major fault brought it back",
        ),
        Departure(
            "limit", "the kernel refuses",
            "the request is more than this machine promises: address space, overcommit or a limit",
        ),
        Departure(
            "other-allocator", "another allocator",
            "the call went to an allocator of its own (of the program, of a library, of a second C library), which is "
            "neither the book's nor modelled",
        ),
        Departure(
            "order", "threads at the same time",
            "calls of several threads overlapped, so that it is not recorded which of them the allocator served first",
        ),
        Departure(
            "misuse", "the program broke malloc's rules",
            "a piece was given back twice, or never given: from then on the allocator's lists may hold anything",
        ),
        Departure(
            "asked", "the program asked for it",
            "malloc_trim and friends are no operations of the book",
        ),
    )
}  # fmt: skip
"""By id; the order is the one in which they are told."""
