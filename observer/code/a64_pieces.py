"""What AArch64's code is put together of: functions' first instructions, addresses, stubs, constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from observer.arch.aarch64 import AARCH64
from observer.code.a64 import LENGTH, moved, named_by, signed, word_of

__all__ = ["constant_returned", "leaves_frame", "named_addresses", "slot_of_stub", "stack_change", "written"]

_REGISTERS: Final = AARCH64.registers
_SP: Final = _REGISTERS.sp
_FRAME: Final = frozenset({_REGISTERS.fp, _REGISTERS.kept, _SP})


# ---- what a function's first instructions do ----


def stack_change(word: int) -> int:
    """Return by how many bytes *word* moves the stack pointer down: STP, STR with write-back, SUB; 0 for others."""
    if word >> 5 & 31 != _SP:
        return 0
    if word & 0xFFC0_0000 in (0xA980_0000, 0x6D80_0000):  # STP of two words, before which the base moves
        return -8 * signed(word >> 15 & 127, 7)
    if word & 0xFFE0_0C00 in (0xF800_0C00, 0xFC00_0C00):  # STR, likewise
        return -signed(word >> 12 & 511, 9)
    if word & 0xFF80_001F == 0xD100_001F:  # SUB SP, SP, #immediate
        return (word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0)
    return 0


def written(word: int) -> frozenset[int] | None:
    """Return which registers *word* writes, the stack pointer by `stack_change` left out; None where that is unknown.

    PACIASP is taken to write none: it signs the return address where that is.
    """
    if stack_change(word) or word & 0xFFFF_F01F == 0xD503_201F:
        return frozenset()
    if word & 0x3A00_0000 == 0x2800_0000:  # load and store pairs
        loaded = {word & 31, word >> 10 & 31} if word >> 22 & 1 and not word >> 26 & 1 else set()
        return frozenset(loaded | ({word >> 5 & 31} if word >> 23 & 1 else set()))
    if word & 0x3A00_0000 == 0x3800_0000:  # loads and stores of one register
        if not word >> 24 & 1 and word >> 21 & 1 and not word >> 10 & 3:
            return None  # what is read and changed at once
        is_load = word >> 22 & 3 and not word >> 26 & 1
        moves_base = not word >> 24 & 1 and not word >> 21 & 1 and word >> 10 & 1
        return frozenset(({word & 31} if is_load else set()) | ({word >> 5 & 31} if moves_base else set()))
    if word & 0x3B00_0000 == 0x1800_0000:  # loads beside the instruction pointer
        return frozenset({word & 31})
    if word & 0x1C00_0000 == 0x1000_0000 or word & 0x0E00_0000 == 0x0A00_0000:  # data processing, general registers
        return frozenset({word & 31})
    if word & 0xFFF0_0000 == 0xD530_0000:  # MRS
        return frozenset({word & 31})
    return None


def leaves_frame(word: int) -> bool:
    """Whether stack pointer, frame pointer and return address are behind *word* what they were, and unsigned."""
    signs = word & 0xFFFF_FFBF == 0xD503_233F  # PACIASP, PACIBSP
    changed = written(word)
    return not signs and not stack_change(word) and changed is not None and not changed & _FRAME


# ---- which addresses it names ----


def named_addresses(code: bytes, start: int) -> Iterator[tuple[int, bool]]:
    """Yield what *code* at *start* puts together as addresses, a page (ADRP) and the rest: (address, is it read from).

    The rest is added (ADD), or part of a load of eight bytes (LDR).
    """
    pages: dict[int, int] = {}
    for at in range(0, len(code) - LENGTH + 1, LENGTH):
        word = int.from_bytes(code[at : at + LENGTH], "little")
        base, immediate = pages.get(word >> 5 & 31), word >> 10 & 0xFFF
        if word & 0x9F00_0000 == 0x9000_0000:
            pages[word & 31] = named_by(word, start + at)
        elif word & 0x9F00_0000 == 0x1000_0000:
            yield named_by(word, start + at), False
        elif base is not None and word & 0xFFC0_0000 == 0x9100_0000:
            yield base + immediate, False
        elif base is not None and word & 0xFFC0_0000 == 0xF940_0000:
            yield base + 8 * immediate, True


def slot_of_stub(code: bytes, address: int) -> int | None:
    """Return where the address is written that the stub *code* at *address* jumps to, None where it is no stub.

    A stub is ADRP, LDR, ADD and BR of x16 and x17, behind BTI where there is that (AAELF64).
    """
    at = LENGTH if word_of(code) == 0xD503_245F else 0
    words = [int.from_bytes(code[i : i + LENGTH], "little") for i in range(at, at + 4 * LENGTH, LENGTH)]
    loads = words[0] & 0x9F00_001F == 0x9000_0010 and words[1] & 0xFFC0_03FF == 0xF940_0211
    if not loads or words[3] not in (0xD61F_0220, 0xD71F_0A30):  # BR x17, BRAA x17, x16
        return None
    return next((place for place, is_read in named_addresses(code, address) if is_read), None)


def constant_returned(code: bytes) -> int | None:
    """Return what a function returns that only moves a constant into w0 or x0; None for any other."""
    words = memoryview(bytearray(8 * len(_REGISTERS.names))).cast("B").cast("Q")
    for at in range(0, len(code) - LENGTH + 1, LENGTH):
        word = int.from_bytes(code[at : at + LENGTH], "little")
        if word == 0xD65F_03C0:
            return int(words[_REGISTERS.result]) if at else None
        move = moved(word) if word & 0x1F80_001F == 0x1280_0000 else None
        if move is not None:
            move(words)
        elif word != 0xD503_245F:  # bti c
            return None
    return None
