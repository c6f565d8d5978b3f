"""Signals: their names, real-time ones included (signal(7)), and what their codes are called (sigaction(2))."""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["CODES", "FAULT_SIGNALS", "SI_KERNEL", "SI_TIMER", "TRAP_TRACE", "name_of_signal", "number_of_signal"]

_FIRST_REAL_TIME: Final = 32

FAULT_SIGNALS: Final = frozenset({"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"})
"""The signals whose information holds the address of a fault."""

CODES: Final = {
    ("SIGSEGV", 1): "SEGV_MAPERR", ("SIGSEGV", 2): "SEGV_ACCERR", ("SIGSEGV", 3): "SEGV_BNDERR",
    ("SIGSEGV", 4): "SEGV_PKUERR", ("SIGSEGV", 10): "SEGV_CPERR",
    ("SIGBUS", 1): "BUS_ADRALN", ("SIGBUS", 2): "BUS_ADRERR", ("SIGBUS", 3): "BUS_OBJERR",
    ("SIGBUS", 4): "BUS_MCEERR_AR", ("SIGBUS", 5): "BUS_MCEERR_AO",
    ("SIGILL", 1): "ILL_ILLOPC", ("SIGILL", 2): "ILL_ILLOPN", ("SIGILL", 5): "ILL_PRVOPC",
    ("SIGFPE", 1): "FPE_INTDIV", ("SIGFPE", 2): "FPE_INTOVF", ("SIGFPE", 3): "FPE_FLTDIV", ("SIGFPE", 4): "FPE_FLTOVF",
    ("SIGFPE", 5): "FPE_FLTUND", ("SIGFPE", 6): "FPE_FLTRES", ("SIGFPE", 7): "FPE_FLTINV", ("SIGFPE", 8): "FPE_FLTSUB",
    ("SIGTRAP", 1): "TRAP_BRKPT", ("SIGTRAP", 2): "TRAP_TRACE", ("SIGTRAP", 4): "TRAP_HWBKPT",
}  # fmt: skip
"""The names of si_code, by signal (asm-generic/siginfo.h). SI_KERNEL goes with each of them."""

SI_KERNEL: Final = 0x80
"""The code of a signal that the kernel sends for a reason that it does not tell."""
SI_TIMER: Final = -2
"""The code of a signal of timer_create(2)."""
TRAP_TRACE: Final = 2
"""The code of a SIGTRAP behind one instruction that was executed alone."""


def name_of_signal(number: int) -> str:
    """Return `SIGSEGV` and the like; a real-time signal n is `SIGRT_k` with k = n - 32, as strace writes it.

    >>> name_of_signal(11), name_of_signal(40)
    ('SIGSEGV', 'SIGRT_8')
    """
    if number >= _FIRST_REAL_TIME:
        return f"SIGRT_{number - _FIRST_REAL_TIME}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def number_of_signal(name: str) -> int:
    """Return the number of a signal named by `name_of_signal`."""
    if name.startswith("SIGRT_"):
        return int(name.removeprefix("SIGRT_")) + _FIRST_REAL_TIME
    return int(signal.Signals[name])
