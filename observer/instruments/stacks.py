"""A piece of the user stack, kept when code of the C library did something, to find the program's own line later."""

from __future__ import annotations

import contextlib
from typing import Final

from observer.instruments.sink import Sink
from observer.linux.ptrace import RegisterSet
from observer.tracee.memory import Memory

__all__ = ["keep_stack"]

_BP: Final = RegisterSet.INDEX["rbp"]
_BX: Final = RegisterSet.INDEX["rbx"]


def keep_stack(sink: Sink, memory: Memory, now: int, sp: int, registers: RegisterSet, length: int) -> int:
    """Save *length* bytes from *sp* up with rbp and rbx; return the record's number, 0 if it cannot be read.

    What lies above a stack pointer is in use, so reading it brings no page in.
    """
    with contextlib.suppress(OSError):
        piece = memory.read(sp, length)
        return sink.stacks.append(now, sp, registers.words[_BP], registers.words[_BX], piece)
    return 0
