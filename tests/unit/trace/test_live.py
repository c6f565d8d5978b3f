"""The pieces that are allocated at a moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.model.events import ChunkRef
from observer.trace.live import LiveChunks
from tests.unit.seeded import seeded

BASE = 0x5581_0C3E_A000


def live(*pieces: tuple[int, int]) -> LiveChunks:
    """Live pieces of (offset, size), numbered in order."""
    chunks = LiveChunks()
    for n, (offset, size) in enumerate(pieces):
        chunks.add(ChunkRef(n, BASE + offset, size))
    return chunks


def at(chunks: LiveChunks, offset: int) -> int | None:
    found = chunks.find(BASE + offset)
    return None if found is None else found.call


@pytest.mark.parametrize("size", [1, 100, 4096, 16 * 4096, 17 * 4096 + 1, 64 << 20])
def test_a_piece_is_found_from_its_first_byte_to_its_last(size: int) -> None:
    chunks = live((0x2A0, size))
    assert [at(chunks, 0x2A0 + offset) for offset in (-1, 0, size - 1, size)] == [None, 0, 0, None]


def test_a_piece_of_no_bytes_is_found_at_its_address() -> None:
    assert [at(live((0x10, 0)), offset) for offset in (0xF, 0x10, 0x11)] == [None, 0, None]


def test_neighbours_on_one_page_are_told_apart() -> None:
    chunks = live((0x10, 24), (0x30, 24), (0x50, 24))
    assert [at(chunks, offset) for offset in (0x10, 0x30, 0x47, 0x48, 0x50)] == [0, 1, 1, None, 2]


def test_a_large_piece_and_a_small_one_are_told_apart() -> None:
    chunks = live((0, 1 << 20), (1 << 20, 8), (2 << 20, 1 << 20))
    assert [at(chunks, offset) for offset in ((1 << 20) - 1, 1 << 20, (1 << 20) + 8, 2 << 20)] == [0, 1, None, 2]


def test_what_was_given_back_is_gone() -> None:
    chunks = live((0x10, 24), (0x1000, 1 << 20))
    assert chunks.remove(BASE + 0x10) == ChunkRef(0, BASE + 0x10, 24)
    assert chunks.remove(BASE + 0x1000) == ChunkRef(1, BASE + 0x1000, 1 << 20)
    assert [at(chunks, 0x10), at(chunks, 0x1000), len(chunks), chunks.bytes] == [None, None, 0, 0]


def test_giving_back_what_is_not_live_changes_nothing() -> None:
    chunks = live((0x10, 24))
    assert [chunks.remove(BASE), chunks.remove(0), chunks.remove(BASE + 0x11)] == [None, None, None]
    assert len(chunks) == 1


def test_a_piece_at_an_address_that_is_taken_replaces_the_one_before() -> None:
    chunks = live((0x10, 1 << 20), (0x10, 24))
    assert [at(chunks, 0x10), at(chunks, 0x1000), len(chunks), chunks.bytes] == [1, None, 1, 24]


def test_a_copy_goes_its_own_way() -> None:
    chunks = live((0x10, 24), (0x1000, 1 << 20))
    twin = chunks.copy()
    twin.remove(BASE + 0x10)
    twin.remove(BASE + 0x1000)
    assert [at(chunks, 0x10), at(chunks, 0x1000), len(chunks), len(twin)] == [0, 1, 2, 0]


SLOT = 1 << 17  # bytes: room for pieces listed by page (up to 16) and for those listed by start
STEPS = st.lists(
    st.tuples(
        st.booleans(), st.integers(0, 11), st.one_of(st.integers(0, 200), st.integers(60_000, 70_000)),
        st.integers(0, 255),
    ),
    max_size=60,
)  # fmt: skip


@seeded
@given(steps=STEPS, probes=st.lists(st.integers(0, 12 * SLOT), max_size=20))
def test_pieces_that_come_and_go_agree_with_a_plain_list(
    steps: list[tuple[bool, int, int, int]], probes: list[int]
) -> None:
    chunks, plain = LiveChunks(), dict[int, ChunkRef]()
    for n, (allocates, slot, size, shift) in enumerate(steps):
        taken = [address for address in plain if (address - BASE) // SLOT == slot]
        if allocates and not taken:
            chunk = ChunkRef(n, BASE + slot * SLOT + 16 * shift, size)
            chunks.add(chunk)
            plain[chunk.address] = chunk
        elif taken:
            assert chunks.remove(taken[0]) == plain.pop(taken[0])
    assert (len(chunks), chunks.bytes) == (len(plain), sum(chunk.size for chunk in plain.values()))
    edges = [offset - BASE for chunk in plain.values() for offset in (chunk.address, chunk.address + chunk.size - 1)]
    for offset in [*probes, *edges, *(edge + 1 for edge in edges)]:
        address = BASE + offset
        expected = [c for c in plain.values() if c.address <= address < c.address + max(c.size, 1)]
        assert chunks.find(address) == (expected[0] if expected else None)
