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
from observer.trace.live import FREED, PIECE, GivenBack, LiveChunks, Records, is_large

__all__ = ["Alive", "Turns"]

Integers = npt.NDArray[np.int64]

_NOBODY: Final = -1
_NEVER: Final = 1 << 62


class Alive(NamedTuple):
    """A live piece: as events have it, and who made it: a row of this window (-1: earlier, then `site` is its site)."""

    piece: ChunkRef
    row: int
    site: int


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
        self._given: tuple[Any, ...] | None = None
        self._deaths: dict[int, int] | None = None

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
        return self._find_small(address, position) or self._find_large(address, position)

    def _find_small(self, address: int, position: int) -> Alive | None:
        first, last = self._live.near(address)
        if first < last:
            near = self._live.records[first:last]
            at = np.flatnonzero(_holds(near["address"], near["size"], address) & ~_are_large(near))
            alive = [place for place in (at + first).tolist() if self._death(place) >= position]
            if alive:
                return self._earlier(min(alive, key=lambda place: int(self._live.records["made"][place])))
        addresses, sizes, born, died, which, large, reach = self._made()
        low = np.uint64(max(address - reach, 0))
        first, last = np.searchsorted(addresses, np.array([low, address + 1], dtype=np.uint64)).tolist()
        if first == last:
            return None
        mine = slice(first, last)
        holds = _holds(addresses[mine], sizes[mine], address) & (born[mine] < position) & (died[mine] >= position)
        at = np.flatnonzero(holds & ~large[mine]) + first
        return self._alive(which, int(at[np.argmin(born[at])])) if len(at) else None

    def _find_large(self, address: int, position: int) -> Alive | None:
        best: Alive | None = None
        places = self._live.large()
        last = int(np.searchsorted(self._live.addresses[places], np.uint64(address), side="right"))
        while last and best is None:
            last -= 1
            if self._death(int(places[last])) >= position:
                best = self._earlier(int(places[last]))
        addresses, _sizes, born, died, which, large, _reach = self._made()
        if large.any():
            at = np.flatnonzero(large & (addresses <= np.uint64(address)) & (born < position) & (died >= position))
            if len(at) and (best is None or addresses[at[-1]] > best.piece.address):
                best = self._alive(which, int(at[-1]))
        is_inside = best is not None and address < best.piece.address + best.piece.size
        return best if is_inside else None

    def _made(self) -> tuple[Any, ...]:
        """Return what is handed out in the stretch, by address: address, size, from and until which position, which
        turn, whether it is large, how far the small ones reach.
        """
        if self._given is None:
            which = np.flatnonzero((self._kinds == GIVES) | (self._kinds == KEEPS))
            addresses, sizes = self._addresses[which], self._records(which)["size"]
            died = np.full(len(which), _NEVER, dtype=np.int64)
            follows = np.flatnonzero(which + 1 < len(self._addresses))
            follows = follows[self._addresses[which[follows] + 1] == addresses[follows]]
            died[follows] = self._positions[which[follows] + 1]
            large = is_large(addresses, sizes)
            reach = int(sizes[~large].max(initial=1))
            self._given = addresses, sizes, self._positions[which], died, which, large, reach
        return self._given

    def _death(self, place: int) -> int:
        """Return the position at which the earlier piece at *place* goes."""
        if self._deaths is None:
            known = self._held >= 0
            firsts = self._positions[self._firsts[known]].tolist()
            self._deaths = dict(zip(self._held[known].tolist(), firsts, strict=True))
        return self._deaths.get(place, _NEVER)

    def _earlier(self, place: int) -> Alive:
        return _as_alive(self._live.records[place])

    def _alive(self, which: Integers, i: int) -> Alive:
        turn = int(which[i])
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
            return int(self._whose[i]), 0, self._alive(np.arange(len(self._pieces)), i)
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


def _holds(addresses: Any, sizes: Any, address: int) -> Any:
    return np.uint64(address) - addresses < np.maximum(sizes, np.uint64(1))


def _are_large(pieces: Records) -> npt.NDArray[np.bool_]:
    return is_large(pieces["address"], pieces["size"])


def _as_alive(record: Any) -> Alive:
    piece = ChunkRef(int(record["call"]), int(record["address"]), int(record["size"]))
    return Alive(piece, -1, int(record["site"]))
