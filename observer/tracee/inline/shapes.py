"""How large the parts of the memory are that stub and observer share, and what a record in it is."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from observer.recording.records import INLINE, STACK_BYTES

__all__ = [
    "CALLERS_STACK", "EACH_A_PIECE", "FEW_PIECES", "HEAD", "RECORD", "SCRATCH", "SLOTS", "TABLE", "Shape", "Shapes",
]  # fmt: skip

RECORD: Final = INLINE.dtype
"""What the stub writes of a call, as in stub.S; the `stack` of a second one is the address of a piece of stack."""

CALLERS_STACK: Final = 16384
"""Bytes of stack in which a call's callers are looked for, where they were asked for."""

SLOTS: Final = 4096
_SPARE_SLOTS: Final = 64
"""Behind the last slot, so that nothing wraps around."""
TABLE: Final = 16 * (SLOTS + _SPARE_SLOTS)
"""Bytes of the table of threads."""
SCRATCH: Final = 256
"""Bytes behind the table that nobody uses."""
HEAD: Final = 192
"""Bytes of a block before its records."""
_AT_ONCE: Final = 8
"""Blocks for further threads that are made together."""


@cache
def _piece(size: int) -> np.dtype[np.void]:
    return np.dtype([("length", "<u8"), ("sp", "<u8"), ("bp", "<u8"), ("bx", "<u8"), ("bytes", f"V{size}")])


@dataclass(frozen=True, slots=True)
class Shape:
    """How many records and pieces of stack a half of a block holds, and how many bytes of stack a piece has."""

    records: int
    pieces: int
    bytes: int = STACK_BYTES

    @property
    def piece(self) -> np.dtype[np.void]:
        """A piece of stack, as in stub.S."""
        return _piece(self.bytes)

    @property
    def half(self) -> int:
        """Bytes of a half."""
        return self.records * RECORD.itemsize + self.pieces * self.piece.itemsize

    @property
    def size(self) -> int:
        """Bytes of a block: whole pages."""
        return -(-(HEAD + 2 * self.half) // mmap.PAGESIZE) * mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of the first thread's block, of the others', and of those of very many; `forked` is that of the first
    thread's in a forked child, of which most make few calls."""

    large: Shape
    small: Shape
    tiny: Shape
    forked: Shape

    @property
    def first(self) -> int:
        """Bytes that a ring begins with: the table and the first block."""
        return -(-(TABLE + SCRATCH) // mmap.PAGESIZE) * mmap.PAGESIZE + self.large.size

    @property
    def of_child(self) -> Shapes:
        """Those of a forked child."""
        return replace(self, large=self.forked)

    @property
    def more(self) -> int:
        """Bytes that it is made larger by."""
        return _AT_ONCE * self.small.size


FEW_PIECES: Final = Shapes(Shape(20480, 256), Shape(3584, 32), Shape(448, 8), Shape(5120, 64))
"""Where only calls that the C library makes for the program have pieces of stack."""
EACH_A_PIECE: Final = Shapes(
    Shape(512, 256, CALLERS_STACK), Shape(128, 64, CALLERS_STACK), Shape(32, 16, CALLERS_STACK),
    Shape(128, 64, CALLERS_STACK),
)  # fmt: skip
"""Where every call has one."""
