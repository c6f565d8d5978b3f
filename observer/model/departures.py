"""The known departures of Linux and glibc from the book: one table, with what switches each off.

A comparison names a departure inside a sentence, as what explains a difference; the story tells of it in sentences of
its own, as something that happened. Some are known to one of them only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["COMPARED", "TOLD", "Departure"]


@dataclass(frozen=True, slots=True)
class Departure:
    """One mechanism that the book leaves out.

    `title` and `why` are a comparison's words, `headline` and `reason` the story's; empty where one knows it not.
    `tunables` switch it off for an experiment (GLIBC_TUNABLES names without `glibc.malloc.`); `thp_off` says that
    prctl(PR_SET_THP_DISABLE) does.
    """

    id: str
    title: str = ""
    why: str = ""
    tunables: dict[str, str] = field(default_factory=dict)
    thp_off: bool = False
    headline: str = ""
    reason: str = ""

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


_HUGE: Final = str(1 << 40)

_TABLE: Final = (
    Departure(
        "top-pad", "room asked for in advance",
        "malloc asks the kernel for 128 KiB more than it needs, so that the next calls need not ask",
        {"top_pad": "0"},
    ),
    Departure(
        "mmap-threshold", "large pieces are mapped apart",
        "a request of 128 KiB or more that no free piece serves gets a mapping of its own, given back by free",
        {"mmap_max": "0"},
        headline="a large piece gets a mapping of its own",
        reason="Above a threshold (glibc: 128 KiB at first, then moving) malloc asks mmap instead of brk, so that the "
        "piece can go back to the kernel alone.",
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
        headline="a thread has an arena of its own",
        reason="Threads other than the first do not share the heap: malloc reserves a region for them with mmap and "
        "opens it bit by bit with mprotect.",
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
        headline="the zero page: one page, two faults",
        reason="Reading memory never written maps one shared page of zeros; only the first write brings a frame of its "
        "own.",
    ),
    Departure(
        "copy-on-write", "copy on write",
        "after fork parent and child share their frames until one of them writes: each such write is a fault",
        headline="copy-on-write: one page, two faults",
        reason="A page shared with a parent process or with a file is copied to a frame of its own at the first write.",
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
        "a piece was given back twice or never given, or the heap was overwritten: then its lists may hold anything",
    ),
    Departure(
        "asked", "the program asked for it",
        "malloc_trim and friends are no operations of the book",
    ),
    Departure(
        "given-back-munmap",
        headline="freed memory goes back to the kernel",
        reason="In the book free pieces stay with malloc. A piece with a mapping of its own is unmapped when it is "
        "freed; touching it again would be a segmentation fault.",
    ),
    Departure(
        "given-back-brk",
        headline="the break moves down again",
        reason="When enough free memory lies at the end of the heap, free gives it back with brk.",
    ),
    Departure(
        "given-back-madvise",
        headline="pages go back, addresses stay",
        reason="madvise lets the kernel take the frames of free pages; the next touch is a page fault again.",
    ),
    Departure(
        "mremap",
        headline="realloc moves pages instead of bytes",
        reason="A piece with a mapping of its own is resized by mremap: the kernel changes page tables, nothing is "
        "copied.",
    ),
    Departure(
        "allocator-touch",
        headline="step 6 inside malloc",
        reason="The allocator writes the size of a piece beside it, so it is often malloc, not the program, that "
        "touches a page first.",
    ),
    Departure(
        "kernel-touch",
        headline="the kernel touches first",
        reason="A system call such as read(2) filled memory that nobody had used: the page fault happens in ring 0, on "
        "the program's behalf.",
    ),
    Departure(
        "thread-cache",
        headline="the thread cache answers before any search",
        reason="glibc keeps the last few freed pieces of each size ready for each thread: they need no search.",
    ),
    Departure(
        "populated",
        headline="frames before first use",
        reason="mlock or MAP_POPULATE asked the kernel for the frames at once, so no page fault follows.",
    ),
    Departure(
        "major-fault",
        headline="a page fault that reads the disk",
        reason="The page was not in memory at all: its contents came from a file or from swap.",
    ),
    Departure(
        "refused",
        headline="malloc returns NULL",
        reason="The kernel refused more memory (or the size cannot be had at all), so step 5 never came.",
    ),
)  # fmt: skip

COMPARED: Final = {departure.id: departure for departure in _TABLE if departure.title}
"""Those that a comparison names, by id, in the order in which it does."""

TOLD: Final = {departure.id: departure for departure in _TABLE if departure.headline}
"""Those that the story tells of, by id."""
