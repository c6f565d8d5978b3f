"""i386 calls seen as the x86-64 calls they are: the same kernel functions behind other numbers.

What follows mappings, masks and threads thinks in x86-64's numbers; the calls of an i386 program (or of `int 0x80` in
64-bit code, where 45 is brk and not recvfrom) are translated here, once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Final

from observer.arch.known import FOREIGN, NATIVE, SERVED
from observer.code.syscalls import numbers_of, table
from observer.model.memory_calls import MMAP2_UNIT

__all__ = ["UNKNOWN", "as_native", "foreign_by_argument", "foreign_numbers", "numbers_anywhere", "signed_result"]

UNKNOWN: Final = -1
"""The number of a call that x86-64 does not have."""

_MMAP2: Final = "mmap2"
_MOST_ERRNO: Final = 4095
_ALSO: Final = {_MMAP2: "mmap", "sigaction": "", "old_mmap": "", "sigreturn": "rt_sigreturn"}


@cache
def _natives() -> dict[int, int]:
    """Return i386 number to x86-64 number, for the calls that both have with the same arguments."""
    numbers = {name: number for number, name in table(NATIVE.calls.audit).items()}
    foreign = table(FOREIGN.calls.audit) if FOREIGN is not None else {}
    found = {number: numbers.get(_ALSO.get(name, name)) for number, name in foreign.items()}
    return {number: native for number, native in found.items() if native is not None}


def as_native(arch: int, number: int, args: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the x86-64 number and arguments of a call; UNKNOWN where there is none.

    >>> as_native(NATIVE.calls.audit, 45, (0,))
    (45, (0,))
    """
    if arch == NATIVE.calls.audit:
        return number & ~NATIVE.calls.variant, args
    if args and table(arch).get(number) == _MMAP2:
        args = (*args[:5], args[5] * MMAP2_UNIT)
    return _natives().get(number, UNKNOWN), args


def numbers_anywhere(names: frozenset[str]) -> frozenset[int]:
    """Return the numbers that calls of these *names* have in any table."""
    return frozenset().union(*(numbers_of(names, each.calls.audit) for each in SERVED))


def signed_result(arch: int, word: int) -> int:
    """Return what a call came to from the register that holds it: a failure is a negative errno.

    >>> signed_result(NATIVE.calls.audit, 2**64 - 12)
    -12
    >>> hex(signed_result(NATIVE.calls.audit, 0xF7D0_0000))
    '0xf7d00000'
    """
    bits = 64 if arch == NATIVE.calls.audit else 32
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >= (1 << bits) - _MOST_ERRNO else word


def foreign_numbers(natives: frozenset[int]) -> frozenset[int]:
    """Return the i386 numbers of the x86-64 calls *natives*."""
    return frozenset(number for number, native in _natives().items() if native in natives)


def foreign_by_argument(natives: Mapping[int, Collection[int]]) -> dict[int, Collection[int]]:
    """Return *natives* (x86-64 number to first arguments) with i386's numbers."""
    return {number: natives[native] for number, native in _natives().items() if native in natives}
