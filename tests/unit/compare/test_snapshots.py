"""A reconstruction and a snapshot: alike, or what differs first."""

from __future__ import annotations

import pytest

from observer.compare.heap_at import returned_by
from observer.compare.snapshots import BesideSnapshot, beside_snapshot
from observer.model.chunks import Chunk
from observer.model.snapshots import HeapSnapshot
from observer.report.snapshots import told_beside
from tests.builders import HEAP, call, syscall

CACHE, PIECE, FREE = (
    Chunk(HEAP, 0x290, "cache"),
    Chunk(HEAP + 0x290, 0x70, "in use"),
    Chunk(HEAP + 0x300, 32, "tcache", 0, 0),
)
TOP = Chunk(HEAP + 0x320, 0x20CE0, "top")
ALL = [CACHE, PIECE, FREE, TOP]


def test_the_same_chunks_are_alike_in_whatever_order() -> None:
    assert beside_snapshot(ALL, reversed(ALL)) == BesideSnapshot(4, 0)


@pytest.mark.parametrize(
    "changed",
    [{"size": 48}, {"state": "fast"}, {"bin": 1}, {"arena": 1}],
)
def test_size_state_bin_and_arena_count(changed: dict[str, int]) -> None:
    other = FREE._replace(**changed)
    assert beside_snapshot(ALL, [CACHE, PIECE, other, TOP]) == BesideSnapshot(3, 1, (FREE, other))


def test_what_only_one_of_them_has_differs_and_the_lowest_is_the_first() -> None:
    assert beside_snapshot(ALL, [CACHE, FREE, TOP]) == BesideSnapshot(3, 1, (PIECE, None))
    assert beside_snapshot([CACHE, TOP], ALL) == BesideSnapshot(2, 2, (None, PIECE))


def test_an_empty_cache_may_look_like_any_piece_but_no_piece_like_a_cache() -> None:
    looks = CACHE._replace(state="in use")
    assert beside_snapshot(ALL, [looks, *ALL[1:]]).differing == 0
    assert beside_snapshot([looks, *ALL[1:]], ALL).differing == 1


def test_arenas_beside_the_main_one_may_be_counted_otherwise() -> None:
    assert beside_snapshot([PIECE._replace(arena=1)], [PIECE._replace(arena=3)]).differing == 0


def test_mappings_count_where_both_have_them_and_ends_of_parts_never() -> None:
    mapped, other = Chunk(HEAP << 8, 0x31000, "mmapped"), Chunk(HEAP << 9, 0x2000, "mmapped")
    assert beside_snapshot([mapped], [mapped, other, Chunk(HEAP, 16, "fence")]) == BesideSnapshot(1, 0)
    assert beside_snapshot([mapped, PIECE], [other, PIECE]) == BesideSnapshot(1, 0, aside=1)
    assert beside_snapshot([mapped], [mapped._replace(size=0x32000)]).differing == 1


def test_the_words_say_what_differs_first_and_why_it_may() -> None:
    snapshot = HeapSnapshot(17, 5, 41, 41, "every 7 calls", 4)
    found = beside_snapshot(ALL, [CACHE, FREE, TOP])
    said = told_beside(found, snapshot)
    assert said.endswith(f"differs in 1 chunk, first at {HEAP + 0x290:#x}: 112 bytes in use here, no chunk there")
    late = HeapSnapshot(17, 5, 41, 41, "every 7 calls", 4, others=3, under_way=2)
    assert told_beside(found, late).endswith("(2 calls of other threads had not returned)")
    assert "the very same 4 chunks" in told_beside(beside_snapshot(ALL, ALL), snapshot)


def test_what_hadreturned_by_then_counts_whichever_began_first() -> None:
    long = call(3, t_ns=10, end_ns=90)
    events = [
        long,
        syscall(4, "brk", t_ns=12, end_ns=14, cause=3),
        call(5, t_ns=20, end_ns=30),
        call(6, t_ns=40, end_ns=50),
    ]
    assert [event.n for event in returned_by(events, 30)] == [5]
    assert [event.n for event in returned_by(events, 90)] == [3, 4, 5, 6]
