"""AArch64 by literals, from the ABI and the kernel's headers; and from its signals back to exceptions."""

from __future__ import annotations

import pytest

from observer.arch import aarch64_exceptions, exceptions
from observer.arch.aarch64 import AARCH64
from observer.arch.x86_64 import X86_64

SP = 0x0000_FFFF_F000_8000
NAMES = AARCH64.registers.names


def test_arguments_and_results_are_in_registers_for_functions_and_for_the_kernel() -> None:
    registers, calls = AARCH64.registers, AARCH64.calls
    assert " ".join(NAMES[place] for place in registers.arguments) == "x0 x1 x2 x3 x4 x5 x6 x7"
    assert " ".join(NAMES[place] for place in calls.arguments) == "x0 x1 x2 x3 x4 x5"
    assert (NAMES[calls.asked], NAMES[calls.result], calls.number) == ("x8", "x0", None)
    assert (len(NAMES), NAMES[registers.ip], NAMES[registers.sp], NAMES[registers.mode]) == (34, "pc", "sp", "pstate")


def test_a_call_pushes_nothing() -> None:
    assert registers_of_return() == "x30"
    assert (AARCH64.popped, X86_64.popped) == (0, 8)


def registers_of_return() -> str:
    place = AARCH64.registers.return_address
    assert place is not None
    return NAMES[place]


@pytest.mark.parametrize(
    ("pstate", "mode", "ring", "bits"),
    [(0x6000_1000, 0, 3, 64), (0x8000_0400, 0, 3, 64), (0x2000_0005, 5, 0, 64), (0x4000_0010, 0x10, 3, 32)],
)
def test_the_state_tells_ring_and_width_beside_flags(pstate: int, mode: int, ring: int, bits: int) -> None:
    assert AARCH64.mode_of(pstate) == mode
    assert (AARCH64.ring_of(mode), AARCH64.bits_of(mode)) == (ring, bits)


@pytest.mark.parametrize(
    ("signed", "ip", "sp", "whole"),
    [
        (0x002A_FFFF_8000_2000, 0xFFFF_8000_1000, SP, 0xFFFF_8000_2000),  # 48 bits: pages of 4 KiB
        (0x007F_AAAA_0000_2000, 0x40_1000, SP, 0xAAAA_0000_2000),  # a program at a fixed place
        (0x002A_FFF0_8000_2000, 0x7FF0_8000_1000, 0x7FFF_F000_0000, 0x7FF0_8000_2000),  # 47 bits: pages of 16 KiB
        (0xFFFF_8000_2000, 0xFFFF_8000_1000, SP, 0xFFFF_8000_2000),  # unsigned
    ],
)
def test_a_signature_is_taken_away(signed: int, ip: int, sp: int, whole: int) -> None:
    assert AARCH64.unsigned(signed, ip, sp) == whole
    assert X86_64.unsigned(signed, ip, sp) == signed


@pytest.mark.parametrize(
    ("signal", "code", "access", "exception"),
    [
        ("SIGSEGV", 1, "read", "DABT"),
        ("SIGSEGV", 2, "write", "DABT"),
        ("SIGSEGV", 2, "exec", "IABT"),
        ("SIGSEGV", 0, "read", None),
        ("SIGBUS", 1, "read", "ALIGN"),
        ("SIGBUS", 2, "read", "DABT"),
        ("SIGILL", 1, None, "UNDEF"),
        ("SIGILL", 2, None, "FPAC"),
        ("SIGTRAP", 1, None, "BRK"),
        ("SIGTRAP", 2, None, "STEP"),
        ("SIGFPE", 3, None, "FP"),
        ("SIGFPE", -6, None, None),
        ("SIGTERM", 0, None, None),
    ],
)
def test_a_signal_tells_which_exception_it_was(
    signal: str, code: int, access: str | None, exception: str | None
) -> None:
    assert exceptions.exception_of(AARCH64, signal, code, "ldr x0, [x0]", access) == exception
    assert exception is None or exception in exceptions.EXCEPTIONS


@pytest.mark.parametrize(
    ("signal", "code", "address", "access", "protection", "reason"),
    [
        ("SIGSEGV", 1, 0x8, "read", None, "null pointer"),
        ("SIGSEGV", 1, 0xAAAA_0000_0000, "read", None, "nothing mapped"),
        ("SIGSEGV", 1, SP - 0x100, "write", None, "stack overrun"),
        ("SIGSEGV", 1, 0xFFFF_8000_0800_0000, "read", None, "kernel address"),
        ("SIGSEGV", 2, 0xAAAA_0000_0000, "write", "r--", "read-only"),
        ("SIGSEGV", 2, 0xAAAA_0000_0000, "exec", "rw-", "not executable"),
        ("SIGSEGV", 2, 0xAAAA_0000_0000, "read", "---", "no access"),
        ("SIGSEGV", 4, 0xAAAA_0000_0000, "read", "rw-", "protection key"),
        ("SIGBUS", 2, 0xAAAA_0000_0000, "read", "r--", "beyond the file"),
    ],
)
def test_why_an_abort_could_not_be_resolved(
    signal: str, code: int, address: int, access: str | None, protection: str | None, reason: str
) -> None:
    found = exceptions.page_fault_reason(
        AARCH64, signal, code, address, access=access, protection=protection, sp=SP
    )  # fmt: skip
    assert found == reason
    assert aarch64_exceptions.page_fault_reason(
        signal, code, address, access=access, protection=protection, sp=SP
    ) == reason  # fmt: skip


def test_a_trap_leaves_the_instruction_pointer_at_itself() -> None:
    assert exceptions.trapped_behind(AARCH64, "SIGTRAP", 1, AARCH64.trap.code) == 0
    assert exceptions.trapped_behind(X86_64, "SIGTRAP", 0x80, X86_64.trap.code) == 1
