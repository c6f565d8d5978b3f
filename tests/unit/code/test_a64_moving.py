"""AArch64 instructions done elsewhere, each by the word that GNU as 2.40 makes of its text, and what gives way."""

from __future__ import annotations

import struct

import pytest

from observer.arch.aarch64 import AARCH64
from observer.code import a64
from observer.code.a64_moving import entry_stretch, exit_stretch, jump, jump_target, moved
from observer.code.elf import Elf
from observer.code.emulation import Words

HERE, THERE = 0x0000_FFFF_8000_1000, 0x0000_FFFF_8400_0000
BACK = THERE + 0x40
PLACES = AARCH64.registers.places
NOP, RET, BRK = 0xD503_201F, 0xD65F_03C0, 0xD420_0000
BTI_C, PACIASP = 0xD503_245F, 0xD503_233F


def code(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def words_of(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data)


def done_at(data: bytes, place: int, **values: int) -> Words:
    """Carry out what stands at *place* until control leaves it."""
    words = memoryview(bytearray(8 * len(AARCH64.registers.names))).cast("B").cast("Q")
    for name, value in values.items():
        words[PLACES[name]] = value
    words[PLACES["pc"]] = place
    while 0 <= words[PLACES["pc"]] - place < len(data):
        at = words[PLACES["pc"]] - place
        emulation = a64.emulation_of(data[at:], place + at)
        assert emulation is not None
        assert emulation.apply is not None
        words[PLACES["pc"]] += 4
        emulation.apply(words, lambda address, length: b"")
    return words


@pytest.mark.parametrize(
    ("word", "given"),
    [
        (0xB0000200, {}),  # adrp x0, . + 65 pages
        (0xF0FFFFE3, {}),  # adrp x3, . - 1 page
        (0x10000085, {}),  # adr x5, . + 16
        (0x70FFFFE5, {}),  # adr x5, . - 1
        (0x14000008, {}),  # b . + 32
        (0x17FFFFFE, {}),  # b . - 8
        (0xB4000080, {"x0": 0}),  # cbz x0, . + 16
        (0xB4000080, {"x0": 1}),
        (0x35FFFFC2, {"x2": 0}),  # cbnz w2, . - 8
        (0x35FFFFC2, {"x2": 5}),
        (0xB6280081, {"x1": 1 << 37}),  # tbz x1, #37, . + 16
        (0xB6280081, {"x1": 0}),
        (0x54000100, {"pstate": 1 << 30}),  # b.eq . + 32
        (0x54000100, {"pstate": 0}),
        (0xAA0103E0, {"x1": 7}),  # mov x0, x1
        (NOP, {}),
    ],
)
def test_what_it_does_is_done_elsewhere(word: int, given: dict[str, int]) -> None:
    elsewhere = moved(code(word), HERE, THERE)
    assert elsewhere is not None
    data = elsewhere.code + jump(THERE + len(elsewhere.code), HERE + 4)
    one, other = done_at(code(word), HERE, **given), done_at(data, THERE, **given)
    assert one.tolist() == other.tolist()
    assert elsewhere.places == ((0, len(elsewhere.code), HERE),)


@pytest.mark.parametrize(
    ("word", "load"),
    [
        (0x58000040, 0xF9400200),  # ldr x0, . + 8: ldr x0, [x16]
        (0x18000041, 0xB9400201),  # ldr w1, . + 8
        (0x98000042, 0xB9800202),  # ldrsw x2, . + 8
        (0x5C000043, 0xFD400203),  # ldr d3, . + 8
        (0x9C000044, 0x3DC00204),  # ldr q4, . + 8
    ],
)
def test_what_is_read_beside_it_is_read_from_there(word: int, load: int) -> None:
    elsewhere = moved(code(word), HERE, THERE)
    assert elsewhere is not None
    assert words_of(elsewhere.code)[-1] == load
    assert done_at(elsewhere.code[:-4], THERE)[PLACES["x16"]] == HERE + 8


@pytest.mark.parametrize("word", [PACIASP, 0xA9BE7BFD, 0xD65F0BFF, RET])
def test_what_depends_on_no_place_stays_as_it_is(word: int) -> None:
    elsewhere = moved(code(word), HERE, THERE)
    assert elsewhere is not None
    assert elsewhere.code == code(word)


def test_what_cannot_be_done_elsewhere_is_refused() -> None:
    assert moved(code(0x94000008), HERE, THERE) is None  # bl: what it leaves in x30 would be ours
    assert moved(code(0x14000008), HERE, HERE + (1 << 28)) is None
    assert moved(code(0xB4000080), HERE, HERE + (1 << 28)) is None
    assert moved(b"\x1f\x20", HERE, THERE) is None


def test_jumps_reach_as_far_as_they_do() -> None:
    assert jump(HERE, HERE - 8) == code(0x17FFFFFE)
    assert jump_target(jump(HERE, THERE), HERE) == THERE
    assert jump_target(jump(THERE, HERE), THERE) == HERE
    assert jump_target(code(RET), HERE) is None
    assert jump_target(code(0x94000008), HERE) is None
    for far in (1 << 27, -(1 << 27) - 4, 2):
        with pytest.raises(OverflowError):
            jump(HERE, HERE + far)


class Code(Elf):
    """A file of nothing but instructions, at HERE."""

    def __init__(self, *words: int) -> None:
        self._words = code(*words)

    def read(self, address: int, length: int) -> bytes:
        return self._words[address - HERE : address - HERE + length]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ((0xA9BE7BFD, RET), 0),  # stp x29, x30, [sp, #-32]!
        ((BTI_C, 0xA9BE7BFD), 1),
        ((PACIASP, 0xA9BE7BFD), 1),
        ((BTI_C, PACIASP), 1),
        ((0x14000008,), 0),
    ],
)
def test_what_calls_land_on_stays_first(words: tuple[int, ...], kept: int) -> None:
    found = entry_stretch(Code(*words), HERE, set())
    assert found is not None
    assert (found.address, found.code) == (HERE + 4 * kept, code(words[kept]))


@pytest.mark.parametrize("word", [RET, BRK, 0, 0x94000008, 0xD63F0000, 0xD61F0200, 0xD4000001])
def test_where_control_would_be_lost_nothing_gives_way(word: int) -> None:
    assert entry_stretch(Code(word, NOP), HERE, set()) is None
    assert entry_stretch(Code(BTI_C, word), HERE, set()) is None


def test_a_loop_that_begins_behind_the_mark_is_no_call() -> None:
    function = Code(BTI_C, 0xD1000400, 0xB5FFFFE0)  # sub x0, x0, #1; cbnz x0, . - 4
    assert entry_stretch(function, HERE, {HERE + 4}) is None
    assert entry_stretch(function, HERE, {HERE + 8}) is not None
    assert entry_stretch(Code(BTI_C), HERE, set()) is None  # nothing stands behind


def test_ends_give_way_each_by_itself() -> None:
    function = Code(RET, 0xD65F0BFF, 0x14000008, 0xD61F0200, 0xB4000080)
    for at, is_jump, gives_way in (
        (0, False, True),
        (4, False, True),
        (8, True, True),
        (12, True, False),
        (16, True, False),
    ):
        found = exit_stretch(function, HERE + at, is_jump=is_jump)
        assert (found is not None) == gives_way
        assert found is None or found.address == HERE + at
