"""What the instruction under a breakpoint does, as a value: it is carried out on a stopped task's registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["CONSTANT", "LINK", "NOTHING", "Emulation", "ReadMemory", "Words"]

Words = memoryview
ReadMemory = Callable[[int, int], bytes]

NOTHING: Final = -1
CONSTANT: Final = -2
LINK: Final = -3


@dataclass(frozen=True, slots=True)
class Emulation:
    """One instruction: its length, what it pushes, and what it does to the registers after that.

    `pushes` is a register's index, NOTHING, or CONSTANT: then it is `constant`, the address behind a call; LINK where
    a call leaves that in a register. `reads` says that its effect reads memory, `is_return` that it is a `ret`.
    """

    length: int
    pushes: int
    apply: Callable[[Words, ReadMemory], None] | None
    text: str
    constant: int = 0
    reads: bool = False
    is_return: bool = False

    @property
    def touches_memory(self) -> bool:
        """Whether more than registers are needed to carry it out."""
        return self.reads or self.pushes not in (NOTHING, LINK)

    @property
    def is_call(self) -> bool:
        """Whether it leaves the address behind it where a function finds its return address."""
        return self.pushes in (CONSTANT, LINK)
