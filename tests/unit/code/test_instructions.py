"""Instructions carried out on a register file, against literals and against the processor itself."""

from __future__ import annotations

import ctypes
import mmap
import platform
import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.arch.aarch64 import AARCH64
from observer.arch.i386 import I386
from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.code.emulation import CONSTANT, LINK
from observer.code.instructions import access_of, disassemble, emulation_of
from observer.linux.ptrace import RegisterSet
from observer.model.operations import OPERATIONS
from tests.unit.code.compiled import HERE, libc_path, needs_compiler
from tests.unit.seeded import seeded

PLACE = 0x5555_0000_1149
NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
CF, PF, AF, ZF, SF, OF = 1, 4, 16, 64, 128, 2048
ALL_FLAGS = CF | PF | AF | ZF | SF | OF
MASK = (1 << 64) - 1
PLACES = NATIVE.registers.places


def carried_out(code: str, memory: bytes = b"", place: int = PLACE, **registers: int) -> dict[str, int]:
    """All registers after the emulation of *code* (hex) at *place*, with *registers* set before."""
    emulation = emulation_of(bytes.fromhex(code), place)
    assert emulation is not None
    assert emulation.apply is not None
    words = RegisterSet().words
    for name, value in registers.items():
        words[PLACES[name]] = value
    # As at a breakpoint: rip stands behind the instruction already.
    words[PLACES["rip"]] = place + emulation.length
    emulation.apply(words, lambda address, length: memory[address : address + length])
    return {name: words[index] for name, index in PLACES.items()}


@pytest.mark.parametrize(
    ("code", "length", "pushed"),
    [("55", 1, "rbp"), ("53", 1, "rbx"), ("54", 1, "rsp"), ("4154", 2, "r12"), ("4157", 2, "r15"), ("50", 1, "rax")],
)
def test_a_push_names_the_register_it_pushes(code: str, length: int, pushed: str) -> None:
    emulation = emulation_of(bytes.fromhex(code), PLACE)
    assert emulation is not None
    assert (emulation.length, emulation.pushes, emulation.apply) == (length, PLACES[pushed], None)


def test_a_call_pushes_the_address_behind_it_and_jumps() -> None:
    emulation = emulation_of(bytes.fromhex("e800010000"), PLACE)
    assert emulation is not None
    assert (emulation.length, emulation.pushes, emulation.constant) == (5, CONSTANT, PLACE + 5)
    assert carried_out("e800010000")["rip"] == PLACE + 5 + 0x100
    assert carried_out("ffd0", rax=0x1234)["rip"] == 0x1234
    assert carried_out("ff10", memory=(0x4321).to_bytes(8, "little"), rax=0)["rip"] == 0x4321


@pytest.mark.parametrize(
    ("code", "register", "from_place"),
    [("488d0510000000", "rax", 23), ("eb10", "rip", 18), ("7410", "rip", 18), ("e800010000", "rip", 261)],
)
def test_where_an_instruction_lies_matters_wherever_it_was_seen_before(
    code: str, register: str, from_place: int
) -> None:
    for place in (PLACE, PLACE + (1 << 24), 0, PLACE):
        assert carried_out(code, place=place, eflags=ZF)[register] == place + from_place
    for place in (PLACE, PLACE + (1 << 24)):
        for call, length in (("e800010000", 5), ("ffd0", 2)):
            emulation = emulation_of(bytes.fromhex(call), place)
            assert emulation is not None
            assert emulation.constant == place + length


@pytest.mark.parametrize(
    ("word", "register", "from_place"),
    [
        (0x10000080, "x0", 16),  # adr x0, +16
        (0x14000004, "pc", 16),  # b +16
        (0x94000004, "x30", 4),  # bl +16
        (0xD63F0000, "x30", 4),  # blr x0
        (0xB4000080, "pc", 16),  # cbz x0, +16
    ],
)
def test_where_an_instruction_of_aarch64_lies_matters_too(word: int, register: str, from_place: int) -> None:
    places = AARCH64.registers.places
    for place in (0x5555_0000_1148, 0x7FFF_0000_1148, 0x5555_0000_1148):
        emulation = emulation_of(word.to_bytes(4, "little"), place, AARCH64)
        assert emulation is not None
        assert emulation.apply is not None
        words = memoryview(bytearray(8 * (max(places.values()) + 1))).cast("Q")
        words[places["pc"]] = place + 4
        if emulation.pushes == LINK:
            words[places["x30"]] = emulation.constant
        emulation.apply(words, lambda address, length: bytes(length))
        assert words[places[register]] == place + from_place


def test_an_i386_instruction_is_carried_out_on_low_halves() -> None:
    emulation = emulation_of(bytes.fromhex("8b4c2404"), PLACE & 0xFFFF_FFFF, I386)  # mov ecx, [esp + 4]
    assert emulation is not None
    assert emulation.apply is not None
    words = RegisterSet().words
    words[PLACES["rsp"]] = 0x1000
    emulation.apply(words, lambda address, length: {0x1004: b"\x78\x56\x34\x12"}[address][:length])
    assert words[PLACES["rcx"]] == 0x1234_5678


@pytest.mark.parametrize("code", ["f30f1efa", "90", "0f1f4000", "6690"])
def test_endbr64_and_nop_change_nothing(code: str) -> None:
    after = carried_out(code, rax=17, eflags=ALL_FLAGS)
    assert after.pop("rip") == PLACE + len(code) // 2
    assert {name: value for name, value in after.items() if value} == {"rax": 17, "eflags": ALL_FLAGS}


def test_only_what_was_first_is_carried_out() -> None:
    emulation = emulation_of(bytes.fromhex("f30f1efa 4885ff 7405"), PLACE)
    assert emulation is not None
    assert (emulation.length, emulation.text) == (4, "endbr64")


def test_a_short_jump_goes_from_the_end_of_the_instruction() -> None:
    assert carried_out("eb10")["rip"] == PLACE + 2 + 0x10
    assert carried_out("ebfe")["rip"] == PLACE


def test_a_long_jump_goes_backwards_too() -> None:
    assert carried_out("e9fbffffff")["rip"] == PLACE
    assert carried_out("e900010000")["rip"] == PLACE + 5 + 0x100


def test_a_jump_through_a_register_or_memory_goes_where_it_says() -> None:
    assert carried_out("ffe0", rax=0x1234)["rip"] == 0x1234
    assert carried_out("ff6008", bytes(8) + (0x7F00_1000).to_bytes(8, "little"), rax=0)["rip"] == 0x7F00_1000


def test_addresses_relative_to_rip_count_from_the_next_instruction() -> None:
    assert carried_out("488d0510000000")["rax"] == PLACE + 7 + 0x10
    assert carried_out("488d05f0ffffff")["rax"] == PLACE + 7 - 0x10


def test_lea_computes_base_index_and_scale_without_reading() -> None:
    assert carried_out("488d44d9f8", rcx=0x1000, rbx=3)["rax"] == 0x1000 + 3 * 8 - 8
    assert carried_out("488d41f0", rcx=8)["rax"] == MASK - 7


def test_addresses_of_32_bits_wrap_or_are_refused() -> None:
    code = "67488d4004"
    if emulation_of(bytes.fromhex(code), PLACE) is not None:
        assert carried_out(code, rax=0x7F00_0000_1000)["rax"] == 0x1004


def test_writing_half_a_register_clears_the_other_half() -> None:
    assert carried_out("89c8", rax=MASK, rcx=0xFFFF_FFFF_0000_0001)["rax"] == 1
    assert carried_out("31c0", rax=MASK)["rax"] == 0
    assert carried_out("29c8", rax=MASK, rcx=1)["rax"] == 0xFFFF_FFFE
    assert carried_out("8d4101", rcx=0xFFFF_FFFF)["rax"] == 0


@pytest.mark.parametrize(("a", "b", "flags"), [
    (0, 0, PF | ZF), (1, 1, 0), (3, 1, 0), (3, 3, PF), (1 << 63, 1 << 63, PF | SF), (0xF0, 0x0F, PF | ZF),
])  # fmt: skip
def test_test_sets_the_flags_of_the_conjunction(a: int, b: int, flags: int) -> None:
    assert carried_out("4885c8", rax=a, rcx=b, eflags=CF | OF)["eflags"] & ~AF == flags


@pytest.mark.parametrize(("a", "b", "flags"), [
    (5, 5, PF | ZF), (5, 3, 0), (3, 5, CF | AF | SF), (0, 1, CF | PF | AF | SF), (1 << 63, 1, PF | AF | OF),
    (MASK, MASK, PF | ZF), (1 << 63, (1 << 63) - 1, OF | AF), ((1 << 63) - 1, MASK, CF | PF | SF | OF),
])  # fmt: skip
def test_cmp_sets_the_flags_of_the_difference(a: int, b: int, flags: int) -> None:
    after = carried_out("4839c8", rax=a, rcx=b, eflags=0x202)
    assert (after["eflags"], after["rax"]) == (0x202 | flags, a)


def test_flags_that_are_not_arithmetic_stay() -> None:
    assert carried_out("4839c8", rax=1, rcx=1, eflags=0x10246)["eflags"] == 0x10246


def test_cmp_reads_as_many_bytes_as_it_compares() -> None:
    memory = bytes([0x80, 0, 0, 0, 1, 0, 0, 0])
    assert carried_out("803880", memory)["eflags"] == PF | ZF
    assert carried_out("813880000000", memory)["eflags"] == PF | ZF
    assert carried_out("48813880000000", memory)["eflags"] & ZF == 0


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("call through the stack", "ff542408"),
        ("syscall", "0f05"),
        ("int3", "cc"),
        ("push of an immediate", "6a05"),
        ("push of memory", "ff30"),
        ("pop", "5d"),
        ("store", "488908"),
        ("read of thread-local storage", "64488b042528000000"),
        ("half of eax", "6685c0"),
        ("byte of eax", "84c0"),
        ("return to another segment", "cb"),
        ("and", "4883e4f0"),
        ("cmov", "480f44c1"),
        ("lock", "f0480fb108"),
        ("vector move", "f30f6f00"),
    ],
)
def test_what_cannot_be_carried_out_elsewhere_is_refused(what: str, code: str) -> None:
    assert emulation_of(bytes.fromhex(code), PLACE) is None, what


@pytest.mark.parametrize("code", ["", "0f", "e8", "06", "4848"])
def test_what_is_no_instruction_is_refused(code: str) -> None:
    assert emulation_of(bytes.fromhex(code), PLACE) is None
    assert disassemble(bytes.fromhex(code), PLACE) is None
    assert access_of(bytes.fromhex(code), PLACE) is None


@pytest.mark.parametrize(("code", "access"), [
    ("c60061", "write"), ("8b00", "read"), ("0108", "write"), ("833800", "read"), ("488d4008", None),
    ("aa", "write"), ("a4", None), ("55", "write"), ("5d", "read"), ("e800000000", "write"), ("c3", "read"),
    ("c9", "read"), ("89c8", None), ("f30f7f00", "write"), ("0f1f4000", None), ("ff30", None),
    ("0f114210", "write"), ("0f2900", "write"), ("62e1fe487f6a03", "write"), ("c5fc1100", "write"), ("660fe700", "write"),
    ("0f1700", "write"), ("c5fe7f00", "write"), ("0f1000", "read"), ("c5fe6f00", "read"), ("0fb600", "read"),
    ("f20f1000", "read"), ("0f2f00", "read"), ("0fc300", "write"),
])  # fmt: skip
def test_an_instruction_reads_or_writes_its_memory(code: str, access: str | None) -> None:
    assert access_of(bytes.fromhex(code), PLACE) == access


def test_an_instruction_is_told_as_text() -> None:
    assert disassemble(bytes.fromhex("c60061"), PLACE) == "mov byte ptr [rax], 0x61"


# ---- the processor as the witness ---------------------------------------------------------------------------

Processor = Callable[[bytes, list[int], int], tuple[list[int], int]]
CARRIES = [number for number in range(16) if number not in (4, 7)]  # all but rsp, and rdi, which points to the buffer
POINTER = 7


@pytest.fixture(scope="module")
def buffer() -> ctypes.Array[ctypes.c_char]:
    """256 bytes that both the processor and the emulation read."""
    return ctypes.create_string_buffer(bytes(range(7, 263 - 0x80)) * 2, 512)


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """Return a function that carries out code on (registers, flags) for real."""
    if platform.machine() != "x86_64":
        pytest.skip("not an x86-64 machine")
    library = tmp_path_factory.mktemp("cpu") / "cpu.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "cpu.c")], check=True)
    carry_out = ctypes.CDLL(str(library)).carry_out
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    anchor = ctypes.c_char.from_buffer(page)
    place = ctypes.c_void_p(ctypes.addressof(anchor))

    def run(code: bytes, registers: list[int], flags: int) -> tuple[list[int], int]:
        page.seek(0)
        page.write(code + b"\xc3")
        state = (ctypes.c_ulong * 17)(*registers, flags)
        carry_out(state, place)
        return list(state[:16]), state[16]

    yield run
    del anchor
    page.close()


def _modrm(mode: int, register: int, other: int) -> int:
    return mode << 6 | (register & 7) << 3 | other & 7


@st.composite
def instructions(draw: st.DrawFn) -> bytes:
    """Encodings of test, cmp, sub, add, xor, mov and lea: registers, immediates, and memory at rdi + displacement."""
    wide, register, other = draw(st.booleans()), draw(st.sampled_from(CARRIES)), draw(st.sampled_from(CARRIES))
    form = draw(st.sampled_from(["registers", "memory", "byte", "long", "accumulator", "mov", "lea"]))
    rex = 0x40 | wide << 3
    length = draw(st.sampled_from([-128, -1, 0, 1, 8, 127]))
    immediate = draw(st.sampled_from([0, 1, -1, 15, 16, 0x7FFF_FFFF, -0x8000_0000]))
    if form == "registers":
        code = draw(st.sampled_from([0x85, 0x39, 0x3B, 0x29, 0x2B, 0x01, 0x03, 0x31, 0x33, 0x89, 0x8B]))
        return bytes([rex | register >> 3 << 2 | other >> 3, code, _modrm(3, register, other)])
    if form == "memory":
        code = draw(st.sampled_from([0x85, 0x39, 0x3B, 0x2B, 0x03, 0x33, 0x8B]))
        return bytes([rex | register >> 3 << 2, code, _modrm(1, register, POINTER), draw(st.integers(0, 127))])
    if form == "byte":
        group = draw(st.sampled_from([0, 5, 6, 7]))
        return bytes([rex | other >> 3, 0x83, _modrm(3, group, other), length & 0xFF])
    if form == "long":
        head = draw(st.sampled_from([(0x81, 5), (0x81, 6), (0x81, 7), (0xF7, 0), (0xC7, 0)]))
        head_bytes = bytes([rex | other >> 3, head[0], _modrm(3, head[1], other)])
        return head_bytes + immediate.to_bytes(4, "little", signed=True)
    if form == "accumulator":
        code = draw(st.sampled_from([0x05, 0x2D, 0x35, 0x3D, 0xA9]))
        return bytes([rex, code]) + immediate.to_bytes(4, "little", signed=True)
    if form == "mov":
        value = draw(st.integers(0, MASK)).to_bytes(8, "little")
        return bytes([rex | other >> 3, 0xB8 | other & 7]) + (value if wide else value[:4])
    scale = draw(st.integers(0, 3))
    head_bytes = bytes([rex | register >> 3 << 2 | other >> 3 << 1, 0x8D, _modrm(2, register, 4)])
    sib = bytes([scale << 6 | (other & 7) << 3 | POINTER])
    return head_bytes + sib + immediate.to_bytes(4, "little", signed=True)


WORDS = st.one_of(
    st.sampled_from([0, 1, 0xF, 0x10, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, (1 << 63) - 1, 1 << 63, MASK]),
    st.integers(0, MASK),
)


@needs_compiler
@seeded
@given(
    code=instructions(),
    values=st.lists(WORDS, min_size=16, max_size=16),
    flags=st.lists(st.sampled_from([CF, PF, AF, ZF, SF, OF]), unique=True),
)
def test_the_emulation_does_what_the_processor_does(
    processor: Processor, buffer: ctypes.Array[ctypes.c_char], code: bytes, values: list[int], flags: list[int]
) -> None:
    start = ctypes.addressof(buffer)
    values[POINTER] = start
    before = 0x202 | sum(flags)
    emulation = emulation_of(code, PLACE)
    assert emulation is not None, code.hex()
    assert emulation.apply is not None
    assert emulation.length == len(code)
    words = RegisterSet().words
    for name, value in zip(NAMES, values, strict=True):
        words[PLACES[name]] = value
    words[PLACES["eflags"]] = before
    emulation.apply(words, lambda address, length: ctypes.string_at(address, length))
    real, real_flags = processor(code, values, before)
    assert [words[PLACES[name]] for name in NAMES] == real, emulation.text
    # The processor's manual leaves AF open after and, xor, test.
    known = ALL_FLAGS & ~AF if emulation.text.startswith(("test", "xor")) else ALL_FLAGS
    assert words[PLACES["eflags"]] & known == real_flags & known, emulation.text


@needs_compiler
@pytest.mark.parametrize("condition", range(16))
def test_a_conditional_jump_is_taken_when_the_processor_takes_it(processor: Processor, condition: int) -> None:
    # jcc over `mov $1, %al`: al tells whether it was taken.
    code = bytes([0x70 | condition, 2, 0xB0, 1])
    emulation = emulation_of(code, PLACE)
    assert emulation is not None
    assert emulation.apply is not None
    for subset in range(64):
        flags = 0x202 | sum(flag for i, flag in enumerate([CF, PF, AF, ZF, SF, OF]) if subset >> i & 1)
        words = RegisterSet().words
        words[PLACES["rip"]], words[PLACES["eflags"]] = PLACE + 2, flags
        emulation.apply(words, lambda address, length: b"")
        real, _flags = processor(code, [0] * 16, flags)
        assert words[PLACES["rip"]] == (PLACE + 2 if real[0] else PLACE + 4), emulation.text


@pytest.mark.parametrize(("code", "popped"), [("c3", 8), ("f3c3", 8), ("f2c3", 8), ("c21000", 24)])
def test_a_return_pops_its_address_and_its_arguments(code: str, popped: int) -> None:
    after = carried_out(code, memory=bytes(8) + (0x1234).to_bytes(8, "little"), rsp=8)
    assert (after["rip"], after["rsp"]) == (0x1234, 8 + popped)


def test_a_return_whose_stack_cannot_be_read_is_an_error() -> None:
    with pytest.raises(OSError, match="Input/output"):
        carried_out("c3", memory=b"", rsp=8)


def test_the_first_instructions_of_the_allocator_family_can_be_carried_out() -> None:
    elf = Elf(libc_path())
    found = elf.definitions_of(OPERATIONS)
    assert {"malloc", "calloc", "realloc", "free"} <= {symbol.name for symbol in found}
    refused = [each.name for each in found if emulation_of(elf.read(each.address, 16), each.address) is None]
    assert refused == []
