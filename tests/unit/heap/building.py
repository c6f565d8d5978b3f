"""Heaps made by hand: a memory of words, and in it what glibc would have left there, in any release's layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from observer.glibc.layout import Layout
from observer.heap.arenas import Where
from observer.heap.values import Heap
from observer.heap.walking import walk

PAGE = 4096
DATA, HEAP, THREAD = 0x7F3A_1000_0000, 0x5581_2340_0000, 0x7F39_5400_0000
ARENA = DATA + 0x1C60
DATA_SIZE, HEAP_SIZE, THREAD_SIZE = 0x3000, 0x21000, 0x21000
P, M, A = 1, 2, 4
FREE = ("unsorted", "small", "large")

Plan = tuple[tuple[str, str, int], ...]
"""Chunks in order: name, state, size."""

MAIN: Plan = (
    ("a", "used", 0x30), ("t1", "tcache", 0x20), ("t2", "tcache", 0x20), ("t3", "tcache", 0x410), ("b", "used", 0x60),
    ("f1", "fast", 0x40), ("f2", "fast", 0x40), ("f3", "fast", 0x80), ("c", "used", 0x50), ("u1", "unsorted", 0x110),
    ("d", "used", 0x20), ("u2", "unsorted", 0x530), ("e", "used", 0x20), ("s1", "small", 0x90), ("f", "used", 0x1F0),
    ("s2", "small", 0x90), ("g", "used", 0x20), ("l1", "large", 0x430), ("h", "used", 0x20), ("l2", "large", 0x420),
    ("i", "used", 0x20), ("l3", "large", 0x420), ("j", "used", 0x2010),
)  # fmt: skip
OTHER: Plan = (
    ("k", "used", 0x70), ("t4", "tcache", 0x30), ("l", "used", 0x20), ("s3", "small", 0x1A0), ("m", "used", 0x40),
)  # fmt: skip


class FakeMemory:
    """Words by address in pages that are there; `asked` are the pages that were read."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.swapped: set[int] = set()
        self.unreadable: set[int] = set()
        self.asked: set[int] = set()

    def map(self, start: int, size: int) -> None:
        for page in range(start // PAGE, (start + size) // PAGE):
            self.pages[page] = bytearray(PAGE)

    def put(self, address: int, word: int) -> None:
        page = self.pages[address // PAGE]
        page[address % PAGE : address % PAGE + 8] = (word & (1 << 64) - 1).to_bytes(8, "little")

    def get(self, address: int) -> int:
        return int.from_bytes(self.pages[address // PAGE][address % PAGE : address % PAGE + 8], "little")

    def lose(self, address: int, *, swapped: bool = False) -> None:
        del self.pages[address // PAGE]
        if swapped:
            self.swapped.add(address // PAGE)

    def present(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for page in range(start // PAGE, -(-end // PAGE)):
            if page in self.pages:
                yield page * PAGE, page * PAGE + PAGE

    def is_swapped(self, address: int) -> bool:
        return address // PAGE in self.swapped

    def read(self, address: int, length: int) -> bytes:
        found = bytearray()
        for page in range(address // PAGE, -(-(address + length) // PAGE)):
            assert page in self.pages, f"page {page:#x} is not there and was read"
            if page in self.unreadable:
                raise OSError(5, "no")
            self.asked.add(page)
            found += self.pages[page]
        return bytes(found[address % PAGE : address % PAGE + length])


@dataclass
class Made:
    """A process's heap: `at` has the chunks by name, `top` and `other_top` those that end the arenas."""

    layout: Layout
    memory: FakeMemory = field(default_factory=FakeMemory)
    at: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    end: dict[str, int] = field(default_factory=dict)

    @property
    def other(self) -> int:
        return THREAD + self.layout.heap_header

    def where(self, release: str | None = None, **changes: object) -> Where:
        writable = ((HEAP, HEAP + HEAP_SIZE), (THREAD, THREAD + THREAD_SIZE))
        known = {"data": ((DATA, DATA + DATA_SIZE),), "writable": writable, "break_area": writable[0]}
        return Where(self.layout.name if release is None else release, **{**known, **changes})  # type: ignore[arg-type]

    def walk(self, release: str | None = None) -> Heap:
        return walk(self.memory, self.where(release))

    def head(self, name: str) -> int:
        """Where the size word of a chunk lies."""
        return self.at[name] + 8

    def cache(self, name: str = "cache") -> int:
        return self.at[name] + 16

    def mangled(self, place: int, pointer: int) -> int:
        return pointer ^ place >> 12 if self.layout.mangled else pointer

    def bin(self, index: int, arena: int = ARENA) -> int:
        return self.layout.bin_header(arena, index)


def made(layout: Layout, plan: Plan = MAIN) -> Made:
    """A main arena with chunks as planned, some in every list, and a thread's arena."""
    new = Made(layout)
    for start, size in ((DATA, DATA_SIZE), (HEAP, HEAP_SIZE), (THREAD, THREAD_SIZE)):
        new.memory.map(start, size)
    main, other = _fitting(layout, plan), _fitting(layout, OTHER)
    cache = layout.cache_sizes[0]
    _chunks(new, (("cache", "used", cache), *main), HEAP, HEAP + HEAP_SIZE, "top", 0)
    first = THREAD + layout.first_chunk
    _chunks(new, (("cache 2", "used", cache), *other), first, THREAD + THREAD_SIZE, "other top", A)
    _state(new, ARENA, new.other, "top", HEAP_SIZE, main)
    _state(new, new.other, ARENA, "other top", THREAD_SIZE, other)
    for i, word in enumerate((new.other, 0, THREAD_SIZE, THREAD_SIZE)):
        new.memory.put(THREAD + 8 * i, word)
    _cache(new, "cache", {0: ["t1", "t2"], 63: ["t3"]})
    _cache(new, "cache 2", {1: ["t4"]})
    return new


def _fitting(layout: Layout, plan: Plan) -> Plan:
    """The plan without fast bins where there are none."""
    has_none = layout.fast_bins is None
    return tuple((name, "used" if has_none and state == "fast" else state, size) for name, state, size in plan)


def _chunks(new: Made, plan: Plan, at: int, end: int, top: str, flag: int) -> None:
    before, size_before = "used", 0
    for name, state, size in (*plan, (top, "top", 0)):
        new.at[name], new.size[name] = at, size or end - at
        is_free = before in FREE
        own = flag if state not in (*FREE, "top") else 0
        new.memory.put(at + 8, new.size[name] | own | (0 if is_free else P))
        if is_free:
            new.memory.put(at, size_before)
        before, size_before, at = state, new.size[name], at + new.size[name]


def _state(new: Made, arena: int, following: int, top: str, system: int, plan: Plan) -> None:
    layout, put = new.layout, new.memory.put
    put(arena, 0)
    put(arena + layout.top, new.at[top])
    put(arena + layout.next, following)
    put(arena + layout.system_mem, system)
    for index in range(1, 128):
        _link(new, new.bin(index, arena), [])
    _link(new, new.bin(1, arena), [new.at[name] for name, state, _size in plan if state == "unsorted"])
    for size in {size for _name, state, size in plan if state == "small"}:
        _link(
            new, new.bin(size >> 4, arena), [new.at[name] for name, state, s in plan if state == "small" and s == size]
        )
    large = [new.at[name] for name, state, _size in plan if state == "large"]
    if large:
        _link(new, new.bin(64, arena), large)
        for chunk, neighbour in ((large[0], large[1]), (large[1], large[0])):
            put(chunk + 32, neighbour)
            put(chunk + 40, neighbour)
    for index, size in enumerate(range(0x20, 0xC0, 0x10) if layout.fast_bins is not None else ()):
        names = [name for name, state, s in plan if state == "fast" and s == size]
        places = [arena + (layout.fast_bins or 0) + 8 * index, *(new.at[name] + 16 for name in names)]
        put(places[0], new.at[names[0]] if names else 0)
        for place, chunk in zip(places[1:], [*(new.at[name] for name in names[1:]), 0], strict=False):
            put(place, new.mangled(place, chunk))


def _link(new: Made, header: int, chunks: list[int]) -> None:
    ring = [header, *chunks]
    for i, chunk in enumerate(ring):
        new.memory.put(chunk + 16, ring[(i + 1) % len(ring)])
        new.memory.put(chunk + 24, ring[i - 1])


def _cache(new: Made, cache: str, lists: dict[int, list[str]]) -> None:
    layout, start = new.layout, new.cache(cache)
    for index in range(layout.cache_bins):
        pointers = [new.at[name] + 16 for name in lists.get(index, [])]
        set_count(new, cache, index, 7 - len(pointers) if layout.cache_slots else len(pointers))
        new.memory.put(start + layout.cache_heads + 8 * index, pointers[0] if pointers else 0)
        for place, pointer in zip(pointers, [*pointers[1:], 0], strict=False):
            new.memory.put(place, new.mangled(place, pointer))


def set_count(new: Made, cache: str, index: int, number: int) -> None:
    """Write one of a cache's numbers."""
    width, place = new.layout.cache_width, new.cache(cache) + new.layout.cache_width * index
    shift = 8 * (place % 8)
    word = new.memory.get(place & -8) & ~((1 << 8 * width) - 1 << shift)
    new.memory.put(place & -8, word | number << shift)
