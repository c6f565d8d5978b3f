"""An address space as intervals, changed call by call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.model.addresses import AddressSpace, Mapping, is_numbered, page_down, page_up
from tests.unit.seeded import seeded

PAGE = 4096
BASE = 0x7F00_0000_0000


def at(*pages: int) -> list[int]:
    """Addresses of pages, counted from BASE."""
    return [BASE + page * PAGE for page in pages]


def space_of(*pieces: tuple[int, int, str]) -> AddressSpace:
    """An address space of (first page, pages, protection) pieces, mapped in this order."""
    space = AddressSpace()
    for first, pages, protection in pieces:
        space.map(BASE + first * PAGE, pages * PAGE, protection)
    return space


def drawn(space: AddressSpace) -> list[tuple[int, int, str]]:
    """The intervals as (first page, end page, protection)."""
    return [((start - BASE) // PAGE, (end - BASE) // PAGE, protection) for start, end, protection in space.intervals()]


@pytest.mark.parametrize(("address", "up", "down"), [(0, 0, 0), (1, 4096, 0), (4096, 4096, 4096), (8191, 8192, 4096)])
def test_addresses_round_to_pages(address: int, up: int, down: int) -> None:
    assert (page_up(address), page_down(address)) == (up, down)


def test_a_mapping_covers_whole_pages() -> None:
    space = AddressSpace()
    assert space.map(BASE, 5000, "rw-").size == 8192


def test_anonymous_mappings_are_numbered_in_the_order_they_were_made() -> None:
    space = space_of((0, 1, "rw-"), (8, 1, "rw-"), (4, 1, "rw-"))
    assert [mapping.path for mapping in space.mappings] == ["map#0", "map#2", "map#1"]


def test_a_new_mapping_displaces_what_was_there() -> None:
    assert drawn(space_of((0, 4, "rw-"), (1, 2, "r--"))) == [(0, 1, "rw-"), (1, 3, "r--"), (3, 4, "rw-")]


def test_what_remains_behind_a_cut_keeps_its_place_in_the_file() -> None:
    space = AddressSpace()
    space.map(BASE, 4 * PAGE, "r-x", "/usr/lib/libc.so.6", 0x26000)
    space.unmap(BASE + PAGE, PAGE)
    assert [(mapping.start - BASE, mapping.offset) for mapping in space.mappings] == [(0, 0x26000), (0x2000, 0x28000)]


def test_unmapping_takes_only_what_lies_in_the_range() -> None:
    space = space_of((0, 2, "rw-"), (3, 2, "r--"), (6, 2, "rw-"))
    space.unmap(BASE + PAGE, 6 * PAGE)
    assert drawn(space) == [(0, 1, "rw-"), (7, 8, "rw-")]


def test_unmapping_nothing_changes_nothing() -> None:
    space = space_of((0, 1, "rw-"))
    space.unmap(BASE + 4 * PAGE, PAGE)
    assert drawn(space) == [(0, 1, "rw-")]


def test_a_length_that_is_not_whole_pages_unmaps_the_last_page_too() -> None:
    space = space_of((0, 3, "rw-"))
    space.unmap(BASE, PAGE + 1)
    assert drawn(space) == [(2, 3, "rw-")]


def test_protection_changes_only_what_is_mapped_in_the_range() -> None:
    space = space_of((0, 2, "rw-"), (3, 2, "rw-"))
    space.protect(BASE + PAGE, 3 * PAGE, "r--")
    assert drawn(space) == [(0, 1, "rw-"), (1, 2, "r--"), (3, 4, "r--"), (4, 5, "rw-")]


def test_protecting_no_bytes_changes_nothing() -> None:
    space = space_of((0, 4, "rw-"))
    space.protect(BASE + PAGE, 0, "r--")
    assert [mapping.size for mapping in space.mappings] == [4 * PAGE]


def test_protection_given_back_makes_one_interval_again() -> None:
    space = space_of((0, 4, "rw-"))
    space.protect(BASE + PAGE, PAGE, "---")
    space.protect(BASE + PAGE, PAGE, "rw-")
    assert drawn(space) == [(0, 4, "rw-")]
    assert len(space.mappings) == 3


def test_neighbours_of_another_protection_stay_apart() -> None:
    assert drawn(space_of((0, 1, "rw-"), (1, 1, "rw-"), (2, 1, "r--"), (4, 1, "r--"))) == [
        (0, 2, "rw-"), (2, 3, "r--"), (4, 5, "r--"),
    ]  # fmt: skip


def test_find_returns_the_mapping_that_holds_an_address() -> None:
    space = space_of((0, 1, "rw-"), (2, 1, "r--"))
    first, gap, second, end = at(0, 1, 2, 3)
    assert space.find(first) == space.find(gap - 1) == space.mappings[0]
    assert space.find(second) == space.mappings[1]
    assert [space.find(first - 1), space.find(gap), space.find(end)] == [None, None, None]


def test_a_moved_mapping_keeps_its_name_and_its_place_in_the_file() -> None:
    space = AddressSpace()
    whole = space.map(BASE, 4 * PAGE, "rw-", "/tmp/data", 0x1000, shared=True)
    space.unmap(BASE + PAGE, PAGE)
    space.place(whole, BASE + PAGE, BASE + 16 * PAGE, 3 * PAGE)
    moved = space.find(BASE + 16 * PAGE)
    assert moved == Mapping(BASE + 16 * PAGE, BASE + 19 * PAGE, "rw-", "/tmp/data", 0x2000, True)


def test_the_first_break_says_where_the_heap_begins() -> None:
    space = AddressSpace()
    space.set_break(BASE)
    assert (space.break_start, space.break_end, space.mappings) == (BASE, BASE, ())


def test_a_growing_break_makes_the_heap_and_a_shrinking_one_takes_it_away() -> None:
    space = AddressSpace()
    for result in at(0, 33, 66, 33):
        space.set_break(result)
    assert [(mapping.path, mapping.size) for mapping in space.mappings] == [("[heap]", 33 * PAGE)]
    space.set_break(BASE)
    assert space.mappings == ()


def test_a_break_inside_a_page_still_needs_the_page() -> None:
    space = AddressSpace()
    for result in (BASE, BASE + 1, BASE + 100):
        space.set_break(result)
    assert drawn(space) == [(0, 1, "rw-")]
    assert space.break_end == BASE + 100


def test_a_heap_that_is_there_already_is_grown_from_its_end() -> None:
    space = AddressSpace([Mapping(BASE, BASE + PAGE, "rw-", "[heap]")])
    space.set_break(BASE + 2 * PAGE)
    assert drawn(space) == [(0, 2, "rw-")]


def test_pieces_of_the_heap_with_one_protection_are_one_interval() -> None:
    space = AddressSpace()
    for result in at(0, 1, 2, 3):
        space.set_break(result)
    assert drawn(space) == [(0, 3, "rw-")]


def test_what_the_kernel_alone_manages_is_no_interval() -> None:
    names = ("[stack]", "[vdso]", "[vvar]", "[heap]", "")
    space = AddressSpace(Mapping(BASE + 2 * i * PAGE, BASE + (2 * i + 1) * PAGE, "rw-", n) for i, n in enumerate(names))
    assert drawn(space) == [(6, 7, "rw-"), (8, 9, "rw-")]


def test_anonymous_memory_that_the_program_has_named_is_still_its_memory() -> None:
    # prctl(PR_SET_VMA_ANON_NAME), Linux 5.17: the name stands in brackets, too.
    space = AddressSpace([Mapping(BASE, BASE + PAGE, "rw-", "[anon:jemalloc]")])
    assert drawn(space) == [(0, 1, "rw-")]


def test_what_grows_downwards_is_as_large_as_it_really_is_and_nothing_else_is() -> None:
    space = AddressSpace()
    space.map(0x9000, 0x1000, "rw-", grows=True)
    space.map(0x3000, 0x1000, "r--")
    space.map(0x14000, 0x1000, "rw-")
    real = AddressSpace(
        [Mapping(0x3000, 0x4000, "r--"), Mapping(0x6000, 0xA000, "rw-"), Mapping(0x12000, 0x15000, "rw-")]
    )
    grown = space.copy().grown_like(real).intervals()
    assert grown == [(0x3000, 0x4000, "r--"), (0x6000, 0xA000, "rw-"), (0x14000, 0x15000, "rw-")]
    assert space.intervals() == [(0x3000, 0x4000, "r--"), (0x9000, 0xA000, "rw-"), (0x14000, 0x15000, "rw-")]
    wide = AddressSpace([Mapping(0x2000, 0xA000, "rw-")])
    assert space.grown_like(wide).find(0x4000) == Mapping(0x4000, 0x9000, "rw-", "map#0")


def test_what_is_cut_off_below_the_stack_is_a_mapping_like_others() -> None:
    space = AddressSpace([Mapping(0x4000, 0xA000, "rw-", "[stack]")])
    space.protect(0x6000, 0x1000, "---")
    real = AddressSpace(
        [Mapping(0x4000, 0x6000, "rw-"), Mapping(0x6000, 0x7000, "---"), Mapping(0x7000, 0xA000, "rw-", "[stack]")]
    )
    assert space.intervals() == []
    assert space.grown_like(real).intervals() == real.intervals() == [(0x4000, 0x6000, "rw-"), (0x6000, 0x7000, "---")]


def test_a_copy_goes_its_own_way() -> None:
    space = space_of((0, 2, "rw-"))
    space.set_break(BASE + 64 * PAGE)
    twin = space.copy()
    twin.unmap(BASE, PAGE)
    twin.set_break(BASE + 65 * PAGE)
    assert drawn(space) == [(0, 2, "rw-")]
    assert space.break_end == BASE + 64 * PAGE
    assert twin.map(BASE + 32 * PAGE, PAGE, "r--").path == "map#1"


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["map", "unmap", "protect", "place"]),
        st.integers(0, 20),
        st.integers(1, 8),
        st.sampled_from(["rw-", "r--", "---"]),
        st.integers(0, 20),
    ),
    max_size=40,
)


@seeded
@given(ACTIONS)
def test_intervals_agree_with_a_page_by_page_account(actions: list[tuple[str, int, int, str, int]]) -> None:
    space, pages = AddressSpace(), dict[int, str]()
    for action, first, count, protection, target in actions:
        start, length = BASE + first * PAGE, count * PAGE
        if action == "map":
            space.map(start, length, protection)
            pages |= dict.fromkeys(range(first, first + count), protection)
        elif action == "unmap":
            space.unmap(start, length)
            pages = {page: what for page, what in pages.items() if not first <= page < first + count}
        elif action == "protect":
            space.protect(start, length, protection)
            pages |= {page: protection for page in range(first, first + count) if page in pages}
        elif (source := space.find(start)) is not None:
            space.place(source, start, BASE + target * PAGE, length)
            pages |= dict.fromkeys(range(target, target + count), source.protection)
    assert {page: what for start, end, what in drawn(space) for page in range(start, end)} == pages
    assert all(mapping.size > 0 for mapping in space.mappings)
    assert all(a.end <= b.start for a, b in zip(space.mappings, space.mappings[1:], strict=False))
    for page in range(-1, 30):
        found = space.find(BASE + page * PAGE)
        assert (found.protection if found else None) == pages.get(page)


@seeded
@given(st.lists(st.integers(0, 16 * PAGE), min_size=1, max_size=30))
def test_the_heap_is_always_the_pages_up_to_the_break(results: list[int]) -> None:
    space = AddressSpace()
    space.set_break(BASE)
    for result in results:
        space.set_break(BASE + result)
    last = page_up(results[-1]) // PAGE
    assert all(mapping.start % PAGE == mapping.end % PAGE == 0 for mapping in space.mappings)
    assert drawn(space) == ([(0, last, "rw-")] if last else [])


def test_memory_that_nothing_names_is_known_by_its_number() -> None:
    space = AddressSpace()
    assert is_numbered(space.map(BASE, PAGE, "rw-").path)
    assert not any(is_numbered(name) for name in ("[heap]", "/tmp/map#1", "anonymous", "", None))
