"""The book's allocator: what it hands out never overlaps, nothing is lost, neighbours are joined."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.errors import BadWorkload
from observer.simulator.book import FITS, HEADER, BookAllocator


def test_the_first_call_takes_all_steps_and_the_second_finds_a_free_piece() -> None:
    heap = BookAllocator()
    first, second = heap.malloc(100), heap.malloc(100)
    assert (first.steps, second.steps) == ("1-2-3-4-5", "1-5")
    assert first.break_after - first.break_before == 4096
    assert second.result - first.result == 128


def test_a_freed_piece_is_handed_out_again() -> None:
    heap = BookAllocator()
    address = heap.malloc(100).result
    heap.malloc(100)
    heap.free(address)
    assert heap.malloc(100).result == address


def test_freed_neighbours_are_joined() -> None:
    heap = BookAllocator()
    pieces = [heap.malloc(100).result for _ in range(5)]
    for address in (pieces[1], pieces[3], pieces[2]):
        heap.free(address)
    assert heap.free_pieces()[0] == (pieces[1] - HEADER, 3 * 128)


@pytest.mark.parametrize(("fit", "expected"), [("first", 0), ("best", 2), ("next", 1)])
def test_each_fit_takes_the_piece_it_is_named_for(fit: str, expected: int) -> None:
    heap = BookAllocator(fit=fit)
    holes = []
    for size in (1000, 800, 400, 600):
        holes.append(heap.malloc(size).result)
        heap.malloc(16)
    for address in holes:
        heap.free(address)
    if fit == "next":
        heap.malloc(900)  # the last search ended at the heap's end, where there is room
        heap.malloc(700)  # from the beginning again: the hole of 1000, of which too little is left
    assert heap.malloc(400).result == holes[expected]


@pytest.mark.parametrize("twice", [True, False])
def test_a_wrong_free_says_what_is_wrong(twice: bool) -> None:
    heap = BookAllocator()
    address = heap.malloc(100).result
    if twice:
        heap.free(address)
    with pytest.raises(BadWorkload, match="double free" if twice else "no piece begins"):
        heap.free(address if twice else address + 16)


def test_a_break_that_may_not_move_gives_nothing() -> None:
    heap = BookAllocator(limit=8192)
    assert heap.malloc(4000).result
    assert heap.malloc(1 << 20).result == 0
    assert heap.end - heap.start == 4096


def naive_free_list(heap: BookAllocator) -> list[tuple[int, int]]:
    """The gaps between used pieces, as a list made anew."""
    used = sorted((address - HEADER, whole) for address, (whole, _asked) in heap._used.items())
    gaps, at = [], heap.start
    for start, size in used:
        if start > at:
            gaps.append((at, start - at))
        at = start + size
    return [*gaps, (at, heap.end - at)] if heap.end > at else gaps


actions = st.lists(
    st.one_of(
        st.tuples(st.just("malloc"), st.integers(0, 9000)),
        st.tuples(st.just("memalign"), st.integers(0, 3000)),
        st.tuples(st.just("realloc"), st.integers(0, 9000)),
        st.tuples(st.just("free"), st.integers(0, 1 << 30)),
    ),
    min_size=1,
    max_size=400,
)


@settings(max_examples=60, deadline=None)
@given(actions, st.sampled_from(FITS))
def test_pieces_never_overlap_bytes_are_kept_and_neighbours_joined(steps: list[tuple[str, int]], fit: str) -> None:
    heap = BookAllocator(fit=fit)
    live: list[int] = []
    for what, number in steps:
        if what == "malloc":
            live.append(heap.malloc(number).result)
        elif what == "memalign":
            live.append(heap.memalign(256, number).result)
            assert live[-1] % 256 == 0
        elif live and what == "free":
            heap.free(live.pop(number % len(live)))
        elif live:
            live[number % len(live)] = heap.realloc(live[number % len(live)], number).result
    assert sorted(heap.used()) == sorted(live)
    assert heap.free_pieces() == naive_free_list(heap)
    used = sorted((address, address + size) for address, size in heap.used().items())
    assert all(left[1] <= right[0] - HEADER for left, right in pairwise(used))
    whole = sum(size for size, _asked in heap._used.values())
    assert whole + heap.bytes_between == heap.end - heap.start
    assert heap.asked + heap.bytes_inside == whole
