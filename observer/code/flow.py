"""Where code goes on: of each instruction whether it calls, returns, jumps or ends, and its target if it names one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from observer.arch.aarch64 import AARCH64
from observer.arch.architecture import Architecture
from observer.code import a64
from observer.code.instructions import decode_briefly

__all__ = ["BY_TABLE", "CALL", "END", "JUMP", "RETURN", "Step", "steps"]

RETURN, JUMP, END, CALL, BY_TABLE = 1, 2, 4, 8, 16
"""What an instruction may do: flags. END: what lies behind it is not reached from it. BY_TABLE marks a jump through a
table of the function's own."""


class Step(NamedTuple):
    """An instruction: its address and size, what it does, and its target if that is part of it."""

    address: int
    size: int
    kind: int
    target: int | None


def steps(code: bytes, start: int, architecture: Architecture, kind_of: Callable[[str], int]) -> Iterator[Step]:
    """Yield the instructions of *code* at *start*, as far as they can be decoded.

    Args:
        kind_of: says what an x86 instruction does, by its mnemonic.
    """
    if architecture is AARCH64:
        yield from _a64(code, start)
        return
    for address, size, mnemonic, operand in decode_briefly(code, start, architecture):
        kind = kind_of(mnemonic)
        yield Step(address, size, kind, int(operand, 0) if kind and operand[:1].isdigit() else None)


_UNDEFINED: Final = 0x0000_FFFF
_BREAKPOINT, _BREAKPOINTS = 0xD420_0000, 0xFFE0_001F


def _a64(code: bytes, start: int) -> Iterator[Step]:
    for at in range(0, len(code) - a64.LENGTH + 1, a64.LENGTH):
        word = int.from_bytes(code[at : at + a64.LENGTH], "little")
        branch = a64.branch_of(word, start + at)
        if branch is None:
            kind = END if word <= _UNDEFINED or word & _BREAKPOINTS == _BREAKPOINT else 0  # UDF, BRK
            yield Step(start + at, a64.LENGTH, kind, None)
            continue
        yield Step(start + at, a64.LENGTH, _kind(branch), branch.target)


def _kind(branch: a64.Branch) -> int:
    if branch.is_call:
        return CALL
    if branch.is_return:
        return RETURN | END
    return JUMP if branch.is_conditional else JUMP | END
