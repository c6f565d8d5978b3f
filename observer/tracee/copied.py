"""Breakpoints that the program copied, int3 and all, with code that it moved.

Libraries do so that hook functions; and programs that put their code on huge pages copy it, map memory over it and copy
it back: then those are meant that stood there before.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Final

from observer.arch.known import NATIVE, with_bits
from observer.code.instructions import emulation_of
from observer.linux.procfs import PAGE
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.memory import Memory

__all__ = ["copied_breakpoint"]

_CONTEXT: Final = 8
_TRAP: Final = len(NATIVE.trap.code)
_ENOUGH: Final = 3
"""So many bytes beside the trap must be those of the file before code is taken for a copy."""


def copied_breakpoint(memory: Memory, place: int) -> Breakpoint | None:
    """Return the breakpoint that was copied to *place* with the code around it; it is kept with the others.

    None where an int3 is the program's own.
    """
    try:
        reach = min(_CONTEXT, place % PAGE)  # nothing may be mapped before its page
        before = memory.read(place - reach, reach)
        code = memory.read(place, _CONTEXT * 2)
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise
        return None
    if not code.startswith(NATIVE.trap.code):
        return None
    known = (*memory.breakpoints.values(), *memory.covered.values())
    # Of those that look alike, whose place it is: many functions end alike.
    score, best = max(
        ((_likeness(point, before, code), point) for point in known if point.before),
        key=lambda pair: (pair[0], pair[1].address == place), default=(0, None),
    )  # fmt: skip
    if best is None or score < _ENOUGH:
        return None
    original = best.code[: len(best.planted)] + code[len(best.planted) :]
    emulation = emulation_of(original, place, with_bits(8 * memory.word))
    if emulation is None:
        return None
    copy = replace(best, address=place, code=original, emulation=emulation, is_copy=True)
    memory.breakpoints[place] = copy
    return copy


def _likeness(point: Breakpoint, before: bytes, code: bytes) -> int:
    """Return how many bytes around a copied int3 are those of the file; 0 if its own instruction differs."""
    planted = point.planted + point.code[len(point.planted) :]
    if code[: point.emulation.length] != planted[: point.emulation.length]:
        return 0
    behind = _common(code[_TRAP:], planted[_TRAP:])
    return behind + _common(before[::-1], point.before[::-1])


def _common(these: bytes, those: bytes) -> int:
    """Return how many bytes two pieces have in common at their beginning.

    >>> _common(b"abcd", b"abx")
    2
    """
    pairs = zip(these, those, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(these), len(those)))
