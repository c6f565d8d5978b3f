"""Broken rules of malloc: who had the piece, who gave it back first, and what nobody can say."""

from __future__ import annotations

from typing import Any

from observer.model.events import Call, Misuse
from tests.builders import HEAP, PID
from tests.unit.trace.spooling import Recorder
from tests.unit.trace.test_replay import events

GLIBC, OTHER = {"implementation": 1}, {"implementation": 2}
CHILD = PID + 6


def begin(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("allocator", 2, number=1, path="/lib/libc.so.6", is_glibc=True)
    recorder.note("allocator", 3, number=2, path="/lib/libother.so.1", is_glibc=False)
    recorder.syscall("brk", HEAP + 0x21000, began=5, ended=6, result=HEAP + 0x21000)


def misuses(recorder: Recorder) -> list[Misuse | None]:
    return [event.misuse for event in events(recorder) if isinstance(event, Call)]


def a_call(recorder: Recorder, op: str, at: int, *arguments: int, **fields: Any) -> None:
    recorder.call(op, *arguments, began=at, ended=at + 5, **{**GLIBC, **fields})


def test_a_second_free_names_the_giver_and_the_first(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "malloc", 10, 24, result=HEAP + 0x2A0)
    a_call(recorder, "free", 20, HEAP + 0x2A0)
    a_call(recorder, "free", 30, HEAP + 0x2A0)
    a_call(recorder, "malloc", 40, 24, result=HEAP + 0x2A0)
    a_call(recorder, "malloc", 50, 24, result=HEAP + 0x2A0)
    none, first, again, given, hands = misuses(recorder)
    assert (none, first, given) == (None, None, None)
    assert again is not None
    assert (again.what, again.given, again.freed) == ("freed before", 2, 3)
    assert hands is not None
    assert (hands.what, hands.given, hands.freed) == ("two hands", 5, None)


def test_a_pointer_into_a_piece_and_one_of_nowhere(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "malloc", 10, 100, result=HEAP + 0x2A0)
    a_call(recorder, "free", 20, HEAP + 0x2B0)
    a_call(recorder, "free", 30, 0x1234)
    a_call(recorder, "free", 40, 0)
    told = [each and (each.what, each.given) for each in misuses(recorder)]
    assert told == [None, ("inside", 2), ("never given", None), None]


def test_realloc_takes_what_it_moves_unless_it_fails(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "malloc", 10, 100, result=HEAP + 0x2A0)
    a_call(recorder, "realloc", 20, HEAP + 0x2A0, 1 << 60, result=0)
    a_call(recorder, "realloc", 30, HEAP + 0x2A0, 200, result=HEAP + 0x400)
    a_call(recorder, "free", 40, HEAP + 0x2A0)
    a_call(recorder, "free", 50, HEAP + 0x400)
    told = [each and (each.what, each.freed) for each in misuses(recorder)]
    assert told == [None, None, None, ("freed before", 4), None]


def test_another_allocator_may_have_given_memory_by_functions_that_nobody_watches(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "free", 10, HEAP + 0x500, **OTHER)
    a_call(recorder, "free", 20, 0x1234, **OTHER)
    assert [each and each.what for each in misuses(recorder)] == [None, "never given"]


def test_a_forked_child_knows_what_was_freed(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "malloc", 10, 24, result=HEAP + 0x2A0)
    a_call(recorder, "free", 20, HEAP + 0x2A0)
    recorder.note("born", 30, how="fork", child=CHILD, child_pid=CHILD, shares=False)
    a_call(recorder, "free", 40, HEAP + 0x2A0, pid=CHILD, tid=CHILD)
    assert [each and each.what for each in misuses(recorder)] == [None, None, "freed before"]


def test_each_call_names_its_allocator_and_copies_are_counted(recorder: Recorder) -> None:
    begin(recorder)
    recorder.note("allocator", 7, number=3, path="/lib/libc.so.6", is_glibc=True)
    recorder.note("born", 8, how="fork", child=CHILD, child_pid=CHILD, shares=False)
    recorder.note("allocator", 9, number=4, path="/lib/libc.so.6", is_glibc=True, pid=CHILD)
    recorder.note("allocator", 9, number=5, path="/lib/libc.so.6", is_glibc=True, pid=CHILD + 1)
    for number in range(6):
        a_call(recorder, "malloc", 10 + 10 * number, 24, implementation=number)
    told = [event.allocator for event in events(recorder) if isinstance(event, Call)]
    assert told == [None, "glibc", "libother.so.1", "glibc#2", "glibc#3", "glibc"]


def test_settings_are_ints_with_a_sign(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "mallopt", 10, 0xFFFF_FFFD, 0xABCD_0000_0000_7000, result=0x7FFF_0000_0001)
    [told] = [event for event in events(recorder) if isinstance(event, Call)]
    assert (told.parameter, told.value, told.result) == (-3, 0x7000, 1)


def test_what_posix_memalign_refuses_by_its_alignment_is_einval(recorder: Recorder) -> None:
    begin(recorder)
    for at, alignment in enumerate((0, 4, 24, 64), 1):
        a_call(recorder, "posix_memalign", 10 * at, 0x7FFC_0000, alignment, 100)
    assert [event.errno for event in events(recorder) if isinstance(event, Call)] == [22, 22, 22, 12]


def test_the_environment_of_a_program_comes_with_its_start(recorder: Recorder) -> None:
    recorder.note(
        "exec", 1, path="/bin/x", former=PID, first=True, minor=0, major=0, break_start=0, mappings=[],
        environment={"MALLOC_TOP_PAD_": "0"},
    )  # fmt: skip
    [start] = [event for event in events(recorder) if event.n == 0]
    assert getattr(start, "environment", None) == {"MALLOC_TOP_PAD_": "0"}


def test_memory_inside_a_piece_that_was_given_back_from_there_overlaps_it(recorder: Recorder) -> None:
    begin(recorder)
    a_call(recorder, "malloc", 10, 100, result=HEAP + 0x2A0)
    a_call(recorder, "free", 20, HEAP + 0x2B0)
    a_call(recorder, "malloc", 30, 24, result=HEAP + 0x2B0)
    told = [each and (each.what, each.given) for each in misuses(recorder)]
    assert told == [None, ("inside", 2), ("overlap", 2)]
