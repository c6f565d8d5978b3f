"""The stacks of allocator calls, where callers were asked for: each different one is kept once, as its addresses."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.instruments.chains import Chain, Chains, words_of
from observer.instruments.code_of_spaces import CodeOfSpaces
from observer.instruments.stacks import present_bytes, put_back
from observer.linux.procfs import PAGE
from observer.linux.ptrace import RegisterSet
from observer.model.through import Through
from observer.recording.records import WHOLE
from observer.recording.sink import Sink
from observer.tracee.frames import Frame
from observer.tracee.inline.shapes import CALLERS_STACK
from observer.tracee.inline.space import Space
from observer.tracee.memory import Memory
from observer.tracee.outermost import stack_area
from observer.tracee.task import Task

__all__ = ["CallStacks"]

_BP, _BX = NATIVE.registers.fp, NATIVE.registers.kept
_MOST_PAGES: Final = 1 << 14


class CallStacks:
    """Keeps, in *sink*, the stack of each call with *most* callers; what is *through* is seen through."""

    def __init__(self, sink: Sink, most: int, through: Through) -> None:
        self._sink = sink
        self._chains = CodeOfSpaces(lambda code: Chains(code, most, through))
        self._ends: dict[tuple[int, int], int] = {}

    def at(self, task: Task, memory: Memory, frame: Frame, registers: RegisterSet) -> int:
        """Return the number of the stack of a call that begins as *frame*; 0 if it cannot be read."""
        sp, length = frame.sp, self._there(task, memory, frame.sp)
        with contextlib.suppress(OSError):
            piece = memory.read(sp, length)
            for outer in (*task.frames, *memory.exchanged.values()):
                piece = put_back(piece, sp, outer, memory.word)
            bp, bx = registers.words[_BP], registers.words[_BX]
            mask = (1 << 8 * memory.word) - 1
            words = words_of(sp, bp & mask, bx & mask, piece, memory.word)
            chain = self._chains.of(memory.inline).of(words, 0, frame.return_address, CALLERS_STACK)
            return self._number(chain, frame.began)
        return 0

    def _there(self, task: Task, memory: Memory, sp: int) -> int:
        """Return how many bytes from *sp* on lie in pages that are there: none is to be brought in.

        Pages of a stack that were there stay, as long as it is one.
        """
        first = sp & -PAGE
        end = self._ends.get((memory.owner, first), 0)
        if not end:
            end = first + present_bytes(memory.tid, first, PAGE + CALLERS_STACK)
            if end in (first + PAGE + CALLERS_STACK, stack_area(task)[1]):
                if len(self._ends) >= _MOST_PAGES:
                    self._ends.clear()
                self._ends[memory.owner, first] = end
        return min(max(end - sp, memory.word), CALLERS_STACK)

    def of(self, space: Space, now: int, pieces: npt.NDArray[np.void], places: Iterable[int]) -> list[int]:
        """Return the numbers of the stacks that inline's *pieces* at some *places* tell of."""
        return [self._number(chain, now) for chain in self._chains.of(space).of_many(pieces, places)]

    def _number(self, chain: Chain, now: int) -> int:
        """Return the number of the stack with this *chain*: stored if it is new."""
        if not chain.number:
            count = len(chain.addresses)
            data, flags = struct.pack(f"<{count}Q", *chain.addresses), WHOLE if chain.is_whole else 0
            chain.number = self._sink.callers.append(max(now, 1), chain.told, count, flags, data)
        return chain.number
