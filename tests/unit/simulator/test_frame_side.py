"""Linux's paging beside a real process: moved by its system calls, asked about its faults."""

from __future__ import annotations

import pytest

from observer.model.account import Reach
from observer.simulator.frame_side import FrameSide
from tests.builders import HEAP, LIBC, MAP, PAGE, fault, in_libc, syscall

RW = 3


def heap(pages: int = 8) -> FrameSide:
    side = FrameSide("madvise")
    side.apply(syscall(0, "brk", 0, result=HEAP))
    side.apply(syscall(1, "brk", HEAP + pages * PAGE, result=HEAP + pages * PAGE))
    return side


def mapped(protection: int = RW, flags: int = 0x22, length: int = 16 * PAGE) -> FrameSide:
    side = FrameSide("madvise")
    side.apply(syscall(0, "mmap", 0, length, protection, flags, -1, 0, result=MAP))
    return side


# ---- what is modelled ---------------------------------------------------------------------------------------


def test_the_heap_is_what_lies_between_the_breaks() -> None:
    side = heap(2)
    assert [side.covers(HEAP + offset) for offset in (-1, 0, 2 * PAGE - 1, 2 * PAGE)] == [False, True, True, False]
    side.take(fault(2, HEAP + PAGE))
    side.apply(syscall(3, "brk", HEAP + PAGE, result=HEAP + PAGE))
    assert not side.covers(HEAP + PAGE)
    assert side.resident_in_heap() == 0


def test_a_break_inside_a_page_covers_all_of_it() -> None:
    side = FrameSide("madvise")
    side.apply(syscall(0, "brk", 0, result=HEAP + 0x123))
    side.apply(syscall(1, "brk", HEAP + 0x1123, result=HEAP + 0x1123))
    assert [side.covers(HEAP + offset) for offset in (0xFFF, 0x1000, 0x1FFF, 0x2000)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("flags", "module", "covered"),
    [
        (0x22, "libc.so.6", True), (0x21, "libc.so.6", False), (0x02, "libc.so.6", False),
        (0x22, "ld-linux-x86-64.so.2", False), (0x8022, "story", True),
    ],
)  # fmt: skip
def test_only_private_anonymous_memory_outside_the_loader_is_modelled(flags: int, module: str, covered: bool) -> None:
    side = FrameSide("madvise")
    place = type(in_libc())("f", None, None, module, 0)
    side.apply(syscall(0, "mmap", 0, PAGE, RW, flags, -1, 0, result=MAP, site=place))
    assert side.covers(MAP) is covered


def test_what_a_file_is_mapped_over_is_gone() -> None:
    side = mapped()
    side.apply(syscall(1, "mmap", MAP, PAGE, RW, 0x12, 3, 0, result=MAP))
    assert not side.covers(MAP)
    assert side.covers(MAP + PAGE)


@pytest.mark.parametrize("name", ["mmap", "munmap", "mprotect", "madvise"])
def test_a_call_that_failed_changes_nothing(name: str) -> None:
    side = mapped()
    side.take(fault(1, MAP))
    side.apply(syscall(2, name, MAP, PAGE, 4, 0x32, result=-12, errno=12))
    assert side.covers(MAP)
    assert not side.expects(fault(3, MAP))


def test_unknown_calls_change_nothing() -> None:
    side = mapped()
    side.apply(syscall(1, "openat", MAP, PAGE, 4, result=3))
    assert side.covers(MAP)


# ---- faults -------------------------------------------------------------------------------------------------


def test_a_fault_is_expected_once() -> None:
    side = heap()
    assert side.expects(fault(1, HEAP))
    [resolved] = side.take(fault(1, HEAP))
    assert (resolved.kind, resolved.pages) == ("first write", 1)
    assert not side.expects(fault(2, HEAP + 8))
    assert side.resident_in_heap() == 1


def test_a_read_leaves_a_fault_for_the_first_write() -> None:
    side = heap()
    side.take(fault(1, HEAP, access="read"))
    assert not side.expects(fault(2, HEAP, access="read"))
    assert side.expects(fault(2, HEAP))
    assert [resolved.kind for resolved in side.take(fault(2, HEAP))] == ["write after read"]
    assert side.resident_in_heap() == 1


def test_an_access_that_is_not_known_may_be_told_by_who_knows() -> None:
    side = heap()
    assert [resolved.kind for resolved in side.take(fault(1, HEAP, access=None), write=False)] == ["first read"]
    assert [resolved.kind for resolved in side.take(fault(2, HEAP + PAGE, access=None))] == ["first write"]
    assert not side.expects(fault(3, HEAP, access="read"))
    assert side.expects(fault(3, HEAP + PAGE, access="read"))  # the guess may have been wrong


def test_a_guess_is_good_for_one_more_fault() -> None:
    side = heap()
    side.take(fault(1, HEAP, access=None))
    assert side.expects(fault(2, HEAP))
    side.take(fault(2, HEAP))
    assert not side.expects(fault(3, HEAP))


@pytest.mark.parametrize(
    ("name", "args", "again"),
    [
        ("madvise", (MAP, PAGE, 4), True), ("madvise", (MAP, PAGE, 8), False), ("madvise", (MAP, PAGE, 14), False),
        ("madvise", (MAP, 100, 4), True), ("mprotect", (MAP, PAGE, 1), False), ("mlock", (MAP, PAGE), False),
    ],
)  # fmt: skip
def test_what_a_system_call_does_to_a_page_that_is_there(name: str, args: tuple[int, ...], again: bool) -> None:
    side = mapped()
    side.take(fault(1, MAP))
    side.apply(syscall(2, name, *args))
    assert side.expects(fault(3, MAP)) is again


def test_what_is_locked_or_populated_takes_no_fault() -> None:
    side = mapped(flags=0x8022)
    assert not side.expects(fault(1, MAP + 15 * PAGE))
    side = mapped()
    side.apply(syscall(1, "mlock", MAP + 100, PAGE))
    assert [side.expects(fault(2, MAP + page * PAGE)) for page in (0, 1, 2)] == [False, False, True]


def test_pages_move_with_their_mapping() -> None:
    side = mapped()
    side.take(fault(1, MAP + PAGE))
    there = MAP + (1 << 30)
    side.apply(syscall(2, "mremap", MAP, 16 * PAGE, 32 * PAGE, 1, result=there))
    assert not side.covers(MAP)
    assert [side.expects(fault(3, there + page * PAGE)) for page in (0, 1, 31)] == [True, False, True]


def test_reaches_are_told_by_the_page_and_the_first_that_wants_it() -> None:
    side = heap()
    side.take(fault(1, HEAP))
    header, zeroes = Reach(HEAP + PAGE, 16, True, "header"), Reach(HEAP, 3 * PAGE, True, "zeroes")
    found = side.predicted([header, zeroes, Reach(LIBC, 16, True, "header")])
    assert found == {HEAP + PAGE: header, HEAP + 2 * PAGE: zeroes}


def test_a_child_shares_until_it_writes() -> None:
    side = heap()
    side.take(fault(1, HEAP))
    twin = side.copy()
    assert [twin.expects(fault(2, HEAP, access=access)) for access in ("read", "write")] == [False, True]
    assert [resolved.kind for resolved in twin.take(fault(2, HEAP))] == ["copy on write"]
    assert [resolved.kind for resolved in side.take(fault(3, HEAP))] == ["last owner"]
    twin.apply(syscall(4, "brk", HEAP + PAGE, result=HEAP + PAGE))
    assert side.covers(HEAP + PAGE)
    twin.end()
    assert not twin.covers(HEAP)


# ---- as a workload's operations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "write", "faults", "refused"),
    [
        (["map"], True, 4, None), (["populate"], True, 0, None), (["shared"], True, 4, None), (["file"], False, 1, None),
        (["map", "readonly"], True, 0, "SEGV_ACCERR"), (["map", "readonly"], False, 4, None),
        (["map", "noaccess"], False, 0, "SEGV_ACCERR"), (["map", "noaccess", "writable"], True, 4, None),
        (["map", "unmap"], True, 0, "SEGV_MAPERR"), (["map", "lock"], True, 0, None),
        (["populate", "dontneed"], True, 4, None), (["populate", "lazyfree"], True, 0, None),
        (["map", "lock", "unlock", "dontneed"], True, 4, None), (["map", "hugepage"], True, 4, None),
        (["map", "nohugepage"], True, 4, None), (["stack"], True, 4, None),
    ],
)  # fmt: skip
def test_operations_do_what_their_system_calls_do(
    kinds: list[str], write: bool, faults: int, refused: str | None
) -> None:
    side = FrameSide("madvise")
    for kind in kinds:
        side.do(kind, MAP, 4 * PAGE)
    # A stack is touched downwards: each page below the last one lets it grow.
    absent = side.absent(MAP, 4 * PAGE)
    seen, code = side.access(MAP, 4 * PAGE, write=write)
    assert (len(seen), code) == (faults, refused)
    assert absent == (0 if (kinds[0] == "populate" and kinds[-1] != "dontneed") or kinds[-1] == "lock" else 4)


# ---- what is not followed today -----------------------------------------------------------------------------


def test_what_was_unlocked_can_be_dropped() -> None:
    side = mapped()
    side.apply(syscall(1, "mlock", MAP, PAGE))
    side.apply(syscall(2, "munlock", MAP, PAGE))
    side.apply(syscall(3, "madvise", MAP, PAGE, 4))
    assert side.expects(fault(4, MAP))


def test_an_unknown_access_to_memory_that_may_only_be_read_is_a_read() -> None:
    side = mapped(protection=1)
    assert [resolved.kind for resolved in side.take(fault(1, MAP, access=None))] == ["first read"]
