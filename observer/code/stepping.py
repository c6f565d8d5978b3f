"""Stepping from a frame to its caller, by the rule of the frame's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64

__all__ = ["FP", "KEPT", "SP", "Frame", "Rule", "cfa_of", "saved_at", "step"]

SP: Final = X86_64.dwarf.sp
"""What a rule's `register` is that counts from the stack pointer, of any architecture."""
FP: Final = X86_64.dwarf.fp
"""What it is that counts from the frame pointer."""
KEPT: Final = X86_64.dwarf.kept
"""What it is that counts from the register that frames are found by besides."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How to leave a frame: CFA = register + offset; rbp and rbx lie at CFA + offset, if saved.

    `rbp_at` and `rbx_at` are where they lie from the frame pointer, if that is how it is told.
    `is_stored`: the CFA stands in memory, at that place (what a function writes that aligned its stack anew).
    `is_last`: nobody called this frame; it is a program's or a thread's first.
    """

    register: int
    offset: int
    saved_rbp: int | None = None
    saved_rbx: int | None = None
    rbp_at: int | None = None
    rbx_at: int | None = None
    is_plt: bool = False
    is_stored: bool = False
    is_last: bool = False


class Frame(NamedTuple):
    """Registers of one frame of a walk."""

    ip: int
    sp: int
    bp: int
    bx: int


def cfa_of(frame: Frame, rule: Rule, read_word: Callable[[int], int | None], word: int = 8) -> int | None:
    """Return where the caller's stack pointer is behind the call, None if that cannot be known."""
    if rule.is_plt:
        return frame.sp + word + (word if frame.ip & 15 >= 11 else 0)
    register = rule.register
    if register == SP:
        cfa = frame.sp + rule.offset
    elif register == FP:
        cfa = frame.bp + rule.offset
    elif register == KEPT:
        cfa = frame.bx + rule.offset
    else:
        return None
    return read_word(cfa) if rule.is_stored else cfa


def saved_at(frame: Frame, rule: Rule, cfa: int) -> tuple[int | None, int | None]:
    """Return where the caller's rbp and rbx are saved, None for one that is still in its register."""
    bp = frame.bp + rule.rbp_at if rule.rbp_at is not None else None
    bx = frame.bp + rule.rbx_at if rule.rbx_at is not None else None
    return (
        cfa + rule.saved_rbp if rule.saved_rbp is not None else bp,
        cfa + rule.saved_rbx if rule.saved_rbx is not None else bx,
    )


def step(frame: Frame, rule: Rule, read_word: Callable[[int], int | None], word: int = 8) -> Frame | None:
    """Return the caller's frame, or None when the saved stack does not reach that far; *word* is a word's size."""
    cfa = None if rule.is_last else cfa_of(frame, rule, read_word, word)
    if cfa is None:
        return None
    at_bp, at_bx = saved_at(frame, rule, cfa)
    bp = frame.bp if at_bp is None else read_word(at_bp)
    bx = frame.bx if at_bx is None else read_word(at_bx)
    if NATIVE.popped:
        ip, lowest = read_word(cfa - word), frame.sp - word + 1
    else:
        ip, lowest = NATIVE.unsigned(bx or 0, frame.ip, frame.sp), frame.sp + (at_bx is not None)
        if ip == frame.ip and at_bx is None:  # nothing was saved: this goes nowhere; a recursion has saved it
            return None
    if ip is None or cfa < lowest:
        return None
    return Frame(ip, cfa, bp or 0, bx or 0)
