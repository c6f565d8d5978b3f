"""The walk through whole heaps, in the layout of every release."""

from __future__ import annotations

import msgspec
import pytest

from observer.glibc.layout import LAYOUTS, Layout
from observer.heap.image import PIECE
from observer.heap.values import Heap, Region, Sum
from observer.heap.walking import walk
from tests.unit.heap.building import (
    ARENA,
    DATA,
    HEAP,
    HEAP_SIZE,
    MAIN,
    PAGE,
    THREAD,
    THREAD_SIZE,
    FakeMemory,
    Made,
    made,
    set_count,
)

NEWEST, _2_36, _2_31 = (next(layout for layout in LAYOUTS if layout.since == since) for since in (43, 35, 30))


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def new(request: pytest.FixtureRequest) -> Made:
    return made(request.param)


def states(heap: Heap, new: Made) -> dict[str, str]:
    """The states of the chunks by their names; what was not met has none."""
    found = {chunk.address: chunk.state for chunk in heap.chunks()}
    return {name: found[address] for name, address in new.at.items() if address in found}


def test_every_chunk_is_in_the_list_that_holds_it(new: Made) -> None:
    heap = new.walk()
    assert [str(finding) for finding in heap.findings] == []
    assert heap.unread == ()
    found = states(heap, new)
    has_fast = new.layout.fast_bins is not None
    assert [found[name] for name in ("t1", "t2", "t3", "t4")] == ["tcache"] * 4
    assert [found[name] for name in ("f1", "f2", "f3")] == ["fast" if has_fast else "in use"] * 3
    assert [found[name] for name in ("u1", "u2", "s1", "s2", "s3", "l1", "l2", "l3")] == [
        "unsorted", "unsorted", "small", "small", "small", "large", "large", "large",
    ]  # fmt: skip
    assert {found[name] for name in "abcdefghijklm"} == {"in use"}
    assert (found["cache"], found["cache 2"], found["top"], found["other top"]) == ("cache", "cache", "top", "top")


def test_arenas_have_their_parts_and_sums(new: Made) -> None:
    main, other = new.walk().arenas
    assert (main.address, main.is_main, main.system_mem, main.top) == (ARENA, True, HEAP_SIZE, new.at["top"])
    assert main.regions == (Region(HEAP, HEAP + HEAP_SIZE),)
    assert sum(part.bytes for part in main.sums.values()) == HEAP_SIZE
    assert main.sums["tcache"] == Sum(3, 0x20 + 0x20 + 0x410)
    assert main.sums["large"] == Sum(3, 0x430 + 0x420 + 0x420)
    assert (other.address, other.is_main) == (new.other, False)
    first = THREAD + new.layout.first_chunk
    assert other.regions == (Region(first, THREAD + THREAD_SIZE),)
    assert sum(part.bytes for part in other.sums.values()) == THREAD_SIZE - new.layout.first_chunk


def test_caches_are_known_by_what_is_in_them(new: Made) -> None:
    found = [(cache.chunk, cache.chunks) for cache in new.walk().caches]
    assert found == [(new.at["cache"], 3), (new.at["cache 2"], 1)]


def test_bins_have_their_numbers(new: Made) -> None:
    bins = {chunk.address: chunk.bin for chunk in new.walk().chunks()}
    assert [bins[new.at[name]] for name in ("u1", "s1", "l1", "t1", "t3", "a")] == [1, 9, 64, 0, 63, None]


def test_where_no_release_is_known_the_structures_tell(new: Made) -> None:
    heap = new.walk(release="")
    assert heap.layout == new.layout.name
    assert heap.findings == ()


def test_a_release_without_a_cache_is_not_read() -> None:
    heap = made(_2_36).walk(release="2.25")
    assert (heap.arenas, heap.unread) == ((), ("the structures of glibc 2.25 are not known",))


def test_a_heap_can_be_stored_and_read_back() -> None:
    heap = made(_2_36).walk()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(heap), type=Heap) == heap


def test_a_process_that_never_allocated_has_no_arena() -> None:
    new = Made(_2_36)
    new.memory.map(DATA, 0x3000)
    heap = new.walk()
    assert (heap.arenas, heap.findings, heap.records) == ((), (), b"")


def test_an_arena_that_no_shape_tells_is_found_by_its_symbol() -> None:
    new = made(_2_36)
    for index in range(20, 60):
        new.memory.put(new.bin(index) + 16, 7)
    assert new.walk().arenas == ()
    heap = walk(new.memory, new.where(main_arena=ARENA))
    assert [arena.address for arena in heap.arenas] == [ARENA, new.other]
    assert len(heap.findings) == 40


def test_a_cache_with_nothing_in_it_looks_like_a_piece_of_zeroes() -> None:
    new = made(_2_36, (*MAIN, ("z", "used", 0x290)))
    heap = new.walk()
    assert heap.empty_caches == (new.at["z"],)
    assert states(heap, new)["z"] == "in use"
    new.memory.put(new.at["z"] + 0x100, 7)
    assert new.walk().empty_caches == ()


# ---- what is not there --------------------------------------------------------------------------------------


def test_pages_that_are_not_there_are_not_read() -> None:
    new = made(_2_36)
    for address in range(new.at["top"] // PAGE * PAGE + PAGE, HEAP + HEAP_SIZE, PAGE):
        new.memory.lose(address)
    new.memory.lose(new.at["j"] + 0x1000)
    heap = new.walk()
    assert (heap.findings, heap.unread) == ((), ())
    assert heap.sum("in use").chunks == 13


def test_an_arena_that_nobody_asked_anything_of_has_no_bins_and_is_not_damaged(new: Made) -> None:
    for at in range(ARENA, ARENA + new.layout.state_size, 8):
        new.memory.put(at, 0)
    new.memory.put(ARENA + new.layout.next, ARENA)
    heap = walk(new.memory, new.where(main_arena=ARENA))
    assert (heap.findings, heap.unread, heap.arenas[0].regions) == ((), (), ())


def test_an_arena_without_bins_that_has_chunks_is_damaged(new: Made) -> None:
    for index in range(1, 128):
        new.memory.put(new.bin(index) + 16, 0)
        new.memory.put(new.bin(index) + 24, 0)
    heap = walk(new.memory, new.where(main_arena=ARENA))
    assert len(heap.findings) + heap.more_findings == 126


def test_what_is_swapped_out_is_unknown_and_not_damaged() -> None:
    new = made(_2_36)
    new.memory.lose(new.at["top"], swapped=True)
    heap = new.walk()
    assert (heap.unread, heap.findings) == (("pages of it are swapped out",), ())
    assert "top" not in states(heap, new)


def test_a_page_that_cannot_be_read_is_as_good_as_absent() -> None:
    new = made(_2_36)
    new.memory.unreadable.add(HEAP // PAGE)
    heap = new.walk()
    assert heap.findings
    assert len(heap.arenas) == 2


def test_a_heap_with_few_pages_is_read_at_their_cost() -> None:
    size = 1 << 31
    new = made(_2_36)
    memory, big = new.memory, HEAP + HEAP_SIZE
    memory.put(new.head("top"), 0x21000 + size - (new.at["top"] - HEAP) | 1)
    memory.put(ARENA + _2_36.system_mem, HEAP_SIZE + size)
    where = new.where(
        writable=((HEAP, big + size), (THREAD, THREAD + THREAD_SIZE)), break_area=(HEAP, big + size)
    )  # fmt: skip
    heap = walk(memory, where)
    assert heap.findings == ()
    assert heap.sum("top").bytes > size
    assert len(memory.asked) <= (HEAP_SIZE + THREAD_SIZE + 0x3000) // PAGE


# ---- parts --------------------------------------------------------------------------------------------------


def test_behind_a_move_of_the_break_by_others_chunks_go_on() -> None:
    new = made(_2_36)
    memory, gap, more = new.memory, 0x2310, 0x3CF0
    old, new_top = new.at["top"], HEAP + HEAP_SIZE + gap
    memory.map(HEAP + HEAP_SIZE, 0x6000)
    rest = HEAP + HEAP_SIZE - old - 32
    memory.put(old + 8, rest | 1)
    for fence, prev_in_use in ((old + rest, 0), (old + rest + 16, 1)):
        memory.put(fence + 8, 16 | prev_in_use)
    memory.put(old + rest, rest)
    for place, word in ((old + 16, new.bin(1)), (old + 24, new.bin(1))):
        memory.put(place, word)
    first, last = memory.get(new.bin(1) + 16), memory.get(new.bin(1) + 24)
    for place, word in ((old + 16, first), (first + 24, old), (new.bin(1) + 16, old), (old + 24, new.bin(1))):
        memory.put(place, word)
    assert last == new.at["u2"]
    memory.put(new_top + 8, 0x40 | 1)
    memory.put(new_top + 0x48, more - 0x40 | 1)
    memory.put(ARENA + _2_36.top, new_top + 0x40)
    memory.put(ARENA + _2_36.system_mem, HEAP_SIZE + 0x6000)
    area = (HEAP, HEAP + HEAP_SIZE + 0x6000)
    heap = walk(memory, new.where(writable=(area, (THREAD, THREAD + THREAD_SIZE)), break_area=area))
    assert [str(finding) for finding in heap.findings] == []
    assert heap.unread == ()
    assert heap.arenas[0].inferred_from == new_top
    assert heap.sum("fence") == Sum(2, 32)
    assert [chunk.size for chunk in heap.chunks("in use") if chunk.address == new_top] == [0x40]


def test_a_thread_with_two_heaps_has_chunks_in_both() -> None:
    new = made(_2_36)
    memory, second = new.memory, THREAD + (64 << 20)
    memory.map(second, 0x2000)
    for i, word in enumerate((new.other, THREAD, 0x2000, 0x2000)):
        memory.put(second + 8 * i, word)
    memory.put(second + 0x38, 0x100 | A_THREADS)
    memory.put(second + 0x138, 0x2000 - 0x130 | 1)
    memory.put(new.other + _2_36.top, second + 0x130)
    top = new.at["other top"]
    rest = THREAD + THREAD_SIZE - top - 32
    memory.put(top + 8, rest | 1)
    memory.put(top + rest + 8, 16)
    memory.put(top + rest, rest)
    memory.put(top + rest + 24, 1)
    header = new.bin(1, new.other)
    for place, word in ((top + 16, header), (top + 24, header), (header + 16, top), (header + 24, top)):
        memory.put(place, word)
    writable = ((HEAP, HEAP + HEAP_SIZE), (THREAD, THREAD + THREAD_SIZE), (second, second + 0x2000))
    heap = walk(memory, new.where(writable=writable))
    assert [str(finding) for finding in heap.findings] == []
    assert [region.start for region in heap.arenas[1].regions] == [THREAD + 0x8D0, second + 0x30]
    assert heap.arenas[1].sums["fence"] == Sum(1, 16)
    assert heap.arenas[1].sums["top"] == Sum(1, 0x2000 - 0x130)


A_THREADS = 5


@pytest.mark.parametrize("layout", [NEWEST, _2_31])
def test_chunks_with_mappings_of_their_own_are_looked_at_where_they_are_said_to_be(layout: Layout) -> None:
    new = made(layout)
    place = 0x7F38_0000_0000
    new.memory.map(place, 0x2000)
    tail = 16 if layout is NEWEST else 0
    new.memory.put(place + 8, 0x31000 - tail | 2)
    assert [chunk.size for chunk in walk(new.memory, new.where(), [place]).chunks("mmapped")] == [0x31000 - tail]
    new.memory.put(place + 8, 0x31008 | 2)
    [finding] = walk(new.memory, new.where(), [place]).findings
    assert (finding.address, finding.what) == (place, "a mapping of its own should begin here, and does not look so")


def test_memory_is_read_in_large_pieces() -> None:
    class Counting(FakeMemory):
        reads = 0

        def read(self, address: int, length: int) -> bytes:
            self.reads += 1
            return super().read(address, length)

        def present(self, start: int, end: int):  # type: ignore[no-untyped-def]
            runs = list(super().present(start, end))
            if runs:
                yield runs[0][0], runs[-1][1]

    new = made(_2_36)
    counting = Counting()
    counting.pages = new.memory.pages
    assert walk(counting, new.where()).findings == ()
    assert counting.reads == 3
    assert PIECE >= HEAP_SIZE


def test_a_heap_of_another_arena_is_not_followed() -> None:
    new = made(_2_36)
    memory, second = new.memory, THREAD + (64 << 20)
    memory.map(second, 0x2000)
    memory.put(second, ARENA)
    memory.put(second + 16, 0x2000)
    memory.put(THREAD + 8, second)
    heap = new.walk()
    assert [(finding.address, finding.what) for finding in heap.findings] == [
        (second, f"its heap's header is of arena {ARENA:#x}, 0x2000 bytes")
    ]
    assert len(heap.arenas[1].regions) == 1


def test_mappings_right_beside_a_scattered_part_are_no_part_of_it() -> None:
    new = made(_2_36)
    memory, lone, part = new.memory, 0x7F38_0000_0000, 0x7F38_0000_2000
    memory.map(lone, 0x6000)
    memory.put(lone + 8, 0x2000 | 2)
    memory.put(part + 0x2008, 0x2000 | 2)
    memory.put(part + 8, 0x120 | 1)
    memory.put(part + 0x128, 0x2000 - 0x120 | 1)
    memory.put(ARENA, 2 << 32)
    memory.put(ARENA + _2_36.top, part + 0x120)
    memory.put(ARENA + _2_36.system_mem, HEAP_SIZE + 0x2000)
    rest = HEAP + HEAP_SIZE - new.at["top"] - 32
    memory.put(new.head("top"), rest | 1)
    for fence in (new.at["top"] + rest, new.at["top"] + rest + 16):
        memory.put(fence + 8, 16 | 1)
    writable = ((HEAP, HEAP + HEAP_SIZE), (lone, lone + 0x6000), (THREAD, THREAD + THREAD_SIZE))
    heap = walk(memory, new.where(writable=writable))
    assert [str(finding) for finding in heap.findings] == []
    assert heap.unread == ()
    assert [(region.start, region.end) for region in heap.arenas[0].regions] == [
        (HEAP, HEAP + HEAP_SIZE), (part, part + 0x2000),
    ]  # fmt: skip


def test_a_cache_that_its_thread_is_emptying_is_no_damage(new: Made) -> None:
    if new.layout.cache_slots:
        pytest.skip("this release counts what there is room for, and down as a list is emptied")
    new.memory.put(new.cache("cache 2") + new.layout.cache_heads + 8, 0)
    heap = new.walk()
    assert ([str(finding) for finding in heap.findings], heap.ending) == ([], 1)
    assert states(heap, new)["t4"] == "in use"


def test_a_list_that_is_emptied_chunk_by_chunk_is_no_damage(new: Made) -> None:
    if new.layout.cache_slots:
        pytest.skip("this release counts what there is room for, and down as a list is emptied")
    set_count(new, "cache 2", 1, 3)
    heap = new.walk()
    assert ([str(finding) for finding in heap.findings], heap.ending) == ([], 1)
    assert states(heap, new)["t4"] == "tcache"


def test_the_first_threads_cache_is_not_taken_for_one_that_is_emptied(new: Made) -> None:
    if new.layout.cache_slots:
        pytest.skip("in this release the cache need not be the first chunk")
    new.memory.put(new.cache("cache") + new.layout.cache_heads, 0)
    heap = new.walk()
    assert (len(heap.findings) > 0, heap.ending) == (True, 0)
