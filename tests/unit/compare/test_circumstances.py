"""What explains a difference beside the call itself."""

from __future__ import annotations

import pytest

from observer.compare.circumstances import Circumstances, is_foreign
from observer.compare.explanation import Explanation
from observer.model.departures import COMPARED
from observer.model.events import MISUSES, Misuse
from tests.builders import HEAP, call, free


@pytest.mark.parametrize(
    ("allocator", "told"),
    [(None, None), ("glibc", None), ("libx.so", "the call went to libx.so"),
     ("glibc#2", "the call went to a second C library in the process")],
)  # fmt: skip
def test_a_call_of_another_allocator_is_explained_by_that(allocator: str | None, told: str | None) -> None:
    found = Circumstances().before(call(3, allocator=allocator))
    assert found == (Explanation("other-allocator", told) if told is not None else None)
    assert is_foreign(call(3, allocator=allocator)) == (told is not None)


@pytest.mark.parametrize("what", MISUSES)
def test_after_a_broken_rule_everything_may_be(what: str) -> None:
    known = Circumstances()
    known.note(call(1))
    assert known.after(call(2)) is None
    known.note(free(1234, HEAP, misuse=Misuse(what)))
    known.note(free(1300, HEAP, misuse=Misuse(what)))
    for each in (known, known.copy()):
        found = each.after(call(2000))
        assert found is not None
        assert found == each.of_heap()
        assert found.rule == "misuse"
        assert found.evidence.startswith("call 1,234 ")


def test_only_what_overlaps_is_excused_by_that() -> None:
    known = Circumstances()
    known.overlap([call(1), call(2)])
    assert known.after(call(2)) == Explanation("order", "it overlaps calls of other threads")
    known.overlap([call(5), call(6)])
    assert known.after(call(2)) is None
    assert known.of_heap() is None


def test_memory_that_overlapping_calls_used_is_disputed_until_it_is_handed_out_again() -> None:
    known = Circumstances()
    known.overlap([call(1), call(2)], [(HEAP, HEAP + 96), (HEAP + 64, HEAP + 128)])
    known.settle(call(2), HEAP, HEAP + 128)  # it is one of those
    known.overlap([])
    later = call(9, result=HEAP + 80)
    assert known.after(later) == known.copy().after(free(9, HEAP + 80))
    assert known.after(later) is not None
    assert known.after(call(9, result=HEAP + 4096)) is None
    known.settle(call(5), HEAP + 32, HEAP + 128)
    assert known.after(later) is None
    assert known.after(call(9, result=HEAP + 16)) is not None


def test_calls_that_go_on_to_the_c_library_change_its_heap_unseen() -> None:
    known = Circumstances()
    known.note(call(7, allocator="libwrap.so", inner=0))
    assert known.of_heap() is None
    known.note(call(8, allocator="libwrap.so", inner=1))
    found = known.copy().of_heap()
    assert found == Explanation(
        "other-allocator", "call 8 of libwrap.so and others went on to it, which is not recorded"
    )


def test_all_that_is_told_is_in_the_table() -> None:
    assert {"other-allocator", "order", "misuse"} <= set(COMPARED)


def test_a_heap_that_was_found_damaged_explains_what_no_call_does() -> None:
    known = Circumstances("the heap is damaged: a list leads nowhere")
    for each in (known, known.copy()):
        assert each.after(call(3)) == Explanation("misuse", "the heap is damaged: a list leads nowhere")
    known.note(free(1234, HEAP, misuse=Misuse("freed before")))
    found = known.after(call(2000))
    assert found is not None
    assert found.evidence.startswith("call 1,234 ")
