"""Frames of malloc's memory that came in beside a touched page: of huge pages, without a fault of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from observer.model.addresses import PAGE
from observer.recording.notes import End
from observer.trace.spooled import Spooled

__all__ = ["Blocks", "frames_beside"]

_BLOCK_SHIFT: Final = 21
_PAGES: Final = (1 << _BLOCK_SHIFT) // PAGE
_PRESENT: Final = np.uint64(63)


@dataclass(slots=True)
class Blocks:
    """The 2 MiB in which faults brought frames of malloc's in: how many faults each had, and what lay beside them.

    `inherited` are those that a fork child shares with its parent: their frames came in there.
    """

    faults: Counter[int] = field(default_factory=Counter)
    inherited: frozenset[int] = frozenset()
    beside: int = 0

    def fork(self) -> Blocks:
        """Return what a fork child begins with."""
        return Blocks(inherited=self.inherited.union(self.faults))

    def touch(self, address: int) -> None:
        """A fault brought in the frame at *address*."""
        if (block := address >> _BLOCK_SHIFT) not in self.inherited:
            self.faults[block] += 1

    def leave(self, first: int, counts: Sequence[int]) -> None:
        """From block *first* on, so many pages a block were there, and are given back now."""
        for block, count in enumerate(counts, start=first):
            faults = self.faults.pop(block, 0)
            self.beside += max(count - faults, 0) if faults else 0


def frames_beside(spooled: Spooled, left: list[Blocks]) -> int:
    """Return how many frames came beside others; *left* are the blocks that each process has at its end."""
    ends = [note for note in spooled.notes if isinstance(note, End)]
    for note, blocks in zip(ends, left, strict=True):
        for block, count in _present(spooled, note, blocks).items():
            blocks.leave(block, [count])
    return sum(blocks.beside for blocks in left)


def _present(spooled: Spooled, note: End, blocks: Blocks) -> Counter[int]:
    """Count the pages that were there at the end, in each block that had a fault and lies in anonymous memory whole."""
    whole: set[int] = set()
    for mapping in note.mappings:
        if mapping.path in ("", "[heap]"):
            inside = range(-(-mapping.start >> _BLOCK_SHIFT), mapping.end >> _BLOCK_SHIFT)
            whole.update(block for block in blocks.faults if block in inside)
    present: Counter[int] = Counter()
    for start, count, at in note.frames:
        there = np.nonzero(spooled.frames[at // 8 : at // 8 + count] >> _PRESENT)[0] + start // PAGE
        found, counts = np.unique(there // _PAGES, return_counts=True)
        for block, pages in zip(found.tolist(), counts.tolist(), strict=True):
            present[block] += pages if block in whole else 0
    return present
