"""The pieces that are allocated at a moment: taken and given a stretch at a time, asked for at any time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.model.events import ChunkRef
from observer.trace.call_rows import GIVES, TAKES, CallRows
from observer.trace.live import GivenBack, LiveChunks
from observer.trace.turns import Turns
from tests.unit.seeded import seeded

BASE = 0x5581_0C3E_A000
Turn = tuple[int, int, int]
"""GIVES or TAKES, an offset from BASE, a size."""


class Rows:
    """As many calls as there are turns, each of which does one."""

    def __init__(self, turns: list[Turn], first: int) -> None:
        self.kinds = np.array([kind for kind, _offset, _size in turns], dtype=np.int64)
        self.result = self.pointer = np.array([BASE + offset for _kind, offset, _size in turns], dtype=np.uint64)
        self.size = np.array([size for _kind, _offset, size in turns], dtype=np.uint64)
        self.n = self.made = np.arange(first, first + len(turns))
        self.site, self.foreign = 10 * self.n, np.zeros(len(turns), dtype=np.int64)
        self.kept: dict[int, np.void] = {}
        self._first = first

    def piece(self, row: int) -> ChunkRef:
        return ChunkRef(int(self.n[row]), int(self.result[row]), int(self.size[row]))

    def made_at(self, positions: Any) -> Any:
        return positions + self._first


class Process:
    """What one process has, and how many turns there were."""

    def __init__(self) -> None:
        self.live, self.freed, self.count = LiveChunks(), GivenBack(), 0

    def stretch(self, *turns: Turn) -> Turns:
        rows = Rows(list(turns), self.count)
        self.count += len(turns)
        at = np.arange(len(turns))
        return Turns(cast(CallRows, rows), at, at, rows.kinds, self.live, self.freed)

    def after(self, *turns: Turn) -> Process:
        self.stretch(*turns).commit()
        return self

    def at(self, *offsets: int) -> list[int | None]:
        """The calls that made the pieces at *offsets*, None where there is none."""
        return [found_at(self.stretch(), offset, 0) for offset in offsets]


def found_at(turns: Turns, offset: int, position: int) -> int | None:
    alive = turns.find(BASE + offset, position)
    return None if alive is None else alive.piece.call


def gives(offset: int, size: int) -> Turn:
    return GIVES, offset, size


def takes(offset: int) -> Turn:
    return TAKES, offset, 0


@pytest.mark.parametrize("size", [1, 100, 4096, 16 * 4096, 17 * 4096 + 1, 64 << 20])
def test_a_piece_is_found_from_its_first_byte_to_its_last(size: int) -> None:
    process = Process()
    within = process.stretch(gives(0x2A0, size))
    edges = [0x2A0 + offset for offset in (-1, 0, size - 1, size)]
    assert [found_at(within, offset, 1) for offset in edges] == [None, 0, 0, None]
    within.commit()
    assert process.at(*edges) == [None, 0, 0, None]


def test_a_piece_is_found_at_each_of_its_bytes() -> None:
    within = Process().after(gives(0, 5000)).stretch(gives(5000, 5000))
    asked = BASE + np.arange(10_000, dtype=np.uint64)
    found = within.chunks(asked, np.ones(10_000, dtype=np.int64))
    assert [piece and piece.call for piece in found] == [0] * 5000 + [1] * 5000


def test_a_piece_of_no_bytes_is_found_at_its_address() -> None:
    assert Process().after(gives(0x10, 0)).at(0xF, 0x10, 0x11) == [None, 0, None]


def test_neighbours_on_one_page_are_told_apart() -> None:
    process = Process().after(gives(0x10, 24), gives(0x30, 24), gives(0x50, 24))
    assert process.at(0x10, 0x30, 0x47, 0x48, 0x50) == [0, 1, 1, None, 2]


def test_a_large_piece_and_a_small_one_are_told_apart() -> None:
    process = Process().after(gives(0, 1 << 20), gives(1 << 20, 8), gives(2 << 20, 1 << 20))
    assert process.at((1 << 20) - 1, 1 << 20, (1 << 20) + 8, 2 << 20) == [0, 1, None, 2]


def test_of_pieces_that_overlap_the_small_one_made_first_is_told() -> None:
    process = Process().after(gives(0x100, 0x200), gives(0x180, 24), gives(0, 1 << 20))
    assert process.at(0x180, 0x300, 0x90) == [0, 2, 2]
    assert found_at(process.stretch(takes(0x100)), 0x180, 1) == 1


def test_what_was_given_back_is_gone() -> None:
    process = Process().after(gives(0x10, 24), gives(0x1000, 1 << 20))
    within = process.stretch(takes(0x10), takes(0x1000))
    assert [found_at(within, 0x10, position) for position in (0, 1)] == [0, None]
    assert [found_at(within, 0x1001, position) for position in (0, 1, 2)] == [1, 1, None]
    within.commit()
    assert (process.at(0x10, 0x1000), len(process.live), process.live.bytes) == ([None, None], 0, 0)


def test_a_piece_that_comes_and_goes_within_a_stretch_is_there_in_between() -> None:
    within = Process().stretch(gives(0x10, 24), takes(0x10), gives(0x10, 8), takes(0x10))
    assert [found_at(within, 0x10, position) for position in range(5)] == [None, 0, None, 2, None]


def test_giving_back_what_is_not_live_changes_nothing() -> None:
    process = Process().after(gives(0x10, 24))
    within = process.stretch(takes(0), takes(0x21), takes(0x10), takes(0x10))
    assert within.odd().tolist() == [0, 3, 1]
    within.commit()
    assert len(process.live) == 0


def test_a_piece_at_an_address_that_is_taken_replaces_the_one_before() -> None:
    process = Process().after(gives(0x10, 1 << 20), gives(0x10, 24))
    assert (process.at(0x10, 0x1000), len(process.live), process.live.bytes) == ([1, None], 1, 24)


def test_who_gave_a_pointer_back_is_known_until_it_is_handed_out_again() -> None:
    process = Process().after(gives(0x10, 24), takes(0x10))
    within = process.stretch(gives(0x10, 8), takes(0x10), takes(0x20))
    earlier, later = within.freed(BASE + 0x10, 0), within.freed(BASE + 0x10, 2)
    assert earlier is not None
    assert later is not None
    assert (earlier[0], earlier[1], earlier[2].piece.call, earlier[2].site) == (-2 - 1, 10, 0, 0)
    assert (later[0], later[2].piece.call, later[2].row) == (1, 2, 0)
    assert (within.freed(BASE + 0x10, 1), within.freed(BASE + 0x20, 3)) == (None, None)


def test_a_copy_goes_its_own_way() -> None:
    process, twin = Process().after(gives(0x10, 24), gives(0x1000, 1 << 20)), Process()
    twin.live, twin.freed = process.live.copy(), process.freed.copy()
    twin.after(takes(0x10), takes(0x1000))
    assert (process.at(0x10, 0x1000), len(process.live), len(twin.live)) == ([0, 1], 2, 0)


SLOT = 1 << 17  # bytes: room for small pieces (up to 16 pages) and for large ones
STEPS = st.lists(
    st.tuples(
        st.booleans(), st.integers(0, 11), st.one_of(st.integers(0, 200), st.integers(60_000, 70_000)),
        st.integers(0, 255),
    ),
    max_size=60,
)  # fmt: skip


@seeded
@given(steps=STEPS, cuts=st.sets(st.integers(0, 60)), probes=st.lists(st.integers(0, 12 * SLOT), max_size=20))
def test_pieces_that_come_and_go_agree_with_a_plain_list(
    steps: list[tuple[bool, int, int, int]], cuts: set[int], probes: list[int]
) -> None:
    plain: dict[int, ChunkRef] = {}
    turns: list[Turn] = []
    for allocates, slot, size, shift in steps:
        taken = [offset for offset in plain if offset // SLOT == slot]
        offset = taken[0] if taken else SLOT * slot + 16 * shift
        if allocates and not taken:
            plain[offset] = ChunkRef(len(turns), BASE + offset, size)
            turns.append(gives(offset, size))
        elif taken:
            del plain[offset]
            turns.append(takes(offset))
    process, states = Process(), list[dict[int, ChunkRef]]([{}])
    for n, (kind, offset, size) in enumerate(turns):
        after = dict(states[-1])
        if kind == GIVES:
            after[offset] = ChunkRef(n, BASE + offset, size)
        else:
            del after[offset]
        states.append(after)
    edges = sorted({0, len(turns), *(cut for cut in cuts if cut < len(turns))})
    for low, high in pairwise(edges):
        within = process.stretch(*turns[low:high])
        assert within.odd().tolist() == []
        together: list[tuple[int, int, ChunkRef | None]] = []
        for position in range(low, high + 1):
            alive = states[position].values()
            asked = [
                *probes,
                *(piece.address - BASE + more for piece in alive for more in (0, piece.size, piece.size - 1)),
            ]
            for offset in asked:
                held = [piece for piece in alive if piece.address <= BASE + offset < piece.address + max(piece.size, 1)]
                found = within.find(BASE + offset, position - low)
                assert (found.piece if found is not None else None) == (held[0] if held else None)
                together.append((BASE + offset, position - low, held[0] if held else None))
        addresses, positions = (np.array([asked[i] for asked in together], dtype=t) for i, t in ((0, "u8"), (1, "i8")))
        assert within.chunks(addresses, positions) == [piece for _address, _position, piece in together]
        within.commit()
    assert process.live.pieces()[0] == list(plain.values())
    assert (len(process.live), process.live.bytes) == (len(plain), sum(piece.size for piece in plain.values()))


@seeded
@given(
    turns=st.lists(
        st.tuples(
            st.booleans(), st.integers(0, 20), st.one_of(st.integers(0, 9000), st.integers(60_000, 200_000)),
        ),
        min_size=1, max_size=40,
    ),
    cut=st.integers(0, 40),
    probes=st.lists(st.tuples(st.integers(0, 39), st.integers(-1, 9000), st.integers(0, 40)), max_size=80),
)  # fmt: skip
def test_of_pieces_that_overlap_all_are_asked_in_one_order(
    turns: list[tuple[bool, int, int]], cut: int, probes: list[tuple[int, int, int]]
) -> None:
    steps = [gives(0x410 * slot, size) if is_given else takes(0x410 * slot) for is_given, slot, size in turns]
    states: list[dict[int, tuple[int, int]]] = [{}]
    for n, (kind, offset, size) in enumerate(steps):
        after = {at: piece for at, piece in states[-1].items() if at != offset}
        states.append({**after, offset: (n, size)} if kind == GIVES else after)

    def is_large(offset: int, size: int) -> bool:
        return (BASE + offset + max(size, 1) - 1) // 4096 - (BASE + offset) // 4096 >= 16

    def holder(offset: int, position: int) -> int | None:
        alive = [(n, at, size) for at, (n, size) in states[position].items() if at <= offset]
        small = [n for n, at, size in alive if offset < at + max(size, 1) and not is_large(at, size)]
        large = max(((at, n, size) for n, at, size in alive if is_large(at, size)), default=(0, None, 0))
        return min(small) if small else large[1] if offset < large[0] + large[2] else None

    cut = min(cut, len(steps))
    process = Process().after(*steps[:cut])
    within = process.stretch(*steps[cut:])
    asked = [
        (steps[which % len(steps)][1] + more, min(max(position, cut), len(steps))) for which, more, position in probes
    ]
    found = within.chunks(
        np.array([BASE + offset for offset, _position in asked], dtype=np.uint64),
        np.array([position - cut for _offset, position in asked], dtype=np.int64),
    )
    assert [piece and piece.call for piece in found] == [holder(*each) for each in asked]
    assert [found_at(within, offset, position - cut) for offset, position in asked] == [
        piece and piece.call for piece in found
    ]
