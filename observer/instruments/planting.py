"""Breakpoints in the functions of the allocator family: at their beginnings, and wherever they may end.

An ELF file says where its functions begin; their ends are found by reading their code. What is planted is remembered
with the bytes that the file has there, so that it can be told whether it still stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from observer.arch.known import NATIVE
from observer.code.definitions import definitions
from observer.code.elf import Elf
from observer.code.exits import exits_of, piece_of, saved_return
from observer.code.instructions import emulation_of, is_nop
from observer.code.prologue import prologue_of
from observer.model.operations import FAMILY, OPERATORS
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.inline.annex import CAN_JUMP_FAR, Plan, stretches_of
from observer.tracee.returning import IN_REGISTER
from observer.tracee.task import Task

__all__ = ["Function", "Planter", "family_in", "named_in", "read_beforehand"]

_NUMBERS: Final = {operation.name: i for i, operation in enumerate(FAMILY)}
_OPERATORS: Final = {symbol: _NUMBERS[name] for symbol, name in OPERATORS.items()}
_EMPTIES_CACHE: Final = "__malloc_arena_thread_freeres"
_RET: Final = b"\xc3"
_PREFIXED_RETS: Final = frozenset({b"\xf3\xc3", b"\xf2\xc3"})
_CODE: Final = 24
_BEFORE: Final = 8
"""Bytes of code kept with a breakpoint, from it on and before it: enough to know a copy of it again."""


class Function(NamedTuple):
    """A function to plant in: `operation` is its number in the family, `address` that in its file."""

    operation: int
    name: str
    address: int


class Planter:
    """Plants for *listener* in images as they are mapped.

    `planted` counts functions by file, `refused` says which not, and why.
    """

    def __init__(self, listener: int) -> None:
        self._listener = listener
        self.planted: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    def plant(
        self, task: Task, elf: Elf, bias: int, start: int, end: int, role: str, number: int, found: Iterable[Function]
    ) -> int:
        """Plant in those functions *found* in *elf* that [start, end) holds; return in how many.

        They are those of the allocator *number*.
        """
        memory = task.memory
        if memory is None:
            return 0
        functions = sorted(found)
        home = _home(elf, bias, start, end, role)
        image = _Image(task, elf, bias, home, number, self._listener)
        entries: set[int] = set()
        for function in functions:
            if start <= function.address + bias < end and function.address + bias not in memory.entries:
                why = image.plant_entry(function, functions)
                if why:
                    self.refused[f"{function.name} in {elf.path}"] = why
                else:
                    entries.add(function.address)
        for address in entries:
            exits = exits_of(elf, address)
            for place in sorted(exits.returns | exits.jumps):
                image.plant_exit(place, exits.targets)
        if entries:
            self.planted[elf.path] = self.planted.get(elf.path, 0) + len(entries)
            if role != "loader":  # its own allocator serves a start of a few calls
                memory.inline.plans[number] = image.plan(entries)
        return len(entries)


def _home(elf: Elf, bias: int, start: int, end: int, role: str) -> tuple[int, int]:
    """Return the range of code whose direct calls of the family are the allocator's own business.

    In the shared glibc, public calls go through the symbol, even the library's own (since 2.26); a direct call from
    inside is the allocator talking to itself. In a static program all calls are direct, and what talks to itself is
    the function by which an ending thread empties its cache.
    """
    if role == "libc" and elf.defines("gnu_get_libc_version"):
        return start, end
    found = elf.definitions_of([_EMPTIES_CACHE])
    return (found[0].address + bias, found[0].address + found[0].size + bias) if found else (0, 0)


def family_in(elf: Elf, role: str) -> list[Function]:
    """Return the functions of the family that *elf* defines; a name may have several addresses, and the reverse."""
    found = definitions(elf, _NUMBERS)
    if role == "library" and any(symbol.name == "malloc" for symbol in found):
        # An allocator's own operators of C++ do not go through its malloc, as those of libstdc++ do.
        found += definitions(elf, _OPERATORS)
    numbers = _NUMBERS | _OPERATORS
    return [Function(numbers[symbol.name], symbol.name, symbol.address) for symbol in found]


def named_in(elf: Elf, role: str, roles: Mapping[str, str]) -> list[Function]:
    """Return the functions in the program or a library of its that play the *roles*, by their names."""
    found = elf.functions_called(roles) if role in ("program", "library") else []
    return [Function(_NUMBERS[roles[symbol.name]], symbol.name, symbol.address) for symbol in found]


def read_beforehand(elf: Elf, role: str) -> None:
    """Read what `Planter.plant`, and then the inline recorder, will ask for of *elf*'s functions: it is kept."""
    entries = {function.address for function in family_in(elf, role)}
    returns, jumps = set[int](), set[int]()
    for entry in entries:
        returns |= exits_of(elf, entry).returns
        jumps |= exits_of(elf, entry).jumps
    for place in {prologue_of(elf, entry).place for entry in entries} | returns | jumps:
        emulation_of(elf.code(place, _CODE), place, elf.architecture)
        elf.code(place - _BEFORE, _BEFORE)
    if elf.architecture is NATIVE and role != "loader":
        stretches_of(elf, tuple(sorted(entries)), tuple(sorted(returns | jumps)), frozenset(jumps), far=CAN_JUMP_FAR)


class _Image:
    """One mapped file to plant in."""

    def __init__(
        self, task: Task, elf: Elf, bias: int, home: tuple[int, int], implementation: int, listener: int
    ) -> None:
        assert task.memory is not None
        self._task = task
        self._memory = task.memory
        self._elf = elf
        self._bias = bias
        self._home = home
        self._implementation = implementation
        self._listener = listener

    def plant_entry(self, function: Function, found: list[Function]) -> str:
        """Plant at the beginning of one of the functions *found*; return why not, empty if it is done."""
        entry = function.address
        prologue, exits = prologue_of(self._elf, entry), exits_of(self._elf, entry)
        tails = frozenset(each.operation for each in found if each.name in exits.names or each.address in exits.entered)
        why = self._plant(
            prologue.place, exits.targets, number=function.operation, pushed=prologue.pushed, entry=entry + self._bias,
            home=self._home, implementation=self._implementation, leaves=prologue.place in exits.returns | exits.jumps,
            tails=tails, saved_return=saved_return(self._elf, entry) if IN_REGISTER is not None else None,
        )  # fmt: skip
        if not why:
            self._memory.entries.add(entry + self._bias)
        return why

    def plan(self, entries: Iterable[int]) -> Plan:
        """Return what was planted in the functions that begin at *entries*."""
        bias, planted = self._bias, self._memory.breakpoints
        ends: set[int] = set()
        for entry in entries:
            exits = exits_of(self._elf, entry)
            ends |= exits.returns | exits.jumps
        places = {entry: prologue_of(self._elf, entry).place for entry in sorted(entries)}
        return Plan(
            self._elf, bias, {entry: planted[place + bias] for entry, place in places.items()},
            {place: planted[place + bias] for place in sorted(ends) if place + bias in planted},
        )  # fmt: skip

    def plant_exit(self, address: int, reached: set[int]) -> None:
        """Plant where a function may end, whose jumps lead to *reached*."""
        if address + self._bias not in self._memory.breakpoints:
            self._plant(address, reached, leaves=True)

    def _plant(self, address: int, reached: set[int], **role: Any) -> str:
        place, code = address + self._bias, self._elf.code(address, _CODE)
        emulation = emulation_of(code, place, self._elf.architecture)
        if emulation is None:
            return "its first instruction cannot be carried out elsewhere"
        if self._memory.read(place, emulation.length) != code[: emulation.length]:
            return "its code is not what the file has"
        is_padding = self._is_padding(address + emulation.length, code[emulation.length :], reached)
        # Right behind an instruction of several bytes, where int3 leaves it, no task stands for another reason.
        role["is_certain"] = emulation.length > 1 or is_padding
        if "number" not in role and NATIVE.trap.behind:
            role |= _in_place(code, is_padding=is_padding)
        before = self._elf.code(address - _BEFORE, _BEFORE)
        point = Breakpoint(place, code, emulation, listener=self._listener, before=before, **role)
        try:
            self._memory.plant(self._task.tid, point)
        except OSError as error:
            return f"its code cannot be written ({error.strerror})"
        return ""

    def _is_padding(self, address: int, code: bytes, reached: set[int]) -> bool:
        """Whether nobody comes to *address*, and unwinding from there goes as from the instruction before."""
        if address in reached or not is_nop(code, self._elf.architecture):
            return False
        piece = piece_of(self._elf, address)
        return piece is not None and piece[0] < address < piece[1]


def _in_place(code: bytes, *, is_padding: bool) -> dict[str, Any]:
    """Have the task do a `ret` by itself where there is room: moved into the padding behind it, or by its last byte."""
    if code[:1] == _RET and is_padding:
        return {"planted": NATIVE.trap.code + _RET, "goes_on": True}
    return {"goes_on": True} if code[:2] in _PREFIXED_RETS else {}
