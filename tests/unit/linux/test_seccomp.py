"""The filter as the kernel would read it: which calls are traced, let through, refused."""

from __future__ import annotations

import struct
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64
from observer.linux.seccomp import TRACE_DATA, build_filter
from tests.unit.seeded import seeded

pytestmark = pytest.mark.skipif(NATIVE is not X86_64, reason="the filter's numbers here are those of x86-64's kernel")

AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, X32_BIT = 0xC000003E, 0x40000003, 0x40000000
TRACE, ALLOW, EPERM, ENOSYS = "trace", "allow", "EPERM", "ENOSYS"
MEANINGS = {0x7FF00000 | TRACE_DATA: TRACE, 0x7FFF0000: ALLOW, 0x00050001: EPERM, 0x00050026: ENOSYS}
MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
BRK, MMAP, RECVFROM, CLONE, FORK, CLONE3 = 12, 9, 45, 56, 57, 435
I386_BRK, I386_CLONE = 45, 120
CLONE_UNTRACED, CLONE_VM = 0x00800000, 0x00000100


def answer(program: bytes, arch: int, number: int, first: int = 0) -> str:
    """Run classic BPF (linux/filter.h) on a struct seccomp_data and say what the kernel would do."""
    data = struct.pack("=IIQ6Q", number, arch, 0x7F00_0000_1000, first, 0, 0, 0, 0, 0)
    operations = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    for _ in operations:
        code, true, false, k = operations[at]
        at += 1
        if code == 0x20:  # ld [k]
            assert k % 4 == 0
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == 0x15:  # jeq
            at += true if accumulator == k else false
        elif code == 0x45:  # jset
            at += true if accumulator & k else false
        elif code == 0x05:  # ja
            at += k
        elif code == 0x06:  # ret
            return MEANINGS[k]
        else:
            raise AssertionError(f"code {code:#x}")
    raise AssertionError("the program fell off its end")


CHOSEN = build_filter({BRK, MMAP}, {I386_BRK})


@pytest.mark.parametrize(
    ("arch", "number", "expected"),
    [
        (AUDIT_ARCH_X86_64, BRK, TRACE),
        (AUDIT_ARCH_X86_64, MMAP, TRACE),
        (AUDIT_ARCH_X86_64, 0, ALLOW),
        (AUDIT_ARCH_X86_64, 11, ALLOW),
        (AUDIT_ARCH_X86_64, RECVFROM, ALLOW),
        (AUDIT_ARCH_I386, I386_BRK, TRACE),
        (AUDIT_ARCH_I386, BRK, ALLOW),
        (AUDIT_ARCH_I386, MMAP, ALLOW),
    ],
)
def test_only_the_chosen_calls_stop_each_by_the_numbers_of_its_own_architecture(
    arch: int, number: int, expected: str
) -> None:
    assert answer(CHOSEN, arch, number) == expected


@pytest.mark.parametrize("number", [0, BRK, 999, 0x3FFF_FFFF, 0xBFFF_FFFF])
def test_every_x32_call_stops(number: int) -> None:
    assert answer(CHOSEN, AUDIT_ARCH_X86_64, number | X32_BIT) == TRACE


def test_a_number_of_minus_one_stops() -> None:
    assert answer(CHOSEN, AUDIT_ARCH_X86_64, 0xFFFF_FFFF) == TRACE


@pytest.mark.parametrize("program", [CHOSEN, build_filter(None, None), build_filter({CLONE, CLONE3}, ())])
def test_no_child_escapes(program: bytes) -> None:
    assert answer(program, AUDIT_ARCH_X86_64, CLONE, CLONE_UNTRACED) == TRACE
    assert answer(program, AUDIT_ARCH_X86_64, CLONE, CLONE_UNTRACED | CLONE_VM | 17) == TRACE
    assert answer(program, AUDIT_ARCH_X86_64, CLONE3) == ENOSYS


def test_no_child_escapes_by_the_i386_gate() -> None:
    assert answer(CHOSEN, AUDIT_ARCH_I386, I386_CLONE, CLONE_UNTRACED) == TRACE
    assert answer(CHOSEN, AUDIT_ARCH_I386, CLONE3) == ENOSYS


def test_ordinary_children_are_let_through() -> None:
    assert answer(CHOSEN, AUDIT_ARCH_X86_64, CLONE, 0x3D0F00) == ALLOW
    assert answer(CHOSEN, AUDIT_ARCH_X86_64, FORK, CLONE_UNTRACED) == ALLOW
    assert answer(build_filter({CLONE}, ()), AUDIT_ARCH_X86_64, CLONE, 0x3D0F00) == TRACE


def test_flags_above_32_bits_are_not_the_kernels_flags() -> None:
    assert answer(CHOSEN, AUDIT_ARCH_X86_64, CLONE, CLONE_UNTRACED << 32) == ALLOW


def test_the_flags_of_clone_are_not_taken_for_a_number() -> None:
    program = build_filter({CLONE_VM}, {CLONE_VM})
    assert answer(program, AUDIT_ARCH_X86_64, CLONE, CLONE_VM) == ALLOW
    assert answer(program, AUDIT_ARCH_I386, I386_CLONE, CLONE_VM) == ALLOW


@pytest.mark.parametrize("arch", [AUDIT_ARCH_X86_64, AUDIT_ARCH_I386])
def test_all_calls_stop_when_all_were_asked_for(arch: int) -> None:
    program = build_filter(None, None)
    assert {answer(program, arch, number) for number in (0, BRK, 45, 57, 462)} == {TRACE}


def test_no_calls_stop_when_none_was_asked_for() -> None:
    program = build_filter(frozenset(), frozenset())
    assert {answer(program, AUDIT_ARCH_X86_64, number) for number in (0, BRK, 462)} == {ALLOW}
    assert {answer(program, AUDIT_ARCH_I386, number) for number in (0, 45, 462)} == {ALLOW}


def test_one_side_may_be_all_and_the_other_none() -> None:
    program = build_filter(None, ())
    assert (answer(program, AUDIT_ARCH_X86_64, 0), answer(program, AUDIT_ARCH_I386, 0)) == (TRACE, ALLOW)


def test_a_filter_of_every_call_there_is_still_fits() -> None:
    everything = range(512)
    program = build_filter(everything, everything)
    assert len(program) // 8 < MOST_INSTRUCTIONS
    assert answer(program, AUDIT_ARCH_X86_64, 462) == TRACE
    assert answer(program, AUDIT_ARCH_I386, 0) == TRACE


NUMBERS = st.frozensets(st.integers(0, 470), max_size=60)


@seeded
@given(native=NUMBERS, i386=NUMBERS, number=st.integers(0, 430), is_native=st.booleans(), first=st.integers(0, 1 << 32))
def test_the_filter_is_membership(
    native: Collection[int], i386: Collection[int], number: int, is_native: bool, first: int
) -> None:
    got = answer(build_filter(native, i386), AUDIT_ARCH_X86_64 if is_native else AUDIT_ARCH_I386, number, first)
    if number == (CLONE if is_native else I386_CLONE) and first & CLONE_UNTRACED:
        assert got in (EPERM, TRACE)
    else:
        assert got == (TRACE if number in (native if is_native else i386) else ALLOW)
