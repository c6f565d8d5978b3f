"""Limited frames: who gives way, what becomes of it, how it comes back; and what may be promised at all."""

from __future__ import annotations

import pytest

from observer.model.addresses import PAGE
from observer.simulator.commit import Commitment
from observer.simulator.paging import Frames, Memory, OutOfFrames, PageFault
from observer.simulator.replacement import POLICIES, count_faults

START = 0x4000_0000
BELADY = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5]


def at(page: int) -> int:
    return START + page * PAGE


def limited(limit: int, policy: str = "fifo", kind: str = "anonymous") -> tuple[Frames, Memory]:
    frames = Frames(limit, policy)
    memory = Memory(frames=frames)
    memory.map(START, 600 * PAGE, kind)
    return frames, memory


def kinds(faults: list[PageFault]) -> list[tuple[str, bool]]:
    return [(fault.kind, fault.major) for fault in faults]


# ---- policies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "few", "many"), [("fifo", 9, 10), ("lru", 10, 8), ("clock", 9, 10)])
def test_beladys_string(policy: str, few: int, many: int) -> None:
    assert count_faults(POLICIES[policy](), 3, BELADY)[0] == few
    assert count_faults(POLICIES[policy](), 4, BELADY)[0] == many


@pytest.mark.parametrize(("policy", "loaded"), [("fifo", {2, 3, 4}), ("lru", {1, 3, 4}), ("clock", {2, 3, 4})])
def test_who_goes_first(policy: str, loaded: set[int]) -> None:
    assert count_faults(POLICIES[policy](), 3, [1, 2, 3, 1, 4])[1] == loaded


def test_clock_gives_a_second_chance_to_what_was_used_since_the_hand_passed() -> None:
    assert count_faults(POLICIES["clock"](), 3, [1, 2, 3, 4, 2, 5])[1] == {2, 4, 5}
    assert count_faults(POLICIES["fifo"](), 3, [1, 2, 3, 4, 2, 5])[1] == {3, 4, 5}


@pytest.mark.parametrize("policy", POLICIES)
def test_memory_follows_the_policy(policy: str) -> None:
    for capacity in (3, 4):
        _, memory = limited(capacity, policy)
        assert (
            sum(len(memory.write(at(page))) for page in BELADY) == count_faults(POLICIES[policy](), capacity, BELADY)[0]
        )


def test_an_unknown_policy_and_no_frames_at_all_are_refused() -> None:
    with pytest.raises(KeyError):
        Frames(3, "random")
    with pytest.raises(ValueError, match="0 frames"):
        Frames(0)


# ---- reclaim -------------------------------------------------------------------------------------------------


def test_a_private_page_goes_to_swap_and_comes_back_by_a_major_fault() -> None:
    frames, memory = limited(2)
    memory.write(at(0), 3 * PAGE)
    assert (frames.evictions, frames.swap_outs, frames.swap_ins) == (1, 1, 0)
    assert (memory.resident_pages, memory.frames_in_use) == (2, 2)
    assert kinds(memory.read(at(0))) == [("swapped in", True)]
    assert frames.swap_ins == 1
    assert memory.write(at(0)) == []


def test_a_clean_page_of_a_file_is_dropped_and_read_again() -> None:
    frames, memory = limited(2, kind="file")
    assert [fault.pages for fault in memory.read(at(0))] == [2]
    memory.read(at(2))
    assert (frames.evictions, frames.swap_outs) == (1, 0)
    assert kinds(memory.read(at(0))) == [("file read", True)]
    assert kinds(memory.write(at(2))) == [("copy on write", False)]


def test_shared_memory_goes_to_swap_for_all_and_comes_back_once() -> None:
    frames, parent = limited(2, "lru", "shared")
    parent.write(at(0))
    child = parent.fork()
    child.read(at(0))
    parent.write(at(1), 2 * PAGE)
    assert not parent.is_present(at(0))
    assert not child.is_present(at(0))
    assert kinds(child.read(at(0))) == [("swapped in", True)]
    assert kinds(parent.read(at(0))) == [("shared page", False)]
    assert frames.swap_outs == 2


def test_a_frame_that_two_processes_map_leaves_both_and_is_found_by_the_second() -> None:
    _, parent = limited(2)
    parent.write(at(0))
    child = parent.fork()
    parent.write(at(1), 2 * PAGE)
    assert not child.is_resident(at(0))
    assert kinds(child.read(at(0))) == [("swapped in", True)]
    assert kinds(parent.read(at(0))) == [("swap cache", False)]
    assert kinds(child.write(at(0))) == [("copy on write", False)]


def test_a_page_evicted_again_goes_where_its_contents_are_waited_for() -> None:
    _, parent = limited(2)
    parent.write(at(0))
    child = parent.fork()
    parent.write(at(1), 2 * PAGE)
    child.read(at(0))
    parent.write(at(3), 2 * PAGE)
    assert kinds(parent.read(at(0))) == [("swapped in", True)]
    assert kinds(child.read(at(0))) == [("swap cache", False)]


def test_lazily_freed_pages_are_lost_unless_written_again() -> None:
    frames, memory = limited(2)
    memory.write(at(0), 2 * PAGE)
    memory.lazy_free(at(0), 2 * PAGE)
    memory.write(at(1))
    memory.write(at(2), 2 * PAGE)
    assert (frames.evictions, frames.swap_outs) == (2, 1)
    assert kinds(memory.read(at(0), 2 * PAGE)) == [("first read", False), ("swapped in", True)]


def test_locked_pages_stay_and_nothing_else_is_left_in_the_end() -> None:
    _, memory = limited(3)
    memory.lock(at(0), 2 * PAGE)
    memory.write(at(2), 4 * PAGE)
    assert memory.is_resident(at(0))
    assert memory.is_resident(at(1))
    with pytest.raises(OutOfFrames, match="all of the 3 frames"):
        memory.lock(at(4), 4 * PAGE)
    memory.unlock(at(0), 600 * PAGE)
    assert len(memory.write(at(8), 2 * PAGE)) == 2


def test_a_page_is_not_evicted_for_its_own_copy() -> None:
    _, parent = limited(1)
    parent.write(at(0))
    child = parent.fork()
    with pytest.raises(OutOfFrames):
        child.write(at(0))
    child.end()
    assert kinds(parent.write(at(0))) == [("last owner", False)]


def test_a_huge_page_needs_free_frames_in_a_row_and_is_split_to_give_way() -> None:
    for limit, kind in ((1200, "huge first write"), (1022, "first write")):
        frames = Frames(limit)
        memory = Memory(thp="always", frames=frames)
        memory.map(START, 2048 * PAGE, "anonymous")
        assert memory.write(at(0))[0].kind == kind
        memory.advise_huge(START, 2048 * PAGE, False)
        memory.write(at(600), 1200 * PAGE)
        assert memory.frames_in_use == limit
        assert kinds(memory.read(at(0))) == [("swapped in", True)]


def test_the_zero_page_takes_no_frame() -> None:
    frames, memory = limited(1)
    memory.read(at(0), 100 * PAGE)
    assert (frames.evictions, memory.frames_in_use) == (0, 0)


def test_a_moved_page_is_evicted_where_it_is_now() -> None:
    _, memory = limited(2)
    memory.write(at(0), 2 * PAGE)
    memory.lazy_free(at(0), PAGE)
    memory.move(at(0), 10 * PAGE, at(1000), 10 * PAGE)
    memory.write(at(20), 2 * PAGE)
    assert kinds(memory.read(at(1000), 2 * PAGE)) == [("first read", False), ("swapped in", True)]
    memory.write(at(30), 2 * PAGE)
    memory.move(at(1000), 10 * PAGE, at(2000), 10 * PAGE)
    assert kinds(memory.write(at(2001))) == [("swapped in", True)]


# ---- promises ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "pages", "may"), [
    (0, 1200, True), (0, 1201, False), (1, 1 << 40, True), (2, 699, True), (2, 700, False),
])  # fmt: skip
def test_what_may_be_promised(mode: int, pages: int, may: bool) -> None:
    commitment = Commitment(mode, total_pages=1000, swap_pages=200)
    assert commitment.charge(pages) is may
    assert commitment.committed == pages * may


def test_promises_add_up_in_mode_2_alone() -> None:
    heuristic, strict = Commitment(0, 1000), Commitment(2, 1000, ratio=100)
    for commitment in (heuristic, strict):
        assert commitment.charge(600)
    assert heuristic.charge(600)
    assert not strict.charge(600)
    strict.release(600)
    assert strict.charge(600)
    with pytest.raises(ValueError, match="mode 3"):
        Commitment(3, 1000)
