"""What no allocator hands out whose memory is undamaged."""

from __future__ import annotations

from observer.compare.impossible import Pieces
from observer.model.chunks import Chunk
from observer.model.events import Call, Misuse
from tests.builders import HEAP, call, free, site

ONE, TWO = HEAP + 0x2C0, HEAP + 0x370


def pieces(*calls: Call) -> Pieces:
    found = Pieces()
    for each in calls:
        found.take(each)
    return found


def test_a_piece_that_reaches_into_one_in_use_is_impossible() -> None:
    held = pieces(call(0, size=101, result=TWO, site=site(3)))
    assert held.judge(call(1, size=0xB1, result=ONE), []) == Misuse("overlap", 0, "story.c:3")
    assert held.judge(call(1, size=1, result=TWO + 100), []) == Misuse("overlap", 0, "story.c:3")
    assert held.judge(call(1, size=0xB0, result=ONE), []) is None
    assert held.judge(call(1, size=1, result=TWO + 101), []) is None


def test_what_was_given_back_or_moved_is_in_use_no_more() -> None:
    moved = call(1, "realloc", 500, pointer=ONE, result=TWO)
    held = pieces(call(0, size=101, result=ONE), moved, free(2, TWO))
    for at in (ONE, TWO):
        assert held.judge(call(3, size=101, result=at), []) is None


def test_a_realloc_that_grows_in_its_place_overlaps_only_others() -> None:
    held = pieces(call(0, size=101, result=ONE), call(1, size=11, result=TWO))
    assert held.judge(call(2, "realloc", 0xB0, pointer=ONE, result=ONE), []) is None
    assert held.judge(call(2, "realloc", 0xB1, pointer=ONE, result=ONE), []) is not None


def test_a_realloc_that_failed_leaves_the_piece_in_use() -> None:
    held = pieces(call(0, size=101, result=ONE), call(1, "realloc", 1 << 60, pointer=ONE, result=0))
    assert held.judge(call(2, size=1, result=ONE), []) is not None


def test_a_free_chunk_that_is_too_small_is_impossible_and_one_that_fits_is_not() -> None:
    held = pieces(call(0, size=24, result=ONE, site=site(3)), free(1, ONE, site=site(5)))
    waiting = [Chunk(ONE - 16, 32, "tcache")]
    assert held.judge(call(2, size=200, result=ONE), waiting) == Misuse("too small", 0, "story.c:3", 1, "story.c:5")
    assert held.judge(call(2, size=24, result=ONE), waiting) is None
    assert held.judge(call(2, size=200, result=ONE), [Chunk(ONE - 16, 224, "unsorted")]) is None
    assert held.judge(call(2, size=200, result=ONE), [Chunk(ONE - 16, 4096, "top")]) is None


def test_a_free_that_gives_the_kernel_another_size_is_impossible() -> None:
    held = pieces(call(0, size=200_000, result=ONE, site=site(3)))
    assert held.judge(free(1, ONE), []) == Misuse("other size", 0, "story.c:3")
    assert held.judge(free(1, TWO), []) is None


def test_a_child_has_its_own_pieces() -> None:
    held = pieces(call(0, size=101, result=ONE))
    twin = held.copy()
    twin.take(free(1, ONE))
    assert twin.judge(call(2, size=1, result=ONE), []) is None
    assert held.judge(call(2, size=1, result=ONE), []) is not None
