"""Why the kernel could not resolve a page fault, where processors do not differ (mm/memory.c, arch/*/mm/fault.c)."""

from __future__ import annotations

from typing import Final

__all__ = ["reason_of"]

_LOWEST_MAPPABLE: Final = 0x10000
_STACK_REACH: Final = 1 << 16


def reason_of(
    signal: str, code: int, address: int, *, access: str | None, protection: str | None, sp: int, elsewhere: str
) -> str:
    """Return the reason.

    Args:
        protection: of the mapping at *address* (`r--`), None when nothing is mapped there.
        sp: the stack pointer at the fault.
        elsewhere: what *address* is if it can be no program's, else empty.
    """
    if signal == "SIGBUS":
        return "beyond the file"
    if elsewhere:
        return elsewhere
    if code == 4:
        return "protection key"
    if protection is None and code != 2:
        if address < _LOWEST_MAPPABLE:
            return "null pointer"
        return "stack overrun" if abs(address - sp) < _STACK_REACH else "nothing mapped"
    if access == "exec":
        return "not executable"
    if access == "write" and protection is not None and "r" in protection:
        return "read-only"
    return "no access" if protection is None or "r" not in protection else "not permitted"
