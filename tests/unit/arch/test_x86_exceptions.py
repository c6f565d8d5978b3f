"""From signals back to exceptions, and the reasons of page faults."""

from __future__ import annotations

import pytest

from observer.arch.x86_exceptions import exception_of, page_fault_reason

SP = 0x7FFC_0000_8000


@pytest.mark.parametrize(
    ("signal", "code", "instruction", "exception"),
    [
        ("SIGSEGV", 1, "mov eax, dword ptr [rax]", "#PF"),
        ("SIGSEGV", 2, "mov byte ptr [rax], 1", "#PF"),
        ("SIGSEGV", 0x80, "cli", "#GP"),
        ("SIGSEGV", 0x80, "int 4", "#OF"),
        ("SIGSEGV", 0, "pause", None),
        ("SIGBUS", 2, "mov al, byte ptr [rax]", "#PF"),
        ("SIGBUS", 1, "mov eax, dword ptr [rax + 1]", "#AC"),
        ("SIGBUS", 0x80, "push rax", "#SS"),
        ("SIGILL", 2, "ud2", "#UD"),
        ("SIGFPE", 1, "idiv ecx", "#DE"),
        ("SIGFPE", 3, "divsd xmm0, xmm1", "#XM"),
        ("SIGFPE", 3, "fdivp st(1)", "#MF"),
        ("SIGFPE", 3, "emms", "#MF"),
        ("SIGFPE", 3, "movq qword ptr [rax], mm0", "#MF"),
        ("SIGFPE", 7, "cvttss2si eax, dword ptr [rax]", "#XM"),
        ("SIGSEGV", 0x80, "bound eax, qword ptr [eax]", "#BR"),
        ("SIGSEGV", 0x80, "into", "#OF"),
        ("SIGTRAP", 1, "int1", "#DB"),
        ("SIGTRAP", 0x80, "int3", "#BP"),
        ("SIGTERM", 0, None, None),
    ],
)
def test_a_signal_tells_which_exception_it_was(
    signal: str, code: int, instruction: str | None, exception: str | None
) -> None:
    assert exception_of(signal, code, instruction) == exception


@pytest.mark.parametrize(
    ("address", "code", "access", "protection", "reason"),
    [
        (0x28, 1, "write", None, "null pointer"),
        (0xFFFF_FFFF_8100_0000, 1, "read", None, "kernel address"),
        (0xFFFF_FFFF_FF60_0008, 1, "read", "--x", "vsyscall page"),
        (0x5555_0000, 1, "read", None, "nothing mapped"),
        (SP - 0x1004, 1, "write", None, "stack overrun"),
        (0x5555_0000, 2, "write", "r--", "read-only"),
        (0x5555_0000, 2, "write", "r-x", "read-only"),
        (0x5555_0000, 2, "exec", "rw-", "not executable"),
        (0x5555_0000, 2, "read", "---", "no access"),
        (0x5555_0000, 2, "write", "---", "no access"),
        (0x5555_0000, 2, None, "rw-", "not permitted"),
        (0x5555_0000, 4, "read", "rw-", "protection key"),
    ],
)
def test_the_reason_of_a_refused_page_fault(
    address: int, code: int, access: str | None, protection: str | None, reason: str
) -> None:
    assert page_fault_reason("SIGSEGV", code, address, access=access, protection=protection, sp=SP) == reason


def test_a_bus_error_lies_beyond_the_file() -> None:
    assert page_fault_reason("SIGBUS", 2, 0x1000_0000, access="read", protection="r--", sp=SP) == "beyond the file"
