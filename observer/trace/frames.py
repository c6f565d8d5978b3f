"""The page frame behind each fault, as it was at the process's end (pagemap; privileged)."""

from __future__ import annotations

from typing import Final

import numpy as np

from observer.trace.assembly import Assembly
from observer.trace.spooled import Spooled

__all__ = ["fill_frames"]

_PAGE: Final = 4096
_PRESENT: Final = np.uint64(63)
_FRAME_BITS: Final = np.uint64((1 << 55) - 1)


def fill_frames(spooled: Spooled, assembly: Assembly) -> None:
    """Give each fault the frame that its page had at the end of its process, where the kernel showed it."""
    faults = spooled.faults
    pages = faults["address"] // np.uint64(_PAGE)
    for note in spooled.notes:
        if note["what"] != "end":
            continue
        mine = np.nonzero(faults["pid"] == note["pid"])[0]
        for start, count, at in note["frames"]:
            first = start // _PAGE
            inside = mine[(pages[mine] >= first) & (pages[mine] < first + count)]
            entries = spooled.frames[at // 8 + (pages[inside] - np.uint64(first)).astype(np.int64)]
            frames = (entries & _FRAME_BITS).astype(np.int64)
            visible = (entries >> _PRESENT != 0) & (frames != 0)
            assembly.faults.numbers["frame"][inside[visible]] = frames[visible]
            assembly.has_visible_frames |= bool(visible.any())
