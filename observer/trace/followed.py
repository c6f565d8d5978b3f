"""Of a run of which only some processes are followed: when each was, and which page faults are none of theirs.

The kernel gives events of a whole tree, or of none of it (perf_event_open(2), inherit).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from observer.recording.notes import Born, Exec, Note, Released

__all__ = ["Followed"]

Records = npt.NDArray[np.void]
_NEVER = (1 << 63) - 1


class Followed:
    """The times at which processes were followed. `others` counts the samples that were left out."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self._spans: dict[int, list[list[int]]] = {}
        self._is_partial = any(isinstance(note, Released) and note.how == "unfollowed" for note in notes)
        self.others = 0
        for note in sorted(notes, key=lambda note: note.t) if self._is_partial else ():
            if isinstance(note, Born) and note.child_pid != note.pid:
                self._spans.setdefault(note.child_pid, []).append([0, _NEVER])
            elif isinstance(note, Exec) and (note.first or note.joined):
                self._spans.setdefault(note.pid, []).append([note.t * note.joined, _NEVER])
            elif isinstance(note, Released) and note.pid in self._spans:
                self._spans[note.pid][-1][1] = note.t

    def only(self, samples: Records) -> Records:
        """Return those of *samples* that were taken in processes that were followed then."""
        if not self._is_partial or not len(samples):
            return samples
        mine = np.zeros(len(samples), dtype=bool)
        times = samples["time"]
        for pid in np.unique(samples["pid"]).tolist():
            for start, end in self._spans.get(pid, ()):
                mine |= (samples["pid"] == pid) & (times >= np.uint64(start)) & (times <= np.uint64(end))
        self.others += int((~mine).sum())
        return samples[mine]
