"""The facts that checks may speak of: each a function of what a program did, its parameters those of the language."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final

from observer.labs import fault_facts, memory_facts, piece_facts, portal_facts, refusal_facts
from observer.labs.portal_facts import require_recorded
from observer.labs.program import Program, at_line, is_on
from observer.labs.values import Missing, Row, Unknown, Value
from observer.model.events import Call
from observer.model.operations import ALLOCATING, FREEING, RESIZING

__all__ = ["FACTS", "ROW_WORDS", "fact_of"]

ROW_WORDS: Final = ("enters", "growth", "line", "mapping", "served_by", "size", "steps")
"""What a call says of itself: whether it entered the kernel, by how many bytes memory grew in it, its line, whether it
got a mapping of its own, where the memory came from, the bytes it asked for, the steps it took."""

_FACTS: dict[str, Callable[..., Value]] = {}


def _fact(function: Callable[..., Value]) -> Callable[..., Value]:
    _FACTS[function.__name__] = function
    return function


def fact_of(name: str) -> Callable[..., Value]:
    """Return the function of the fact *name*; its first argument is the program."""
    return _FACTS[name]


# ---- counts of events ---------------------------------------------------------------------------------------


@_fact
def calls(program: Program, op: str, n: int = 0, line: str = "") -> Value:
    """How many calls of *op* the program made; or, with *n*, its n-th one."""
    found = [call for call in at_line(program.own_calls, line) if call.op == op]
    if not n:
        return len(found)
    if not 1 <= n <= len(found):
        return Missing(f"there are only {len(found)} {op}")
    return _row(program, found[n - 1])


def _row(program: Program, call: Call) -> Row:
    inside = [event for event in program.syscalls if event.cause == call.n]
    return Row({
        "enters": bool(inside), "growth": sum(max(program.moved[event.n], 0) for event in inside),
        "line": call.site.line if call.site is not None and call.site.line else Missing("it has no line"),
        "mapping": any(event.name == "mmap" for event in inside), "size": call.bytes_asked,
        "served_by": call.served_by or Unknown("where it was served from is not known for this C library"),
        "steps": call.steps or Missing(f"{call.op} takes none of the six steps"),
    })  # fmt: skip


@_fact
def entering(program: Program, op: str, n: int = 0) -> Value:
    """How many calls of *op* entered the kernel; or, with *n*, which one, counted from 1, was the n-th that did."""
    inside = {cause for cause, _name in program.crossings}
    found = [at for at, call in enumerate((c for c in program.own_calls if c.op == op), 1) if call.n in inside]
    if not n:
        return len(found)
    return found[n - 1] if 1 <= n <= len(found) else Missing(f"only {len(found)} {op} entered the kernel")


@_fact
def syscalls(program: Program, name: str, line: str = "") -> Value:
    """System calls *name* that the program's own calls of the allocator, or its own lines, made."""
    require_recorded(program, name)
    return sum(event.name == name and program.is_own(event) for event in at_line(program.syscalls, line))


@_fact
def children(program: Program) -> Value:
    """How many processes it forked, and those forked."""
    return program.children


@_fact
def crashes(program: Program, line: str = "", name: str = "") -> Value:
    """Signals that ended a process of the program; with *name*, those of that name ("SIGSEGV")."""
    fatal = (event for event in program.signals if event.fatal and name in ("", event.signal))
    return sum(is_on(event.site, line) for event in fatal)


@_fact
def signal(program: Program) -> Value:
    """The name of the signal that ended the program, or "none"."""
    return next((event.signal for event in program.signals if event.fatal and event.pid == program.root), "none")


@_fact
def status(program: Program) -> Value:
    """The exit status."""
    return program.status if program.status is not None else Missing(f"it was ended by {program.killed or 'a signal'}")


@_fact
def exits(program: Program, status: int) -> Value:
    """How many processes of the program ended with that exit *status*."""
    return program.exits.count(status)


# ---- pieces -------------------------------------------------------------------------------------------------


@_fact
def asked(program: Program, op: str = "", line: str = "") -> Value:
    """Bytes that the program's calls asked for in all."""
    found = at_line(program.own_calls, line)
    return sum(call.bytes_asked for call in found if call.op in ALLOCATING and op in ("", call.op))


@_fact
def moves(program: Program, line: str = "") -> Value:
    """Calls of realloc that moved a piece to another address."""
    found = at_line(program.own_calls, line)
    resized = (call for call in found if call.op in RESIZING and call.pointer and call.result)
    return sum(call.result != call.pointer for call in resized)


@_fact
def reuses(program: Program, line: str = "") -> Value:
    """Calls that got the address of a piece which had been given back."""
    freed: set[int] = set()
    found: list[Call] = []
    for call in (call for call in program.calls if call.pid == program.root):
        if call.result in freed and call.op in ALLOCATING and call.origin == "program":
            found.append(call)
        if call.op in FREEING and call.pointer:
            freed.add(call.pointer)
    return sum(1 for _ in at_line(found, line))


@_fact
def misuses(program: Program, what: str = "", line: str = "") -> Value:
    """Calls that break the allocator's rules; *what*: "freed before", "never given", "inside" …"""
    broken = (call for call in at_line(program.own_calls, line) if call.misuse is not None)
    return sum(call.misuse is not None and what in ("", call.misuse.what) for call in broken)


@_fact
def smallest_mapped(program: Program, op: str = "malloc") -> Value:
    """The fewest bytes of a call of *op* that got a mapping of its own."""
    sizes = [call.bytes_asked for call in program.own_calls if call.op == op and program.crossings[call.n, "mmap"]]
    return min(sizes) if sizes else Missing(f"no {op} got a mapping of its own")


@_fact
def largest_unmapped(program: Program, op: str = "malloc") -> Value:
    """The most bytes of a call of *op* that got no mapping of its own."""
    sizes = [call.bytes_asked for call in program.own_calls if call.op == op and not program.crossings[call.n, "mmap"]]
    return max(sizes) if sizes else Missing(f"there is no {op} without a mapping of its own")


# ---- memory from the kernel and back ------------------------------------------------------------------------


@_fact
def grows(program: Program, line: str = "") -> Value:
    """Bytes of address space that the kernel gave to the program's own calls and lines, by brk and mmap."""
    return sum(max(program.moved[event.n], 0) for event in at_line(program.syscalls, line) if program.is_own(event))


@_fact
def gives_back(program: Program, line: str = "") -> Value:
    """Bytes of address space that the program's own calls and lines gave back, by brk and munmap."""
    return sum(max(-program.moved[event.n], 0) for event in at_line(program.syscalls, line) if program.is_own(event))


@_fact
def pages(program: Program, size: int) -> Value:
    """How many pages *size* bytes fill that begin at a page's start."""
    return -(-size // program.meta.machine.page_size)


@_fact
def page(program: Program) -> Value:
    """The bytes of a page."""
    return program.meta.machine.page_size


_ELSEWHERE: Final[tuple[Callable[..., Value], ...]] = (
    *fault_facts.FACTS, *memory_facts.FACTS, *piece_facts.FACTS, *portal_facts.FACTS, *refusal_facts.FACTS,
)  # fmt: skip
for _each in _ELSEWHERE:
    _fact(_each)


def _signature(function: Callable[..., Value]) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


FACTS: Final = {name: _signature(function) for name, function in _FACTS.items()}
"""The facts, by name, with what each takes."""
