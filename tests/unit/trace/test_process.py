"""One process during the replay: what calls take at their entry and give at their return; words for addresses."""

from __future__ import annotations

import numpy as np
import pytest

from observer.model.addresses import AddressSpace, Mapping
from observer.model.machine import Image
from observer.trace.live import PIECE
from observer.trace.process import ProcessState, apply_grant, apply_release
from tests.builders import HEAP, LIBC, MAP, PAGE

MAP_PRIVATE, MAP_SHARED, MAP_ANONYMOUS = 2, 1, 0x20
READ, WRITE, EXECUTE = 1, 2, 4
DONTUNMAP = 4


def mmap(state: ProcessState, start: int, pages: int, protection: int = READ | WRITE, flags: int = 0x22) -> None:
    apply_grant(state, "mmap", (0, pages * PAGE, protection, flags, (1 << 64) - 1, 0), start)


def drawn(state: ProcessState) -> list[tuple[int, int, str]]:
    """Intervals in pages from MAP."""
    return [((start - MAP) // PAGE, (end - MAP) // PAGE, what) for start, end, what in state.space.intervals()]


def test_a_mapping_is_there_from_the_calls_return() -> None:
    state = ProcessState()
    apply_release(state, "mmap", (0, PAGE, READ, 0x22, 0, 0))
    assert drawn(state) == []
    mmap(state, MAP, 2, READ | EXECUTE)
    assert drawn(state) == [(0, 2, "r-x")]


def test_a_mapping_is_gone_from_the_calls_entry() -> None:
    state = ProcessState()
    mmap(state, MAP, 2)
    apply_release(state, "munmap", (MAP, PAGE))
    assert drawn(state) == [(1, 2, "rw-")]
    apply_grant(state, "munmap", (MAP, PAGE), 0)
    assert drawn(state) == [(1, 2, "rw-")]


def test_what_one_thread_unmaps_another_may_map_again_before_the_first_is_seen_to_return() -> None:
    # Entered: munmap by A; in between B maps the same place; then A is seen to return.
    state = ProcessState()
    mmap(state, MAP, 2)
    apply_release(state, "munmap", (MAP, 2 * PAGE))
    mmap(state, MAP, 1, READ)
    apply_grant(state, "munmap", (MAP, 2 * PAGE), 0)
    assert drawn(state) == [(0, 1, "r--")]


def test_two_moves_at_once_keep_what_each_carried() -> None:
    state = ProcessState()
    mmap(state, MAP, 1, READ)
    mmap(state, MAP + 4 * PAGE, 1, READ | WRITE)
    first = (MAP, PAGE, 2 * PAGE, 1, 0)
    second = (MAP + 4 * PAGE, PAGE, 2 * PAGE, 1, 0)
    apply_release(state, "mremap", first)
    apply_release(state, "mremap", second)
    apply_grant(state, "mremap", second, MAP + 16 * PAGE)
    apply_grant(state, "mremap", first, MAP + 8 * PAGE)
    assert drawn(state) == [(8, 10, "r--"), (16, 18, "rw-")]


def test_a_mapping_that_grows_in_place_grows() -> None:
    state = ProcessState()
    mmap(state, MAP, 2)
    arguments = (MAP, 2 * PAGE, 5 * PAGE, 1, 0)
    apply_release(state, "mremap", arguments)
    apply_grant(state, "mremap", arguments, MAP)
    assert drawn(state) == [(0, 5, "rw-")]
    assert state.where(MAP + 4 * PAGE) == "map#0+0x4000"


def test_what_a_mapping_shrinks_to_keeps_its_parts() -> None:
    # mremap(2) that only shrinks may span several mappings: the kernel unmaps the rest and leaves them alone.
    state = ProcessState()
    mmap(state, MAP, 3)
    apply_grant(state, "mprotect", (MAP + PAGE, PAGE, READ), 0)
    arguments = (MAP, 3 * PAGE, 2 * PAGE, 0, 0)
    apply_release(state, "mremap", arguments)
    apply_grant(state, "mremap", arguments, MAP)
    assert drawn(state) == [(0, 1, "rw-"), (1, 2, "r--")]


def test_a_move_takes_only_the_part_it_names() -> None:
    state = ProcessState()
    mmap(state, MAP, 4)
    arguments = (MAP + PAGE, PAGE, PAGE, 3, MAP + 8 * PAGE)
    apply_release(state, "mremap", arguments)
    apply_grant(state, "mremap", arguments, MAP + 8 * PAGE)
    assert drawn(state) == [(0, 1, "rw-"), (2, 4, "rw-"), (8, 9, "rw-")]
    assert state.where(MAP + 8 * PAGE) == "map#0+0x1000"


def test_a_move_that_leaves_the_old_place_mapped_leaves_it() -> None:
    state = ProcessState()
    mmap(state, MAP, 1)
    arguments = (MAP, PAGE, PAGE, 1 | DONTUNMAP, 0)
    apply_release(state, "mremap", arguments)
    apply_grant(state, "mremap", arguments, MAP + 8 * PAGE)
    assert drawn(state) == [(0, 1, "rw-"), (8, 9, "rw-")]


def test_a_move_of_no_bytes_is_a_second_view_of_a_shared_mapping() -> None:
    state = ProcessState()
    mmap(state, MAP, 1, flags=MAP_SHARED | MAP_ANONYMOUS)
    arguments = (MAP, 0, PAGE, 1, 0)
    apply_release(state, "mremap", arguments)
    apply_grant(state, "mremap", arguments, MAP + 8 * PAGE)
    assert drawn(state) == [(0, 1, "rw-"), (8, 9, "rw-")]


def test_a_mapped_file_has_the_name_that_was_noted_and_its_place_in_the_file() -> None:
    state = ProcessState(files={LIBC: "/usr/lib/libc.so.6"})
    apply_grant(state, "mmap", (0, 4 * PAGE, READ | EXECUTE, MAP_PRIVATE, 3, 0x26000), LIBC)
    (mapping,) = state.space.mappings
    assert mapping == Mapping(LIBC, LIBC + 4 * PAGE, "r-x", "/usr/lib/libc.so.6", 0x26000)
    mmap(state, LIBC, 1)
    assert state.space.mappings[0].path == "map#0"


def test_shared_mappings_are_known_from_private_ones() -> None:
    state = ProcessState()
    for page, flags in enumerate((MAP_PRIVATE, MAP_SHARED, 3)):
        mmap(state, MAP + 2 * page * PAGE, 1, flags=flags | MAP_ANONYMOUS)
    assert [mapping.shared for mapping in state.space.mappings] == [False, True, True]


def test_protection_changes_with_and_without_a_key() -> None:
    state = ProcessState()
    mmap(state, MAP, 3)
    apply_grant(state, "mprotect", (MAP, PAGE, READ), 0)
    apply_grant(state, "pkey_mprotect", (MAP + PAGE, PAGE, 0, 1), 0)
    assert drawn(state) == [(0, 1, "r--"), (1, 2, "---"), (2, 3, "rw-")]


def test_other_calls_change_no_mapping() -> None:
    state = ProcessState()
    mmap(state, MAP, 1)
    for name in ("madvise", "mlock", "openat", "msync"):
        apply_release(state, name, (MAP, PAGE, 0, 0, 0, 0))
        apply_grant(state, name, (MAP, PAGE, 0, 0, 0, 0), 0)
    assert drawn(state) == [(0, 1, "rw-")]


def heap_of(pages: int) -> ProcessState:
    state = ProcessState()
    for result in (HEAP, HEAP + pages * PAGE):
        apply_grant(state, "brk", (0,), result)
    return state


def test_pages_of_the_heap_are_remembered_until_they_are_given_back() -> None:
    state = heap_of(8)
    for page in (0, 0, 3, 7):
        state.fault(HEAP + page * PAGE + 17)
    state.fault(HEAP - 1)
    state.fault(HEAP + 8 * PAGE)
    assert state.heap_pages.came == {HEAP, HEAP + 3 * PAGE, HEAP + 7 * PAGE}
    apply_release(state, "madvise", (HEAP + 3 * PAGE, PAGE, 4))
    assert state.heap_pages.came == {HEAP, HEAP + 7 * PAGE}
    apply_release(state, "madvise", (HEAP, PAGE, 8))
    apply_grant(state, "brk", (HEAP + 7 * PAGE,), HEAP + 7 * PAGE)
    assert state.heap_pages.came == {HEAP}


def test_addresses_are_named_in_words_that_survive_randomisation() -> None:
    program, libc = "/home/ada/story", "/usr/lib/libc.so.6"
    state = ProcessState(
        AddressSpace([
            Mapping(0x5581_0B11_7000, 0x5581_0B11_9000, "r-x", program, 0x1000, inode=7),
            Mapping(LIBC, LIBC + 0x26000, "r--", libc, inode=8),
            Mapping(0x7FFD_1A2B_C000, 0x7FFD_1A2D_D000, "rw-", "[stack]"),
            Mapping(0x7FFD_1A30_0000, 0x7FFD_1A30_2000, "r-x", "[vdso]"),
        ])
    )  # fmt: skip
    state.code.add(Image(program, 0x5581_0B11_6000, 0x5581_0B11_7000, 0x5581_0B11_9000, role="program"))
    for result in (HEAP, HEAP + 0x21000):
        apply_grant(state, "brk", (0,), result)
    mmap(state, MAP, 2)
    words = {
        HEAP: "heap+0x0", HEAP + 0x2A0: "heap+0x2a0", HEAP + 0x20FFF: "heap+0x20fff", HEAP + 0x21000: None,
        MAP + 0x10: "map#0+0x10", 0x5581_0B11_7149: "story+0x1149", LIBC + 0x30: "libc.so.6+0x30",
        0x7FFD_1A2C_0000: "stack", 0x7FFD_1A2B_B000: "stack", 0x7FFD_1A30_0A10: "[vdso]+0xa10", 0: None, 8: None,
    }  # fmt: skip
    assert {address: state.where(address) for address in words} == words


def test_a_mapping_has_the_name_of_what_it_maps() -> None:
    state = heap_of(1)
    mmap(state, MAP, 1)
    assert [state.mapping_name(address) for address in (HEAP, MAP, MAP + PAGE)] == ["[heap]", "map#0", None]


def test_memory_that_another_program_left_unnamed_is_anonymous() -> None:
    state = ProcessState(AddressSpace([Mapping(MAP, MAP + PAGE, "rw-")]))
    assert (state.mapping_name(MAP), state.where(MAP + 0x10)) == ("anonymous", "anonymous+0x10")


def test_a_forked_process_goes_its_own_way() -> None:
    parent = heap_of(4)
    parent.fault(HEAP)
    parent.live.change(np.empty(0, dtype=np.int64), np.array([(HEAP + 16, 100, 0, 0, 0, 0)], dtype=PIECE))
    child = parent.fork()
    apply_grant(child, "brk", (HEAP,), HEAP)
    child.live.change(np.array([0]), np.empty(0, dtype=PIECE))
    child.files[MAP] = "/tmp/x"
    assert (parent.space.break_end, parent.heap_pages.came, len(parent.live)) == (HEAP + 4 * PAGE, {HEAP}, 1)
    assert (child.space.break_end, child.heap_pages.came, len(child.live)) == (HEAP, set(), 0)
    assert parent.files == {}


@pytest.mark.parametrize(
    ("name", "args", "result"),
    [
        ("brk", (0,), -(1 << 58)), ("brk", (0,), 1 << 60), ("mmap", (0, PAGE, 3, 0x22, 0, 0), 1 << 60),
        ("mmap", (0, (1 << 64) - 1, 3, 0x22, 0, 0), MAP + PAGE), ("mprotect", (MAP, (1 << 64) - 1, 0), 0),
        ("mremap", (MAP, PAGE, (1 << 64) - 1, 1, 0), MAP + PAGE), ("mremap", (MAP + PAGE, PAGE, 2 * PAGE, 1, 0), 1 << 60),
        ("munmap", (MAP, (1 << 64) - 1), 0), ("madvise", (0, (1 << 64) - 1, 4), 0),
    ],
)  # fmt: skip
def test_what_no_kernel_carries_out_changes_nothing(name: str, args: tuple[int, ...], result: int) -> None:
    state = ProcessState()
    mmap(state, MAP, 1)
    apply_grant(state, "brk", (0,), HEAP)
    apply_release(state, name, args)
    apply_grant(state, name, args, result)
    assert [(mapping.start, mapping.end) for mapping in state.space.mappings] == [(MAP, MAP + PAGE)]
    assert state.space.break_end == HEAP


def test_of_what_moved_onto_the_heap_its_pages_are_known_however_many() -> None:
    state = ProcessState()
    apply_grant(state, "brk", (0,), HEAP)
    apply_grant(state, "brk", (HEAP + PAGE,), HEAP + PAGE)
    size = 1 << 55
    mmap(state, MAP, 1)
    moved = (MAP, PAGE, size, 3, HEAP)
    apply_release(state, "mremap", moved)
    apply_grant(state, "mremap", moved, HEAP)
    known = state.heap_pages.copy()
    assert known.moved_in.find(HEAP + size - 1) is not None
    known.drop(HEAP, HEAP + PAGE)
    assert known.moved_in.find(HEAP) is None
    assert known.moved_in.find(HEAP + PAGE) is not None
    assert state.heap_pages.moved_in.find(HEAP) is not None
