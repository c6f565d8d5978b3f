"""AArch64 instructions, each by the word that GNU as 2.40 makes of its text."""

from __future__ import annotations

import struct

import pytest

from observer.arch.aarch64 import AARCH64
from observer.code import a64, a64_pieces
from observer.code.emulation import LINK, NOTHING

PLACE = 0x0000_FFFF_8000_1000
PLACES = AARCH64.registers.places
STACK = 0x0000_FFFF_F000_0000
N, Z, C, V = 1 << 31, 1 << 30, 1 << 29, 1 << 28


def code(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def registers(**values: int) -> memoryview:
    words = memoryview(bytearray(8 * len(AARCH64.registers.names))).cast("B").cast("Q")
    words[PLACES["sp"]] = STACK
    for name, value in values.items():
        words[PLACES[name]] = value
    return words


def no_memory(address: int, length: int) -> bytes:
    raise AssertionError(f"{length} bytes at {address:#x} are read")


def carry_out(word: int, **values: int) -> memoryview:
    """Do what the observer does with the instruction under a breakpoint."""
    emulation = a64.emulation_of(code(word), PLACE)
    assert emulation is not None
    assert emulation.apply is not None
    assert emulation.length == 4
    words = registers(**values)
    words[PLACES["pc"]] = PLACE + emulation.length
    if emulation.pushes == LINK:
        words[PLACES["x30"]] = emulation.constant
    emulation.apply(words, no_memory)
    return words


@pytest.mark.parametrize(
    ("word", "given", "expected"),
    [
        (0xD503201F, {}, {}),  # nop
        (0xD503245F, {"pstate": 2 << 10}, {"pstate": 0}),  # bti c, reached by blr
        (0xD503201F, {"pstate": 1 << 10 | N}, {"pstate": N}),
        (0x910003FD, {}, {"x29": STACK}),  # mov x29, sp
        (0xAA0103E0, {"x1": 7}, {"x0": 7}),  # mov x0, x1
        (0x2A0103E0, {"x0": 1 << 63, "x1": 0xF_0000_0005}, {"x0": 5}),  # mov w0, w1
        (0xD2800540, {}, {"x0": 42}),  # mov x0, #42
        (0x12800000, {}, {"x0": 0xFFFF_FFFF}),  # mov w0, #-1
        (0x92800000, {}, {"x0": 0xFFFF_FFFF_FFFF_FFFF}),  # mov x0, #-1
        (0xF2A24680, {"x0": 0x1111_2222_3333_4444}, {"x0": 0x1111_2222_1234_4444}),  # movk x0, #0x1234, lsl #16
        (0xD100C3FF, {}, {"sp": STACK - 48}),  # sub sp, sp, #48
        (0x91400420, {"x1": 3}, {"x0": 0x1003}),  # add x0, x1, #1, lsl #12
        (0x11000420, {"x1": 0xFFFF_FFFF}, {"x0": 0}),  # add w0, w1, #1
        (0x8B020C20, {"x1": 5, "x2": 2}, {"x0": 21}),  # add x0, x1, x2, lsl #3
        (0xCB820420, {"x1": 0, "x2": (1 << 64) - 4}, {"x0": 2}),  # sub x0, x1, x2, asr #1
        (0x4B0203E0, {"x2": 1}, {"x0": 0xFFFF_FFFF}),  # neg w0, w2
        (0xF100041F, {"x0": 1}, {"pstate": Z | C}),  # cmp x0, #1
        (0xF100041F, {"x0": 0, "pstate": Z | V}, {"pstate": N}),
        (0x7100041F, {"x0": 1 << 31}, {"pstate": C | V}),  # cmp w0, #1
        (0xEB01001F, {"x0": 3, "x1": 5}, {"pstate": N}),  # cmp x0, x1
        (0xB100041F, {"x0": (1 << 64) - 1}, {"pstate": Z | C}),  # cmn x0, #1
        (0xAB010000, {"x0": (1 << 63) - 1, "x1": 1}, {"x0": 1 << 63, "pstate": N | V}),  # adds x0, x0, x1
        (0xEA00001F, {"x0": 0, "pstate": C}, {"pstate": Z}),  # tst x0, x0
        (0x6A01001F, {"x0": 1 << 31, "x1": 1 << 31}, {"pstate": N}),  # tst w0, w1
        (0x8A220020, {"x1": 0xFF, "x2": 0x0F}, {"x0": 0xF0}),  # bic x0, x1, x2
        (0xCA020020, {"x1": 0xFF, "x2": 0x0F}, {"x0": 0xF0}),  # eor x0, x1, x2
        (0xAA2203E0, {"x2": 0}, {"x0": (1 << 64) - 1}),  # mvn x0, x2
        (0x9BC17C02, {"x0": 1 << 63, "x1": 6}, {"x2": 3}),  # umulh x2, x0, x1
        (0x9B017C13, {"x0": 1 << 63, "x1": 3}, {"x19": 1 << 63}),  # mul x19, x0, x1
        (0x1B017C00, {"x0": 0x1_0000_0003, "x1": 5}, {"x0": 15}),  # mul w0, w0, w1
        (0x9B020C20, {"x1": 2, "x2": 3, "x3": 4}, {"x0": 10}),  # madd x0, x1, x2, x3
        (0x9B028C20, {"x1": 2, "x2": 3, "x3": 4}, {"x0": (1 << 64) - 2}),  # msub x0, x1, x2, x3
        (0x9B227C20, {"x1": 0xFFFF_FFFF, "x2": 3}, {"x0": (1 << 64) - 3}),  # smull x0, w1, w2
        (0x9BA27C20, {"x1": 0xFFFF_FFFF, "x2": 3}, {"x0": 0x2_FFFF_FFFD}),  # umull x0, w1, w2
        (0x9A9F07E0, {"x0": 7, "pstate": Z}, {"x0": 0}),  # cset x0, ne
        (0x9A9F07E0, {"x0": 7}, {"x0": 1}),
        (0x9A820020, {"x1": 5, "x2": 6, "pstate": Z}, {"x0": 5}),  # csel x0, x1, x2, eq
        (0x9A820020, {"x1": 5, "x2": 6}, {"x0": 6}),
        (0x5A9F13E0, {"pstate": Z}, {"x0": 0xFFFF_FFFF}),  # csetm w0, eq
        (0xDA811420, {"x1": 1, "pstate": Z}, {"x0": (1 << 64) - 1}),  # cneg x0, x1, eq
        (0x10000080, {}, {"x0": PLACE + 16}),  # adr x0, .+16
        (0xF0FFFFE0, {}, {"x0": (PLACE & -4096) - 4096}),  # adrp x0, .-4096
        (0x14000004, {}, {"pc": PLACE + 16}),  # b .+16
        (0x17FFFFFF, {}, {"pc": PLACE - 4}),  # b .-4
        (0x94000004, {}, {"pc": PLACE + 16, "x30": PLACE + 4}),  # bl .+16
        (0xD63F0020, {"x1": 0x4000}, {"pc": 0x4000, "x30": PLACE + 4}),  # blr x1
        (0xD61F0220, {"x17": 0x4000}, {"pc": 0x4000}),  # br x17
        (0xD65F03C0, {"x30": 0x4004}, {"pc": 0x4004}),  # ret
        (0xD65F0BFF, {"x30": 0x002A_FFFF_8000_2000}, {"pc": 0x0000_FFFF_8000_2000}),  # retaa
        (0x54000080, {"pstate": Z}, {"pc": PLACE + 16}),  # b.eq .+16
        (0x54000080, {"pstate": C}, {}),
        (0x5400008D, {"pstate": N}, {"pc": PLACE + 16}),  # b.le .+16
        (0x54000088, {"pstate": C | Z}, {}),  # b.hi .+16
        (0xB4000080, {"x0": 0}, {"pc": PLACE + 16}),  # cbz x0, .+16
        (0x34000080, {"x0": 1 << 32}, {"pc": PLACE + 16}),  # cbz w0, .+16
        (0x35000080, {"x0": 0}, {}),  # cbnz w0, .+16
        (0xB6F80080, {"x0": 1 << 63}, {}),  # tbz x0, #63, .+16
        (0xB7F80080, {"x0": 1 << 63}, {"pc": PLACE + 16}),  # tbnz x0, #63, .+16
    ],
)  # fmt: skip
def test_an_instruction_does_to_the_registers_what_the_manual_says(
    word: int, given: dict[str, int], expected: dict[str, int]
) -> None:
    words = carry_out(word, **given)
    assert list(words) == list(registers(**{"pc": PLACE + 4, **given, **expected}))


@pytest.mark.parametrize(
    "word",
    [
        0xD503233F,  # paciasp
        0xD50323BF,  # autiasp
        0xA9BE7BFD,  # stp x29, x30, [sp, #-32]!
        0xF9400000,  # ldr x0, [x0]
        0xD53BD040,  # mrs x0, tpidr_el0
        0xD71F0A30,  # braa x17, x16
        0x9B417C00,  # smulh x0, x0, x1
        0xD4000001,  # svc #0
        0x00000000,  # udf #0
    ],
)
def test_what_only_the_processor_can_do_is_not_emulated(word: int) -> None:
    assert a64.emulation_of(code(word), PLACE) is None


def test_half_an_instruction_is_none() -> None:
    assert a64.emulation_of(b"\x1f\x20", PLACE) is None
    assert a64.access_of(b"\x1f\x20") is None


def test_a_return_is_known_as_one_and_touches_no_memory() -> None:
    for word in (0xD65F03C0, 0xD65F0BFF, 0xD65F0FFF):
        emulation = a64.emulation_of(code(word), PLACE)
        assert emulation is not None
        assert (emulation.is_return, emulation.touches_memory, emulation.pushes) == (True, False, NOTHING)


@pytest.mark.parametrize(
    ("word", "down"),
    [
        (0xA9BE7BFD, 32),  # stp x29, x30, [sp, #-32]!
        (0x6DBF23E9, 16),  # stp d9, d8, [sp, #-16]!
        (0xF81F0FFE, 16),  # str x30, [sp, #-16]!
        (0xD100C3FF, 48),  # sub sp, sp, #48
        (0xD14007FF, 4096),  # sub sp, sp, #1, lsl #12
        (0xA9017BFD, 0),  # stp x29, x30, [sp, #16]
        (0xD10043A0, 0),  # sub x0, x29, #16
        (0xA9BE0440, 0),  # stp x0, x1, [x2, #-32]!
    ],
)
def test_what_moves_the_stack_pointer_down_says_by_how_much(word: int, down: int) -> None:
    assert a64_pieces.stack_change(word) == down


@pytest.mark.parametrize(
    ("word", "registers_written"),
    [
        (0xA9BE7BFD, set()),  # stp x29, x30, [sp, #-32]!
        (0xD503233F, set()),  # paciasp
        (0xA94153F3, {19, 20}),  # ldp x19, x20, [sp, #16]
        (0xA8C27BFD, {29, 30, 31}),  # ldp x29, x30, [sp], #32
        (0xF9000FE0, set()),  # str x0, [sp, #24]
        (0xF9400FE3, {3}),  # ldr x3, [sp, #24]
        (0xF8408C41, {1, 2}),  # ldr x1, [x2, #8]!
        (0x58000080, {0}),  # ldr x0, .+16
        (0x910003FD, {29}),  # mov x29, sp
        (0x9BC17C05, {5}),  # umulh x5, x0, x1
        (0xD53BD042, {2}),  # mrs x2, tpidr_el0
        (0xF8E10000, None),  # ldaddal x1, x0, [x0]
        (0x9E660000, None),  # fmov x0, d0
    ],
)
def test_which_registers_are_written(word: int, registers_written: set[int] | None) -> None:
    assert a64_pieces.written(word) == registers_written


@pytest.mark.parametrize(
    ("word", "access"),
    [
        (0xF9400000, "read"),  # ldr x0, [x0]
        (0xF9000000, "write"),  # str x0, [x0]
        (0xA9BE7BFD, "write"),  # stp x29, x30, [sp, #-32]!
        (0xA94153F3, "read"),  # ldp x19, x20, [sp, #16]
        (0x39C00000, "read"),  # ldrsb w0, [x0]
        (0x3DC00000, "read"),  # ldr q0, [x0]
        (0x3D800000, "write"),  # str q0, [x0]
        (0x4C402000, "read"),  # ld1 {v0.16b-v3.16b}, [x0]
        (0x4C002000, "write"),  # st1 {v0.16b-v3.16b}, [x0]
        (0xF8E10000, "write"),  # ldaddal x1, x0, [x0]
        (0xF8BFC000, "read"),  # ldapr x0, [x0]
        (0xC85FFC00, "read"),  # ldaxr x0, [x0]
        (0xC801FC02, "write"),  # stlxr w1, x2, [x0]
        (0xC8E0FC41, "write"),  # casal x0, x1, [x2]
        (0xC8DFFC00, "read"),  # ldar x0, [x0]
        (0x58000080, "read"),  # ldr x0, .+16
        (0xD50B7420, "write"),  # dc zva, x0
        (0x910003FD, None),  # mov x29, sp
        (0x14000004, None),  # b .+16
    ],
)
def test_an_instruction_reads_or_writes(word: int, access: str | None) -> None:
    assert a64.access_of(code(word)) == access


def test_a_stub_says_where_the_address_that_it_jumps_to_is_written() -> None:
    stub = (0x90000090, 0xF947D611, 0x913EA210, 0xD61F0220)  # adrp x16, .+64K; ldr x17; add x16; br x17
    slot = (PLACE & -4096) + 0x10000 + 0xFA8
    assert a64_pieces.slot_of_stub(code(*stub, 0xD503201F), PLACE) == slot
    assert a64_pieces.slot_of_stub(code(0xD503245F, *stub), PLACE) == slot  # behind bti c
    assert a64_pieces.slot_of_stub(code(*stub[:3], 0xD503201F, 0xD503201F), PLACE) is None
    assert a64_pieces.slot_of_stub(code(0xD503201F, *stub), PLACE) is None


def test_addresses_are_put_together_of_a_page_and_the_rest() -> None:
    words = (
        0x90000080,
        0x91008000,
        0xF9400401,
        0x10000042,
    )  # adrp x0, .+64K; add x0, #32; ldr x1, [x0, #8]; adr x2, .+8
    page = (PLACE & -4096) + 0x10000
    assert list(a64_pieces.named_addresses(code(*words), PLACE)) == [
        (page + 32, False),
        (page + 8, True),
        (PLACE + 20, False),
    ]


@pytest.mark.parametrize(
    ("word", "leaves"),
    [
        (0xD503233F, False),  # paciasp
        (0xD503237F, False),  # pacibsp
        (0xD503245F, True),  # bti c
        (0xF9400FE3, True),  # ldr x3, [sp, #24]
        (0xD53BD042, True),  # mrs x2, tpidr_el0
        (0xA9BE7BFD, False),  # stp x29, x30, [sp, #-32]!
        (0x910003FD, False),  # mov x29, sp
        (0xF8E10000, False),  # ldaddal x1, x0, [x0]
    ],
)
def test_a_frame_is_left_alone_until_it_is_signed_stored_or_moved(word: int, leaves: bool) -> None:
    assert a64_pieces.leaves_frame(word) is leaves


@pytest.mark.parametrize(
    ("words", "constant"),
    [
        ((0x52801A20, 0xD65F03C0), 209),  # mov w0, #209; ret
        ((0xD503245F, 0x528EB340, 0x72A00020, 0xD65F03C0), 95642),  # bti c; mov w0, #0x759a; movk w0, #1, lsl #16; ret
        ((0xD65F03C0,), None),  # ret
        ((0x52801A21, 0xD65F03C0), None),  # mov w1, #209; ret
        ((0x52801A20,), None),
    ],
)
def test_a_function_may_return_a_constant(words: tuple[int, ...], constant: int | None) -> None:
    assert a64_pieces.constant_returned(code(*words)) == constant
