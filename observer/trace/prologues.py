"""Calls begin where their functions do: a breakpoint may stand behind a function's first pushes (`code/prologue.py`).

Such a push may be what first reaches a page of the stack. Then the page fault came before the call was seen to begin,
and yet it lies in it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from observer.recording.merge import Batch
from observer.recording.notes import Allocator, Note
from observer.recording.records import COUNTED

__all__ = ["Prologues"]

Records = npt.NDArray[np.void]

_LARGEST_PUSH = 16
"""Bytes; AArch64 stores two registers at once."""


class Prologues:
    """Knows the instructions that *notes* say functions run through before their breakpoint."""

    def __init__(self, notes: Iterable[Note]) -> None:
        known = sorted({each for note in notes if isinstance(note, Allocator) for each in note.prologues})
        self._begins = np.array([begin for begin, _end in known], dtype=np.uint64)
        self._ends = np.maximum.accumulate(np.array([end for _begin, end in known], dtype=np.uint64))

    def before_pushes(self, calls: Batch, open_calls: Records, faults: Records) -> Batch:
        """Return *calls* with the beginning of each before the *faults* of its function's first pushes.

        *open_calls* are those that began earlier and had not ended.
        """
        if not len(self._begins) or not len(faults):
            return calls
        places = np.searchsorted(self._begins, faults["ip"], "right") - 1
        [pushing] = np.nonzero((places >= 0) & (faults["ip"] < self._ends[places]))
        began: dict[int, int] = {}
        for fault, place in zip(faults[pushing], places[pushing].tolist(), strict=True):
            most = _LARGEST_PUSH * int(self._ends[place] - self._begins[place])
            if not any(_lies_in(fault, each) for each in (open_calls, calls.records)):
                call = _next(fault, calls.records, most)
                if call >= 0:
                    began.setdefault(call, int(fault["time"]))
        if not began:
            return calls
        records = calls.records.copy()
        for call, time in began.items():
            records["began"][call] = time
        order = np.argsort(records["began"], kind="stable")
        return Batch(records[order], calls.indexes[order])


def _lies_in(fault: np.void, calls: Records) -> bool:
    """Whether *fault* came in one of *calls*, as they are told by now."""
    time = fault["time"]
    holds = (calls["tid"] == fault["tid"]) & (calls["began"] <= time) & (calls["ended"] >= time)
    return bool((holds & (calls["sp"] >= fault["user_sp"])).any())


def _next(fault: np.void, calls: Records, most: int) -> int:
    """Return which of *calls* its thread began next behind *fault*; -1: not from where so many bytes were pushed."""
    [later] = np.nonzero((calls["tid"] == fault["tid"]) & (calls["began"] > fault["time"]))
    if not len(later):
        return -1
    call = calls[later[0]]
    pushed = int(call["sp"]) - int(fault["user_sp"])
    return int(later[0]) if 0 <= pushed <= most and not call["flags"] & COUNTED else -1
