"""The pieces that live in each process, and what each place of the program asked for, holds and brought in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import WORD, chunk_size
from observer.model.addresses import LONGEST_PIECE
from observer.model.call_columns import CallColumns, Integers
from observer.model.events import Call, ChunkRef, Event, Fault, Process, Site, is_glibc
from observer.model.operations import ALLOCATES, ALLOCATING, FREEING, RESIZES, RESIZING
from observer.story.pairing import NEVER, Paired, addresses_of, paired, sizes_of, slots_of
from observer.story.size_classes import chunk_sizes
from observer.story.steps import is_step_six
from observer.story.sums import sums_by

__all__ = ["MEASURES", "Freed", "Left", "Piece", "Place", "Places"]

_ENDED: Final = frozenset({"exit", "killed", "stopped"})
_MOST_SITES: Final = 1 << 14
_REMEMBERED: Final = 1 << 12


@dataclass(slots=True)
class Place:
    """What one place of the program came to: `text` names it, `site` is one of its calls or faults, `first` the n of
    the first of them.

    `calls` allocated, or tried to, and `asked` for bytes in all; `wasted` bytes of their chunks nobody asked for,
    where the chunks are glibc's. `live` bytes in `pieces` are not freed. `faults` is how many page faults this place
    took, `frames` how many page frames came to pieces that it asked for.
    """

    text: str
    site: Site | None
    first: int
    calls: int = 0
    asked: int = 0
    wasted: int = 0
    live: int = 0
    pieces: int = 0
    faults: int = 0
    frames: int = 0


MEASURES: Final[dict[str, Callable[[Place], int]]] = {
    "bytes": lambda place: place.asked,
    "calls": lambda place: place.calls,
    "live": lambda place: place.live,
    "resident": lambda place: place.frames,
    "waste": lambda place: place.wasted,
    "faults": lambda place: place.faults,
}
"""What places are ranked by: bytes asked for, allocating calls, bytes not freed, page frames that came to their pieces,
bytes of chunks beyond what was asked for, page faults taken."""


class Piece(NamedTuple):
    """Memory that a call returned: bytes asked for, the number of the call, its place."""

    asked: int
    call: int
    place: Place


class Left(NamedTuple):
    """What one place asked for that is still there: bytes, in so many pieces, the first of them from event `first`."""

    place: Place
    bytes: int
    pieces: int
    first: int


class Freed(NamedTuple):
    """A piece that was given back: by the call with this number, at this place."""

    piece: Piece
    call: int
    site: Site | None


@dataclass(slots=True)
class _Batch:
    """Calls that were taken in together, whose places are numbers of `where`, as sites, and of `places`.

    `earlier` has the places of pieces from before that went in this batch or later, by the calls that made them.
    """

    calls: CallColumns
    where: list[Site | None]
    places: list[Place | None]
    earlier: dict[int, Place]

    def piece(self, row: int) -> Piece:
        """Return the piece that the call in *row* gave."""
        place = self.places[int(self.calls.place[row])]
        assert place is not None
        return Piece(int(sizes_of(self.calls.asked[row : row + 1])[0]), int(self.calls.n[row]), place)

    def place_of(self, pid: int, chunk: ChunkRef) -> Place | None:
        """Return the place of a piece that was alive at a moment of the batch."""
        if chunk.call in self.earlier:
            return self.earlier[chunk.call]
        row = int(np.searchsorted(self.calls.n, chunk.call))
        is_here = row < len(self.calls.n) and self.calls.n[row] == chunk.call and self.calls.pid[row] == pid
        return self.places[int(self.calls.place[row])] if is_here else None


def _no_batch() -> _Batch:
    none = np.empty(0, dtype=np.int64)
    flags, words = none.astype(np.bool_), none.astype(np.uint64)
    return _Batch(
        CallColumns(none, none, none, none, none.astype(np.int8), words, words, words, none, flags, flags), [], [], {}
    )


@dataclass(slots=True)
class Places:
    """Follows a run: `add` every event in order of n. Memory grows with places and with pieces that live at once.

    `live` bytes in `count` pieces are not freed, `held` of them in processes that have not ended; `peak` is the most
    that was held at a time. A piece lives in the process that asked for it; those that a fork copied are not counted
    again. `freed` remembers the latest of each process.
    """

    live: int = 0
    count: int = 0
    held: int = 0
    peak: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    alive: dict[int, dict[int, Piece]] = field(default_factory=dict)
    freed: dict[int, dict[int, Freed]] = field(default_factory=dict)
    _left: dict[int, int] = field(default_factory=dict)
    _by_site: dict[int, tuple[Site | None, Place]] = field(default_factory=dict)
    _batch: _Batch = field(default_factory=_no_batch)

    def add(self, event: Event) -> None:
        """Take one event in."""
        kind = type(event)
        if kind is Call:
            self._call(event)  # type: ignore[arg-type]
        elif kind is Fault:
            self._fault(event)  # type: ignore[arg-type]
        elif kind is Process:
            self._process(event)  # type: ignore[arg-type]

    def top(self, measure: str = "bytes") -> list[Place]:
        """Return the places with any of *measure* (see MEASURES), those with most first."""
        value = MEASURES[measure]
        found = [place for place in self.places.values() if value(place)]
        return sorted(found, key=lambda place: (-value(place), place.first))

    def know(self, places: Iterable[Place], live: int, peak: int) -> None:
        """Take over what somebody else counted of the whole run, in the order of the places' first events."""
        self.places = {place.text: place for place in places}
        self.live, self.peak = live, peak
        self.count = sum(place.pieces for place in self.places.values())

    def left_in(self, pid: int) -> list[Left]:
        """Return what is alive in a process, place by place, most bytes first."""
        found: dict[str, Left] = {}
        for asked, call, place in self.alive.get(pid, {}).values():
            left = found.get(place.text, Left(place, 0, 0, call))
            found[place.text] = Left(place, left.bytes + asked, left.pieces + 1, min(left.first, call))
        return sorted(found.values(), key=lambda left: (-left.bytes, left.first))

    def add_many(self, calls: CallColumns, sites: Sequence[Site | None]) -> None:
        """Take calls in, whose places are numbers of *sites*, as `add` does one by one.

        What came in between them is added later: page faults, say, but nothing that ends a process.
        """
        pids = np.unique(calls.pid)
        for pid in pids.tolist():
            self._return(pid)
        used, numbers = np.unique(calls.place, return_inverse=True)
        calls = calls._replace(place=numbers)
        where = [sites[number] for number in used.tolist()]
        self._batch = _Batch(calls, where, self._asked_at(calls, where), {})
        found = paired(calls, np.searchsorted(pids, calls.pid), np.empty(0, dtype=np.uint64))
        change = np.zeros(2 * len(calls.n), dtype=np.int64)
        born, gone = found.born, found.ended != NEVER
        asked = sizes_of(calls.asked[born >> 1])
        change[born] = asked
        change[found.ended[gone]] -= asked[gone]
        self._give(calls, born >> 1, asked, ~gone)
        earlier = self._take_earlier(found, pids, change)
        levels = np.cumsum(change)
        self.peak = max(self.peak, self.held + int(levels.max(initial=0)))
        self.live += int(levels[-1:].sum())
        self.held += int(levels[-1:].sum())
        stays = np.flatnonzero(~gone)
        stays = stays[np.argsort(born[stays])]
        keys, rows = found.keys[found.given[stays]], born[stays] >> 1
        each = zip(pids[slots_of(keys)].tolist(), addresses_of(keys).tolist(), rows.tolist(), strict=True)
        for pid, pointer, row in each:
            self._alive_in(pid)[pointer] = self._batch.piece(row)
        self._remember_last(found, earlier, pids)

    def _asked_at(self, calls: CallColumns, where: Sequence[Site | None]) -> list[Place | None]:
        """Count what was asked for; return the place of each of *where*, None if nothing was asked for there."""
        rows = np.flatnonzero((calls.kind == ALLOCATES) | (calls.kind == RESIZES))
        at = calls.place[rows]
        firsts = np.zeros(len(where), dtype=np.int64)
        firsts[at[::-1]] = calls.n[rows][::-1]
        times, sizes = np.bincount(at, minlength=len(where)).tolist(), sums_by(at, calls.asked[rows], len(where))
        found = list[Place | None]()
        for site, first, count, size in zip(where, firsts.tolist(), times, sizes, strict=True):
            place = self._place(site, first) if count else None
            if place is not None:
                place.calls += count
                place.asked += size
            found.append(place)
        return found

    def _give(self, calls: CallColumns, rows: Integers, asked: Integers, stays: npt.NDArray[np.bool_]) -> None:
        """Count the pieces that the calls in *rows* gave, of which some stay alive."""
        places, at = self._batch.places, calls.place[rows]
        lost = np.where(calls.wastes[rows], chunk_sizes(asked) - WORD - asked, 0)
        live, wasted = sums_by(at[stays], asked[stays], len(places)), sums_by(at, lost, len(places))
        counts = np.bincount(at[stays], minlength=len(places)).tolist()
        for place, size, count, waste in zip(places, live, counts, wasted, strict=True):
            if place is not None:
                place.live += size
                place.pieces += count
                place.wasted += waste
        self.count += sum(counts)

    def _take_earlier(self, found: Paired, pids: Integers, change: Integers) -> dict[int, Piece]:
        """Take out pieces from before the batch that went in it; return those that were given back, by the turn."""
        keys, turns = found.keys[found.firsts], found.turns[found.firsts]
        taken = dict[int, Piece]()
        each = zip(turns.tolist(), pids[slots_of(keys)].tolist(), addresses_of(keys).tolist(), strict=True)
        for turn, pid, pointer in each:
            piece = self._alive_in(pid).pop(pointer, None)
            if piece is not None:
                piece.place.live -= piece.asked
                piece.place.pieces -= 1
                self.count -= 1
                change[turn] -= piece.asked
                self._batch.earlier[piece.call] = piece.place
                if not turn & 1:
                    taken[turn] = piece
        return taken

    def _remember_last(self, found: Paired, earlier: dict[int, Piece], pids: Integers) -> None:
        """Remember the pieces that were given back last: of each address the last one."""
        own = np.flatnonzero((found.ended != NEVER) & (found.ended & 1 == 0))
        turns = np.concatenate([found.ended[own], np.fromiter(earlier, dtype=np.int64, count=len(earlier))])
        rows = np.concatenate([found.born[own] >> 1, np.full(len(earlier), -1)])
        order = np.argsort(turns)[::-1]
        turns, rows = turns[order], rows[order]
        batch = self._batch
        slots, pointers = np.searchsorted(pids, batch.calls.pid[turns >> 1]), batch.calls.pointer[turns >> 1]
        for slot, pid in enumerate(pids.tolist()):
            mine = np.flatnonzero(slots == slot)
            _pointers, lasts = np.unique(pointers[mine], return_index=True)
            mine = mine[np.sort(lasts)[:_REMEMBERED][::-1]]
            for turn, row in zip(turns[mine].tolist(), rows[mine].tolist(), strict=True):
                piece = batch.piece(row) if row >= 0 else earlier[turn]
                last = turn >> 1
                site = batch.where[int(batch.calls.place[last])]
                self._remember(pid, int(batch.calls.pointer[last]), Freed(piece, int(batch.calls.n[last]), site))

    def _call(self, call: Call) -> None:
        self._return(call.pid)
        op = call.op
        if op in ALLOCATING:
            taken = call.pointer if op in RESIZING else None
            wastes = is_glibc(call.allocator)
            self._allocate(call.pid, call.result or 0, call.bytes_counted, call.n, call.site, taken, wastes)
        elif op in FREEING and call.pointer:
            self._free(call.pid, call.pointer, call.n, call.site)

    def _free(self, pid: int, pointer: int, n: int, site: Site | None) -> None:
        piece = self._forget(pid, pointer)
        if piece is None:
            return
        self._remember(pid, pointer, Freed(piece, n, site))

    def _remember(self, pid: int, pointer: int, gone: Freed) -> None:
        freed = self.freed.get(pid)
        if freed is None:
            freed = self.freed[pid] = {}
        freed.pop(pointer, None)
        freed[pointer] = gone
        if len(freed) > _REMEMBERED:
            del freed[next(iter(freed))]

    def _allocate(
        self, pid: int, result: int, asked: int, n: int, site: Site | None, taken: int | None, wastes: bool
    ) -> None:  # fmt: skip
        place = self._place(site, n)
        place.calls += 1
        place.asked += asked
        if taken and (result or not asked):
            self._free(pid, taken, n, site)
        if not result:
            return
        self._forget(pid, result)
        size = min(asked, LONGEST_PIECE)
        self._alive_in(pid)[result] = Piece(size, n, place)
        if wastes:
            place.wasted += chunk_size(size) - WORD - size
        place.live += size
        place.pieces += 1
        self.count += 1
        self.live += size
        self.held += size
        if self.held > self.peak:
            self.peak = self.held

    def _alive_in(self, pid: int) -> dict[int, Piece]:
        alive = self.alive.get(pid)
        if alive is None:
            alive = self.alive[pid] = {}
        return alive

    def _forget(self, pid: int, pointer: int) -> Piece | None:
        alive = self.alive.get(pid)
        piece = alive.pop(pointer, None) if alive is not None else None
        if piece is not None:
            piece.place.live -= piece.asked
            piece.place.pieces -= 1
            self.live -= piece.asked
            self.held -= piece.asked
            self.count -= 1
            earlier = self._batch.earlier
            if len(earlier) > _REMEMBERED:
                earlier.clear()
            earlier[piece.call] = piece.place
        return piece

    def _process(self, event: Process) -> None:
        if event.what == "exec":
            self._return(event.pid)
            self._end(event.pid)
        elif event.what in _ENDED and event.tid == event.pid:
            self._return(event.pid)
            self._left[event.pid] = sum(piece.asked for piece in self.alive.get(event.pid, {}).values())
            self.held -= self._left[event.pid]

    def _return(self, pid: int) -> None:
        """The process goes on: only its first thread had ended, or its number was given again."""
        self.held += self._left.pop(pid, 0)

    def _end(self, pid: int) -> None:
        for pointer in list(self.alive.get(pid, ())):
            self._forget(pid, pointer)
        self.freed.pop(pid, None)

    def _fault(self, fault: Fault) -> None:
        self._place(fault.site, fault.n).faults += 1
        if fault.chunk is not None and fault.access != "read" and is_step_six(fault):
            place = self._place_of(fault.pid, fault.chunk)
            if place is not None:
                place.frames += 1

    def _place_of(self, pid: int, chunk: ChunkRef) -> Place | None:
        """Return the place that asked for *chunk*, which lives in *pid*, or did until the call that *pid* is in."""
        piece = self.alive.get(pid, {}).get(chunk.address)
        if piece is not None and piece.call == chunk.call:
            return piece.place
        return self._batch.place_of(pid, chunk)

    def _place(self, site: Site | None, n: int) -> Place:
        place = self._known(site, n)
        place.first = min(place.first, n)  # what came in between many calls is told after them
        return place

    def _known(self, site: Site | None, n: int) -> Place:
        known = self._by_site.get(id(site))
        if known is not None:
            return known[1]
        text = site.text if site is not None else "?"
        place = self.places.get(text)
        if place is None:
            place = self.places[text] = Place(text, site, n)
        if len(self._by_site) > _MOST_SITES:
            self._by_site.clear()
        self._by_site[id(site)] = site, place  # which keeps the site, so that nothing else gets its identity
        return place
