"""How a call was really served, and what the book's allocator would reach for there."""

from __future__ import annotations

import pytest

from observer.compare.served import observed_account, reached
from observer.compare.shadow import Shadow
from observer.glibc.parameters import Parameters
from observer.glibc.versions import VERSIONS
from observer.model.account import (
    FREE_PIECE,
    GROWTH,
    IN_PLACE,
    NOTHING,
    OWN_MAPPING,
    REFUSED,
    SPARE_ROOM,
    UNKNOWN,
    Account,
    Ask,
)  # fmt: skip
from observer.model.events import Call
from tests.builders import HEAP, MAP, PID, call, free

GROW = Ask("brk", 0x21000)
MAPPING = Ask("mmap", 0x31000, MAP, "rw-")
RESERVED = Ask("mmap", 64 << 20, MAP, "---")


def shadow() -> Shadow:
    """Live: 1000 bytes at 0x10, 100 at 0x2010 (the last), a mapping; free: 2000 at 0x410."""
    made = Shadow(Parameters(VERSIONS["2.36"], {"tcache_count": 0}))
    made.set_break(HEAP)
    made.set_break(HEAP + 0x21000)
    for offset, size in ((0x10, 1000), (0x400, 2000), (0x2010, 100)):
        made.hand_out(HEAP + offset, size, 1, PID)
    made.take_back(HEAP + 0x400, PID, 2, by_free=True)
    made.hand_out(MAP + 0x100010, 200_003, 3, PID, mapped=0x31000)
    return made


@pytest.mark.parametrize(
    ("event", "asks", "served"),
    [
        (call(9, result=HEAP + 0x400), (), FREE_PIECE),
        (call(9, result=HEAP + 0x500), (), FREE_PIECE),
        (call(9, result=HEAP + 0x3000), (), SPARE_ROOM),
        (call(9, result=HEAP + 0x3000), (GROW,), GROWTH),
        (call(9, result=MAP + 16), (RESERVED, Ask("mprotect", 0x21000, MAP, "rw-")), GROWTH),
        (call(9, result=MAP + 16), (RESERVED, Ask("mprotect", 0x21000, MAP, "rw-", failed=True)), UNKNOWN),
        (call(9, result=MAP + 16), (MAPPING,), OWN_MAPPING),
        (call(9, result=HEAP + 0x3000), (MAPPING,), SPARE_ROOM),
        (call(9, result=HEAP + 0x100), (), UNKNOWN),
        (call(9, result=HEAP + 0x2010), (), UNKNOWN),
        (call(9, result=0), (), REFUSED),
        (call(9, "realloc", 0, pointer=HEAP + 0x10, result=0), (), NOTHING),
        (call(9, "realloc", 7, pointer=HEAP + 0x10, result=0), (), REFUSED),
        (call(9, "realloc", 0, result=0), (), REFUSED),
        (call(9, "realloc", 7, pointer=HEAP + 0x10, result=HEAP + 0x10), (), IN_PLACE),
        (call(9, "realloc", 200_009, pointer=MAP + 0x100010, result=MAP + 16), (MAPPING,), OWN_MAPPING),
        (call(9, "realloc", 200_009, pointer=MAP + 16, result=MAP + 16), (MAPPING,), IN_PLACE),
        (free(9, HEAP + 0x10), (GROW,), NOTHING),
        (call(9, "malloc_usable_size", None, pointer=HEAP + 0x10, result=1000), (), NOTHING),
    ],
)  # fmt: skip
def test_served(event: Call, asks: tuple[Ask, ...], served: str) -> None:
    assert observed_account(event, asks, shadow()) == Account(served, asks)


@pytest.mark.parametrize("size", [2400, 8000])
def test_a_piece_that_reaches_into_a_live_one_is_no_free_piece(size: int) -> None:
    heap = Shadow(Parameters(VERSIONS["2.36"], {"tcache_count": 0}))
    heap.set_break(HEAP)
    heap.set_break(HEAP + 0x21000)
    for offset in (0x10, 0x800, 0x1000):
        heap.hand_out(HEAP + offset, 0x7E8, 1, PID)
    heap.take_back(HEAP + 0x800, PID, 2, by_free=True)
    assert observed_account(call(9, "malloc", size, result=HEAP + 0x800), (), heap).served == UNKNOWN


def test_memory_beyond_the_break_is_no_spare_room() -> None:
    assert observed_account(call(9, result=HEAP + 0x40_0000), (), shadow()).served == UNKNOWN


def ranges(event: Call, served: str, asks: tuple[Ask, ...] = ()) -> list[tuple[int, int, bool, str]]:
    return [(r.start, r.length, r.write, r.what) for r in reached(event, Account(served, asks), shadow())]


def test_a_piece_from_the_end_has_a_header_and_leaves_one() -> None:
    assert ranges(call(9, result=HEAP + 0x3000), SPARE_ROOM) == [
        (HEAP + 0x2FF0, 16, True, "header"), (HEAP + 0x2FF0 + 112, 16, True, "header of the rest"),
    ]  # fmt: skip


def test_a_free_piece_taken_whole_leaves_nothing() -> None:
    assert [what for *_range, what in ranges(call(9, "malloc", 2000, result=HEAP + 0x400), FREE_PIECE)] == ["header"]
    assert [what for *_range, what in ranges(call(9, "malloc", 1970, result=HEAP + 0x400), FREE_PIECE)] == [
        "header", "header of the rest",
    ]  # fmt: skip


def test_a_freed_piece_handed_out_whole_leaves_nothing_though_its_neighbour_is_free() -> None:
    heap = Shadow(Parameters(VERSIONS["2.36"], {"tcache_count": 0}))
    heap.set_break(HEAP)
    heap.set_break(HEAP + 0x21000)
    for offset in (0x10, 0x800, 0x1000, 0x1800):
        heap.hand_out(HEAP + offset, 0x7E8, 1, PID)
    for offset in (0x800, 0x1000):
        heap.take_back(HEAP + offset, PID, 2, by_free=True)
    whole = reached(call(9, "malloc", 0x7E8, result=HEAP + 0x800), Account(FREE_PIECE), heap)
    less = reached(call(9, "malloc", 0x700, result=HEAP + 0x800), Account(FREE_PIECE), heap)
    assert [len(whole), len(less)] == [1, 2]


def test_calloc_writes_all_that_was_asked_for() -> None:
    found = ranges(call(9, "calloc", 30, count=7, result=HEAP + 0x3000), GROWTH)
    assert found[-1] == (HEAP + 0x3000, 210, True, "zeroes")


def test_realloc_that_moves_copies_the_smaller_of_both_and_frees() -> None:
    grows = call(9, "realloc", 5000, pointer=HEAP + 0x10, result=HEAP + 0x3000)
    assert ranges(grows, SPARE_ROOM)[-3:] == [
        (HEAP + 0x10, 1000, False, "copy from"), (HEAP + 0x3000, 1000, True, "copy to"), (HEAP, 16, True, "header"),
    ]  # fmt: skip
    shrinks = call(9, "realloc", 70, pointer=HEAP + 0x10, result=HEAP + 0x3000)
    assert [length for _start, length, _write, what in ranges(shrinks, SPARE_ROOM) if "copy" in what] == [70, 70]


def test_a_mapping_that_the_kernel_moves_is_not_copied() -> None:
    moved = call(9, "realloc", 400_009, pointer=MAP + 0x100010, result=MAP + 16)
    by_kernel = ranges(moved, OWN_MAPPING, (Ask("mremap", 0x62000, MAP),))
    assert [what for *_range, what in by_kernel] == ["header"]
    copied = ranges(moved, OWN_MAPPING, (Ask("mmap", 0x62000, MAP, "rw-"),))
    assert [what for *_range, what in copied] == ["header", "copy from", "copy to", "header"]


def test_in_place_only_the_rests_header_is_new() -> None:
    same = call(9, "realloc", 1000, pointer=HEAP + 0x10, result=HEAP + 0x10)
    assert [what for *_range, what in ranges(same, IN_PLACE)] == ["header"]
    less = call(9, "realloc", 500, pointer=HEAP + 0x10, result=HEAP + 0x10)
    assert ranges(less, IN_PLACE)[1] == (HEAP + 512, 16, True, "header of the rest")


def test_a_free_writes_the_header_and_nothing_of_unknown_memory() -> None:
    assert ranges(free(9, HEAP + 0x10), NOTHING) == [(HEAP, 16, True, "header")]
    assert ranges(free(9, HEAP + 0x9010), NOTHING) == []
    assert ranges(call(9, "realloc", 7, pointer=HEAP + 0x10, result=0), REFUSED) == []
