"""Signal names, real-time ones included (signal(7))."""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["name_of_signal", "number_of_signal"]

_FIRST_REAL_TIME: Final = 32


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
