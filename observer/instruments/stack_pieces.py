"""The pieces of stack that programs recorded themselves, on their way into the spool: many in one write."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from observer.instruments.chains import Chain, Chains
from observer.instruments.code_of_spaces import CodeOfSpaces
from observer.recording.records import STACK_BYTES, STACK_PIECE
from observer.recording.sink import Sink
from observer.tracee.inline.space import Space

__all__ = ["StackPieces"]


class StackPieces:
    """Stores in *sink* one piece of stack of each way that leads out of the C library, and each of which none is known.

    What lies on a stack beside return addresses is another in nearly every call, and tells nothing of who called.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._chains = CodeOfSpaces(lambda code: Chains(code, 1, None))

    def of(self, space: Space, pieces: npt.NDArray[np.void], places: Sequence[int], now: int) -> list[int]:
        """Return the numbers of the *pieces* at these *places*, 0 for those that are lost; they came at *now*.

        A piece has the length of its bytes where a record has its time, as a ring's has.
        """
        first = self._sink.stacks.count + 1
        numbers, new, led = list[int](), list[int](), list[Chain]()
        for place, chain in zip(places, self._chains.of(space).of_many(pieces, places), strict=True):
            number = chain.number
            if not number:
                number = first + len(new)
                new.append(place)
                if chain.told:
                    chain.number = number
                    led.append(chain)
            numbers.append(number)
        if new and not self._store(pieces[new], now):
            for chain in led:
                chain.number = 0
            return [number if number < first else 0 for number in numbers]
        return numbers

    def _store(self, pieces: npt.NDArray[np.void], now: int) -> bool:
        """Store *pieces*, which become records; return whether there was room."""
        records = pieces.view(STACK_PIECE.dtype)
        for i in np.flatnonzero(records["time"] < STACK_BYTES).tolist():
            kept = records["bytes"][i].tobytes()[: int(records["time"][i])]
            records["bytes"][i] = np.void(kept.ljust(STACK_BYTES, b"\0"))
        records["time"] = now
        return bool(self._sink.stacks.append_all(records))
