"""What an x86 processor raised when the kernel answers with a signal: the exception, and the reason for it.

The kernel turns processor exceptions into signals (arch/x86/kernel/traps.c, arch/x86/mm/fault.c of Linux 6.18). On the
way back only the signal, its code and its address are told (sigaction(2)); with the instruction and the mapping at the
address, exception and reason follow from them.
"""

from __future__ import annotations

from typing import Final

from observer.arch.page_faults import reason_of
from observer.arch.x86_64 import X86_64
from observer.model.signals import SI_KERNEL

__all__ = ["EXCEPTIONS", "exception_of", "page_fault_reason", "trapped_behind"]

_VSYSCALL: Final = range(0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_1000)

EXCEPTIONS: Final = {
    "#DE": "divide error", "#DB": "debug", "#BP": "breakpoint", "#OF": "overflow", "#BR": "bound range exceeded",
    "#UD": "invalid opcode", "#SS": "stack fault", "#GP": "general protection", "#PF": "page fault",
    "#MF": "x87 floating point", "#AC": "alignment check", "#XM": "SIMD floating point", "#MC": "machine check",
    "#CP": "control protection",
}  # fmt: skip
"""The names of x86's exceptions (Intel SDM volume 3, table 6-1)."""

_RAISED: Final = {
    ("SIGSEGV", 1): "#PF", ("SIGSEGV", 2): "#PF", ("SIGSEGV", 4): "#PF", ("SIGSEGV", 10): "#CP",
    ("SIGSEGV", SI_KERNEL): "#GP",
    ("SIGBUS", 1): "#AC", ("SIGBUS", 2): "#PF", ("SIGBUS", 4): "#MC", ("SIGBUS", SI_KERNEL): "#SS",
    ("SIGILL", 1): "#UD", ("SIGILL", 2): "#UD",
    ("SIGFPE", 1): "#DE",
    ("SIGTRAP", SI_KERNEL): "#BP", ("SIGTRAP", 1): "#DB", ("SIGTRAP", 2): "#DB", ("SIGTRAP", 4): "#DB",
}  # fmt: skip


_TRAPS: Final = {
    "SIGTRAP": ((0, b"\xcd\x03"), (0, X86_64.trap.code)), "SIGSEGV": ((0, b"\xcd\x04"), (32, b"\xce")),
}  # fmt: skip
"""Instructions that trap, by their last bytes, and for which width of code (0: any): int3, int 3, int 4, into."""


def exception_of(signal: str, code: int, instruction: str | None) -> str | None:
    """Return the exception behind a signal, such as `#PF`; None when no instruction raised it (kill(2), timers).

    >>> exception_of("SIGSEGV", 1, "mov eax, dword ptr [rax]"), exception_of("SIGSEGV", 0x80, "cli")
    ('#PF', '#GP')
    """
    if signal == "SIGFPE" and code in range(3, 9):
        # The x87 instructions are the ones that begin with f; wait and those of MMX report what is pending of them.
        words = instruction or ""
        is_x87 = words.startswith(("f", "wait", "emms")) or (" mm" in words and "xmm" not in words)
        return "#MF" if is_x87 else "#XM"
    if signal == "SIGSEGV" and code == SI_KERNEL:
        name = (instruction or "").partition(" ")[0]
        return "#OF" if instruction in ("int 4", "into") else "#BR" if name == "bound" else "#GP"
    return _RAISED.get((signal, code))


def trapped_behind(signal: str, code: int, behind: bytes, bits: int) -> int:
    """Return how many bytes before the instruction pointer the trapping instruction began; 0 where it points to it.

    At a trap the processor has already gone past the instruction, whose last bytes are in *behind*.

    >>> trapped_behind("SIGTRAP", 0x80, bytes.fromhex("90cc"), 64)
    1
    >>> trapped_behind("SIGSEGV", 0x80, bytes.fromhex("cd04"), 64)
    2
    """
    if code != SI_KERNEL:
        return 0
    for known, ending in _TRAPS.get(signal, ()):
        if behind.endswith(ending) and known in (0, bits):
            return len(ending)
    return 0


def page_fault_reason(
    signal: str, code: int, address: int, *, access: str | None, protection: str | None, sp: int
) -> str:
    """Return why the kernel could not resolve the page fault; arguments as in `reason_of`."""
    elsewhere = "kernel address" if address >= X86_64.kernel_half else ""
    elsewhere = "vsyscall page" if address in _VSYSCALL else elsewhere
    return reason_of(signal, code, address, access=access, protection=protection, sp=sp, elsewhere=elsewhere)
