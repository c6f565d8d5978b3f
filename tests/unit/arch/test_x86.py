"""x86-64 and i386 by literals, from the ABI and the kernel's headers."""

from __future__ import annotations

import pytest

from observer.arch.i386 import I386
from observer.arch.x86_64 import X86_64


def named(places: tuple[int, ...]) -> str:
    return " ".join(X86_64.registers.names[place] for place in places)


def test_x86_64_passes_arguments_in_registers() -> None:
    assert named(X86_64.registers.arguments) == "rdi rsi rdx rcx r8 r9"
    assert named(X86_64.calls.arguments) == "rdi rsi rdx r10 r8 r9"
    assert named((X86_64.calls.asked, X86_64.calls.number, X86_64.calls.result)) == "rax orig_rax rax"
    assert X86_64.registers.return_address is None


def test_i386_passes_arguments_on_the_stack_except_to_the_kernel() -> None:
    assert I386.registers.arguments == ()
    assert named(I386.calls.arguments) == "rbx rcx rdx rsi rdi rbp"
    assert (I386.word, I386.bits, X86_64.word, X86_64.bits) == (4, 32, 8, 64)


@pytest.mark.parametrize(("selector", "ring", "bits"), [(0x33, 3, 64), (0x23, 3, 32), (0x10, 0, 64), (0x2B, 3, 64)])
def test_the_code_segment_tells_ring_and_width(selector: int, ring: int, bits: int) -> None:
    assert (X86_64.ring_of(selector), X86_64.bits_of(selector)) == (ring, bits)


def test_gates_have_the_numbers_that_records_hold() -> None:
    assert [(gate.name, gate.number) for gate in X86_64.calls.gates] == [("syscall", 0)]
    assert {gate.code.hex(): gate.number for gate in I386.calls.gates} == {"cd80": 1, "0f34": 2, "0f05": 0}


def test_audit_values_are_those_of_the_header() -> None:
    assert (X86_64.calls.audit, I386.calls.audit) == (0xC000003E, 0x40000003)


def test_a_clone_has_another_number_for_i386() -> None:
    assert (X86_64.numbers("clone", "clone3"), I386.numbers("clone", "clone3")) == ((56, 435), (120, 435))
