"""The call instructions of a function that can be reached, told from data that lies between them.

A byte changed in data would change what the program does, so a place counts as an instruction only when something leads
there: the function's beginning, a row of the line table, a jump, or the instruction before it. What only a table of
jumps leads to has a row of its own where compilers write code.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from observer.code.instructions import decode_briefly

__all__ = ["Call", "reached_calls"]

_CALL, _JUMP, _END, _JUMP_AND_END = 1, 2, 4, 6
_UNCONDITIONAL: Final = re.compile(r"(?:\w+ )?jmp")
_JUMPING: Final = re.compile(r"(?:\w+ )?(?:j\w+|loop\w*)")
_ENDING: Final = re.compile(r"(?:\w+ )?(?:ret[fq]*|iret[dq]?|ud2|hlt)")


@dataclass(frozen=True, slots=True)
class Call:
    """A call instruction: where it stands, its bytes, and its target if that is part of it."""

    address: int
    code: bytes
    target: int | None


def reached_calls(code: bytes, start: int, rows: Sequence[int], bits: int) -> list[Call]:
    """Return the calls of the function *code* at *start*; *rows* are the addresses of its rows in the line table."""
    led_to = {start, *rows}
    while True:
        calls, jumps = _pass(code, start, led_to, bits)
        if not jumps:
            return calls
        led_to |= jumps


def _pass(code: bytes, start: int, led_to: set[int], bits: int) -> tuple[list[Call], set[int]]:
    """Return the calls reached when *led_to* is, and where else jumps lead that were not reached."""
    end, is_reached = start + len(code), False
    calls: list[Call] = []
    visited: set[int] = set()
    jumps: set[int] = set()
    for address, size, mnemonic, operand in _in_step(code, start, led_to, bits):
        is_reached = is_reached or address in led_to or address in jumps
        if not is_reached:
            continue
        visited.add(address)
        kind = _kind(mnemonic)
        target = int(operand, 0) if kind and operand[:1].isdigit() else None
        is_inside = kind & (_CALL | _JUMP) and target is not None and start < target < end
        if is_inside and target is not None:
            jumps.add(target)
        elif kind == _CALL:
            calls.append(Call(address, code[address - start : address - start + size], target))
        # What lies behind a call into the same function is data to it, found by the return address.
        is_reached = not (kind & _END or (kind == _CALL and is_inside))
    return calls, jumps - visited - led_to


@cache
def _kind(mnemonic: str) -> int:
    if mnemonic == "call":
        return _CALL
    if _UNCONDITIONAL.fullmatch(mnemonic):
        return _JUMP_AND_END
    if _JUMPING.fullmatch(mnemonic):
        return _JUMP
    return _END if _ENDING.fullmatch(mnemonic) else 0


def _in_step(code: bytes, start: int, led_to: set[int], bits: int) -> Iterator[tuple[int, int, str, str]]:
    """Yield instruction after instruction, beginning anew wherever one would cover a place that is led to."""
    places = [*sorted(led_to), start + len(code)]
    at = start
    while at < start + len(code):
        for address, size, mnemonic, operand in decode_briefly(code[at - start :], at, bits):
            following = places[bisect_left(places, address + 1)]
            if following < address + size:
                at = following
                break
            yield address, size, mnemonic, operand
            at = address + size
        else:
            at = places[bisect_left(places, at)] if at not in led_to else places[bisect_left(places, at + 1)]
