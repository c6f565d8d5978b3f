"""Why a general protection exception: read off the instruction's bytes and the registers."""

from __future__ import annotations

import pytest

from observer.linux.protection import protection_reason
from observer.linux.ptrace import RegisterSet


def words(**registers: int) -> memoryview:
    view = memoryview(bytearray(8 * len(RegisterSet.INDEX))).cast("Q")
    for name, value in registers.items():
        view[RegisterSet.INDEX[name]] = value
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
    assert protection_reason(bytes.fromhex("c3"), 0x1000, words()) == "non-canonical address"


def test_an_aligned_vector_load_of_an_odd_address() -> None:
    movaps, movups = bytes.fromhex("0f2800"), bytes.fromhex("0f1000")
    assert protection_reason(movaps, 0x1000, words(rax=0x1008)) == "misaligned vector"
    assert protection_reason(movaps, 0x1000, words(rax=0x1010)) is None
    assert protection_reason(movups, 0x1000, words(rax=0x1008)) is None


def test_gates_and_segments() -> None:
    assert protection_reason(bytes.fromhex("cd21"), 0x1000, words()) == "software interrupt"
    assert protection_reason(bytes.fromhex("48cf"), 0x1000, words()) == "segment"


def test_what_raises_nothing_is_not_explained() -> None:
    assert protection_reason(bytes.fromhex("90"), 0x1000, words()) is None
    assert protection_reason(b"", 0x1000, words()) is None
