"""The allocator calls of a run, replayed: whole stretches of them at once, and what of them is odd one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import HEADER
from observer.model.chapter import GROWING
from observer.model.events import ChunkRef
from observer.trace.call_names import CallNames, by_process
from observer.trace.call_rows import ALLOCATES, GIVES, RELEASES, CallRows
from observer.trace.callers import Callers
from observer.trace.columns import SiteTable
from observer.trace.misuses import Misuses
from observer.trace.part import Part
from observer.trace.process import ProcessState
from observer.trace.stacks import StackTable
from observer.trace.timeline import Moments
from observer.trace.turns import Turns

__all__ = ["CallReplay"]

Integers = npt.NDArray[np.int64]

_NEVER: Final = 1 << 62


class CallReplay:
    """Replays windows of calls: `begin`, then stretches from one position to another, then `end`.

    A stretch ends where somebody needs to know all that is alive, or where a process begins anew. Within it the turns
    of each process are paired at once; `next_odd` is the position of the next call that has to be looked at by itself.

    Args:
        state_of: gives the state of a process.
        loaders: names of the loaders, whose own allocations are no other allocator's.
        stacks: takes the stacks of calls, where callers were asked for.
    """

    def __init__(
        self, sites: SiteTable, callers: Callers, state_of: Callable[[int], ProcessState], loaders: Collection[str],
        stacks: StackTable | None,
    ) -> None:  # fmt: skip
        self._state_of, self._loaders, self._words = state_of, loaders, sites.words
        self._misuses = Misuses(sites)
        self._names = CallNames(sites, callers, state_of, self._misuses.elsewhere, stacks)
        self._rows: CallRows | None = None
        self._base = 0
        self.next_odd = _NEVER

    def begin(
        self, moments: Moments, part: Part, began_at: Integers, ended: Integers, ended_at: Integers, count: int,
        library_sites: list[int],
    ) -> CallRows:  # fmt: skip
        """Go on with a window of *count* positions: its calls began at *began_at*; *ended* ended at *ended_at*."""
        rows = self._rows = CallRows(moments, part, self._rows)
        rows.place(began_at, ended, ended_at, self._base)
        self._base += count
        self._positions, self._whose, self._kinds = rows.turns(count)
        self._pids = rows.pid[self._whose]
        self._are_keeping = bool(rows.keeping(0, count, rows.began_at < count).any())
        self._misuses.begin(rows)
        self._names.begin(rows, moments.call_libraries, library_sites)
        return rows

    def end(self) -> None:
        """Write what was found in the window."""
        self._misuses.write()
        self._rows_here.write()

    @property
    def _rows_here(self) -> CallRows:
        assert self._rows is not None
        return self._rows

    # ---- stretches ------------------------------------------------------------------------------------------------

    def begin_stretch(self, low: int, high: int) -> None:
        """Pair what happens to pieces between the positions *low* and *high*."""
        self._low = low
        self._turns: dict[int, tuple[ProcessState, Turns]] = {}
        self._odd: list[tuple[int, int]] = []
        first, last = np.searchsorted(self._positions, np.array([low, high])).tolist()
        together: dict[int, tuple[ProcessState, list[Integers]]] = {}
        for pid, mine in by_process(self._pids, np.arange(first, last)):
            state = self._state_of(pid)
            together.setdefault(id(state), (state, []))[1].append(mine)
        for state, some in together.values():
            self._pair(state, some[0] if len(some) == 1 else np.sort(np.concatenate(some)))
        heapify(self._odd)
        self._look_ahead()

    def _pair(self, state: ProcessState, which: Integers) -> Turns:
        turns = Turns(
            self._rows_here, self._positions[which], self._whose[which], self._kinds[which], state.live, state.freed
        )  # fmt: skip
        self._turns[id(state)] = state, turns
        self._odd += [(position, id(state)) for position in turns.odd().tolist()]
        self._odd += [(position, id(state)) for position in turns.gives_of(state.twice)]
        return turns

    def _turns_of(self, state: ProcessState) -> Turns:
        known = self._turns.get(id(state))
        return known[1] if known is not None else self._pair(state, np.empty(0, dtype=np.int64))

    def _look_ahead(self) -> None:
        self.next_odd = self._odd[0][0] if self._odd else _NEVER

    def judge(self, high: int) -> None:
        """Look at the odd calls before position *high*."""
        while self._odd and self._odd[0][0] < high:
            position, number = heappop(self._odd)
            state, turns = self._turns[number]
            at = int(np.searchsorted(self._positions, position))
            row = int(self._whose[at])
            if self._kinds[at] == GIVES:
                self._misuses.handed_out(state, turns, row, position)
                continue
            pointer, known = int(self._rows_here.pointer[row]), len(state.twice)
            self._misuses.given_back(state, turns, row, position)
            if len(state.twice) > known:
                for later in turns.gives_of([pointer], position):
                    heappush(self._odd, (later, number))
        self._look_ahead()

    def name(self, high: int) -> None:
        """Name what happened before position *high*: names change then."""
        self._names.name(high)

    def name_within(self, high: int, start: int, end: int) -> None:
        """Name what happened before position *high* if names change then that it has: those in [start, end)."""
        if start < end and self._names.has_any(high, start, end):
            self._names.name(high)

    def end_stretch(self, high: int) -> None:
        """Make the states of the processes those at position *high*."""
        rows = self._rows_here
        self.judge(high)
        self.name(high)
        for row in np.flatnonzero(rows.keeping(self._low, high, rows.ended_at >= high)) if self._are_keeping else ():
            piece = self._turns_of(self._state_of(int(rows.pid[row]))).piece_of(int(row))
            if piece is not None:
                rows.kept[int(row)] = piece
        for _state, turns in self._turns.values():
            turns.commit()
        first, last = np.searchsorted(rows.ended_positions, np.array([self._low, high])).tolist()
        self._doubt(rows, rows.ended_rows[first:last])

    def _doubt(self, rows: CallRows, ended: Integers) -> None:
        """Note what makes pieces doubtful: calls that did not return, and pieces of other allocators."""
        op = rows.op[ended]
        unended = ended[~rows.returned[ended] & (ALLOCATES[op] | RELEASES[op])]
        for pid, mine in by_process(rows.pid, unended):
            self._state_of(pid).doubts.unended += len(mine)
        gives = rows.returned[ended] & ALLOCATES[op] & (rows.result[ended] != 0) & ~rows.is_glibc[ended]
        for pid, mine in by_process(rows.pid, ended[gives]):
            names = {self._words.words[number] for number in np.unique(rows.allocator[mine]).tolist()}
            self._state_of(pid).doubts.has_others |= bool(names - set(self._loaders))

    # ---- one moment -----------------------------------------------------------------------------------------------

    def held(
        self, pids: Integers, addresses: npt.NDArray[np.uint64], positions: Integers
    ) -> list[ChunkRef | None]:  # fmt: skip
        """Return the live pieces of these processes that hold *addresses* at *positions* of the stretch."""
        found: list[ChunkRef | None] = [None] * len(pids)
        for pid, mine in by_process(pids, np.arange(len(pids))):
            chunks = self._turns_of(self._state_of(pid)).chunks(addresses[mine], positions[mine])
            for i, chunk in zip(mine.tolist(), chunks, strict=True):
                found[i] = chunk
        return found

    def in_making(self, row: int, address: int) -> ChunkRef | None:
        """Return the piece that the call of *row* (-1: none) will return, if *address* is in it or its header."""
        rows = self._rows_here
        if row < 0 or not ALLOCATES[rows.op[row]] or not rows.result[row]:
            return None
        piece = rows.piece(row)
        is_inside = piece.address - HEADER <= address < piece.address + max(piece.size, 1)
        return piece if is_inside else None

    def grows(self, row: int, name: str, position: int) -> None:
        """In the call of *row* the system call *name* began at *position*."""
        rows = self._rows_here
        rows.growth[row] += name in GROWING and position < rows.ended_at[row]
