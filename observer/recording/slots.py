"""Calls as a program records them itself: a record each, and a second one where there is more to say.

Most calls take one: what was asked, what came of it, and from where. Times that were read, a third argument and a piece
of stack stand in a record of their own right behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.recording.records import INLINE

__all__ = [
    "FUNCTION", "HAPPENED", "HAS_MORE", "IS_MORE", "MORE", "OPEN", "STORES_ITS_RESULT", "Unfolded", "has_more",
    "unfolded", "whole",
]  # fmt: skip

Records = npt.NDArray[np.void]

STORES_ITS_RESULT: Final = 1 << 31
"""Of a `function`: it stores its result where the first argument points."""
HAS_MORE: Final = 1 << 30
"""Of a `function`: a second record follows."""
FUNCTION: Final = HAS_MORE - 1
"""The bits of a `function` that are its number."""
HAPPENED: Final = np.uint64(1 << 62)
"""Of a time: something that is recorded may lie between it and the time before."""

IS_MORE: Final = 0xFFFF_FFFF
"""In the place of a `function`: it is a second record."""
_MORE_FIELDS: Final = [("began", "<u8"), ("ended", "<u8"), ("a2", "<u8"), ("stack", "<u8"), ("unused", "<u8")]
MORE: Final = np.dtype([*_MORE_FIELDS, ("function", "<u4"), ("inner", "<u4")])
"""A second record: its `function` is no number.

Times are counters of the processor, which the CLOCK records tell how to read. One of 0, like those of a call without a
second record, was not read: nothing that is recorded lies between it and the time before, of the same thread. `stack`
is where its piece of stack is, 0 if it has none.
"""
OPEN: Final = np.dtype([*INLINE.dtype.descr, *_MORE_FIELDS])
"""An open call, which has both records as long as it is open."""


@dataclass(frozen=True, slots=True)
class Unfolded:
    """Calls, a row each: their `functions`, and what their second records say, 0 where they have none.

    `places` are those of their first ones among the `records`.
    """

    records: Records
    places: npt.NDArray[np.intp]
    functions: npt.NDArray[np.uint32]
    began: npt.NDArray[np.uint64]
    ended: npt.NDArray[np.uint64]
    a2: npt.NDArray[np.uint64]
    stack: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.places)

    def column(self, name: str) -> npt.NDArray[np.void]:
        """Return what the first records say in the field *name*."""
        found: npt.NDArray[np.void] = self.records[name]
        return found if len(found) == len(self.places) else found[self.places]


def has_more(function: int) -> bool:
    """Whether a record with this `function` is a call's first one and a second one follows."""
    return function != IS_MORE and bool(function & HAS_MORE)


def whole(records: Records) -> int:
    """Return how many of *records* there are before the first that is no call, or not all of one."""
    functions = records["function"]
    is_more = functions == IS_MORE
    announced = (functions & np.uint32(HAS_MORE) != 0) & ~is_more
    odd = np.empty(len(records) + 1, dtype=np.bool_)  # the last: a second record that is missing
    odd[0], odd[-1] = is_more[:1].any(), announced[-1:].any()
    odd[1:-1] = is_more[1:] != announced[:-1]
    if not odd.any():
        return len(records)
    first = int(np.argmax(odd))
    return first - int(first > 0 and announced[first - 1])


def unfolded(records: Records) -> Unfolded:
    """Return the calls of *records*, which are `whole`."""
    functions = records["function"].copy()
    is_more = functions == IS_MORE
    [places], [more] = np.nonzero(~is_more), np.nonzero(is_more)
    second = records.view(MORE)
    columns = np.zeros((4, len(places)), dtype=np.uint64)
    of = more - np.arange(1, len(more) + 1)
    for column, name in zip(columns, ("began", "ended", "a2", "stack"), strict=True):
        column[of] = second[name][more]
    began, ended, a2, stack = columns
    return Unfolded(records, places, functions[places] & np.uint32(FUNCTION), began, ended, a2, stack)
