"""What an allocator holds, from events by values: the moment when most is live, and what of the pages is not."""

from __future__ import annotations

from typing import Any

from observer.model.events import Event
from observer.model.footprint import Conduct
from observer.runs.holdings import Peak, account, find_peaks
from tests.builders import HEAP, MAP, PAGE, PID, call, fault, free, process, site, syscall

ANONYMOUS = 0x22
CHILD = 4177


def told(*events: Event, modules: frozenset[str] = frozenset()) -> Conduct:
    return account(events, find_peaks(events, modules), modules)


def heap(n: int, end: int, **fields: Any) -> Event:
    return syscall(n, "brk", HEAP + end, result=HEAP + end, **fields)


def mapped(n: int, length: int, at: int = MAP, **fields: Any) -> Event:
    return syscall(n, "mmap", 0, length, 3, ANONYMOUS, 0, 0, result=at, **{"cause": 0, **fields})


START = (syscall(0, "brk", 0, result=HEAP), heap(1, 33 * PAGE))


def test_the_last_moment_of_the_most_counts() -> None:
    events = [call(0, size=100, result=HEAP), free(1, HEAP), call(2, size=100, result=HEAP), free(3, HEAP)]
    assert find_peaks(events) == {PID: Peak(100, 2500)}


def test_what_is_resident_but_in_no_piece_is_wasted() -> None:
    events = [*START, call(2, size=1000, result=HEAP + 16), fault(3, HEAP), fault(4, HEAP + PAGE)]
    conduct = told(*events, call(5, size=7, result=HEAP + 1040), fault(6, HEAP + 2 * PAGE))
    assert (conduct.live_peak, conduct.held_at_peak, conduct.wasted) == (1007, 2 * PAGE, 2 * PAGE - 1007)


def test_a_piece_that_nobody_touched_is_not_wasted() -> None:
    events = [mapped(0, 100 * PAGE), fault(1, MAP), call(2, size=90 * PAGE, result=MAP + 16), free(3, MAP + 16)]
    conduct = told(*events)
    assert (conduct.held_at_peak, conduct.wasted) == (PAGE, 16)


def test_pieces_cover_only_the_part_of_them_that_is_resident() -> None:
    events = [
        *START,
        call(2, size=3 * PAGE, result=HEAP + 100),
        fault(3, HEAP + PAGE),
        call(4, size=8, result=HEAP + 8 * PAGE),
    ]
    assert told(*events, fault(5, HEAP + 2 * PAGE)).wasted == 0


def test_a_page_that_was_only_read_is_not_held() -> None:
    assert told(*START, call(2, result=HEAP), fault(3, HEAP, access="read")).held_peak == 0


def test_a_fault_outside_the_allocators_memory_is_not_held() -> None:
    program = syscall(0, "mmap", 0, PAGE, 3, ANONYMOUS, 0, 0, result=MAP, site=site(7))
    assert told(program, call(1, result=HEAP), fault(2, MAP)).held_peak == 0


def test_a_mapping_that_the_library_made_outside_a_call_is_its_own() -> None:
    early = mapped(0, 7 * PAGE, cause=None, site=site(None, None, "mi_process_init"))
    conduct = told(early, call(1, result=MAP, site=None), fault(2, MAP), modules=frozenset({"story"}))
    assert (conduct.held_peak, conduct.own_syscalls) == (PAGE, {"mmap": 1})


def test_what_the_library_asks_of_itself_is_not_the_programs() -> None:
    trying = call(0, size=1, result=MAP, site=site(None, None, "TCMallocGuard"))
    conduct = told(trying, modules=frozenset({"story"}))
    assert (conduct.calls, conduct.live_peak) == ({}, 0)


def test_memory_goes_back_by_brk_munmap_and_advice() -> None:
    events = [
        *START, mapped(2, 4 * PAGE), call(3, result=HEAP), fault(4, HEAP), fault(5, HEAP + 32 * PAGE), fault(6, MAP),
        fault(7, MAP + PAGE), fault(8, MAP + 2 * PAGE), heap(9, 32 * PAGE), syscall(10, "madvise", MAP, PAGE, 4, cause=3),
        syscall(11, "madvise", MAP + PAGE, PAGE, 8, cause=3), syscall(12, "munmap", MAP + 2 * PAGE, PAGE, cause=3),
    ]  # fmt: skip
    conduct = told(*events)
    assert (conduct.held_peak, conduct.held_end) == (5 * PAGE, 2 * PAGE)
    assert conduct.returned == {"MADV_DONTNEED": PAGE, "MADV_FREE": PAGE}
    assert (conduct.break_moves, conduct.break_grown, conduct.break_shrunk) == (2, 33 * PAGE, PAGE)
    assert (conduct.maps, conduct.mapped, conduct.unmapped) == (1, 4 * PAGE, PAGE)


def test_a_remapped_piece_takes_its_pages_along() -> None:
    moved = syscall(4, "mremap", MAP, 2 * PAGE, 5 * PAGE, 1, 0, result=MAP + 64 * PAGE, cause=3)
    events = [mapped(0, 2 * PAGE), call(1, result=MAP), fault(2, MAP), fault(3, MAP + PAGE), moved]
    assert told(*events).held_end == 2 * PAGE
    assert told(*events, syscall(5, "munmap", MAP + 64 * PAGE, 5 * PAGE, cause=3)).held_end == 0


def test_a_failed_call_changes_nothing() -> None:
    refused = syscall(1, "munmap", MAP, 2 * PAGE, result=None, errno=22)
    assert told(mapped(0, 2 * PAGE), call(2, result=MAP), fault(3, MAP), refused).held_end == PAGE


def test_the_longest_mapping_is_followed_by_itself() -> None:
    events = [mapped(0, 9 * PAGE), mapped(1, 1000 * PAGE, MAP + 64 * PAGE), call(2, result=MAP), fault(3, MAP)]
    events += [fault(4 + i, MAP + (64 + i) * PAGE) for i in range(3)]
    events += [syscall(9, "madvise", MAP + 64 * PAGE, 1000 * PAGE, 4, cause=2), fault(10, MAP + 65 * PAGE)]
    conduct = told(*events)
    assert (conduct.largest, conduct.largest_resident) == (1000 * PAGE, 3 * PAGE)


def test_the_process_with_most_alive_is_told() -> None:
    fork = process(3, "fork", child=CHILD)
    more = call(4, size=5000, result=HEAP + 4 * PAGE, pid=CHILD, tid=CHILD)
    events = [*START, call(2, size=100, result=HEAP), fork, more, free(5, HEAP, pid=CHILD, tid=CHILD), free(6, HEAP)]
    conduct = told(*events)
    assert (conduct.live_peak, conduct.live_end) == (5100, 5000)
    assert conduct.calls == {"malloc": 2, "free": 2}


def test_an_exec_begins_anew() -> None:
    events = [*START, call(2, size=100, result=HEAP), fault(3, HEAP), process(4, "exec", path="/bin/true")]
    conduct = told(*events, call(5, size=10, result=HEAP))
    assert (conduct.live_peak, conduct.live_end, conduct.held_end) == (100, 10, 0)


def test_without_a_call_the_waste_is_unknown_unless_nothing_is_held() -> None:
    assert told(*START, fault(2, HEAP)).wasted is None
    assert told(*START).wasted == 0


def test_a_realloc_that_fails_keeps_its_piece_and_one_to_nothing_frees_it() -> None:
    refused = call(1, "realloc", 1 << 60, pointer=HEAP, result=0, errno=12)
    assert told(call(0, result=HEAP), refused).live_end == 100
    assert told(call(0, result=HEAP), call(1, "realloc", 0, pointer=HEAP, result=0)).live_end == 0


def test_the_operators_of_cpp_are_calls_like_others() -> None:
    made = call(0, "operator new (aligned)", 256, alignment=128, result=HEAP)
    assert told(made).live_end == 256
    assert told(made, call(1, "operator delete", None, pointer=HEAP)).live_end == 0
