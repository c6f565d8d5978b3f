"""Facts about pieces of memory: which live, where they lie, and what they need of the kernel's memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Final

from observer.labs.program import Program, at_line, is_on
from observer.labs.values import Missing, Value
from observer.model.events import Call
from observer.model.operations import ALLOCATING
from observer.story.query import takes_over

__all__ = ["FACTS"]


def leaks(program: Program, line: str = "") -> Value:
    """Pieces that the program's first process asked for and never gave back."""
    alive: dict[int, Call] = {}
    for call in program.calls:
        _follow(alive, call, program)
    return sum(1 for _ in at_line((call for call in alive.values() if call.origin == "program"), line))


def peak(program: Program, line: str = "") -> int:
    """The most bytes that its first process had asked for and not given back, at a time."""
    alive: dict[int, Call] = {}
    most = held = 0
    for call in program.calls:
        gone = _follow(alive, call, program)
        held -= gone.bytes_asked if gone is not None and _counts(gone, line) else 0
        if call.result and alive.get(call.result) is call and _counts(call, line):
            held += call.bytes_asked
        most = max(most, held)
    return most


def _counts(call: Call, line: str) -> bool:
    return call.origin == "program" and is_on(call.site, line)


def _follow(alive: dict[int, Call], call: Call, program: Program) -> Call | None:
    """Keep the pieces *alive* of the first process; return the one that *call* took out."""
    if call.pid != program.root:
        return None
    gone = alive.pop(call.pointer, None) if call.pointer and takes_over(call) else None
    if call.op in ALLOCATING and call.result:
        alive[call.result] = call
    return gone


# ---- where they lie -----------------------------------------------------------------------------------------


def overlaps(program: Program, line: str = "") -> Value:
    """Calls that got a piece which shares bytes with another one that was in use."""
    alive: dict[int, Call] = {}
    starts: list[int] = []
    found: list[Call] = []
    for call in program.calls:
        there = alive.get(call.result or 0)
        gone = _follow(alive, call, program)
        if gone is not None:
            del starts[bisect_left(starts, gone.result or 0)]
        if alive.get(call.result or 0) is not call:
            continue
        is_taken = there is not None and there is not gone
        if is_taken or _meets_another(call, starts, alive):
            found.append(call)
        if not is_taken:
            insort(starts, call.result or 0)
    return sum(call.origin == "program" for call in at_line(found, line))


def _meets_another(call: Call, starts: list[int], alive: dict[int, Call]) -> bool:
    """Whether the piece that *call* got meets a neighbour among those that begin at the sorted *starts*."""
    start = call.result or 0
    at = bisect_left(starts, start)
    is_reached = at > 0 and starts[at - 1] + alive[starts[at - 1]].bytes_asked > start
    return is_reached or (at < len(starts) and start + call.bytes_asked > starts[at])


def alignment(program: Program, op: str = "", line: str = "") -> Value:
    """The most bytes, a power of two and no more than a page, by which the addresses of all pieces can be divided."""
    together = program.meta.machine.page_size
    found = 0
    for call in at_line(program.own_calls, line):
        if call.op in ALLOCATING and call.result and op in ("", call.op):
            together |= call.result
            found += 1
    return together & -together if found else Missing("it got no piece")


# ---- what they need -----------------------------------------------------------------------------------------


def space(program: Program, line: str = "") -> int:
    """The most bytes of address space that its own calls and lines had of the kernel at a time, by brk and mmap."""
    return max(_spaces(program, line), default=0)


def _spaces(program: Program, line: str) -> Iterator[int]:
    held = 0
    for event in at_line(program.syscalls, line):
        if event.pid == program.root and program.is_own(event):
            held += program.moved[event.n]
            yield held


def utilisation(program: Program, line: str = "") -> Value:
    """The peak of what was asked for, in percent of the most address space that this needed (100 is the best)."""
    needed = space(program, line)
    return 100 * peak(program, line) // needed if needed > 0 else Missing("its calls got no memory from the kernel")


FACTS: Final[tuple[Callable[..., Value], ...]] = (leaks, peak, overlaps, alignment, space, utilisation)
