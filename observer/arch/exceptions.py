"""From signals back to exceptions, whichever architecture's they are."""

from __future__ import annotations

from typing import Final

from observer.arch import aarch64_exceptions, x86_exceptions
from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture

__all__ = ["ABORTS", "EXCEPTIONS", "exception_of", "page_fault_reason", "trapped_behind"]

EXCEPTIONS: Final = x86_exceptions.EXCEPTIONS | aarch64_exceptions.EXCEPTIONS
"""All their names by their short ones."""

ABORTS: Final = frozenset({"#PF", "DABT", "IABT"})
"""Those that the kernel resolves where it can: page faults."""


def exception_of(
    architecture: Architecture, signal: str, code: int, instruction: str | None, access: str | None
) -> str | None:
    """Return the exception behind a signal, None when no instruction raised it (kill(2), timers)."""
    if architecture is AARCH64:
        return aarch64_exceptions.exception_of(signal, code, access)
    return x86_exceptions.exception_of(signal, code, instruction)


def trapped_behind(architecture: Architecture, signal: str, code: int, behind: bytes) -> int:
    """Return how many bytes before the instruction pointer the trapping instruction began; 0 where it points to it."""
    if architecture.trap.behind == 0:
        return 0
    return x86_exceptions.trapped_behind(signal, code, behind, architecture.bits)


def page_fault_reason(
    architecture: Architecture, signal: str, code: int, address: int, *, access: str | None, protection: str | None,
    sp: int,
) -> str:  # fmt: skip
    """Return why the kernel could not resolve a page fault; see the module of the *architecture*."""
    of_these = aarch64_exceptions if architecture is AARCH64 else x86_exceptions
    why: str = of_these.page_fault_reason(signal, code, address, access=access, protection=protection, sp=sp)
    return why
