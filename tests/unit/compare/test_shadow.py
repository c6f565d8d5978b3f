"""What pointers tell of the real heap: what is live, free, new, kept apart, given back."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from observer.compare.shadow import Shadow
from observer.glibc.chunks import chunk_size
from observer.glibc.parameters import Parameters
from observer.glibc.versions import VERSIONS
from tests.builders import HEAP, MAP, PID, call, free

OTHER = PID + 1


def heap(end: int = 0x21000, **tunables: int) -> Shadow:
    shadow = Shadow(Parameters(VERSIONS["2.36"], tunables))
    shadow.set_break(HEAP)
    shadow.set_break(HEAP + end)
    return shadow


def row_of(shadow: Shadow, count: int, size: int = 100, *, task: int = PID) -> list[int]:
    """Pieces side by side from the heap's start on."""
    pointers = [HEAP + 16 + i * chunk_size(size) for i in range(count)]
    for i, pointer in enumerate(pointers):
        shadow.hand_out(pointer, size, i, task)
    return pointers


# ---- sizes --------------------------------------------------------------------------------------------------

WITNESS = """
import ctypes, json, sys
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.malloc_usable_size.restype = ctypes.c_size_t
libc.malloc_usable_size.argtypes = [ctypes.c_void_p]
print(json.dumps([min(libc.malloc_usable_size(libc.malloc(size)) for _ in range(3)) for size in json.loads(sys.argv[1])]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_chunk_sizes_are_those_of_the_c_library() -> None:
    sizes = [*range(300), *range(1000, 1100), *range(4070, 4110), *range(65_500, 65_560), 100_003, 131_000]
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name and name != "LD_PRELOAD"}
    done = subprocess.run(
        [sys.executable, "-c", WITNESS, json.dumps(sizes)], check=True, capture_output=True, text=True, timeout=60,
        env=environment | {"GLIBC_TUNABLES": ""},
    )  # fmt: skip
    seen = json.loads(done.stdout)
    # Usable is all of the chunk but its 8 bytes of header. A rest of 16 bytes stays with the chunk before it.
    beyond = {size: usable + 8 - chunk_size(size) for size, usable in zip(sizes, seen, strict=True)}
    assert set(beyond.values()) <= {0, 16}
    assert sum(value == 0 for value in beyond.values()) > 450


# ---- live, free, new ----------------------------------------------------------------------------------------


def test_what_is_handed_out_is_live_and_what_lies_above_it_is_new() -> None:
    shadow = heap()
    first, second = row_of(shadow, 2)
    assert [(chunk.start, chunk.size, chunk.asked) for chunk in shadow.live.values()] == [
        (HEAP, 112, 100), (HEAP + 112, 112, 100),
    ]  # fmt: skip
    assert not shadow.is_new(second - 16)
    assert shadow.is_new(second + 96)
    assert shadow.area_at(first) is None
    assert shadow.area_for(1) is None


def test_freed_neighbours_are_one_area_and_a_live_piece_divides_it() -> None:
    shadow = heap()
    pointers = row_of(shadow, 5)
    for i in (0, 1, 3):
        shadow.take_back(pointers[i], PID, 7, by_free=True)
    assert list(shadow.free.pieces()) == [(HEAP, 224), (HEAP + 336, 112)]
    assert shadow.area_for(113) == (HEAP, 224)
    assert shadow.area_for(225) is None
    assert shadow.area_at(HEAP + 223) == (HEAP, 224)
    assert shadow.area_at(HEAP + 224) is None
    shadow.take_back(pointers[2], PID, 8, by_free=True)
    assert list(shadow.free.pieces()) == [(HEAP, 448)]


def test_a_part_handed_out_again_leaves_the_rest_free() -> None:
    shadow = heap()
    pointers = row_of(shadow, 3, 1000)
    for pointer in pointers[:2]:
        shadow.take_back(pointer, PID, 7, by_free=True)
    shadow.hand_out(HEAP + 16 + 512, 100, 9, PID)
    assert list(shadow.free.pieces()) == [(HEAP, 512), (HEAP + 624, 2 * 1008 - 624)]
    assert HEAP not in shadow.freed


def test_unknown_memory_cannot_be_taken_back() -> None:
    shadow = heap()
    assert shadow.take_back(HEAP + 16, PID, 1, by_free=True) is None
    assert list(shadow.free.pieces()) == []


def test_a_rest_too_small_for_a_chunk_stays_with_the_piece() -> None:
    shadow = heap()
    pointers = row_of(shadow, 2, 120)
    shadow.take_back(pointers[0], PID, 7, by_free=True)
    shadow.hand_out(pointers[0], 104, 8, PID)
    assert shadow.live[pointers[0]].size == 128
    assert list(shadow.free.pieces()) == []
    shadow.take_back(pointers[0], PID, 9, by_free=True)
    shadow.hand_out(pointers[0], 88, 10, PID)
    assert shadow.live[pointers[0]].size == 96
    assert list(shadow.free.pieces()) == [(HEAP + 96, 32)]


def test_what_an_alignment_skips_at_the_end_is_free() -> None:
    shadow = heap()
    row_of(shadow, 1)
    shadow.hand_out(HEAP + 0x1000, 100, 2, PID, alignment=4096)
    behind = HEAP + 0x1000 - 16 + 112  # up to the end of what was asked for: 112 + 4096 + 32 bytes, as a chunk
    assert list(shadow.free.pieces()) == [(HEAP + 112, 0x1000 - 16 - 112), (behind, HEAP + 112 + 4256 - behind)]


def test_what_is_skipped_without_an_alignment_is_not_known_to_be_free() -> None:
    shadow = heap()
    row_of(shadow, 1)
    shadow.hand_out(HEAP + 0x1000, 100, 2, PID)
    assert list(shadow.free.pieces()) == []


# ---- kept apart ---------------------------------------------------------------------------------------------


def test_the_cache_keeps_seven_of_a_size_and_task() -> None:
    shadow = heap()
    pointers = row_of(shadow, 9)
    for pointer in pointers:
        shadow.take_back(pointer, PID, 20, by_free=True)
    assert [shadow.is_cached(pointer - 16) for pointer in pointers] == [True] * 7 + [False] * 2
    assert shadow.longest_joined((HEAP, 9 * 112), fast=False) == 224
    assert shadow.longest_joined((HEAP, 9 * 112), fast=True) == 0
    shadow.hand_out(pointers[6], 100, 21, PID)
    assert not shadow.is_cached(pointers[6] - 16)


def test_each_task_has_its_own_cache() -> None:
    shadow = heap(tcache_count=1)
    pointers = row_of(shadow, 3)
    for pointer, task in zip(pointers, (PID, OTHER, OTHER), strict=True):
        shadow.take_back(pointer, task, 20, by_free=True)
    assert [shadow.is_cached(pointer - 16) for pointer in pointers] == [True, True, False]


@pytest.mark.parametrize(("size", "cached"), [(1032, True), (1033, False)])
def test_the_cache_takes_pieces_up_to_its_limit(size: int, cached: bool) -> None:
    shadow = heap()
    [pointer] = row_of(shadow, 1, size)
    shadow.take_back(pointer, PID, 2, by_free=True)
    assert shadow.is_cached(HEAP) is cached


@pytest.mark.parametrize(("size", "joined"), [(104, 0), (120, 0), (121, 288)])
def test_fast_bins_keep_apart_what_is_not_larger_than_their_limit(size: int, joined: int) -> None:
    shadow = heap(tcache_count=0)
    pointers = row_of(shadow, 2, size)
    for pointer in pointers:
        shadow.take_back(pointer, PID, 2, by_free=True)
    area = HEAP, 2 * chunk_size(size)
    assert shadow.longest_joined(area, fast=True) == joined
    assert shadow.longest_joined(area, fast=False) == area[1]


# ---- the break, mappings, heaps of threads, children --------------------------------------------------------


def test_what_lay_above_a_lowered_break_is_gone() -> None:
    shadow = heap()
    row_of(shadow, 1)
    big = HEAP + 128
    shadow.hand_out(big, 50_000, 2, PID)
    shadow.take_back(big, PID, 3, by_free=True)
    shadow.set_break(HEAP + 0x1000)
    assert list(shadow.free.pieces()) == [(HEAP + 112, 0x1000 - 112)]
    assert (shadow.break_start, shadow.break_end, shadow.break_highest) == (HEAP, HEAP + 0x1000, HEAP + 0x21000)
    shadow.set_break(HEAP + 0x9000)
    assert shadow.is_new(HEAP + 0x1000)
    assert shadow.in_main_heap(HEAP + 0x20FFF)
    assert not shadow.in_main_heap(HEAP + 0x21000)


def test_a_mapped_piece_is_no_part_of_the_heap() -> None:
    shadow = heap()
    shadow.hand_out(MAP + 16, 200_003, 1, PID, mapped=200_704)
    assert shadow.live[MAP + 16].mapped == 200_704
    assert shadow.is_new(MAP)
    assert shadow.take_back(MAP + 16, PID, 2, by_free=False) is not None
    assert (shadow.parameters.mmap_threshold, list(shadow.free.pieces())) == (131_072, [])


def test_freeing_a_mapping_moves_the_threshold_up_to_32_mib() -> None:
    shadow = heap()
    for n, (mapped, threshold) in enumerate(
        [(200_704, 200_704), (139_264, 200_704), (32 << 20, 32 << 20), ((32 << 20) + 4096, 32 << 20)]
    ):
        shadow.hand_out(MAP + 16, mapped - 4000, n, PID, mapped=mapped)
        shadow.take_back(MAP + 16, PID, n, by_free=True)
        assert (shadow.parameters.mmap_threshold, shadow.parameters.trim_threshold) == (threshold, 2 * threshold)


def test_the_parameters_given_are_not_changed() -> None:
    given = Parameters(VERSIONS["2.36"], {})
    shadow = Shadow(given)
    shadow.hand_out(MAP + 16, 200_003, 1, PID, mapped=200_704)
    shadow.take_back(MAP + 16, PID, 2, by_free=True)
    assert (given.mmap_threshold, shadow.parameters.mmap_threshold) == (131_072, 200_704)


def test_heaps_of_threads_have_ends_of_their_own() -> None:
    shadow = heap()
    row_of(shadow, 4)
    place = (MAP & -(64 << 20)) + 0x8C0
    assert shadow.is_new(place)
    shadow.hand_out(place + 16, 100, 9, OTHER)
    assert not shadow.is_new(place)
    assert shadow.is_new(place + 112)
    assert shadow.is_new(HEAP + 4 * 112)


def test_a_childs_copy_and_the_parent_go_their_own_ways() -> None:
    shadow = heap()
    pointers = row_of(shadow, 4)
    shadow.take_back(pointers[0], PID, 9, by_free=True)
    twin = shadow.copy()
    twin.take_back(pointers[1], OTHER, 10, by_free=True)
    twin.set_break(HEAP + 0x1000)
    twin.hand_out(MAP + 16, 200_003, 11, OTHER, mapped=200_704)
    twin.take_back(MAP + 16, OTHER, 12, by_free=True)
    twin.hand_out(pointers[0], 100, 13, OTHER)
    assert list(shadow.free.pieces()) == [(HEAP, 112)]
    assert list(twin.free.pieces()) == [(HEAP + 112, 112)]
    assert sorted(shadow.live) == pointers[1:]
    assert shadow.is_cached(HEAP)
    assert (shadow.break_end, shadow.parameters.mmap_threshold) == (HEAP + 0x21000, 131_072)
    shadow.take_back(pointers[2], PID, 14, by_free=True)
    assert pointers[2] in twin.live


def test_an_area_is_found_from_any_of_its_bytes_among_many() -> None:
    shadow = heap(1 << 20, tcache_count=0)
    pointers = row_of(shadow, 2000, 24)
    for pointer in pointers[::2]:
        shadow.take_back(pointer, PID, 7, by_free=True)
    for i in (509, 511, 513):
        shadow.take_back(pointers[i], PID, 7, by_free=True)
    assert [i for i in range(508, 515) if shadow.area_at(pointers[i]) is None] == []


def test_a_piece_with_a_rest_may_be_too_large_for_the_cache() -> None:
    shadow = heap()
    pointers = row_of(shadow, 2, 1048)
    shadow.take_back(pointers[0], PID, 7, by_free=True)
    shadow.hand_out(pointers[0], 1032, 8, PID)
    chunk = shadow.take_back(pointers[0], PID, 9, by_free=True)
    assert chunk is not None
    assert chunk.size == 1056  # one more than the largest that glibc's thread cache takes, 1040
    assert not shadow.is_cached(HEAP)


# ---- orders of calls that overlap ---------------------------------------------------------------------------


def test_memory_is_given_back_before_any_part_of_it_is_handed_out_again() -> None:
    shadow = heap()
    shadow.hand_out(HEAP + 0x2A0, 300, 0, PID)
    shadow.hand_out(HEAP + 0x3E0, 24, 1, PID)
    freed = free(2, HEAP + 0x2A0)
    for at, size in ((0x2A0, 300), (0x2A0, 24), (0x300, 100)):
        again = call(3, "malloc", size, result=HEAP + at)
        assert shadow.allows([freed, again])
        assert not shadow.allows([again, freed])
        assert not shadow.allows([freed, again, call(4, "malloc", 24, result=HEAP + at)])
    assert not shadow.allows([freed, call(3, "malloc", 400, result=HEAP + 0x2A0)])


def test_a_realloc_gives_back_only_what_it_moves() -> None:
    shadow = heap()
    shadow.hand_out(HEAP + 0x2A0, 24, 0, PID)
    again = call(3, "malloc", 24, result=HEAP + 0x2A0)
    moved = call(2, "realloc", 500, pointer=HEAP + 0x2A0, result=HEAP + 0x800)
    assert shadow.allows([moved, again])
    assert not shadow.allows([call(2, "realloc", 500, pointer=HEAP + 0x2A0, result=0), again])
