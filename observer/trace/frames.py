"""The page frame behind each fault, as it was at the process's end (pagemap; privileged)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from observer.model.addresses import PAGE
from observer.recording.notes import End
from observer.trace.columns import Columns
from observer.trace.spooled import Spooled

__all__ = ["Frames"]

Integers = npt.NDArray[np.int64]

_PRESENT: Final = np.uint64(63)
_FRAME_BITS: Final = np.uint64((1 << 55) - 1)


class Frames:
    """The saved pagemaps of a recording's processes."""

    def __init__(self, spooled: Spooled) -> None:
        self._entries = spooled.frames
        self._ends: dict[int, list[tuple[int, Integers]]] = {}
        for note in spooled.notes:
            if isinstance(note, End) and note.frames:
                runs = np.array(sorted(note.frames), dtype=np.int64)
                self._ends.setdefault(note.pid, []).append((note.t, runs))

    def fill(self, faults: npt.NDArray[np.void], columns: Columns) -> bool:
        """Give each of the *faults* of a part the frame that its page had at the end of its process, where the kernel
        showed it; return whether it showed one.
        """
        pages = (faults["address"] // np.uint64(PAGE)).astype(np.int64)
        is_visible = False
        for pid in np.unique(faults["pid"]).tolist():
            since = 0
            for at, runs in self._ends.get(pid, ()):
                # A number may be used again: what came before an earlier end was of another process.
                mine = np.nonzero((faults["pid"] == pid) & (faults["time"] > since))[0]
                since = at
                is_visible |= self._fill(columns.found["frame"], mine, pages[mine], runs)
        return is_visible

    def _fill(self, found: list[int], mine: Integers, pages: Integers, runs: Integers) -> bool:
        is_saved, places = _saved(pages, runs)
        entries, inside = self._entries[places], mine[is_saved]
        frames = (entries & _FRAME_BITS).astype(np.int64)
        visible = (entries >> _PRESENT != 0) & (frames != 0)
        for index, frame in zip(inside[visible].tolist(), frames[visible].tolist(), strict=True):
            found[index] = frame
        return bool(visible.any())


def _saved(pages: npt.NDArray[np.int64], runs: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.bool_], Integers]:
    """Return which of *pages* (page numbers) were saved, and where in the file (in entries).

    *runs* has a row (first address, pages, position in bytes) for each stretch that was saved, in order of address.
    """
    firsts = runs[:, 0] // PAGE
    run = np.searchsorted(firsts, pages, side="right") - 1
    within = pages - firsts[run]
    is_saved = (run >= 0) & (within < runs[run, 1])
    return is_saved, (runs[run, 2] // 8 + within)[is_saved]
