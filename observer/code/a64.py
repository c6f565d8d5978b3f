"""AArch64 instructions by their bits: what the one under a breakpoint does, where control goes, what it accesses.

Encodings are those of the Arm Architecture Reference Manual (DDI 0487), section C4.1. What is not in the tables below
is not emulated, and the caller says so: nobody but the processor can sign a return address (PACIASP).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from observer.arch.aarch64 import AARCH64
from observer.code.emulation import LINK, NOTHING, Emulation, ReadMemory, Words

__all__ = ["LENGTH", "Branch", "access_of", "branch_of", "emulation_of", "moved", "named_by", "signed", "word_of"]

LENGTH: Final = 4
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF
_REGISTERS: Final = AARCH64.registers
_FP, _LR, _SP, _PC, _PSTATE = _REGISTERS.fp, 30, _REGISTERS.sp, _REGISTERS.ip, _REGISTERS.mode
_ZERO: Final = 31
_N, _Z, _C, _V = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_FLAGS: Final = _N | _Z | _C | _V
_LINEAR: Final = ~AARCH64.modes.branched
_HINTS_OF_SIGNING: Final = range(7, 32)  # XPACLRI, PACIA1716 … AUTIBSP; NOP, YIELD … before them, BTI behind

Value = Callable[[Words], int]


def word_of(code: bytes) -> int | None:
    """Return the instruction that *code* begins with as a number; None where there are too few bytes."""
    return int.from_bytes(code[:LENGTH], "little") if len(code) >= LENGTH else None


def signed(value: int, bits: int) -> int:
    """Return the number that *value* means as one of *bits* with a sign."""
    return value - (1 << bits) if value >> (bits - 1) else value


# ---- where control goes ----


class Branch(NamedTuple):
    """An instruction that may go on elsewhere: `target` is None where a register holds it."""

    is_call: bool
    is_return: bool
    is_conditional: bool
    target: int | None
    register: int = _ZERO


def branch_of(word: int, address: int) -> Branch | None:
    """Return what the branch *word* at *address* is, None for other instructions."""
    if word & 0x7C00_0000 == 0x1400_0000:  # B, BL
        return Branch(bool(word >> 31), False, False, address + 4 * signed(word & 0x3FF_FFFF, 26) & _MASK)
    if word & 0xFF00_0000 == 0x5400_0000:  # B.cond, BC.cond
        return Branch(False, False, True, address + 4 * signed(word >> 5 & 0x7_FFFF, 19) & _MASK)
    if word & 0x7E00_0000 == 0x3400_0000:  # CBZ, CBNZ
        return Branch(False, False, True, address + 4 * signed(word >> 5 & 0x7_FFFF, 19) & _MASK)
    if word & 0x7E00_0000 == 0x3600_0000:  # TBZ, TBNZ
        return Branch(False, False, True, address + 4 * signed(word >> 5 & 0x3FFF, 14) & _MASK)
    if word & 0xFE1F_0000 == 0xD61F_0000:  # BR, BLR, RET and their kin that authenticate
        kind = word >> 21 & 3
        return Branch(kind == 1, kind == 2, False, None, word >> 5 & 31 if word & 0xFFFF_FBFF != 0xD65F_0BFF else _LR)
    return None


# ---- what it does to registers ----


def emulation_of(code: bytes, address: int, text: str = "") -> Emulation | None:
    """Return how to carry out the instruction *code* begins with, or None when it cannot be emulated."""
    word = word_of(code)
    if word is None:
        return None
    branch = branch_of(word, address)
    if branch is not None:
        return _branching(word, address, branch, text)
    effect = _effect(word, address)
    if effect is None:
        return None
    return Emulation(LENGTH, NOTHING, _then_linear(effect), text)


def _then_linear(effect: Callable[[Words], None]) -> Callable[[Words, ReadMemory], None]:
    """No branch leads to the next instruction, whatever led to this one (BTYPE)."""

    def apply(words: Words, read: ReadMemory) -> None:
        del read
        effect(words)
        words[_PSTATE] &= _LINEAR

    return apply


def _branching(word: int, address: int, branch: Branch, text: str) -> Emulation | None:
    target, register = branch.target, branch.register
    if branch.is_conditional:
        condition = _condition(word)
        if condition is None or target is None:
            return None
        taken, test = target, condition

        def jump_if(words: Words) -> None:
            if test(words):
                words[_PC] = taken

        return Emulation(LENGTH, NOTHING, _then_linear(jump_if), text)
    if target is None and word & 0x0100_0C00 and not branch.is_return:
        return None  # BRAA and the like authenticate with a modifier

    def jump(words: Words) -> None:
        if target is not None:
            words[_PC] = target
            return
        place = words[register] if register != _ZERO else 0
        # What authenticates would find a good signature: it only takes it away.
        words[_PC] = AARCH64.unsigned(place, words[_PC], words[_SP]) if branch.is_return else place

    if not branch.is_call:
        return Emulation(LENGTH, NOTHING, _then_linear(jump), text, is_return=branch.is_return)
    if register == _LR:
        return None  # its target goes as the return address comes
    return Emulation(LENGTH, LINK, _then_linear(jump), text, address + LENGTH)


def _condition(word: int) -> Callable[[Words], bool] | None:
    register = word & 31
    if word >> 24 == 0x54:
        return None if word & 0x10 else _holds(word & 15)
    if word & 0x7E00_0000 == 0x3400_0000:
        mask, negated = _mask(word), bool(word >> 24 & 1)
    else:
        mask, negated = 1 << (word >> 26 & 0x20 | word >> 19 & 31), bool(word >> 24 & 1)
    return lambda words: (_read(words, register) & mask != 0) == negated


def _holds(condition: int) -> Callable[[Words], bool]:
    """Return what a condition asks of the flags (ConditionHolds in the manual's pseudocode)."""
    tests: tuple[Callable[[int], bool], ...] = (
        lambda flags: bool(flags & _Z),
        lambda flags: bool(flags & _C),
        lambda flags: bool(flags & _N),
        lambda flags: bool(flags & _V),
        lambda flags: bool(flags & _C) and not flags & _Z,
        lambda flags: bool(flags & _N) == bool(flags & _V),
        lambda flags: bool(flags & _N) == bool(flags & _V) and not flags & _Z,
        lambda flags: True,
    )
    test, negated = tests[condition >> 1], bool(condition & 1) and condition != 15
    return lambda words: test(words[_PSTATE]) != negated


def _mask(word: int) -> int:
    return _MASK if word >> 31 else _MASK >> 32


def _read(words: Words, register: int) -> int:
    """Return a register where 31 means zero."""
    return int(words[register]) if register != _ZERO else 0


def _write(words: Words, register: int, value: int) -> None:
    if register != _ZERO:
        words[register] = value


def _effect(word: int, address: int) -> Callable[[Words], None] | None:
    """Return what an instruction does that goes on behind itself."""
    if word & 0xFFFF_F01F == 0xD503_201F:
        return None if word >> 5 & 0x7F in _HINTS_OF_SIGNING else lambda words: None
    if word & 0x1F00_0000 == 0x1000_0000:
        return _address(word, address)
    if word & 0x1F80_0000 == 0x1280_0000:
        return moved(word)
    if word & 0x1F80_0000 == 0x1100_0000:
        return _add_immediate(word)
    if word & 0x1F20_0000 == 0x0B00_0000:
        return _add_shifted(word)
    if word & 0x1F00_0000 == 0x0A00_0000:
        return _logical_shifted(word)
    if word & 0x7F00_0000 == 0x1B00_0000:
        return _multiply(word)
    if word & 0x3FE0_0800 == 0x1A80_0000:
        return _select(word)
    return None


def _address(word: int, address: int) -> Callable[[Words], None]:
    """ADR, ADRP."""
    value = named_by(word, address)
    return lambda words: _write(words, word & 31, value)


def named_by(word: int, address: int) -> int:
    """Return the address that ADR, or the page that ADRP, at *address* names."""
    offset = signed(word >> 3 & 0x1F_FFFC | word >> 29 & 3, 21)
    return ((address & -4096) + 4096 * offset if word >> 31 else address + offset) & _MASK


def moved(word: int) -> Callable[[Words], None] | None:
    """Return what MOVN, MOVZ and MOVK do."""
    shift, kind, mask = (word >> 21 & 3) * 16, word >> 29 & 3, _mask(word)
    if kind == 1 or (shift >= 32 and not word >> 31):
        return None
    immediate, hole = (word >> 5 & 0xFFFF) << shift, ~(0xFFFF << shift)

    def move(words: Words) -> None:
        kept = _read(words, word & 31) & hole if kind == 3 else 0
        _write(words, word & 31, (~immediate if kind == 0 else kept | immediate) & mask)

    return move


def _add_immediate(word: int) -> Callable[[Words], None]:
    """ADD, SUB (immediate), to and from the stack pointer also; CMP, CMN."""
    immediate = (word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0)
    register, sets_flags = word & 31, bool(word >> 29 & 1)

    def add(words: Words) -> None:
        result = _sum(words, words[word >> 5 & 31], immediate, word)
        if sets_flags:
            _write(words, register, result)
        else:
            words[register] = result

    return add


def _shifted(word: int) -> Value | None:
    """Return the second operand: a register, shifted."""
    kind, amount, register, mask = word >> 22 & 3, word >> 10 & 63, word >> 16 & 31, _mask(word)
    width = 64 if word >> 31 else 32
    if amount >= width or kind == 3:
        return None

    def value(words: Words) -> int:
        operand = _read(words, register) & mask
        if kind == 0:
            return operand << amount & mask
        return (operand if kind == 1 else signed(operand, width)) >> amount & mask

    return value


def _add_shifted(word: int) -> Callable[[Words], None] | None:
    """ADD, SUB (shifted register); CMP, CMN, NEG."""
    operand = _shifted(word)
    if operand is None:
        return None
    second = operand
    return lambda words: _write(
        words, word & 31, _sum(words, _read(words, word >> 5 & 31), second(words), word)
    )  # fmt: skip


def _sum(words: Words, first: int, second: int, word: int) -> int:
    """Return the sum, or the difference, as bits 29 to 31 of the instruction say; set the flags if they do."""
    mask = _mask(word)
    sign, first, is_difference = mask ^ mask >> 1, first & mask, bool(word >> 30 & 1)
    second = (~second if is_difference else second) & mask
    total = first + second + is_difference
    result = total & mask
    if word >> 29 & 1:
        overflow = (first ^ result) & (second ^ result) & sign
        flags = (result & sign and _N) | (_Z if not result else 0) | (_C if total > mask else 0) | (overflow and _V)
        words[_PSTATE] = words[_PSTATE] & ~_FLAGS | flags
    return result


def _logical_shifted(word: int) -> Callable[[Words], None] | None:
    """AND, BIC, ORR (MOV), ORN (MVN), EOR, EON, ANDS (TST), BICS."""
    operand = _shifted(word)
    if operand is None:
        return None
    second, kind, mask = operand, word >> 29 & 3, _mask(word)
    sign, negated = mask ^ mask >> 1, bool(word >> 21 & 1)

    def combine(words: Words) -> None:
        one, other = _read(words, word >> 5 & 31) & mask, second(words)
        other = ~other & mask if negated else other
        result = one & other if kind in (0, 3) else one | other if kind == 1 else one ^ other
        if kind == 3:
            words[_PSTATE] = words[_PSTATE] & ~_FLAGS | (_N if result & sign else 0) | (_Z if not result else 0)
        _write(words, word & 31, result)

    return combine


def _multiply(word: int) -> Callable[[Words], None] | None:
    """MADD (MUL), MSUB, UMULH, and the multiplications of halves: SMADDL, SMSUBL, UMADDL, UMSUBL."""
    kind, mask, is_difference = word >> 21 & 7, _mask(word), bool(word >> 15 & 1)
    if kind == 6 and word >> 31:
        return lambda words: _write(
            words, word & 31, _read(words, word >> 5 & 31) * _read(words, word >> 16 & 31) >> 64
        )  # fmt: skip
    if kind not in (0, 1, 5) or (kind and not word >> 31):
        return None

    def factor(words: Words, register: int) -> int:
        value = _read(words, register) & (_MASK >> 32 if kind else mask)
        return signed(value, 32) if kind == 1 else value

    def multiply(words: Words) -> None:
        product = factor(words, word >> 5 & 31) * factor(words, word >> 16 & 31)
        result = _read(words, word >> 10 & 31) + (-product if is_difference else product)
        _write(words, word & 31, result & mask)

    return multiply


def _select(word: int) -> Callable[[Words], None]:
    """CSEL, CSINC (CSET), CSINV (CSETM), CSNEG."""
    holds, mask = _holds(word >> 12 & 15), _mask(word)
    inverts, increments = bool(word >> 30 & 1), bool(word >> 10 & 1)

    def select(words: Words) -> None:
        value = _read(words, word >> (5 if holds(words) else 16) & 31)
        if not holds(words):
            value = (~value if inverts else value) + increments
        _write(words, word & 31, value & mask)

    return select


# ---- which access it makes ----


def access_of(code: bytes) -> str | None:
    """Return whether an instruction writes or only reads memory; None for one that does neither.

    What reads and writes at once (LDADD, CAS) is a write: its page is wanted writable at once.
    """
    word = word_of(code)
    if word is None:
        return None
    if word & 0xFFFF_FFE0 in (0xD50B_7420, 0xD50B_7460, 0xD50B_7480):  # DC ZVA, GVA, GZVA
        return "write"
    if word & 0x0A00_0000 != 0x0800_0000:
        return None
    is_load = bool(word >> 22 & 1)
    if word & 0x3B00_0000 == 0x1800_0000:
        is_load = True  # beside the instruction pointer
    elif word & 0x3A00_0000 == 0x3800_0000:
        is_load = is_load or (bool(word >> 23 & 1) and not word >> 26 & 1)
        if not word >> 24 & 1 and word >> 21 & 1 and not word >> 10 & 3:
            is_load = word & 0x3F_FC00 == 0x3F_C000  # LDAPR; the others change what they read
    elif word & 0x3FA0_0000 == 0x08A0_0000 or word & 0xBFA0_0000 == 0x0820_0000:
        is_load = False  # CAS, CASP
    return "read" if is_load else "write"
