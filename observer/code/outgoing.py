"""The calls that a program's own code makes to code that is not its own: where they stand, and what they call.

Own is what has source lines (DWARF): the functions that were compiled with -g. What they call lies in a library, behind
the procedure linkage table or a pointer in the global offset table, or, in a static program, elsewhere in the file.
Calls through a register, and jumps that end a function (tail calls), are not among them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from capstone import x86

from observer.code.elf import Elf
from observer.code.instructions import decode
from observer.code.lines import MOST_ROWS, line_table
from observer.code.reached import Call, reached_calls
from observer.code.stubs import imports_of, name_behind, slot_of

__all__ = ["Outgoing", "names_any", "outgoing_calls", "why_none"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call instruction at a file address, with its bytes and the name of the function it calls."""

    address: int
    code: bytes
    function: str


@lru_cache(maxsize=8)
def outgoing_calls(elf: Elf) -> tuple[Outgoing, ...]:
    """Return the calls of the program's own functions in order of address; none where no line tells which they are."""
    rows = line_table(elf)
    if not rows.has_rows:
        return ()
    own = _Own([(start, size) for start, size, _name in elf.functions if size and rows.find(start) is not None])
    callees = _Callees(elf, imports_of(elf), own)
    found: dict[int, Outgoing] = {}
    for start, size in own.functions:
        code = elf.read(start, size)
        for call in reached_calls(code, start, rows.starts_within(start, start + size), elf.architecture):
            name = callees.name(call)
            if name is not None:
                found[call.address] = Outgoing(call.address, call.code, name)
    return tuple(found[address] for address in sorted(found))


def why_none(elf: Elf) -> str:
    """Say why no calls of the program's own functions are known, as a clause."""
    if elf.has_debug_lines and not line_table(elf).has_rows:
        return f"where its instructions begin cannot be read from its line table (more than {MOST_ROWS >> 20} MiB?)"
    return "no line tells which code is the program's own: compile it with -g"


class _Own:
    """The program's own functions, (start, size) each, in order of address."""

    def __init__(self, functions: list[tuple[int, int]]) -> None:
        self.functions = functions
        self._starts = [start for start, _size in functions]

    def holds(self, address: int) -> bool:
        i = bisect_right(self._starts, address) - 1
        return i >= 0 and address < sum(self.functions[i])


class _Callees:
    """Whom calls go to; what stands behind a target is looked up once."""

    def __init__(self, elf: Elf, imports: dict[int, str], own: _Own) -> None:
        self._elf = elf
        self._imports = imports
        self._own = own
        self._known: dict[int, str | None] = {}

    def name(self, call: Call) -> str | None:
        """Return the function outside the program's own code that *call* goes to, None if there is none."""
        if call.target is None:
            instruction = decode(call.code, call.address, self._elf.architecture)
            operand = instruction.operands[0] if instruction is not None else None
            is_slot = operand is not None and operand.type == x86.X86_OP_MEM
            return self._imports.get(slot_of(self._elf, instruction, operand)) if is_slot else None
        if call.target not in self._known:
            self._known[call.target] = self._behind(call.target)
        return self._known[call.target]

    def _behind(self, target: int) -> str | None:
        if self._own.holds(target):
            return None
        return name_behind(self._elf, target) or _named(self._elf, target)


def names_any(elf: Elf, beginnings: tuple[str, ...]) -> bool:
    """Whether the program's own code refers to a function whose name has one of *beginnings*."""
    names = (*imports_of(elf).values(), *(call.function for call in outgoing_calls(elf)))
    return any(name.startswith(beginnings) for name in names)


def _named(elf: Elf, address: int) -> str | None:
    """Return the function of a static program that begins at *address*, and not the compiler's own little ones."""
    name = elf.function_at(address)
    return None if name is None or name.startswith("__x86.") else name
