"""The pieces of stack that programs recorded themselves, on their way into the spool: many in one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.recording.records import STACK_BYTES, STACK_PIECE
from observer.recording.sink import Sink

__all__ = ["StackPieces"]

_MOST_KNOWN: Final = 1 << 12
"""Pieces of stack that are compared with those that come: a loop has the same ones again and again."""
_TIME: Final = 8
"""Bytes in front of what tells two records apart."""


class StackPieces:
    """Stores in *sink* each piece of stack that is another than those before."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._known: dict[bytes, int] = {}

    def of(self, pieces: npt.NDArray[np.void], places: Sequence[int], now: int) -> list[int]:
        """Return the numbers of the *pieces* at these *places*, 0 for those that are lost; they came at *now*.

        A piece has the length of its bytes where a record has its time, as a ring's has.
        """
        records = pieces[places].view(STACK_PIECE.dtype)
        for i in np.flatnonzero(records["time"] < STACK_BYTES).tolist():
            kept = records["bytes"][i].tobytes()[: int(records["time"][i])]
            records["bytes"][i] = np.void(kept.ljust(STACK_BYTES, b"\0"))
        records["time"] = now
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        first = self._sink.stacks.count + 1
        data, size = records.tobytes(), STACK_PIECE.size
        numbers, new = [], list[int]()
        for i in range(len(records)):
            key = data[i * size + _TIME : (i + 1) * size]
            number = self._known.get(key, 0)
            if not number:
                number = self._known[key] = first + len(new)
                new.append(i)
            numbers.append(number)
        if new and not self._sink.stacks.append_all(records[new]):
            self._known.clear()
            return [number if number < first else 0 for number in numbers]
        return numbers
