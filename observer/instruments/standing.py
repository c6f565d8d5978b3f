"""Do the breakpoints still stand? A second witness for calls: what was planted may be dropped, rewritten, mapped over.

A program may discard the pages of its text (MADV_DONTNEED), write the file's bytes back, patch a function with a
jump, or map something else over it. Where it did so by a system call that we follow, what the file has is planted
upon again; what was changed otherwise is found at the end, and told. Code that was copied elsewhere, int3 and all, as
libraries do that hook functions, is known by its bytes.
"""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import replace
from typing import Final

from observer.arch.known import NATIVE
from observer.code.instructions import emulation_of
from observer.instruments.observed import ObserversPages
from observer.linux.procfs import PAGE
from observer.model.operations import FAMILY
from observer.tracee.memory import NO_OPERATION, Breakpoint, Memory
from observer.tracee.task import Task

__all__ = ["Standing", "copied_breakpoint"]

_CONTEXT: Final = 8
_ENOUGH: Final = 3
"""So many bytes beside the int3 must be those of the file before code is taken for a copy."""


class Standing:
    """Looks after what was planted, and counts it at the ends of processes."""

    def __init__(self, pages: ObserversPages) -> None:
        self._pages = pages
        self.expected = 0
        self.found = 0
        self.moved = 0
        self.planted_again = 0
        self.altered: Counter[str] = Counter()

    def check(self, task: Task, start: int, end: int) -> None:
        """Plant again in [start, end) where the program, by a call that just returned, put the file's bytes back."""
        memory = task.memory
        if memory is None:
            return
        here = [each for each in memory.breakpoints.values() if start <= each.address < end and not each.is_copy]
        with self._pages.excluded():
            for point in here:
                if _bytes_at(memory, point) == point.code[: len(point.planted)]:
                    memory.plant(task.tid, point)
                    self.planted_again += 1

    def settle(self, task: Task) -> None:
        """Count what stands at the end of a process, or before its exec."""
        memory = task.memory
        if memory is None or memory.fd < 0:
            return
        memory.tid = task.tid
        with self._pages.excluded():
            there = {point: _bytes_at(memory, point) for point in memory.breakpoints.values() if not point.is_copy}
        copied = {point.operation for point in memory.breakpoints.values() if point.is_copy}
        for point, code in there.items():
            self.expected += 1
            if code == point.planted:
                self.found += 1
            elif point.operation in copied and point.operation != NO_OPERATION:
                self.moved += 1
            else:
                self.altered[FAMILY[point.operation].name if point.operation != NO_OPERATION else "a return"] += 1


def _bytes_at(memory: Memory, point: Breakpoint) -> bytes:
    try:
        return memory.read(point.address, len(point.planted))
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise
        return b""


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
    score, best = max(
        ((_likeness(point, before, code), point) for point in memory.breakpoints.values()),
        key=lambda pair: pair[0], default=(0, None),
    )  # fmt: skip
    if best is None or score < _ENOUGH:
        return None
    original = best.code[: len(best.planted)] + code[len(best.planted) :]
    emulation = emulation_of(original, place, 8 * memory.word)
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
    behind = _common(code[1:], planted[1:])
    return behind + _common(before[::-1], point.before[::-1])


def _common(these: bytes, those: bytes) -> int:
    """Return how many bytes two pieces have in common at their beginning.

    >>> _common(b"abcd", b"abx")
    2
    """
    pairs = zip(these, those, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(these), len(those)))
