"""What a memory call renames: no address elsewhere has another name behind it than before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from observer.model.addresses import Mapping
from observer.trace.process import ProcessState, apply_grant, apply_release, renamed
from tests.builders import HEAP, MAP, PAGE
from tests.unit.seeded import seeded

PAGES = 12
ADDRESSES = [
    base + page * PAGE + offset for base in (HEAP, MAP) for page in range(-2, PAGES + 2) for offset in (0, 8, PAGE - 1)
]
ANONYMOUS, FIXED, MAYMOVE = 0x22, 0x10, 1

pages = st.integers(0, PAGES - 1)
lengths = st.integers(1, 5 * PAGE)
calls = st.one_of(
    st.tuples(st.just("mmap"), pages, lengths, st.booleans()),
    st.tuples(st.just("munmap"), pages, lengths, st.booleans()),
    st.tuples(st.just("brk"), pages, lengths, st.booleans()),
    st.tuples(st.just("mremap"), pages, lengths, st.booleans()),
    st.tuples(st.just("mprotect"), pages, lengths, st.booleans()),
)
Call = tuple[str, int, int, bool]


def names(state: ProcessState) -> dict[int, tuple[str | None, bool]]:
    return {address: (state.where(address), state.lies_elsewhere(address)) for address in ADDRESSES}


def begun(of_file: bool) -> ProcessState:
    """Return a process with mappings that are named by where they begin: without a name, and of the kernel's."""
    state = ProcessState()
    mappings = [
        Mapping(MAP + 2 * PAGE, MAP + 4 * PAGE, "rw-", "/lib/libc.so.6" if of_file else ""),
        Mapping(MAP + 4 * PAGE, MAP + 6 * PAGE, "rw-"), Mapping(MAP + 7 * PAGE, MAP + 9 * PAGE, "r--", "[vvar]"),
    ]  # fmt: skip
    state.space.become(0, 1 << 57, mappings)
    return state


def carried_out(state: ProcessState, call: Call) -> None:
    name, page, length, shared = call
    place = MAP + page * PAGE
    arguments, result = {
        "mmap": ((place, length, 3, ANONYMOUS | FIXED if shared else ANONYMOUS, -1, 0), place),
        "munmap": ((place, length), 0),
        "brk": ((HEAP + page * PAGE + length,), HEAP + page * PAGE + length),
        "mremap": ((MAP, length, 2 * length, MAYMOVE, 0), place),
        "mprotect": ((place, length, 1), 0),
    }[name]
    before = names(state)
    start, end = renamed(state, name, arguments)
    apply_release(state, name, arguments)
    halfway = names(state)
    assert {each for each in ADDRESSES if halfway[each] != before[each]} <= {*within(start, end)}
    start, end = renamed(state, name, arguments, result)
    apply_grant(state, name, arguments, result)
    after = names(state)
    assert {each for each in ADDRESSES if after[each] != halfway[each]} <= {*within(start, end)}


def within(start: int, end: int) -> list[int]:
    return [address for address in ADDRESSES if start <= address < end]


@seeded
@given(st.booleans(), st.lists(calls, min_size=1, max_size=12))
def test_no_other_address_is_called_anything_else(of_file: bool, made: list[Call]) -> None:
    state = begun(of_file)
    for call in made:
        carried_out(state, call)


def test_a_heap_that_grows_renames_its_new_part_alone() -> None:
    state = ProcessState()
    apply_grant(state, "brk", (0,), HEAP)
    assert renamed(state, "brk", (HEAP + 3 * PAGE,)) == (0, 0)
    assert renamed(state, "brk", (HEAP + 3 * PAGE,), HEAP + 3 * PAGE) == (HEAP, HEAP + 3 * PAGE)
    assert renamed(state, "madvise", (HEAP, PAGE, 4), 0) == (0, 0)
    assert renamed(state, "munmap", (MAP, PAGE)) == (MAP, MAP + PAGE)
    assert renamed(state, "munmap", (MAP, PAGE), 0) == (0, 0)


def test_what_loses_its_beginning_may_be_renamed_as_a_whole() -> None:
    state = begun(of_file=False)
    start, end = renamed(state, "munmap", (MAP + 4 * PAGE, PAGE))
    assert start <= MAP + 5 * PAGE < end
