"""What an AArch64 processor raised when the kernel answers with a signal: the class of the exception, and the reason.

The kernel turns exception classes into signals (arch/arm64/mm/fault.c, arch/arm64/kernel/traps.c, debug-monitors.c of
Linux 6.18). The class itself (ESR_EL1.EC) is not told to a tracer; signal, code and access lead back to it.
"""

from __future__ import annotations

from typing import Final

from observer.arch.page_faults import reason_of

__all__ = ["EXCEPTIONS", "exception_of", "page_fault_reason"]

_OF_KERNEL: Final = 1 << 55
"""The bit of an address that chooses the kernel's page table (TTBR1_EL1), whatever tag is above it."""

EXCEPTIONS: Final = {
    "DABT": "data abort", "IABT": "instruction abort", "UNDEF": "undefined instruction",
    "BRK": "breakpoint instruction", "STEP": "software step", "WATCH": "watchpoint of the processor's",
    "ALIGN": "alignment fault", "SEA": "synchronous external abort", "FP": "trapped floating-point exception",
    "FPAC": "pointer authentication failure",
}  # fmt: skip
"""The names of classes of exceptions (Arm Architecture Reference Manual, ESR_EL1)."""

_RAISED: Final = {
    ("SIGSEGV", 1): "DABT", ("SIGSEGV", 2): "DABT", ("SIGSEGV", 4): "DABT", ("SIGSEGV", 9): "DABT",
    ("SIGBUS", 1): "ALIGN", ("SIGBUS", 2): "DABT", ("SIGBUS", 4): "SEA",
    ("SIGILL", 1): "UNDEF", ("SIGILL", 2): "FPAC",
    ("SIGTRAP", 1): "BRK", ("SIGTRAP", 2): "STEP", ("SIGTRAP", 4): "WATCH",
}  # fmt: skip


def exception_of(signal: str, code: int, access: str | None) -> str | None:
    """Return the exception behind a signal, such as `DABT`; None when no instruction raised it (kill(2), timers).

    >>> exception_of("SIGSEGV", 1, "write"), exception_of("SIGSEGV", 2, "exec")
    ('DABT', 'IABT')
    """
    if signal == "SIGFPE" and code > 0:
        return "FP"
    exception = _RAISED.get((signal, code))
    return "IABT" if exception == "DABT" and access == "exec" else exception


def page_fault_reason(
    signal: str, code: int, address: int, *, access: str | None, protection: str | None, sp: int
) -> str:
    """Return why the kernel could not resolve the abort; arguments as in `reason_of`."""
    elsewhere = "kernel address" if address & _OF_KERNEL else ""
    return reason_of(signal, code, address, access=access, protection=protection, sp=sp, elsewhere=elsewhere)
