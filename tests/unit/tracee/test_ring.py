"""The memory that a program and its observer share: a block for each thread, smaller ones where threads are many."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from observer.tracee.inline.ring import Ring
from observer.tracee.inline.shapes import EACH_A_PIECE, FEW_PIECES, Shapes

START = 0x7000_0000_0000


@pytest.fixture(params=[FEW_PIECES, EACH_A_PIECE], ids=["few pieces", "each a piece"])
def shapes(request: pytest.FixtureRequest) -> Shapes:
    chosen: Shapes = request.param
    return chosen


@pytest.fixture
def ring(shapes: Shapes) -> Iterator[Ring]:
    made = Ring(os.memfd_create("ring", os.MFD_CLOEXEC), START, shapes)
    yield made
    made.close()


def begin(ring: Ring, threads: int) -> None:
    """Give so many threads a block each."""
    for thread in range(1, threads + 1):
        if ring.needs_more:
            ring.enlarge()
            ring.enlarged()
        assert ring.block_for(thread << 12) is not None


def test_the_first_thread_has_a_large_block_and_others_small_ones(ring: Ring, shapes: Shapes) -> None:
    begin(ring, 10)
    assert [block.shape for block in ring.blocks.values()] == [shapes.large, *[shapes.small] * 9]


def test_thousands_of_threads_need_a_fraction_of_what_small_blocks_would_take(ring: Ring, shapes: Shapes) -> None:
    begin(ring, 2000)
    sizes = [block.shape.size for block in ring.blocks.values()]
    assert sizes[-1] == shapes.tiny.size
    assert sum(sizes) <= ring.size < 2000 * shapes.small.size / 3
    assert all(size > shapes.tiny.size for size in sizes[:64])


def test_no_two_blocks_lie_on_each_other(ring: Ring) -> None:
    begin(ring, 300)
    blocks = sorted(ring.blocks.values(), key=lambda block: block.address)
    ends = [block.address + block.shape.size for block in blocks]
    assert all(end <= block.address for end, block in zip(ends, blocks[1:], strict=False))
    assert blocks[0].address > START
    assert ends[-1] <= START + ring.size


def test_a_forked_child_begins_with_less_and_has_the_same_for_its_threads(shapes: Shapes) -> None:
    child = shapes.of_child
    assert child.first < shapes.first / 3
    assert (child.small, child.tiny, child.more, child.of_child) == (shapes.small, shapes.tiny, shapes.more, child)
