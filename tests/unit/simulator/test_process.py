"""One simulated process: where its mappings go, what its names stand for."""

from __future__ import annotations

import pytest

from observer.errors import BadWorkload
from observer.simulator.book import BookAllocator
from observer.simulator.paging import Memory
from observer.simulator.process import Piece, SimulatedProcess


def process() -> SimulatedProcess:
    return SimulatedProcess(1, BookAllocator(), Memory())


@pytest.mark.parametrize(
    ("address", "size", "kind", "pages"),
    [
        (0x1010, 100, "heap", (0x2000, 0)),
        (0x1010, 0x1FF0, "heap", (0x2000, 0x1000)),
        (0x1000, 0x2000, "heap", (0x1000, 0x2000)),
        (0x1000, 100, "map", (0x1000, 0x1000)),
        (0x1000, 0x1001, "file", (0x1000, 0x2000)),
    ],
)
def test_system_calls_are_about_whole_pages_of_a_piece_and_all_of_a_mapping(
    address: int, size: int, kind: str, pages: tuple[int, int]
) -> None:
    assert Piece(address, size, kind, "").whole_pages() == pages


def test_a_child_maps_where_its_parent_would_have_and_neither_moves_the_other() -> None:
    parent = process()
    parent.place(4096)
    parent.below_stack(8192)
    child = parent.fork(2)
    assert child.place(4096) == parent.place(4096)
    assert child.below_stack(4096) == parent.below_stack(4096)
    child.pieces["a"] = Piece(1, 2, "heap", "heap")
    assert parent.pieces == {}
    assert child.pid == 2


def test_unknown_and_refused_names_are_said_to_be_so() -> None:
    made = process()
    made.pieces["b"] = Piece(0, 9, "heap", "heap")
    with pytest.raises(BadWorkload, match="read a: no piece of that name"):
        made.piece("read", "a")
    with pytest.raises(BadWorkload, match="read b: it holds nothing"):
        made.piece("read", "b")
