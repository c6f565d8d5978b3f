"""Where a function ends: the `ret` instructions that its callers come back from, and the jumps that end it otherwise.

A function is followed through its jumps, not its calls: into the cold part that the compiler put elsewhere and into
functions of the same file that it ends by jumping to (tail calls). Where the call-frame table or the symbol tells how
long a piece of code is, all of it is read, so that what only a table of jumps leads to is found; elsewhere only what is
reached. Jumps whose target is not in the instruction, to functions of other files, and to the routines that copy and
fill memory for everybody are not followed but named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Final

from observer.code.elf import Elf
from observer.code.flow import BY_TABLE, END, JUMP, RETURN, Step, steps
from observer.code.stubs import name_behind, slot_behind
from observer.code.unwind import Unwinder

__all__ = ["Exits", "exits_of", "piece_of", "saved_return"]

_RETURN: Final = re.compile(r"(?:\w+ )?ret[q]?")
_JUMP: Final = re.compile(r"(?:bnd )?j\w+")
_UNCONDITIONAL: Final = re.compile(r"(?:\w+ )?jmp")
_ENDING: Final = re.compile(r"ud[0-2]|hlt|int3")
_FOR_EVERYBODY: Final = re.compile(r"_*(?:mem(?:set|cpy|pcpy|move|zero)|bzero|explicit_bzero)(?:_\w+)?")
_LONGEST: Final = 1 << 14
_PIECE: Final = 128
_MOST: Final = 1 << 16
"""Bytes of one piece of code, and of all pieces together, that are looked at: no allocator's function is longer."""


@dataclass(slots=True)
class Exits:
    """File addresses: `returns` of ret instructions, `jumps` of jumps that may leave for where nobody knows.

    `targets` are the places that jumps of the function's own lead to, `names` the functions that it may end by
    jumping to, `entered` where those of them begin that the file itself has.
    """

    returns: set[int] = field(default_factory=set)
    jumps: set[int] = field(default_factory=set)
    targets: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    entered: set[int] = field(default_factory=set)


@lru_cache(maxsize=64)
def _unwinder_of(elf: Elf) -> Unwinder:
    """Return the call-frame rules of *elf*."""
    return Unwinder(elf)


@lru_cache(maxsize=4096)
def piece_of(elf: Elf, address: int) -> tuple[int, int] | None:
    """Return [start, end) of the piece of code around the file address *address*; None where nothing tells."""
    return _unwinder_of(elf).bounds_at(address) or elf.bounds_at(address)


@lru_cache(maxsize=4096)
def saved_return(elf: Elf, entry: int) -> int | None:
    """Return how far above the stack pointer at its entry a function keeps the register of its return address.

    None where call-frame rules tell of no place, or of several; the function begins at the file address *entry*.
    """
    places = _unwinder_of(elf).kept_at(entry)
    return places.pop() if len(places) == 1 else None


@lru_cache(maxsize=4096)
def exits_of(elf: Elf, entry: int) -> Exits:
    """Return the exits of the function of *elf* that begins at the file address *entry*."""
    return _Walk(elf).run(entry)


class _Walk:
    """One function followed to all its ends."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._architecture = elf.architecture
        self._exits = Exits()
        self._pending: list[int] = []
        self._seen: set[int] = set()
        self._whole: list[tuple[int, int]] = []
        self._left = _MOST

    def run(self, entry: int) -> Exits:
        self._pending.append(entry)
        while self._pending and self._left > 0:
            place = self._pending.pop()
            if place in self._seen or any(start <= place < end for start, end in self._whole):
                continue
            bounds = self._bounds(place)
            if bounds is None:
                self._reach(place)
            else:
                self._whole.append(bounds)
                self._sweep(*bounds)
        return self._exits

    def _bounds(self, place: int) -> tuple[int, int] | None:
        """Return the piece of code around *place*; None if nothing tells, or if it is very long."""
        bounds = piece_of(self._elf, place)
        return bounds if bounds is not None and bounds[1] - bounds[0] <= _LONGEST else None

    def _sweep(self, start: int, end: int) -> None:
        self._left -= end - start
        for step in steps(self._elf.read(start, end - start), start, self._architecture, _kind):
            self._see(step, start, end)

    def _reach(self, place: int) -> None:
        """Follow the code from *place* on as far as it goes."""
        ends = False
        while not ends and self._left > 0:
            begin = place
            for step in steps(self._elf.read(place, _PIECE), place, self._architecture, _kind):
                address = step.address
                ends = address in self._seen or bool(step.kind & END)
                if address not in self._seen:
                    self._see(step, address, address)
                self._seen.add(address)
                place = address + step.size
                if ends:
                    break
            self._left -= place - begin
            ends = ends or place == begin

    def _see(self, step: Step, start: int, end: int) -> None:
        address, _size, kind, target = step
        if kind & RETURN:
            self._exits.returns.add(address)
        elif kind & JUMP:
            if target is not None:
                self._exits.targets.add(target)
            if target is None:
                if not kind & BY_TABLE:
                    self._exits.jumps.add(address)
            elif not start <= target < end:
                self._follow(address, target)

    def _follow(self, address: int, target: int) -> None:
        function: int | None = target
        name = self._elf.function_at(target)
        if slot_behind(self._elf, target) is not None:
            name = name_behind(self._elf, target)
            places = {each.address for each in self._elf.definitions_of([name])} if name is not None else set()
            function = places.pop() if len(places) == 1 else None
        if name is not None:
            self._exits.names.add(name)
        if function is None or (name is not None and _FOR_EVERYBODY.fullmatch(name)):
            self._exits.jumps.add(address)
        else:
            self._exits.entered.add(function)
            self._pending.append(function)


@cache
def _kind(mnemonic: str) -> int:
    if _RETURN.fullmatch(mnemonic):
        return RETURN | END
    if _UNCONDITIONAL.fullmatch(mnemonic):
        # A jump that is marked as not tracked (CET) goes through the function's own table.
        return JUMP | END | (BY_TABLE if mnemonic.startswith("notrack") else 0)
    if _JUMP.fullmatch(mnemonic):
        return JUMP
    return END if _ENDING.fullmatch(mnemonic) else 0
