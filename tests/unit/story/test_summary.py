"""Totals of a run."""

from __future__ import annotations

from observer.story.summary import summarise
from tests.builders import HEAP, MAP, PID, call, fault, free, lost, process, story_run, syscall


def test_each_malloc_is_summed_up_by_its_steps() -> None:
    summary = summarise([call(0, steps="1-2-3-4-5"), call(1), call(2), free(3, HEAP)])
    assert summary.steps == {"1-5": 2, "1-2-3-4-5": 1}
    assert summary.calls == {"malloc": 3, "free": 1}
    assert (summary.served, summary.grown) == (2, 1)


def test_freed_pieces_are_no_longer_alive() -> None:
    summary = summarise([call(0, size=100, result=HEAP), call(1, size=50, result=HEAP + 128), free(2, HEAP)])
    assert (summary.live, summary.live_pieces, summary.peak, summary.asked) == (50, 1, 150, 150)


def test_a_moved_piece_is_alive_once() -> None:
    grown = call(1, "realloc", 300, pointer=HEAP, result=HEAP + 512)
    assert summarise([call(0, size=100, result=HEAP), grown]).live == 300


def test_a_failed_realloc_leaves_its_piece_alive() -> None:
    refused = call(1, "realloc", 1 << 60, pointer=HEAP, result=0, errno=12)
    summary = summarise([call(0, size=100, result=HEAP), refused])
    assert (summary.live, summary.refused) == (100, 1)


def test_a_childs_free_does_not_end_its_parents_piece() -> None:
    summary = summarise([call(0, result=HEAP), process(1, "fork", child=77), free(2, HEAP, pid=77, tid=77)])
    assert (summary.live, summary.processes) == (100, 2)


def test_what_overflows_is_asked_for_as_columns_have_it() -> None:
    refused = call(0, "calloc", 2, count=(1 << 64) - 1, result=0, errno=12)
    assert summarise([refused, call(1, size=100)]).asked == (1 << 64) - 1 + 100


def test_an_exec_ends_every_piece() -> None:
    assert summarise([call(0, result=HEAP), process(1, "exec", path="/bin/true")]).live == 0


def test_memory_from_the_kernel_is_counted_inside_the_allocator_only() -> None:
    events = [
        syscall(0, "brk", 0, result=HEAP),
        syscall(1, "brk", HEAP + 8192, result=HEAP + 8192, cause=9),
        syscall(2, "mmap", 0, 4096, 3, 0x22, result=MAP, cause=9),
        syscall(3, "mmap", 0, 1 << 26, 0, 0x22, result=MAP, cause=9),
        syscall(4, "mmap", 0, 4096, 3, 0x22, result=MAP),
        syscall(5, "mmap", 0, 4096, 3, 0x22, result=-12, errno=12, cause=9),
        syscall(6, "munmap", MAP, 4096, cause=9),
    ]
    summary = summarise(events)
    assert (summary.from_kernel, summary.to_kernel, summary.break_growth) == (12288, 4096, 8192)
    assert summary.syscalls_inside == {"mmap": 3, "brk": 1, "munmap": 1}
    assert summary.syscalls_outside == {"brk": 1, "mmap": 1}


def test_faults_are_counted_by_toucher_ring_and_place() -> None:
    events = [fault(0), fault(1, MAP, toucher="kernel", ring=0), fault(2, toucher="allocator", major=True)]
    summary = summarise(events)
    assert summary.by_toucher == {"program": 1, "kernel": 1, "allocator": 1}
    assert summary.by_ring == {3: 2, 0: 1}
    assert summary.by_place == {"heap": 2, "mapped region": 1}
    assert (summary.faults, summary.major, summary.step_six) == (3, 1, 2)


def test_losses_and_threads_are_counted() -> None:
    summary = summarise([lost(0), call(1), call(2, tid=PID + 1)])
    assert (summary.lost, summary.threads, summary.processes) == (7, 2, 1)


def test_the_whole_story_balances() -> None:
    summary = summarise(story_run())
    assert summary.calls == {"malloc": 21, "free": 21}
    assert summary.live == 0
    assert summary.asked == 100 + 30011 + 100 + 17 * 31013 + 2097169
