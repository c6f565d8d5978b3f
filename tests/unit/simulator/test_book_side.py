"""The book's heap beside a real one: pieces known by their real pointers."""

from __future__ import annotations

import pytest

from observer.model.account import FREE_PIECE, GROWTH, IN_PLACE, NOTHING, REFUSED, SPARE_ROOM, Account, Ask
from observer.simulator.book_side import BookSide
from tests.builders import HEAP, call, free


def side() -> BookSide:
    made = BookSide()
    made.predict(call(0, "malloc", 100, result=HEAP))
    return made


def test_the_first_growth_asks_where_the_break_is_and_the_next_knows() -> None:
    made = BookSide()
    assert made.predict(call(0, "malloc", 100, result=1)).account == Account(GROWTH, (Ask("brk", 0), Ask("brk", 4096)))
    assert made.predict(call(1, "malloc", 9000, result=2)).account == Account(GROWTH, (Ask("brk", 8192),))
    assert made.heap_bytes == 12_288


def test_room_at_the_end_is_spare_until_it_was_used_once() -> None:
    made = side()
    assert made.predict(call(1, "malloc", 100, result=HEAP + 200)).account.served == SPARE_ROOM
    assert made.predict(free(2, HEAP + 200)).account == Account(NOTHING)
    assert made.predict(call(3, "malloc", 100, result=HEAP + 200)).account.served == FREE_PIECE


def test_realloc_shrinks_in_place_and_grows_by_moving() -> None:
    made = side()
    assert made.predict(call(1, "realloc", 50, pointer=HEAP, result=HEAP)).account.served == IN_PLACE
    moved = made.predict(call(2, "realloc", 500, pointer=HEAP, result=HEAP + 400))
    assert moved.account.served == FREE_PIECE  # it begins where the shrunk one's rest lies
    assert made.predict(free(3, HEAP + 400)).account.served == NOTHING
    assert made.heap.used() == {}


@pytest.mark.parametrize("op", ["free", "cfree", "realloc"])
def test_what_was_not_seen_to_be_handed_out_is_freed_without_ado(op: str) -> None:
    made = side()
    size = 0 if op == "realloc" else None
    assert made.predict(call(1, op, size, pointer=HEAP + 0x5000)).account == Account(NOTHING)
    assert len(made.heap.used()) == 1


def test_realloc_of_nothing_and_of_unknown_memory_is_malloc() -> None:
    made = side()
    assert made.predict(call(1, "realloc", 100, result=HEAP + 200)).account.served == SPARE_ROOM
    assert made.predict(call(2, "realloc", 100, pointer=7, result=HEAP + 400)).account.served == SPARE_ROOM
    assert len(made.heap.used()) == 3


@pytest.mark.parametrize(("op", "pointer"), [("malloc", None), ("realloc", HEAP)])
def test_what_the_real_allocator_refused_leaves_the_books_heap_as_it_was(op: str, pointer: int | None) -> None:
    made = side()
    made.predict(call(1, op, 300, pointer=pointer, result=0))
    assert len(made.heap.used()) == 1
    made.predict(free(2, HEAP))
    assert made.heap.used() == {}


def test_what_the_book_refuses() -> None:
    made = side()
    assert made.predict(call(1, "malloc", 1 << 48, result=0)).account == Account(REFUSED)
    assert made.predict(call(2, "posix_memalign", 100, alignment=48, result=HEAP + 200)).account == Account(REFUSED)
    assert made.predict(free(3, HEAP + 200)).account == Account(NOTHING)


@pytest.mark.parametrize("op", ["free", "realloc"])
def test_what_only_the_book_refused_can_be_freed(op: str) -> None:
    made = side()
    made.predict(call(1, "malloc", 1 << 48, result=HEAP + 200))
    made.predict(call(2, op, None if op == "free" else 7, pointer=HEAP + 200, result=HEAP + 400))
    assert HEAP + 200 not in made._at


@pytest.mark.parametrize("op", ["malloc_trim", "malloc_usable_size"])
def test_what_is_no_operation_of_the_book_does_nothing(op: str) -> None:
    made = side()
    before = made.heap.free_pieces()
    assert made.predict(call(1, op, 0, pointer=HEAP, result=1)).account == Account(NOTHING)
    assert made.heap.free_pieces() == before


@pytest.mark.parametrize(("op", "alignment"), [("memalign", 4096), ("valloc", None), ("pvalloc", None)])
def test_alignments_hold_in_the_books_heap(op: str, alignment: int | None) -> None:
    assert side().predict(call(1, op, 100, alignment=alignment, result=HEAP + 0x1000)).result % 4096 == 0


def test_a_childs_heap_is_a_copy() -> None:
    made = side()
    twin = made.copy()
    assert (twin.name, twin.heap_bytes, twin.largest_free) == ("book", 4096, made.largest_free)
    twin.predict(free(1, HEAP))
    assert len(made.heap.used()) == 1
    assert twin.predict(call(2, "malloc", 9000, result=HEAP)).account.asks == (Ask("brk", 8192),)
    assert made.heap_bytes == 4096


@pytest.mark.parametrize("fit", ["first", "best", "next"])
def test_the_fit_is_the_heaps(fit: str) -> None:
    assert BookSide(fit).heap.fit == fit
    assert BookSide(fit).copy().heap.fit == fit
