"""Which pieces the calls of one process take and give in a stretch of a run: all of them at once, sorted by address.

A piece lives from the return of the call that made it to the entry of the call that gave it back. So at each address
takes and gives come in turn; what does not (a pointer given back twice, one that nobody gave) is for others to judge,
and what was alive at one moment of the stretch can be asked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.model.events import ChunkRef
from observer.trace.call_rows import GIVES, KEEPS, TAKES, CallRows
from observer.trace.holding import ByAddress, oldest
from observer.trace.live import FREED, PIECE, GivenBack, LiveChunks, Records

__all__ = ["Alive", "Turns"]

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Checked = npt.NDArray[np.bool_]

_NOBODY: Final = -1
_NEVER: Final = 1 << 62


class Alive(NamedTuple):
    """A live piece: as events have it, and who made it: a row of this window (-1: earlier, then `site` is its site)."""

    piece: ChunkRef
    row: int
    site: int


class _Made(NamedTuple):
    """What is handed out in a stretch: pieces, by which turns, from and until which positions."""

    pieces: ByAddress
    turns: Integers
    born: Integers
    died: Integers

    def at(self, pieces: Integers, positions: Integers) -> tuple[Checked, Integers]:
        """Return which of the *pieces* are there at these *positions*, and their ages."""
        born = self.born[pieces]
        return (born < positions) & (self.died[pieces] >= positions), born


class Turns:
    """The turns of a stretch, `positions` in the order of the window, each of a row of *rows* and of a *kind*.

    *live* and *freed* are what the process has at the beginning; `commit` makes them what it has at the end.
    """

    def __init__(
        self, rows: CallRows, positions: Integers, whose: Integers, kinds: Integers, live: LiveChunks, freed: GivenBack
    ) -> None:  # fmt: skip
        self._rows, self._live, self._freed = rows, live, freed
        addresses = np.where(kinds == GIVES, rows.result[whose], rows.pointer[whose])
        order = _by_address(addresses)
        self._addresses, self._positions = addresses[order], positions[order]
        self._whose, self._kinds = whose[order], kinds[order]
        self._kept: dict[int, np.void] = {}
        self._pair()
        self._given: _Made | None = None

    def _pair(self) -> None:
        """Find for each turn which piece it takes, or keeps: a row that made it, `-2 - place` of an earlier one."""
        kinds, whose = self._kinds, self._whose
        begins = self._group()
        takes = kinds == TAKES
        behind = np.zeros(len(kinds), dtype=np.bool_)
        behind[1:] = takes[1:] & ~begins[1:] & (kinds[:-1] == GIVES)
        at = np.flatnonzero(behind)
        self._pieces = np.where(kinds == GIVES, whose, _NOBODY)
        self._pieces[at] = whose[at - 1]
        is_held = takes[self._firsts] & (self._held >= 0)
        self._pieces[self._firsts[is_held]] = -2 - self._held[is_held]
        if (kinds == KEEPS).any():
            for address in np.unique(self._addresses[kinds == KEEPS]).tolist():
                self._follow(*self._at(address))
            # What failed, of a piece that nobody had given, changes nothing.
            stays = (kinds != KEEPS) | (self._pieces != _NOBODY)
            for name in ("_addresses", "_positions", "_whose", "_kinds", "_pieces"):
                setattr(self, name, getattr(self, name)[stays])
            self._group()

    def _group(self) -> npt.NDArray[np.bool_]:
        """Learn where the turns of each address begin, and what is there from before; return which turns these are."""
        begins = _begins(self._addresses)
        self._firsts = np.flatnonzero(begins)
        self._held = self._live.places(self._addresses[self._firsts])
        return begins

    def _follow(self, first: int, last: int) -> None:
        """Follow the turns at one address where a realloc failed, which keeps the piece that it had taken."""
        group = int(np.searchsorted(self._firsts, first))
        holder = -2 - int(self._held[group]) if self._held[group] >= 0 else _NOBODY
        taken: dict[int, int] = {}
        for i in range(first, last):
            kind, row = int(self._kinds[i]), int(self._whose[i])
            if kind == TAKES:
                self._pieces[i] = taken[row] = holder
                holder = _NOBODY
            elif kind == GIVES:
                holder = row
            else:
                back = taken.get(row, _NOBODY)
                if row in self._rows.kept:
                    back = -(1 << 40) - row
                    self._kept[back] = self._rows.kept[row]
                self._pieces[i] = back
                holder = back if back != _NOBODY else holder

    def odd(self) -> Integers:
        """Return the positions of the turns that give back what nobody is known to have given."""
        odd: Integers = self._positions[(self._kinds == TAKES) & (self._pieces == _NOBODY)]
        return odd

    def gives_of(self, addresses: Collection[int], behind: int = -1) -> list[int]:
        """Return the positions of the turns behind position *behind* by which one of *addresses* is handed out."""
        if not addresses:
            return []
        asked = np.unique(np.fromiter(addresses, dtype=np.uint64, count=len(addresses)))
        firsts = np.searchsorted(self._addresses, asked, side="left")
        lasts = np.searchsorted(self._addresses, asked, side="right")
        found: list[int] = []
        for first, last in zip(firsts[lasts > firsts].tolist(), lasts[lasts > firsts].tolist(), strict=True):
            mine = (self._kinds[first:last] == GIVES) & (self._positions[first:last] > behind)
            found += self._positions[first:last][mine].tolist()
        return found

    def _at(self, address: int) -> tuple[int, int]:
        first, last = np.searchsorted(self._addresses, np.array([address, address + 1], dtype=np.uint64)).tolist()
        return first, last

    # ---- one moment ---------------------------------------------------------------------------------------------

    def find(self, address: int, position: int) -> Alive | None:
        """Return the piece that holds *address* just before *position*: the small one made first, else a large one."""
        [holder] = self._holders(np.array([address], dtype=np.uint64), np.array([position])).tolist()
        if holder == _NOBODY:
            return None
        return self._earlier(-2 - holder) if holder < 0 else self._alive(holder)

    def chunks(self, addresses: Words, positions: Integers) -> list[ChunkRef | None]:
        """Return the piece that `find` has of each of *addresses*, just before its position."""
        holders = self._holders(addresses, positions)
        found = np.zeros(len(holders), dtype=PIECE)
        earlier, ours = np.flatnonzero(holders < _NOBODY), np.flatnonzero(holders >= 0)
        found[earlier], found[ours] = self._live.records[-2 - holders[earlier]], self._records(holders[ours])
        pieces = zip(*(found[name].tolist() for name in ("call", "address", "size")), strict=True)
        return [
            ChunkRef(*piece) if holder != _NOBODY else None
            for piece, holder in zip(pieces, holders.tolist(), strict=True)
        ]

    def _holders(self, addresses: Words, positions: Integers) -> Integers:
        """Return who holds each of *addresses* at its position: a turn, or `-2 - place` of an earlier piece."""
        found = np.full(len(addresses), _NOBODY, dtype=np.int64)
        earlier, made = self._live.by_address(), self._made()
        which, places = oldest(
            earlier.small(addresses), lambda which, places: self._of_earlier(places, positions[which])
        )
        found[which] = -2 - places
        left = np.flatnonzero(found == _NOBODY)
        when = positions[left]
        which, pieces = oldest(made.pieces.small(addresses[left]), lambda which, pieces: made.at(pieces, when[which]))
        found[left[which]] = made.turns[pieces]

        left = np.flatnonzero(found == _NOBODY)
        asked, when = addresses[left], positions[left]
        places = earlier.last_large(asked, lambda which, places: self._of_earlier(places, when[which]))
        pieces = made.pieces.last_large(asked, lambda which, pieces: made.at(pieces, when[which]))
        begins = [np.zeros(len(left), dtype=np.uint64) for _ in range(2)]
        for whose, they, begin in ((earlier, places, begins[0]), (made.pieces, pieces, begins[1])):
            begin[they >= 0] = whose.addresses[they[they >= 0]]
        is_earlier = (places >= 0) & ((pieces < 0) | (begins[1] <= begins[0]))
        is_ours = (pieces >= 0) & ~is_earlier
        is_earlier[is_earlier] = earlier.holds(places[is_earlier], asked[is_earlier])
        is_ours[is_ours] = made.pieces.holds(pieces[is_ours], asked[is_ours])
        found[left[is_earlier]] = -2 - places[is_earlier]
        found[left[is_ours]] = made.turns[pieces[is_ours]]
        return found

    def _of_earlier(self, places: Integers, positions: Integers) -> tuple[Checked, Integers]:
        """Return which of the pieces at *places* are there at these *positions*, and their ages."""
        known = self._held >= 0
        held, taken = self._held[known], self._positions[self._firsts[known]]
        at = np.searchsorted(held, places)
        at[at == len(held)] = 0
        goes = np.where(held[at] == places, taken[at], _NEVER) if len(held) else np.full(len(places), _NEVER)
        return goes >= positions, self._live.records["made"][places]

    def _made(self) -> _Made:
        """Return what is handed out in the stretch."""
        if self._given is None:
            turns = np.flatnonzero((self._kinds == GIVES) | (self._kinds == KEEPS))
            addresses, sizes = self._addresses[turns], self._records(turns)["size"]
            died = np.full(len(turns), _NEVER, dtype=np.int64)
            follows = np.flatnonzero(turns + 1 < len(self._addresses))
            follows = follows[self._addresses[turns[follows] + 1] == addresses[follows]]
            died[follows] = self._positions[turns[follows] + 1]
            self._given = _Made(ByAddress(addresses, sizes), turns, self._positions[turns], died)
        return self._given

    def _earlier(self, place: int) -> Alive:
        return _as_alive(self._live.records[place])

    def _alive(self, turn: int) -> Alive:
        piece = int(self._pieces[turn])
        if piece >= 0:
            return Alive(self._rows.piece(piece), piece, 0)
        return _as_alive(self._kept[piece]) if piece in self._kept else self._earlier(-2 - piece)

    def freed(self, address: int, position: int) -> tuple[int, int, Alive] | None:
        """Return who gave *address* back, if it was not given since: (row, or -1, its site, the piece it was).

        Of one that did it earlier than in this window, the number of the call stands in place of the row, as `-2 - n`.
        """
        first, last = self._at(address)
        for i in range(last - 1, first - 1, -1):
            kind, piece = int(self._kinds[i]), int(self._pieces[i])
            if self._positions[i] >= position or piece == _NOBODY:
                continue
            if kind != TAKES:
                return None
            return int(self._whose[i]), 0, self._alive(i)
        (place,) = self._freed.places(np.array([address], dtype=np.uint64)).tolist()
        if place < 0:
            return None
        known = self._freed.records[place]
        giver = Alive(ChunkRef(int(known["giver"]), address, 0), -1, int(known["given_at"]))
        return -2 - int(known["call"]), int(known["site"]), giver

    def piece_of(self, row: int) -> np.void | None:
        """Return the piece that the call of *row* took in this stretch, as a PIECE, if it took one."""
        (at,) = np.nonzero((self._kinds == TAKES) & (self._whose == row))
        if not len(at) or self._pieces[at[0]] == _NOBODY:
            return None
        record: np.void = self._records(at[:1])[0]
        return record

    # ---- the end of the stretch -----------------------------------------------------------------------------------

    def _records(self, turns: Integers) -> Records:
        """Return the pieces of *turns* as PIECE records."""
        pieces = self._pieces[turns]
        found = np.zeros(len(turns), dtype=PIECE)
        ours = pieces >= 0
        rows, whose = self._rows, pieces if ours.all() else pieces[ours]
        columns = {
            "address": rows.result, "size": rows.size, "call": rows.n, "made": rows.made, "site": rows.site,
            "foreign": rows.foreign,
        }  # fmt: skip
        for name, values in columns.items():
            found[name][slice(None) if ours.all() else ours] = values[whose]
        if not ours.all():
            earlier = np.flatnonzero((pieces < -1) & (pieces > -(1 << 40)))
            found[earlier] = self._live.records[-2 - pieces[earlier]]
            for i in np.flatnonzero(pieces <= -(1 << 40)).tolist():
                found[i] = self._kept[int(pieces[i])]
        return found

    def commit(self) -> None:
        """Make what the process has that of the end of the stretch; sites of all rows are known by now."""
        turns = np.flatnonzero(self._pieces != _NOBODY)
        addresses = self._addresses[turns]
        if not len(turns):
            return
        lasts = turns[np.append(addresses[1:] != addresses[:-1], True)]
        firsts = addresses[_begins(addresses)]
        was_freed = self._freed.places(firsts)
        takes = self._kinds[lasts] == TAKES
        gone, given = self._records(lasts[takes]), self._records(lasts[~takes])
        given["made"] = self._rows.made_at(self._positions[lasts[~takes]])
        freed, who = np.zeros(len(gone), dtype=FREED), self._whose[lasts[takes]]
        freed["address"], freed["call"], freed["site"] = gone["address"], self._rows.n[who], self._rows.site[who]
        freed["giver"], freed["given_at"] = gone["call"], gone["site"]
        self._live.change(self._held[self._held >= 0], given)
        self._freed.change(was_freed[was_freed >= 0], freed)


def _by_address(addresses: npt.NDArray[np.uint64]) -> Integers:
    """Return the order by address, of equal ones as they are given."""
    count = len(addresses)
    if not count:
        return np.empty(0, dtype=np.int64)
    low = addresses.min()
    bits = count.bit_length()
    if int(addresses.max() - low).bit_length() + bits > 64:
        order: Integers = np.argsort(addresses, kind="stable")
        return order
    keys = (addresses - low) << np.uint64(bits) | np.arange(count, dtype=np.uint64)
    keys.sort()  # numbers are sorted some times faster than indexes
    last: Integers = (keys & np.uint64((1 << bits) - 1)).astype(np.int64)
    return last


def _begins(addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    begins = np.ones(len(addresses), dtype=np.bool_)
    begins[1:] = addresses[1:] != addresses[:-1]
    return begins


def _as_alive(record: Any) -> Alive:
    piece = ChunkRef(int(record["call"]), int(record["address"]), int(record["size"]))
    return Alive(piece, -1, int(record["site"]))
