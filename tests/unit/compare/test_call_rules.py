"""Level one: each rule names its evidence, and where the evidence is taken away nothing is explained."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from observer.model.account import FREE_PIECE, GROWTH, IN_PLACE, NOTHING, REFUSED, SPARE_ROOM, Ask
from tests.builders import HEAP, MAP, PID
from tests.unit.compare.runs import GROWN, THREAD, Run, brk, mapped, mmap, mprotect, munmap

OTHER = PID + 1
MIB = 1 << 20

Made = Callable[[bool], Run]


def small_in_spare_room(evident: bool) -> Run:
    run = Run() if evident else Run(top_pad=0)
    run.heap()
    run.malloc(100, 0x2C0, predicted=GROWTH)
    return run


def grown_in_advance(evident: bool) -> Run:
    run = Run()
    run.malloc(100, 0x2A0, brk(0x21000 if evident else 100 * MIB), predicted=GROWTH, asks=(Ask("brk", 4096),))
    return run


def grown_in_advance_by_the_tunable(evident: bool) -> Run:
    run = Run(top_pad=MIB if evident else 0)
    run.malloc(100, 0x2A0, brk(0x101000), predicted=GROWTH, asks=(Ask("brk", 4096),))
    return run


def grown_as_needed(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.malloc(100, 0x2A0, brk(8192 if evident else 16384), predicted=GROWTH, asks=(Ask("brk", 4096),))
    return run


def large_is_mapped(evident: bool) -> Run:
    run = Run()
    run.heap()
    size = 200_003 if evident else 100
    run.call("malloc", size, MAP + 16, mmap(MAP, mapped(size)), predicted=GROWTH)
    return run


def at_the_threshold(evident: bool) -> Run:
    run = Run()
    size = 131_049 - (not evident) * 16  # the first whose chunk is not below 128 KiB
    run.call("malloc", size, MAP + 16, mmap(MAP, mapped(size)), predicted=GROWTH)
    return run


def mappings_are_allowed(evident: bool) -> Run:
    run = Run() if evident else Run(mmap_max=0)
    run.call("malloc", 200_003, MAP + 16, mmap(MAP, mapped(200_003)), predicted=GROWTH)
    return run


def the_threshold_stood_lower(evident: bool) -> Run:
    run = Run()
    run.call("malloc", 400_009, MAP + 16, mmap(MAP, mapped(400_009)))
    if not evident:
        run.free(MAP + 16, munmap(MAP, mapped(400_009)))
    run.call("malloc", 200_003, MAP + MIB + 16, mmap(MAP + MIB, mapped(200_003)), predicted=GROWTH)
    return run


def a_mapping_grows(evident: bool) -> Run:
    run = Run()
    old = MAP + 16 if evident else run.heap()
    if evident:
        run.call("malloc", 200_003, old, mmap(MAP, mapped(200_003)))
    new = MAP + MIB
    move = ("mremap", (old & -4096, 4096, 0x61000, 1), new)
    run.call("realloc", 0x60000 if evident else 300, new + 16, move, pointer=old, predicted=GROWTH)
    return run


def a_mapping_has_room(evident: bool) -> Run:
    run = Run()
    run.call("malloc", 200_003, MAP + 16, mmap(MAP, mapped(200_003)))
    size = mapped(200_003) - (40 if evident else 8)
    run.call("realloc", size, MAP + 16, pointer=MAP + 16, predicted=GROWTH)
    return run


def a_mapping_is_given_back(evident: bool) -> Run:
    run = Run()
    pointer = MAP + 16 if evident else run.heap()
    if evident:
        run.call("malloc", 200_003, pointer, mmap(MAP, mapped(200_003)))
    run.free(pointer, munmap(MAP, mapped(200_003)), predicted=NOTHING)
    return run


def an_own_heap(evident: bool) -> Run:
    run = Run()
    run.heap()
    tid = OTHER if evident else PID
    run.call(
        "malloc", 100, THREAD + 0x8C0, mmap(THREAD, 64 * MIB, 0), mprotect(THREAD, GROWN), tid=tid, predicted=SPARE_ROOM
    )
    return run


def an_own_heap_has_room(evident: bool) -> Run:
    run = Run()
    run.heap()
    tid = OTHER if evident else PID
    if evident:
        run.call("malloc", 24, THREAD + 0x8A0, mmap(THREAD, 64 * MIB, 0), mprotect(THREAD, GROWN), tid=tid)
    run.call("malloc", 100, THREAD + 0x8C0, tid=tid, predicted=GROWTH)
    return run


def free_in_a_threads_heap(evident: bool) -> Run:
    """The main thread takes from its own heap; without evidence the free piece lies there, too."""
    run = Run()
    run.heap()
    if evident:
        freed, end = THREAD + 0x8A0, 0x2C0
        run.call("malloc", 3000, freed, mmap(THREAD, 64 * MIB, 0), mprotect(THREAD, GROWN), tid=OTHER)
        run.call("malloc", 24, freed + 3008, tid=OTHER)
    else:
        freed, end = HEAP + 0x2C0, 0x2C0 + 3008 + 32
        run.malloc(3000, 0x2C0)
        run.malloc(24, 0x2C0 + 3008)
    run.free(freed)
    run.malloc(2000, end, predicted=FREE_PIECE)
    return run


def two_cached_neighbours(evident: bool) -> Run:
    run = Run(top_pad=0) if evident else Run(top_pad=0, tcache_count=0, mxfast=0)
    return _two_freed_neighbours(run)


def two_fast_neighbours(evident: bool) -> Run:
    return _two_freed_neighbours(Run(top_pad=0, tcache_count=0, mxfast=128 if evident else 0))


def cached_by_another(evident: bool) -> Run:
    """The second piece is too large for the cache; then both are joined when the first is, too."""
    return _two_freed_neighbours(Run(top_pad=0, tcache_max=40, mxfast=0), size=40 if evident else 56)


def _two_freed_neighbours(run: Run, size: int = 40) -> Run:
    run.heap()
    chunk = (size + 23) & -16
    pieces = [run.malloc(size, 0x2C0 + i * chunk) for i in range(3)]
    for pointer in pieces[:2]:
        run.free(pointer)
    run.malloc(2 * chunk - 8, 0x2C0 + 3 * chunk, predicted=FREE_PIECE)
    return run


def nothing_large_enough(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.heap()
    hole = run.malloc(2000, 0x2C0)
    run.malloc(24, 0x2C0 + 2016)
    run.free(hole)
    run.malloc(3000 if evident else 1900, 0x2C0 + 2016 + 32, predicted=FREE_PIECE)
    return run


def nothing_so_aligned(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.heap()
    hole = run.malloc(2000, 0x2C0)
    run.malloc(24, 0x2C0 + 2016)
    run.free(hole)
    op, fields = ("memalign", {"alignment": 64}) if evident else ("malloc", {})
    run.call(op, 1800, HEAP + 0xAC0 + 64, predicted=FREE_PIECE, **fields)
    return run


def the_end_of_a_page(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.heap(grown=0x1000 if evident else 0x3000)
    run.malloc(100, 0x2C0, predicted=GROWTH)
    return run


def a_full_page(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.heap(grown=0x1000)
    run.malloc(3400 if evident else 1000, 0x2C0, brk(0x2000), predicted=SPARE_ROOM)
    return run


def the_cache_hands_back(evident: bool) -> Run:
    return _handed_out_again(Run(), evident)


def a_fast_bin_hands_back(evident: bool) -> Run:
    return _handed_out_again(Run(tcache_count=0), evident)


def a_bin_hands_back(evident: bool) -> Run:
    return _handed_out_again(Run(tcache_count=0, mxfast=0), evident)


def _handed_out_again(run: Run, evident: bool) -> Run:
    run.heap()
    piece = run.malloc(100, 0x2C0)
    run.malloc(24, 0x2C0 + 112)
    if evident:
        run.free(piece)
    run.malloc(100, 0x2C0, predicted=SPARE_ROOM)
    return run


def cut_from_a_larger_one(evident: bool) -> Run:
    run = Run()
    run.heap()
    hole = run.malloc(3000, 0x2C0)
    run.malloc(24, 0x2C0 + 3008)
    if evident:
        run.free(hole)
    run.malloc(100, 0x2C0 + 1008, predicted=GROWTH)
    return run


def grown_after_a_trim(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.heap(grown=0x40000)
    big = run.malloc(0x20000, 0x2C0)
    asking = [brk(0x2000)] if evident else []
    run.free(big, *asking)
    run.malloc(0x3D000, 0x2C0, brk(0x40000 if evident else 0x80000), predicted=SPARE_ROOM)
    return run


def given_back_by_free(evident: bool) -> Run:
    run = Run()
    run.heap(grown=0x41000)
    big = run.malloc(0x30000, 0x2C0)
    # Upwards by more than any call in between could have wanted: nobody knows why.
    run.free(big, brk(0x21000 if evident else 0x161000), predicted=NOTHING)
    return run


def given_back_on_demand(evident: bool) -> Run:
    run = Run()
    run.heap(grown=0x41000)
    run.call("malloc_trim" if evident else "malloc_usable_size", 0, 1, brk(0x21000), predicted=NOTHING)
    return run


def behind_the_piece_is_free(evident: bool) -> Run:
    run = Run()
    run.heap()
    first, second = run.malloc(1000, 0x2C0), run.malloc(1000, 0x2C0 + 1008)
    run.malloc(24, 0x2C0 + 2016)
    if evident:
        run.free(second)
    run.call("realloc", 1900, first, pointer=first, predicted=SPARE_ROOM)
    return run


def behind_the_piece_is_the_end(evident: bool) -> Run:
    run = Run()
    run.heap()
    first = run.malloc(1000, 0x2C0)
    if not evident:
        run.malloc(24, 0x2C0 + 1008)
    run.call("realloc", 1900, first, pointer=first, predicted=GROWTH)
    return run


def the_chunk_is_large_enough(evident: bool) -> Run:
    run = Run()
    run.heap()
    first = run.malloc(1000, 0x2C0)
    run.malloc(24, 0x2C0 + 1008)
    run.call("realloc", 1000 if evident else 1001, first, pointer=first, predicted=FREE_PIECE)
    return run


def the_book_rounds_more(evident: bool) -> Run:
    run = Run(top_pad=0)
    run.heap()
    first = run.malloc(24, 0x2C0)
    run.call("realloc", 25 if evident else 20, HEAP + 0x2E0, pointer=first, predicted=IN_PLACE)
    return run


def too_much(evident: bool) -> Run:
    run = Run(memory_bytes=1 << 30)
    run.call("malloc", (1 << 30) if evident else 100, 0, predicted=GROWTH)
    return run


def no_such_address(evident: bool) -> Run:
    run = Run(memory_bytes=0)
    run.call("malloc", (1 << 46) + (1 if evident else 0), 0, predicted=GROWTH)
    return run


def the_kernel_said_no(evident: bool) -> Run:
    run = Run()
    asking = [mmap(MAP, mapped(200_003))] if evident else []
    run.call("malloc", 200_003, 0, *asking, failed=True, predicted=GROWTH)
    return run


def advice_for_huge_pages(evident: bool) -> Run:
    run = Run(hugetlb=1) if evident else Run(hugetlb=0)
    run.heap()
    advice = ("madvise", (HEAP, 0x20000, 14), 0)
    run.malloc(100, 0x2C0, advice, predicted=SPARE_ROOM)
    return run


CASES: list[tuple[Made, str, str]] = [
    (small_in_spare_room, "top-pad", "134,368 bytes were still spare in the heap behind it"),
    (grown_in_advance, "top-pad", "131,072 bytes more than 112 bytes need"),
    (grown_in_advance_by_the_tunable, "top-pad", "1,048,576 bytes more than 112 bytes need"),
    (grown_as_needed, "layout", "8,192 bytes, as its own chunks"),
    (large_is_mapped, "mmap-threshold", "200,003 bytes asked; the threshold stood at 131,072"),
    (at_the_threshold, "mmap-threshold", "131,049 bytes asked; the threshold stood at 131,072"),
    (mappings_are_allowed, "mmap-threshold", "200,003 bytes asked"),
    (the_threshold_stood_lower, "mmap-threshold", "the threshold stood at 131,072"),
    (a_mapping_grows, "mmap-threshold", "a mapping of its own, of 200,704 bytes"),
    (a_mapping_has_room, "mmap-threshold", "its mapping has 200,704 bytes"),
    (a_mapping_is_given_back, "mmap-threshold", "its mapping of 200,704 bytes is given back"),
    (an_own_heap, "thread-arena", f"a heap of task {OTHER}"),
    (an_own_heap_has_room, "thread-arena", f"a heap of task {OTHER}"),
    (free_in_a_threads_heap, "thread-arena", "the 3,008 free bytes at hand lie in a thread's heap"),
    (two_cached_neighbours, "tcache", "the 96 free bytes at hand are pieces that the thread cache keeps apart"),
    (two_fast_neighbours, "fast-bins", "the 96 free bytes at hand are pieces in fast bins"),
    (cached_by_another, "tcache", "the 96 free bytes at hand"),
    (nothing_large_enough, "layout", "no free piece had the 3,008 bytes; the largest had 2,016"),
    (nothing_so_aligned, "memalign", "no free piece holds 1,904 bytes at such an alignment"),
    (the_end_of_a_page, "layout", "the page at the heap's end had 3,296 bytes left behind it"),
    (a_full_page, "layout", "3,408 bytes were spare at the heap's end, 3,440 needed"),
    (the_cache_hands_back, "tcache", "kept whole for its size"),
    (a_fast_bin_hands_back, "fast-bins", "kept whole for its size"),
    (a_bin_hands_back, "bins", "kept whole for its size"),
    (cut_from_a_larger_one, "bins", "cut from 3,008 free bytes, where the book's largest free piece has 0"),
    (grown_after_a_trim, "trim", "253,952 bytes of the heap had been given back"),
    (given_back_by_free, "trim", "131,072 of 265,552 bytes"),
    (given_back_on_demand, "asked", "malloc_trim was called"),
    (behind_the_piece_is_free, "realloc", "the 1,008 bytes behind the piece were free"),
    (behind_the_piece_is_the_end, "realloc", "the piece was the last in the heap"),
    (the_chunk_is_large_enough, "realloc", "the chunk has 1,008 bytes, enough without moving"),
    (the_book_rounds_more, "layout", "the chunk has 32 bytes, 48 are needed"),
    (too_much, "limit", "1,073,741,824 bytes, on a machine with 1,073,741,824"),
    (no_such_address, "limit", "70,368,744,177,665 bytes"),
    (the_kernel_said_no, "limit", "200,003 bytes"),
    (advice_for_huge_pages, "huge-pages", "glibc.malloc.hugetlb asks for huge pages"),
]


@pytest.mark.parametrize(("make", "rule", "words"), CASES, ids=[make.__name__ for make, _rule, _words in CASES])
def test_where_the_evidence_is_the_rule_is_named_with_it(make: Made, rule: str, words: str) -> None:
    run = make(True)
    difference = run.only_difference()
    assert (difference.rule, difference.n) == (rule, max(run.predictions, default=-1))
    assert difference.why is not None
    assert words in difference.why
    assert run.together.comparison.unexplained == 0


@pytest.mark.parametrize("make", [case[0] for case in CASES], ids=[case[0].__name__ for case in CASES])
def test_without_the_evidence_the_same_is_unexplained(make: Made) -> None:
    run = make(False)
    difference = run.only_difference()
    assert (difference.rule, difference.why) == (None, None)
    assert run.together.comparison.unexplained == 1
    assert not run.together.comparison.agree


# ---- what nothing may explain -------------------------------------------------------------------------------


def a_mapping_inside_a_small_malloc() -> Run:
    run = Run()
    run.heap()
    run.malloc(100, 0x2C0, mmap(MAP, 4096), predicted=SPARE_ROOM)
    return run


def a_second_break_in_one_call() -> Run:
    run = Run()
    run.malloc(100, 0x2A0, brk(GROWN), brk(GROWN + 10 * MIB), predicted=GROWTH, asks=(Ask("brk", 4096),))
    return run


def memory_inside_a_live_piece() -> Run:
    run = Run()
    run.heap()
    run.malloc(5000, 0x2C0)
    run.malloc(100, 0x2C0 + 1024, predicted=SPARE_ROOM)
    return run


def the_same_memory_twice() -> Run:
    run = Run()
    run.heap()
    run.malloc(100, 0x2C0)
    run.malloc(100, 0x2C0, predicted=FREE_PIECE)
    return run


def unmapped_in_the_free_of_a_heap_piece() -> Run:
    run = Run()
    run.free(run.heap(), munmap(HEAP, 4096), predicted=NOTHING)
    return run


def unmapped_in_the_free_of_unknown_memory() -> Run:
    run = Run()
    run.free(MAP + 16, munmap(MAP, 4096), predicted=NOTHING)
    return run


def served_where_the_book_hands_out_nothing() -> Run:
    run = Run()
    run.heap()
    run.malloc(100, 0x2C0 + 0x40000, predicted=REFUSED)
    return run


def refused_though_small() -> Run:
    run = Run(memory_bytes=0)
    run.heap()
    run.call("malloc", 100, 0, predicted=SPARE_ROOM)
    return run


def a_break_question_too_many() -> Run:
    run = Run()
    run.heap()
    run.malloc(100, 0x2C0, ("brk", (0,), HEAP + GROWN), predicted=SPARE_ROOM)
    return run


def a_mapping_in_the_main_tasks_call() -> Run:
    run = Run()
    run.heap()
    run.call("malloc", 100, THREAD + 0x8C0, mmap(THREAD, 64 * MIB, 0), predicted=GROWTH)
    return run


def a_thread_in_the_middle_of_the_main_heap() -> Run:
    run = Run(top_pad=0)
    run.heap()
    run.malloc(100, 0x8000, tid=OTHER, predicted=GROWTH)
    return run


def nothing_returned_for_something() -> Run:
    run = Run()
    run.call("realloc", 100, 0, pointer=run.heap(), predicted=SPARE_ROOM)
    return run


NEVER = [
    a_mapping_inside_a_small_malloc, a_second_break_in_one_call, memory_inside_a_live_piece, the_same_memory_twice,
    unmapped_in_the_free_of_a_heap_piece, unmapped_in_the_free_of_unknown_memory,
    served_where_the_book_hands_out_nothing, refused_though_small, a_break_question_too_many,
    a_mapping_in_the_main_tasks_call, a_thread_in_the_middle_of_the_main_heap, nothing_returned_for_something,
]  # fmt: skip


@pytest.mark.parametrize("make", NEVER, ids=[make.__name__ for make in NEVER])
def test_what_no_departure_does_stays_unexplained(make: Callable[[], Run]) -> None:
    run = make()
    difference = run.only_difference()
    assert (difference.rule, difference.why) == (None, None)
    assert run.together.comparison.unexplained == 1


# ---- wrong things that look like known departures -----------------------------------------------------------


def a_break_inside_free_moves_up() -> Run:
    run = Run()
    run.free(run.heap(), brk(2 * GROWN), predicted=NOTHING)
    return run


def far_too_much_where_the_book_had_room() -> Run:
    run = Run()
    run.heap(grown=0x1000)
    run.malloc(4000, 0x2C0, brk(100 * MIB), predicted=SPARE_ROOM)
    return run


def far_too_much_in_the_first_call() -> Run:
    run = Run()
    run.malloc(100, 0x2A0, brk(100 * MIB), predicted=GROWTH, asks=(Ask("brk", 0), Ask("brk", 4096)))
    return run


def grown_though_a_free_piece_fits() -> Run:
    run = Run(top_pad=0, tcache_count=0, mxfast=0)
    run.heap(grown=0x2000)
    hole = run.malloc(3000, 0x2C0)
    run.malloc(3000, 0x2C0 + 3008)
    run.free(hole)
    run.malloc(2900, 0x2C0 + 6016, brk(0x3000), predicted=FREE_PIECE)
    return run


def spare_room_though_a_free_piece_fits() -> Run:
    run = Run()
    run.heap()
    hole = run.malloc(3000, 0x2C0)
    run.malloc(24, 0x2C0 + 3008)
    run.free(hole)
    run.malloc(2900, 0x2C0 + 3040, predicted=FREE_PIECE)
    return run


def a_free_piece_too_small_for_it() -> Run:
    run = Run()
    run.heap()
    hole = run.malloc(24, 0x2C0)
    run.malloc(1000, 0x2C0 + 32)
    run.free(hole)
    run.malloc(900, 0x2C0, predicted=SPARE_ROOM)  # over the live piece behind the hole
    return run


def in_place_over_a_live_neighbour() -> Run:
    run = Run()
    run.heap()
    first, second = run.malloc(100, 0x2C0), run.malloc(24, 0x2C0 + 112)
    run.malloc(1000, 0x2C0 + 144)
    run.free(second)
    run.call("realloc", 600, first, pointer=first, predicted=SPARE_ROOM)  # 32 bytes are free behind it
    return run


def in_place_beyond_the_end_of_the_heap() -> Run:
    run = Run()
    run.heap()
    first = run.malloc(100, 0x2C0)
    run.call("realloc", 10 * MIB, first, pointer=first, predicted=SPARE_ROOM)
    return run


def a_trim_into_live_memory() -> Run:
    run = Run()
    first = run.heap(grown=0x41000)
    run.malloc(0x30000, 0x2C0)
    run.free(first, brk(0x1000), predicted=NOTHING)
    return run


def a_trim_below_the_threshold() -> Run:
    run = Run(trim_threshold=1 << 40)
    run.heap(grown=0x41000)
    run.free(run.malloc(0x30000, 0x2C0), brk(0x21000), predicted=NOTHING)
    return run


def grown_with_enough_spare_room_after_a_trim() -> Run:
    run = Run()
    run.heap(grown=0x40000)
    run.free(run.malloc(0x20000, 0x2C0), brk(0x20000))
    run.malloc(100, 0x2C0, brk(100 * MIB), predicted=SPARE_ROOM)
    return run


def a_mapping_far_larger_than_its_piece() -> Run:
    run = Run()
    run.call("malloc", 200_003, MAP + 16, mmap(MAP, 512 * MIB), predicted=GROWTH)
    return run


def a_mapping_beside_a_large_free_piece() -> Run:
    run = Run()
    run.heap(grown=0x81000)
    run.free(run.malloc(200_003, 0x2C0))
    run.malloc(200_003, 0x2C0, mmap(MAP, 4096), predicted=FREE_PIECE)
    return run


def mapped_in_the_free_of_a_mapping() -> Run:
    run = Run()
    run.call("malloc", 200_003, MAP + 16, mmap(MAP, mapped(200_003)))
    run.free(MAP + 16, mmap(MAP + MIB, 4096), predicted=NOTHING)
    return run


def a_threads_piece_where_no_heap_was_mapped() -> Run:
    run = Run()
    run.heap()
    run.call("malloc", 100, 0x1234_5678_0010, tid=OTHER, predicted=SPARE_ROOM, asks=(Ask("brk", 4096),))
    return run


def the_break_moves_in_the_free_of_a_threads_piece() -> Run:
    run = Run()
    run.heap()
    run.call("malloc", 100, THREAD + 0x8C0, mmap(THREAD, 64 * MIB, 0), mprotect(THREAD, GROWN), tid=OTHER)
    run.free(THREAD + 0x8C0, brk(100 * MIB), tid=OTHER, predicted=NOTHING)
    return run


def an_unmapping_beside_the_growth() -> Run:
    run = Run()
    run.malloc(100, 0x2A0, brk(GROWN), munmap(MAP, MIB), predicted=GROWTH, asks=(Ask("brk", 4096),))
    return run


WRONG = [
    a_break_inside_free_moves_up, far_too_much_where_the_book_had_room, far_too_much_in_the_first_call, grown_though_a_free_piece_fits, spare_room_though_a_free_piece_fits, a_free_piece_too_small_for_it, in_place_over_a_live_neighbour, in_place_beyond_the_end_of_the_heap, a_trim_into_live_memory, a_trim_below_the_threshold, grown_with_enough_spare_room_after_a_trim, a_mapping_far_larger_than_its_piece, a_mapping_beside_a_large_free_piece, mapped_in_the_free_of_a_mapping, a_threads_piece_where_no_heap_was_mapped, the_break_moves_in_the_free_of_a_threads_piece, an_unmapping_beside_the_growth,
]  # fmt: skip


@pytest.mark.parametrize("make", WRONG, ids=[make.__name__ for make in WRONG])
def test_wrong_things_are_not_explained_away(make: Callable[[], Run]) -> None:
    run = make()
    assert run.only_difference().rule is None
    assert run.together.comparison.unexplained == 1
