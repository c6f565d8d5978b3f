"""The program's own place behind what code of a library did: found on the pieces of stack that were saved with it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.instruments.places import StackPiece
from observer.model.events import Site
from observer.trace.known_callers import LIBRARY
from observer.trace.process import ProcessState
from observer.trace.spooled import Stacks

__all__ = ["LIBRARY", "Callers", "Samples"]

_PUSHED_BY_VSYSCALL: Final = 3


class Callers:
    """Finds callers on the *stacks* of a recording, which are known by their numbers from 1; 0 is none."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

    def piece(self, number: int, ip: int, word: int) -> StackPiece | None:
        """Return the saved stack *number* with words of *word* bytes, as that of the code at *ip*."""
        if not 0 < number <= len(self._stacks):
            return None
        _time, sp, bp, bx, data = self._stacks[number - 1]
        return StackPiece(ip, sp, bp, bx, data, word)

    def of_stack(self, state: ProcessState, ip: int, number: int) -> Site:
        """Return the program's own place that led to *ip*: *ip* itself, or the caller found on saved stack *number*."""
        piece = self.piece(number, ip, state.code.word)
        if state.code.role_at(ip) in LIBRARY:
            return self.of_piece(state, ip, piece)
        if piece is not None and state.code.image_at(ip) is None:
            return _site_around(state, ip, piece)
        return state.code.site_at(ip)

    @staticmethod
    def of_piece(state: ProcessState, ip: int, piece: StackPiece | None) -> Site:
        """Return the program's place on *piece* that called the library's code at *ip*, else that of *ip*."""
        caller = state.code.caller_in_program(piece) if piece is not None else None
        return state.code.site_before(caller) if caller is not None else state.code.site_at(ip)


def _site_around(state: ProcessState, ip: int, piece: StackPiece) -> Site:
    """Return the program's place that called code of no file: data jumped into, or i386's door in the vDSO.

    What was called last has its return address lowest on the stack; the vDSO pushed three registers below it.
    """
    back: int | None = 0 if NATIVE.popped else NATIVE.unsigned(piece.bx, ip, piece.sp)
    if back and state.code.is_behind_call(back) and state.code.role_at(back - 1) not in LIBRARY:
        return state.code.site_before(back)
    for words in (0, _PUSHED_BY_VSYSCALL):
        back = piece.word(piece.sp + words * piece.size)
        if back is None or not state.code.is_behind_call(back):
            continue
        if state.code.role_at(back - 1) not in LIBRARY:
            return state.code.site_before(back)
        caller = state.code.caller_in_program(piece.above(back, words + 1), at_call=True)
        return state.code.site_before(caller if caller is not None else back)
    return state.code.site_at(ip)


class Samples:
    """The pieces of stack that fault samples, *records*, brought along."""

    def __init__(self, records: npt.NDArray[np.void]) -> None:
        self._rows: list[tuple[int, ...]] = []
        if "stack" in (records.dtype.names or ()):
            self._stacks = records["stack"]
            # Plain lists: one element of a record array costs as much as a step of the walk.
            fields = [records[name].tolist() for name in ("user_ip", "user_sp", "user_bp", "user_bx", "stack_length")]
            self._rows = list(zip(*fields, strict=True))

    def piece(self, index: int, word: int) -> StackPiece | None:
        """Return the stack of the sample at *index*, None if none was asked for."""
        if not self._rows:
            return None
        ip, sp, bp, bx, length = self._rows[index]
        return StackPiece(ip, sp, bp, bx, self._stacks[index].tobytes()[:length], word)
