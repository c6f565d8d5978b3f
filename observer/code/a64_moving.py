"""AArch64 instructions that are done elsewhere than where the compiler put them, and stretches that can give way.

A stretch is one instruction, and so is the jump that it gives way to (B): nobody jumps into its midst. What counts from
the program counter is made to count from the new place, or to name what it named (DDI 0487, C6.2).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from observer.code.a64 import LENGTH, branch_of, named_by, signed, word_of
from observer.code.elf import Elf
from observer.code.moving import Moved, Stretch

__all__ = ["REACH", "entry_stretch", "exit_stretch", "jump", "jump_target", "move_wide", "moved"]

REACH: Final = 1 << 27
"""Bytes that a jump may lead back; forth it is one instruction less."""

_SCRATCH: Final = 16
"""x16, which belongs to whatever stands between a call and its function (AAPCS64, 6.1.1)."""
_B: Final = 0x1400_0000
_MARKS: Final = frozenset({
    0xD503_245F, 0xD503_249F, 0xD503_24DF,  # BTI c, j, jc
    0xD503_233F, 0xD503_237F,  # PACIASP, PACIBSP
})  # fmt: skip
"""What an indirect call may land on where branch targets are checked: it stays first."""
_LITERALS: Final = {0x18: 0xB940_0000, 0x58: 0xF940_0000, 0x98: 0xB980_0000, 0xD8: 0xF980_0000,
                    0x1C: 0xBD40_0000, 0x5C: 0xFD40_0000, 0x9C: 0x3DC0_0000}  # fmt: skip
"""LDR (literal), LDRSW and PRFM by their upper byte: the same with a base register and no offset."""


def jump(at: int, to: int) -> bytes:
    """Return the jump that stands *at* an address and leads *to* another.

    Raises:
        OverflowError: they lie more than 128 MiB apart.
    """
    distance = to - at
    if not -REACH <= distance < REACH or distance % LENGTH:
        raise OverflowError("more than 128 MiB apart")
    return _code(_B | distance // LENGTH & 0x3FF_FFFF)


def jump_target(code: bytes, address: int) -> int | None:
    """Return where the jump *code* at *address* leads; None for any other instruction."""
    word = word_of(code)
    branch = branch_of(word, address) if word is not None and word & 0xFC00_0000 == _B else None
    return branch.target if branch is not None else None


def move_wide(register: int, value: int) -> bytes:
    """Return what puts *value* into a register: MOVZ and three MOVK."""
    made = b""
    for part in range(4):
        kind = 0xD280_0000 if part == 0 else 0xF280_0000
        made += _code(kind | part << 21 | (value >> 16 * part & 0xFFFF) << 5 | register)
    return made


def moved(code: bytes, address: int, to: int) -> Moved | None:
    """Return the instructions *code* at *address* as they must be to be done at *to*; None if that cannot be."""
    made = b""
    places: list[tuple[int, int, int]] = []
    for at in range(0, len(code), LENGTH):
        word = word_of(code[at:])
        new = _rewritten(word, address + at, to + len(made)) if word is not None else None
        if new is None:
            return None
        places.append((len(made), len(new), address + at))
        made += new
    return Moved(made, tuple(places))


def entry_stretch(elf: Elf, entry: int, targets: Collection[int]) -> Stretch | None:
    """Return what can give way at the beginning of the function at *entry*, which jumps to *targets*.

    It is the first instruction, or the second where the first marks a place to land on.
    """
    start = entry + LENGTH * (word_of(elf.read(entry, LENGTH)) in _MARKS)
    code = elf.read(start, LENGTH)
    word = word_of(code)
    if word is None or not _stays(word, start) or (start != entry and start in targets):
        return None
    return Stretch(start, code)


def exit_stretch(elf: Elf, place: int, *, is_jump: bool) -> Stretch | None:
    """Return what can give way so that the return at *place* is come by, or the jump that it *is*."""
    code = elf.read(place, LENGTH)
    if len(code) < LENGTH or (is_jump and jump_target(code, place) is None):
        return None
    return Stretch(place, code)


def _stays(word: int, address: int) -> bool:
    """Whether control goes on behind it, or to a place of its own that it names, and nobody comes back to it."""
    if word >> 16 == 0 or word >> 24 == 0xD4:  # UDF; SVC, BRK and their kin
        return False
    branch = branch_of(word, address)
    return branch is None or (branch.target is not None and not branch.is_call)


def _rewritten(word: int, address: int, to: int) -> bytes | None:
    branch = branch_of(word, address)
    if branch is not None:
        if branch.target is None:
            return _code(word)
        return None if branch.is_call else _far(word, branch.is_conditional, branch.target, to)
    if word & 0x1F00_0000 == 0x1000_0000:  # ADR, ADRP
        return move_wide(word & 31, named_by(word, address))
    if word & 0x3B00_0000 == 0x1800_0000:
        load = _LITERALS.get(word >> 24)
        if load is None:
            return None
        place = address + LENGTH * signed(word >> 5 & 0x7_FFFF, 19)
        return move_wide(_SCRATCH, place) + _code(load | _SCRATCH << 5 | word & 31)
    return _code(word)


def _far(word: int, is_conditional: bool, target: int, to: int) -> bytes | None:
    """Return a jump to *target* for the address *to*; a condition first leads to it, or past it."""
    try:
        if not is_conditional:
            return jump(to, target)
        over = _conditional(word, 2 * LENGTH) + jump(to + LENGTH, to + 3 * LENGTH)
        return over + jump(to + 2 * LENGTH, target)
    except OverflowError:
        return None


def _conditional(word: int, distance: int) -> bytes:
    """Return the conditional branch *word* with another *distance*."""
    is_test = word & 0x7E00_0000 == 0x3600_0000  # TBZ, TBNZ: 14 bits; B.cond, CBZ, CBNZ: 19
    field = 0x3FFF if is_test else 0x7_FFFF
    return _code(word & ~(field << 5) | (distance // LENGTH & field) << 5)


def _code(word: int) -> bytes:
    return word.to_bytes(LENGTH, "little")
