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

from observer.arch.architecture import Architecture
from observer.code.flow import CALL, END, JUMP, Step, steps

__all__ = ["Call", "reached_calls"]

_UNCONDITIONAL: Final = re.compile(r"(?:\w+ )?jmp")
_JUMPING: Final = re.compile(r"(?:\w+ )?(?:j\w+|loop\w*)")
_ENDING: Final = re.compile(r"(?:\w+ )?(?:ret[fq]*|iret[dq]?|ud2|hlt)")


@dataclass(frozen=True, slots=True)
class Call:
    """A call instruction: where it stands, its bytes, and its target if that is part of it."""

    address: int
    code: bytes
    target: int | None


def reached_calls(code: bytes, start: int, rows: Sequence[int], architecture: Architecture) -> list[Call]:
    """Return the calls of the function *code* at *start*; *rows* are the addresses of its rows in the line table."""
    led_to = {start, *rows}
    while True:
        calls, jumps = _pass(code, start, led_to, architecture)
        if not jumps:
            return calls
        led_to |= jumps


def _pass(code: bytes, start: int, led_to: set[int], architecture: Architecture) -> tuple[list[Call], set[int]]:
    """Return the calls reached when *led_to* is, and where else jumps lead that were not reached."""
    end, is_reached = start + len(code), False
    calls: list[Call] = []
    visited: set[int] = set()
    jumps: set[int] = set()
    for address, size, kind, target in _in_step(code, start, led_to, architecture):
        is_reached = is_reached or address in led_to or address in jumps
        if not is_reached:
            continue
        visited.add(address)
        is_inside = kind & (CALL | JUMP) and target is not None and start < target < end
        if is_inside and target is not None:
            jumps.add(target)
        elif kind == CALL:
            calls.append(Call(address, code[address - start : address - start + size], target))
        # What lies behind a call into the same function is data to it, found by the return address.
        is_reached = not (kind & END or (kind == CALL and is_inside))
    return calls, jumps - visited - led_to


@cache
def _kind(mnemonic: str) -> int:
    if mnemonic == "call":
        return CALL
    if _UNCONDITIONAL.fullmatch(mnemonic):
        return JUMP | END
    if _JUMPING.fullmatch(mnemonic):
        return JUMP
    return END if _ENDING.fullmatch(mnemonic) else 0


def _in_step(code: bytes, start: int, led_to: set[int], architecture: Architecture) -> Iterator[Step]:
    """Yield instruction after instruction, beginning anew wherever one would cover a place that is led to."""
    places = [*sorted(led_to), start + len(code)]
    at = start
    while at < start + len(code):
        for step in steps(code[at - start :], at, architecture, _kind):
            following = places[bisect_left(places, step.address + 1)]
            if following < step.address + step.size:
                at = following
                break
            yield step
            at = step.address + step.size
        else:
            at = places[bisect_left(places, at)] if at not in led_to else places[bisect_left(places, at + 1)]
