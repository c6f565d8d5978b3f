"""What the stubs have written, taken out of the memory that they share with us, and looked at first.

That memory is the program's, too, which may write into it as into any other: nothing that stands there is believed
that the stub could not have written.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from observer.linux.timestamps import TimeStamps
from observer.recording.clock import nanoseconds
from observer.recording.slots import FUNCTION, HAPPENED, IS_MORE, MORE, whole
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.frames import Frame
from observer.tracee.inline.ring import Block, Filled, Pieces
from observer.tracee.inline.space import Space
from observer.tracee.task import Task

__all__ = ["InlineCalls", "Intake"]

_SKEW: Final = 1_000_000
"""Counts by which processors' counters may differ."""


class InlineCalls(Protocol):
    """Who is told of the calls that the stub saw."""

    def recorded(
        self, pid: int, tid: int, records: npt.NDArray[np.void], count: int, pieces: npt.NDArray[np.void], space: Space
    ) -> None:
        """Take so many calls of a thread in *space*, whole *records* of the layout `records.INLINE`.

        The `stack` of a second record is a place in *pieces*, from 1.
        """

    def taken_over(self, task: Task, frame: Frame, piece: np.void | None, space: Space) -> None:
        """A call that the stub saw begin is *task*'s frame from now on; *piece* is its piece of stack, if there is."""

    def internal(self, count: int) -> None:
        """So many calls more were the library's own business."""

    def overwritten(self, pid: int, count: int) -> None:
        """The process wrote over what the stub had written of *count* calls, or more."""


class Intake:
    """Takes records of blocks, and gives them to *listener*.

    `points` are the functions that records name by their numbers, `at_work` the blocks that threads have, with the
    spaces that they lie in.
    """

    def __init__(self, clock: TimeStamps, listener: InlineCalls) -> None:
        self._clock = clock
        self._started = clock.last
        self._listener = listener
        self._pending: deque[tuple[Block, Space]] = deque()
        self.points: list[Breakpoint] = []
        self.at_work: dict[Block, Space] = {}

    def number(self, point: Breakpoint) -> int:
        """Return the number by which records name the function that *point* stands for."""
        self.points.append(point)
        return len(self.points) - 1

    def pace(self) -> None:
        """Keep counter and clock together, and take what was recorded: no more is lost with us than was since.

        Called by who handles a stop, or on any thread while none is handled.
        """
        self.flush()  # what is older first
        self._clock.sample()
        self.at_work = {block: space for block, space in self.at_work.items() if space.ring is not None}
        for block, space in self.at_work.items():
            if self._is_whole(block):
                self._store(block, block.take_closed(), space)
                block.time_passed()

    def finish(self) -> None:
        """All has ended: what was recorded last lies before this moment."""
        self._clock.sample(is_last=True)

    def is_sound(self, block: Block, space: Space) -> bool:
        """Whether the program has left *block*, and the way to it, to the stub; if not, both are put right."""
        if not self._is_whole(block):
            return False
        is_found = space.ring is not None and space.ring.leads_to(block)
        if not is_found:
            self._overwritten(block, 1)
        return is_found

    def _is_whole(self, block: Block) -> bool:
        is_whole = block.is_sound
        if not is_whole:
            self._overwritten(block, 1)
        return is_whole

    def _overwritten(self, block: Block, count: int) -> None:
        block.begin_anew()
        self._listener.overwritten(block.pid, count)

    def _are_sound(
        self, functions: npt.NDArray[np.uint32], counters: npt.NDArray[np.uint64], stacks: npt.NDArray[np.uint64],
        pieces: Pieces,
    ) -> bool:  # fmt: skip
        """Whether these may be what the stub has written: of functions that are known, in the time of this run.

        *stacks* are the addresses of the *pieces* that there are.
        """
        span = np.uint64(self._clock.sample()[0] + _SKEW - self._started[0])
        since = (counters[counters.nonzero()] & ~HAPPENED) - np.uint64(self._started[0])
        offsets = stacks - np.uint64(pieces.first)
        return bool(
            (since <= span).all() and ((functions & FUNCTION) < len(self.points)).all()
            and (offsets < pieces.there.nbytes).all() and not (offsets % pieces.there.dtype.itemsize).any()
        )  # fmt: skip

    # ---- the open call ----

    def open_call(self, block: Block) -> tuple[np.void, np.void | None] | None:
        """Return the record of the call that is open in *block*, and its piece of stack; None if none is."""
        if not self._is_whole(block) or not block.is_open:
            return None
        record = block.record_at_hand()
        alone = record.reshape(1)
        stacks = alone["stack"][alone["stack"].nonzero()]
        if self._are_sound(alone["function"], alone["began"], stacks, block.pieces):
            return record, block.piece_of(record)
        self._overwritten(block, 1)
        return None

    def time_of(self, counter: int) -> int:
        """Return about when the processor's *counter*, of an open call's beginning, was read, on CLOCK_MONOTONIC.

        Other counters of its thread may become other times, by pairs that come later.
        """
        known = np.array([self._started, self._clock.sample()], dtype=np.int64)  # close to the latter
        [began] = nanoseconds(np.array([counter], dtype=np.uint64), known[:, 0], known[:, 1]).tolist()
        return int(began)

    # ---- closed ones ----

    def turn(self, block: Block, space: Space) -> None:
        """Have the stub go on in the other half of *block*; `flush` takes the full one."""
        self._empty(block, space)
        self._pending.append((block, space))
        block.turn()

    def flush(self) -> None:
        """Take what full halves hold."""
        while self._pending:
            self._empty(*self._pending[0])
            self._pending.popleft()

    def drain(self, block: Block, space: Space) -> None:
        """Take all that *block* holds, whose thread stands still."""
        self._empty(block, space)
        if self._is_whole(block):
            self._take(block, block.take(), space)

    def _empty(self, block: Block, space: Space) -> None:
        filled, block.pending = block.pending, None
        if filled is not None:
            self._take(block, filled, space)

    def _take(self, block: Block, filled: Filled, space: Space) -> None:
        if internal := block.take_internal():
            self._listener.internal(internal)
        self._store(block, filled, space)

    def _store(self, block: Block, filled: Filled, space: Space) -> None:
        records = filled.records
        if not len(records):
            return
        functions = records["function"].copy()
        is_call = functions != IS_MORE
        count = int(is_call.sum())
        second = records.view(MORE)
        [more] = np.nonzero(~is_call)
        counters = np.concatenate((second["began"][more], second["ended"][more]))
        stacks = second["stack"][more]
        has_piece = more[stacks.nonzero()]
        stacks = stacks[stacks.nonzero()]
        if whole(records) < len(records) or not self._are_sound(functions[is_call], counters, stacks, filled.pieces):
            self._overwritten(block, max(count, 1))
            return
        if space.unhooked:
            seen = {*(functions[is_call] & FUNCTION).tolist()}
            space.still_seen |= {number for function, number in space.unhooked.items() if function in seen}
        first, size = np.uint64(filled.pieces.first), np.uint64(filled.pieces.there.dtype.itemsize)
        second["stack"][has_piece] = (stacks - first) // size + np.uint64(1)
        self._listener.recorded(block.pid, block.tid, records, count, filled.pieces.there, space)
