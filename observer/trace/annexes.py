"""What the inline recorder put into programs, left out of what is told: its own page faults, its addresses of code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from observer.recording.notes import Annexed, Born, Note

__all__ = ["Annexes"]

Records = npt.NDArray[np.void]


class _Annex:
    """One annex in the process *pid*, or in a child that has it from there."""

    def __init__(self, pid: int, note: Annexed) -> None:
        self.pid = pid
        self.note = note
        self.code, self.memory = (note.start, note.end), note.memory
        places = sorted(note.places)
        self._firsts = np.array([first for first, _length, _old in places], dtype=np.uint64)
        self._lasts = np.array([first + length for first, length, _old in places], dtype=np.uint64)
        self._olds = np.array([old for _first, _length, old in places], dtype=np.uint64)

    def original(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Return what *addresses* stand for in the program's own code."""
        at = np.searchsorted(self._firsts, addresses, side="right").astype(np.int64) - 1
        known = (at >= 0) & (addresses < self._lasts[np.maximum(at, 0)]) if len(self._lasts) else at >= 0
        return np.where(known, self._olds[np.maximum(at, 0)], addresses) if len(self._olds) else addresses


class Annexes:
    """All annexes of a run. `own_faults` counts the samples that were left out."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self._all: list[_Annex] = []
        self.own_faults = 0
        for note in sorted(notes, key=lambda note: note.t):
            if isinstance(note, Annexed):
                self._all.append(_Annex(note.pid, note))
            elif isinstance(note, Born) and note.child_pid != note.pid and not note.shares:
                inherited = [annex.note for annex in self._all if annex.pid == note.pid]
                self._all += [_Annex(note.child_pid, each) for each in inherited]

    def left_out(self, samples: Records) -> Records:
        """Return *samples* of faults without those in our own memory, each at the instruction of the program's own."""
        for annex in self._all if len(samples) else ():
            mine = samples["pid"] == annex.pid
            if not mine.any():
                continue
            own = mine & (_within(samples["address"], annex.memory) | _within(samples["address"], annex.code))
            moved = mine & _within(samples["user_ip"], annex.code)
            if moved.any():
                samples = samples.copy()
                samples["user_ip"][moved] = annex.original(samples["user_ip"][moved])
                in_user_mode = moved & _within(samples["ip"], annex.code)
                samples["ip"][in_user_mode] = samples["user_ip"][in_user_mode]
            if own.any():
                self.own_faults += int(own.sum())
                samples = samples[~own]
        return samples


def _within(values: npt.NDArray[np.uint64], stretch: tuple[int, int]) -> npt.NDArray[np.bool_]:
    low, high = stretch
    inside: npt.NDArray[np.bool_] = (values >= np.uint64(low)) & (values < np.uint64(high))
    return inside
