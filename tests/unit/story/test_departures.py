"""Departures from the book, found from events alone."""

from __future__ import annotations

from typing import Any

from observer.model.departures import TOLD
from observer.model.events import ChunkRef
from observer.story.departures import _RULES, find_departures
from tests.builders import HEAP, LIBC, MAP, PID, call, fault, free, process, story_run, syscall


def found(*events: Any) -> dict[str, tuple[int, ...]]:
    return {departure.id: departure.evidence for departure in find_departures(events)}


def test_a_run_by_the_book_has_none() -> None:
    assert found(call(0), syscall(1, "brk", HEAP, result=HEAP, cause=0), fault(2), free(3, HEAP)) == {}


def test_an_mmap_inside_malloc_is_the_threshold() -> None:
    assert found(call(0), syscall(1, "mmap", 0, 1 << 20, 3, 0x22, cause=0)) == {"mmap-threshold": (1,)}


def test_an_mmap_of_the_loader_is_no_departure() -> None:
    assert found(syscall(0, "mmap", 0, 1 << 20, 3, 2)) == {}


def test_freed_memory_that_goes_back_is_named_by_the_way_it_goes() -> None:
    assert found(free(0, MAP), syscall(1, "munmap", MAP, 4096, cause=0)) == {"given-back-munmap": (1,)}
    assert found(free(0, HEAP), syscall(1, "brk", HEAP, result=HEAP, cause=0)) == {"given-back-brk": (1,)}
    assert found(free(0, MAP), syscall(1, "madvise", MAP, 4096, 4, cause=0)) == {"given-back-madvise": (1,)}


def test_an_mremap_inside_realloc_moves_pages() -> None:
    assert found(call(0, "realloc"), syscall(1, "mremap", MAP, 1, 2, 1, cause=0)) == {"mremap": (1,)}


def test_a_thread_opens_its_own_arena() -> None:
    task = {"tid": PID + 1}
    reserve = syscall(1, "mmap", 0, 1 << 27, 0, 0x4022, cause=0, **task)
    opened = syscall(2, "mprotect", MAP, 0x21000, 3, cause=0, **task)
    assert found(call(0, **task), reserve, opened) == {"thread-arena": (1, 2)}


def test_the_allocator_may_touch_first() -> None:
    assert found(call(0), fault(1, toucher="allocator", cause=0)) == {"allocator-touch": (1,)}


def test_the_kernel_may_touch_first() -> None:
    chunk = ChunkRef(0, HEAP, 4096)
    assert found(fault(1, ring=0, toucher="kernel", chunk=chunk)) == {"kernel-touch": (1,)}
    assert found(fault(1, LIBC, ring=0, toucher="kernel")) == {}


def test_a_read_and_then_a_write_is_the_zero_page() -> None:
    assert found(fault(0, access="read"), fault(1)) == {"zero-page": (1,)}
    assert found(fault(0, access="read"), fault(1, HEAP + 2 * 4096)) == {}


def test_a_page_thrown_away_between_is_no_zero_page() -> None:
    thrown = syscall(1, "madvise", HEAP, 1 << 20, 4)
    assert "zero-page" not in found(fault(0, access="read"), thrown, fault(2))


def test_a_childs_write_to_its_parents_page_is_copy_on_write() -> None:
    child = {"pid": 77, "tid": 77}
    assert found(fault(0), process(1, "fork", child=77), fault(2, **child)) == {"copy-on-write": (2,)}


def test_a_write_to_a_page_of_a_file_is_copy_on_write() -> None:
    assert found(fault(0, LIBC, access="read"), fault(1, LIBC)) == {"copy-on-write": (1,)}


def test_refusals_major_faults_and_the_thread_cache_are_named() -> None:
    assert found(call(0, result=0, errno=12)) == {"refused": (0,)}
    assert found(call(0, result=HEAP, served_by="tcache")) == {"thread-cache": (0,)}
    assert found(fault(0, LIBC, major=True)) == {"major-fault": (0,)}
    assert found(syscall(0, "mmap", 0, 4096, 3, 0x8022)) == {"populated": (0,)}


def test_evidence_is_short_and_the_count_is_full() -> None:
    (departure,) = find_departures(fault(n, toucher="allocator") for n in range(1000))
    assert (departure.count, len(departure.evidence)) == (1000, 5)


def test_the_story_departs_in_these_ways() -> None:
    assert [departure.id for departure in find_departures(story_run())] == [
        "mmap-threshold",
        "given-back-munmap",
        "given-back-brk",
        "allocator-touch",
        "thread-cache",
    ]


def test_every_departure_that_is_told_has_its_rule() -> None:
    assert {rule.id for rule in _RULES} == set(TOLD)


def test_each_is_told_in_the_words_of_the_table() -> None:
    for departure in find_departures(story_run()):
        assert (departure.title, departure.why) == (TOLD[departure.id].headline, TOLD[departure.id].reason)
