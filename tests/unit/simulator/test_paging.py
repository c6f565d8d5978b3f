"""Pages come in at first touch and are shared and copied as Linux does it: one rule, one test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from observer.model.addresses import PAGE
from observer.simulator.frames import Frames
from observer.simulator.paging import Memory, PageFault, SegmentationFault

HUGE = 512 * PAGE
START = 0x4000_0000
"""Where mappings begin here: a multiple of 2 MiB."""


def kinds(faults: list[PageFault]) -> list[str]:
    return [fault.kind for fault in faults]


def mapped(pages: int, kind: str = "anonymous", *, access: str = "write", memory: Memory | None = None) -> Memory:
    memory = memory or Memory()
    memory.map(START, pages * PAGE, kind, access=access)
    return memory


def at(page: int) -> int:
    return START + page * PAGE


# ---- private memory ------------------------------------------------------------------------------------------


def test_a_first_write_brings_one_frame_a_page() -> None:
    memory = mapped(8)
    assert kinds(memory.write(at(0) + 5, 2 * PAGE)) == ["first write"] * 3
    assert memory.write(at(0), 3 * PAGE) == []
    assert memory.read(at(0), 3 * PAGE) == []
    assert memory.resident_pages == 3


def test_a_read_maps_the_zero_page_and_a_later_write_is_a_second_fault() -> None:
    memory = mapped(8)
    assert memory.read(at(0)) == [PageFault(at(0), "first read", 0)]
    assert memory.is_present(at(0))
    assert not memory.is_resident(at(0))
    assert memory.would_fault(at(0), write=True)
    assert not memory.would_fault(at(0), write=False)
    assert kinds(memory.write(at(0))) == ["write after read"]
    assert memory.resident_pages == 1


def test_after_a_fork_the_first_writer_copies_and_the_last_owner_does_not() -> None:
    parent = mapped(8)
    parent.write(at(0), 2 * PAGE)
    child = parent.fork()
    assert parent.frames_in_use == 2
    assert child.read(at(0), 2 * PAGE) == []
    assert kinds(child.write(at(0))) == ["copy on write"]
    assert kinds(parent.write(at(0))) == ["last owner"]
    assert parent.frames_in_use == 3
    assert child.resident_pages == 2


def test_a_child_that_ends_gives_its_copies_back() -> None:
    parent = mapped(8)
    parent.write(at(0))
    child = parent.fork()
    child.write(at(0), 2 * PAGE)
    child.end()
    assert (parent.frames_in_use, child.resident_pages) == (1, 0)
    assert kinds(parent.write(at(0))) == ["last owner"]


def test_zero_pages_alone_are_not_copied_by_fork() -> None:
    parent = mapped(8)
    parent.read(at(0), 2 * PAGE)
    assert kinds(parent.fork().read(at(0))) == ["first read"]
    parent.write(at(5))
    assert parent.fork().read(at(0)) == []


def test_dropped_pages_are_touched_anew() -> None:
    memory = mapped(8)
    memory.write(at(0), 3 * PAGE)
    assert memory.drop(at(0) + 0x800, 2 * PAGE) == 1
    assert not memory.is_resident(at(1))
    assert kinds(memory.write(at(0), 3 * PAGE)) == ["first write"]


def test_lazily_freed_pages_stay_and_fault_no_more_than_before() -> None:
    memory = mapped(8)
    memory.write(at(0), 2 * PAGE)
    memory.lazy_free(at(0), 8 * PAGE)
    assert memory.read(at(0), 2 * PAGE) == memory.write(at(0), 2 * PAGE) == []
    assert memory.resident_pages == 2


# ---- rights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "page", "is_write", "code"),
    [
        ("read", 0, True, "SEGV_ACCERR"),
        ("none", 0, False, "SEGV_ACCERR"),
        ("write", 9, False, "SEGV_MAPERR"),
        ("write", -1, True, "SEGV_MAPERR"),
    ],
)
def test_what_is_forbidden_is_a_segmentation_fault(access: str, page: int, is_write: bool, code: str) -> None:
    memory = mapped(8, access=access)
    with pytest.raises(SegmentationFault) as caught:
        (memory.write if is_write else memory.read)(at(page))
    assert (caught.value.address, caught.value.code, caught.value.faults) == (at(page), code, [])


def test_what_was_resolved_before_a_segmentation_fault_is_told() -> None:
    memory = mapped(2)
    with pytest.raises(SegmentationFault) as caught:
        memory.write(at(0), 3 * PAGE)
    assert kinds(caught.value.faults) == ["first write"] * 2
    assert caught.value.address == at(2)


@pytest.mark.parametrize("between", ["read", "none"])
def test_own_pages_may_be_written_without_a_fault_when_writing_is_allowed_again(between: str) -> None:
    memory = mapped(8)
    memory.write(at(0))
    memory.read(at(1))
    memory.protect(at(0), 8 * PAGE, between)
    with pytest.raises(SegmentationFault):
        memory.write(at(0))
    memory.protect(at(0), 8 * PAGE, "write")
    assert kinds(memory.write(at(0), 2 * PAGE)) == ["write after read"]


def test_protection_does_not_undo_sharing() -> None:
    parent = mapped(8)
    parent.write(at(0))
    child = parent.fork()
    for access in ("read", "write"):
        child.protect(at(0), 8 * PAGE, access)
    assert kinds(child.write(at(0))) == ["copy on write"]


# ---- what the kernel brings in itself ------------------------------------------------------------------------


def test_populate_counts_faults_but_leaves_none_for_the_program() -> None:
    memory = mapped(40)
    memory.read(at(0))
    memory.write(at(1))
    assert memory.populate(at(0), 40 * PAGE) == 39
    assert memory.write(at(0), 40 * PAGE) == []


@pytest.mark.parametrize(("kind", "access", "count"), [
    ("anonymous", "read", 64), ("file", "write", 64), ("file", "read", 4), ("shared", "write", 64), ("file", "none", 0),
])  # fmt: skip
def test_what_populate_counts_for_each_kind(kind: str, access: str, count: int) -> None:
    memory = mapped(64, kind, access=access)
    assert memory.populate(at(0), 64 * PAGE) == count


def test_locked_memory_cannot_be_dropped_and_comes_in_when_it_becomes_writable() -> None:
    memory = mapped(16, access="read")
    assert memory.lock(at(0), 16 * PAGE) == 16
    assert memory.drop(at(0), 16 * PAGE) == 0
    assert memory.protect(at(0), 16 * PAGE, "write") == 16
    assert memory.write(at(0), 16 * PAGE) == []
    memory.unlock(at(0), 16 * PAGE)
    assert memory.drop(at(0), 16 * PAGE) == 16


def test_locking_ends_at_a_hole_and_at_what_may_not_be_read() -> None:
    memory = mapped(4)
    assert memory.lock(at(0), 8 * PAGE) == 0
    memory.map(at(4), 4 * PAGE, "anonymous", access="none")
    memory.map(at(8), 4 * PAGE, "anonymous")
    assert memory.lock(at(0), 12 * PAGE) == 4
    assert memory.write(at(0), 4 * PAGE) == []


def test_locks_are_not_inherited() -> None:
    memory = mapped(4)
    memory.lock(at(0), 4 * PAGE)
    assert memory.fork().drop(at(0), 4 * PAGE) == 4


# ---- files and shared memory ---------------------------------------------------------------------------------


def test_a_file_is_mapped_sixteen_pages_at_a_time() -> None:
    memory = mapped(64, "file")
    (fault,) = memory.read(at(20))
    assert (fault.kind, fault.pages) == ("file read", 16)
    assert memory.read(at(16), 16 * PAGE) == []
    assert [fault.pages for fault in memory.read(at(0), 64 * PAGE)] == [16] * 3


def test_fault_around_stays_in_the_mapping_and_begins_with_it() -> None:
    memory = Memory()
    memory.map(at(5), 64 * PAGE, "file")
    assert memory.read(at(7))[0].pages == 16
    assert memory.read(at(5), 16 * PAGE) == []
    assert memory.read(at(68))[0].pages == 5


@pytest.mark.parametrize(("page_size", "pages"), [(4096, 16), (16384, 4), (65536, 1)])
def test_fault_around_brings_in_64_kib_of_pages_of_any_size(page_size: int, pages: int) -> None:
    memory = Memory(frames=Frames(page_size=page_size))
    memory.map(1 << 30, 64 * page_size, "file")
    assert [fault.pages for fault in memory.read(1 << 30, 64 * page_size)] == [pages] * (64 // pages)


def test_writing_a_file_page_copies_it_alone() -> None:
    memory = mapped(64, "file")
    assert kinds(memory.write(at(3))) == ["file write"]
    assert memory.read(at(4))[0].pages == 15
    assert kinds(memory.write(at(3), 2 * PAGE)) == ["copy on write"]
    memory.drop(at(0), 64 * PAGE)
    assert kinds(memory.read(at(3))) == ["file read"]


def test_fork_copies_a_file_mapping_only_if_it_has_private_pages() -> None:
    memory = mapped(64, "file")
    memory.read(at(0))
    assert kinds(memory.fork().read(at(0))) == ["file read"]
    memory.write(at(0))
    assert memory.fork().read(at(1)) == []


def test_shared_memory_is_one_fault_for_read_and_write_and_found_again_after_a_fork() -> None:
    parent = mapped(64, "shared")
    assert kinds(parent.read(at(0))) == ["shared first read"]
    assert parent.write(at(0)) == []
    assert kinds(parent.write(at(1), 31 * PAGE)) == ["shared first write"] * 31
    child = parent.fork()
    assert [(fault.kind, fault.pages) for fault in child.read(at(3))] == [("shared page", 16)]
    assert kinds(child.write(at(3), 14 * PAGE)) == ["shared page"]
    assert parent.frames_in_use == 32


def test_dropped_shared_memory_keeps_its_frames_until_nobody_maps_it() -> None:
    memory = mapped(64, "shared")
    memory.write(at(0))
    assert memory.drop(at(0), 64 * PAGE) == 1
    assert (memory.resident_pages, memory.frames_in_use) == (0, 1)
    assert kinds(memory.write(at(0))) == ["shared page"]
    memory.unmap(at(0), 64 * PAGE)
    assert memory.frames_in_use == 0


def test_two_mappings_of_one_object_show_the_same_frames() -> None:
    memory = Memory()
    memory.map(at(0), 4 * PAGE, "shared", object=1)
    memory.map(at(8), 4 * PAGE, "shared", object=1, offset=PAGE)
    frame = memory.write(at(1))[0].frame
    assert memory.read(at(8))[0].frame == frame
    with pytest.raises(ValueError, match="file for one mapping"):
        memory.map(at(16), PAGE, "file", object=1)


# ---- huge pages ----------------------------------------------------------------------------------------------


def huge(blocks: int = 2) -> Memory:
    memory = mapped(512 * blocks)
    memory.advise_huge(START, blocks * HUGE, True)
    return memory


def test_a_huge_page_is_one_fault() -> None:
    memory = huge()
    assert [(fault.kind, fault.pages) for fault in memory.write(at(5))] == [("huge first write", 512)]
    assert memory.write(START, HUGE) == []
    assert [(fault.kind, fault.pages) for fault in memory.read(at(600))] == [("huge zero page", 512)]
    assert kinds(memory.write(START + HUGE, HUGE)) == ["huge write after read"]
    assert memory.resident_pages == 1024


def use_small_page_first(memory: Memory) -> None:
    memory.advise_huge(START, HUGE, False)
    memory.write(at(7))
    memory.advise_huge(START, HUGE, True)


def drop_in_halves(memory: Memory) -> None:
    memory.write(at(0))
    memory.drop(START, HUGE // 2)
    memory.drop(START + HUGE // 2, HUGE // 2)


@pytest.mark.parametrize("before", [
    use_small_page_first, drop_in_halves,
    lambda memory: memory.unmap(START, PAGE), lambda memory: memory.protect(START, PAGE, "read"),
    lambda memory: memory.lock(START, PAGE), lambda memory: memory.advise_huge(START, HUGE, False),
])  # fmt: skip
def test_no_huge_page_where_it_does_not_fit(before: Callable[[Memory], object]) -> None:
    memory = huge()
    before(memory)
    assert kinds(memory.write(at(3))) == ["first write"]


def test_a_huge_page_may_come_where_all_was_dropped_at_once() -> None:
    memory = mapped(512)
    memory.write(at(3))
    memory.drop(START, HUGE)
    memory.advise_huge(START, HUGE, True)
    assert kinds(memory.write(at(3))) == ["huge first write"]


@pytest.mark.parametrize(("thp", "advice", "kind"), [
    ("always", None, "huge first write"), ("always", False, "first write"), ("madvise", None, "first write"),
    ("never", True, "first write"),
])  # fmt: skip
def test_modes_of_huge_pages(thp: str, advice: bool | None, kind: str) -> None:
    memory = mapped(512, memory=Memory(thp=thp))
    if advice is not None:
        memory.advise_huge(START, HUGE, advice)
    assert kinds(memory.write(at(3))) == [kind]


def test_after_a_fork_a_huge_page_is_split_by_a_writer_and_taken_back_whole_by_the_last_owner() -> None:
    parent = huge(1)
    parent.write(at(0))
    child = parent.fork()
    assert kinds(child.write(at(3), 2 * PAGE)) == ["copy on write"] * 2
    child.end()
    assert kinds(parent.write(START, HUGE)) == ["huge last owner"]
    assert parent.frames_in_use == 512


def test_part_of_a_huge_page_is_copied_while_another_process_has_any_part() -> None:
    parent = huge(1)
    parent.write(at(0))
    for access in ("read", "write"):
        parent.protect(at(0), PAGE, access)  # splits the entry
    child = parent.fork()
    child.drop(at(0), PAGE)
    assert kinds(parent.write(at(0))) == ["copy on write"]
    child.end()
    assert kinds(parent.write(at(2))) == ["last owner"]


def test_a_split_huge_page_needs_no_new_faults() -> None:
    memory = huge(1)
    memory.write(at(0))
    memory.protect(at(0), 16 * PAGE, "read")
    memory.protect(at(0), 16 * PAGE, "write")
    assert memory.drop(at(4), 4 * PAGE) == 4
    assert kinds(memory.write(START, HUGE)) == ["first write"] * 4


def test_freeing_part_of_a_huge_page_gives_up_what_was_never_written() -> None:
    memory = huge(1)
    memory.write(at(0), 3 * PAGE)
    memory.lazy_free(at(0), 16 * PAGE)
    assert memory.resident_pages == 3
    assert kinds(memory.write(START, HUGE)) == ["write after read"] * 509


# ---- stack, heap, moving -------------------------------------------------------------------------------------


def stack_at(page: int, memory: Memory) -> Memory:
    memory.map(at(page), 4 * PAGE, "stack")
    return memory


def test_a_stack_grows_down_to_its_limit() -> None:
    memory = stack_at(4000, Memory(stack_limit=100 * PAGE))
    assert kinds(memory.write(at(3990))) == ["stack growth"]
    assert kinds(memory.read(at(3995))) == ["first read"]
    assert kinds(memory.read(at(4004 - 100))) == ["stack growth"]
    with pytest.raises(SegmentationFault, match="SEGV_MAPERR"):
        memory.write(at(4003 - 100))


@pytest.mark.parametrize(("access", "gap"), [("write", 256), ("none", 0)])
def test_a_stack_keeps_a_gap_to_what_may_be_accessed_below(access: str, gap: int) -> None:
    memory = stack_at(1000, mapped(4, access=access))
    assert kinds(memory.write(at(4 + gap))) == ["stack growth"]
    with pytest.raises(SegmentationFault):
        memory.write(at(3 + gap))


def test_a_heap_grows_as_one_mapping() -> None:
    memory = Memory(thp="always")
    memory.map(START, HUGE // 2, "heap")
    memory.map(START + HUGE // 2, HUGE // 2, "heap")
    assert kinds(memory.write(START)) == ["huge first write"]


def test_moved_pages_keep_their_frames() -> None:
    memory = mapped(16)
    frame = memory.write(at(2))[0].frame
    assert memory.move(at(0), 16 * PAGE, at(600), 32 * PAGE) == 0
    assert not memory.is_mapped(at(2))
    assert memory.write(at(602)) == []
    assert memory.fork().write(at(602))[0].frame != frame
    assert kinds(memory.write(at(620))) == ["first write"]
    memory.move(at(600), 32 * PAGE, at(0), 4 * PAGE)
    assert [memory.is_mapped(at(page)) for page in (3, 4, 604)] == [True, False, False]


def test_a_huge_page_moves_whole_if_both_places_are_aligned() -> None:
    memory = huge(1)
    memory.write(at(0))
    memory.move(START, HUGE, START + 4 * HUGE, HUGE)
    child = memory.fork()
    child.end()
    assert kinds(memory.write(START + 4 * HUGE, HUGE)) == ["huge last owner"]


def test_what_is_added_to_a_locked_mapping_comes_in() -> None:
    memory = mapped(4)
    memory.lock(at(0), 4 * PAGE)
    assert memory.move(at(0), 4 * PAGE, at(0), 8 * PAGE) == 4
    assert memory.write(at(0), 8 * PAGE) == []


def test_mapping_over_a_mapping_replaces_it() -> None:
    memory = mapped(16)
    memory.write(at(0), 16 * PAGE)
    memory.map(at(4), 4 * PAGE, "file", access="read")
    assert memory.resident_pages == 12
    with pytest.raises(SegmentationFault):
        memory.write(at(4))
    assert memory.write(at(8), 8 * PAGE) == []


@pytest.mark.parametrize("call", [
    lambda: Memory(thp="sometimes"), lambda: Memory(fault_around=3), lambda: Memory().map(1, PAGE, "anonymous"),
    lambda: Memory().map(0, 0, "anonymous"), lambda: Memory().map(0, PAGE, "device"), lambda: Memory().protect(0, PAGE, "x"),
    lambda: Memory().move(0, PAGE, PAGE, PAGE), lambda: mapped(4).move(at(0), 4 * PAGE, at(1), 4 * PAGE),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"cannot|nothing is mapped|no access"):
        call()
