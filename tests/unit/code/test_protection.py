"""Why a general protection exception: read off the instruction's bytes and the registers."""

from __future__ import annotations

import pytest

from observer.arch.i386 import I386
from observer.arch.known import NATIVE
from observer.code.protection import access_to, protection_reason


def words(**registers: int) -> memoryview:
    view = memoryview(bytearray(8 * len(NATIVE.registers.names))).cast("Q")
    for name, value in registers.items():
        view[NATIVE.registers.places[name]] = value
    return view


NOWHERE = 1 << 47
PRIVILEGED = [
    "fa",
    "fb",
    "f4",
    "0f20c0",
    "0f32",
    "0f30",
    "e480",
    "e680",
    "ec",
    "ee",
    "0f0110",
    "0f0138",
    "f36c",
    "0f06",
]


@pytest.mark.parametrize("code", PRIVILEGED)
def test_instructions_of_ring_0_are_known(code: str) -> None:
    assert protection_reason(bytes.fromhex(code), 0x1000, words(rax=0x1000, rdi=0x1000)) == "privileged instruction"


def test_an_address_that_x86_does_not_have() -> None:
    load = bytes.fromhex("8b00")  # mov eax, [rax]
    assert protection_reason(load, 0x1000, words(rax=NOWHERE)) == "non-canonical address"
    assert protection_reason(load, 0x1000, words(rax=NOWHERE - 8)) is None
    assert protection_reason(bytes.fromhex("ffe0"), 0x1000, words(rax=NOWHERE)) == "non-canonical address"
    assert protection_reason(bytes.fromhex("64a10000000000000080"), 0x1000, words(fs_base=8)) == "non-canonical address"


def test_a_return_or_a_jump_through_memory_is_judged_by_where_it_leads() -> None:
    for code, place in (("c3", 0x2000), ("ff10", 0x3000), ("ff20", 0x3000)):
        for target, reason in ((NOWHERE, "non-canonical address"), (NOWHERE - 1, None), (None, None)):
            memory = {place: target}
            view = words(rsp=0x2000, rax=0x3000)
            assert protection_reason(bytes.fromhex(code), 0x1000, view, word_at=memory.get) == reason


def test_an_aligned_vector_load_of_an_odd_address() -> None:
    movaps, movups = bytes.fromhex("0f2800"), bytes.fromhex("0f1000")
    assert protection_reason(movaps, 0x1000, words(rax=0x1008)) == "misaligned vector"
    assert protection_reason(movaps, 0x1000, words(rax=0x1010)) is None
    assert protection_reason(movups, 0x1000, words(rax=0x1008)) is None


@pytest.mark.parametrize(
    ("code", "address", "reason"),
    [
        ("c5fc2800", 0x1010, "misaligned vector"),  # vmovaps ymm0, [rax]
        ("c5fc2800", 0x1020, None),
        ("c5fc1000", 0x1008, None),  # vmovups
        ("c5f85800", 0x1008, None),  # vaddps xmm0, xmm0, [rax]
        ("480fc708", 0x1008, "misaligned vector"),  # cmpxchg16b
        ("0fae00", 0x1008, "misaligned vector"),  # fxsave
        ("0fae20", 0x1020, "misaligned vector"),  # xsave
    ],
)
def test_which_instructions_want_which_alignment(code: str, address: int, reason: str | None) -> None:
    assert protection_reason(bytes.fromhex(code), 0x1000, words(rax=address)) == reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("0f31", "privileged instruction"),  # rdtsc
        ("0fa2", "privileged instruction"),  # cpuid
        ("8ec0", "segment"),  # mov es, eax
        ("0fa1", "segment"),  # pop fs
        ("0fae10", "reserved bits"),  # ldmxcsr
        ("8b00", None),
    ],
)
def test_what_the_kernel_or_the_processor_may_refuse(code: str, reason: str | None) -> None:
    assert protection_reason(bytes.fromhex(code), 0x1000, words()) == reason


@pytest.mark.parametrize(
    ("code", "address", "access"),
    [
        ("f3a4", 0x2000, "read"),  # rep movsb: reads at rsi, writes at rdi
        ("f3a4", 0x3000, "write"),
        ("ff30", 0x4004, "read"),  # push [rax] reads there, writes below the stack pointer
        ("ff30", 0x5FF8, "write"),
        ("8f00", 0x4000, "write"),  # pop [rax]
        ("8f00", 0x6000, "read"),
        ("8b00", 0x1000, "exec"),
        ("ff10", 0x9000, None),
    ],
)
def test_which_operand_a_fault_was_at(code: str, address: int, access: str | None) -> None:
    view = words(rsi=0x2000, rdi=0x3000, rax=0x4000, rsp=0x6000)
    assert access_to(address, bytes.fromhex(code), 0x1000, view) == access


def test_a_32_bit_string_instruction_counts_its_segment_registers() -> None:
    view = words(rsi=0x2000, rdi=0x3000)
    assert [access_to(at, b"\xa4", 0x1000, view, I386) for at in (0x2000, 0x3000)] == ["read", "write"]


def test_gates_and_segments() -> None:
    assert protection_reason(bytes.fromhex("cd21"), 0x1000, words()) == "software interrupt"
    assert protection_reason(bytes.fromhex("48cf"), 0x1000, words()) == "segment"


def test_what_raises_nothing_is_not_explained() -> None:
    assert protection_reason(bytes.fromhex("90"), 0x1000, words()) is None
    assert protection_reason(b"", 0x1000, words()) is None
