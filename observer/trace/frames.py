"""The page frame behind each fault, as it was at the process's end (pagemap; privileged)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from observer.model.addresses import PAGE
from observer.trace.assembly import Assembly
from observer.trace.spooled import Spooled

__all__ = ["fill_frames"]

_Indexes = npt.NDArray[np.int64]

_PRESENT: Final = np.uint64(63)
_FRAME_BITS: Final = np.uint64((1 << 55) - 1)


def fill_frames(spooled: Spooled, assembly: Assembly) -> None:
    """Give each fault the frame that its page had at the end of its process, where the kernel showed it."""
    faults = spooled.faults
    pages = (faults["address"] // np.uint64(PAGE)).astype(np.int64)
    since: dict[int, int] = {}
    for note in spooled.notes:
        if note["what"] != "end" or not note["frames"]:
            continue
        # A number may be used again: what came before an earlier end was of another process.
        mine = np.nonzero((faults["pid"] == note["pid"]) & (faults["time"] > since.get(note["pid"], 0)))[0]
        since[note["pid"]] = note["t"]
        is_saved, places = _saved(pages[mine], np.array(sorted(note["frames"]), dtype=np.int64))
        entries, inside = spooled.frames[places], mine[is_saved]
        frames = (entries & _FRAME_BITS).astype(np.int64)
        visible = (entries >> _PRESENT != 0) & (frames != 0)
        assembly.faults.numbers["frame"][inside[visible]] = frames[visible]
        assembly.has_visible_frames |= bool(visible.any())


def _saved(pages: npt.NDArray[np.int64], runs: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.bool_], _Indexes]:
    """Return which of *pages* (page numbers) were saved, and where in the file (in entries).

    *runs* has a row (first address, pages, position in bytes) for each stretch that was saved, in order of address.
    """
    firsts = runs[:, 0] // PAGE
    run = np.searchsorted(firsts, pages, side="right") - 1
    within = pages - firsts[run]
    is_saved = (run >= 0) & (within < runs[run, 1])
    return is_saved, (runs[run, 2] // 8 + within)[is_saved]
