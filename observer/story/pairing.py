"""Who gives and who takes each piece, among very many calls at once, and what lives behind them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.model.addresses import LONGEST_PIECE
from observer.model.call_columns import CallColumns, Integers
from observer.model.operations import ALLOCATES, FREES, RESIZES

__all__ = [
    "NEVER", "PIECE", "Alive", "Living", "Paired", "Pieces", "addresses_of", "made", "paired", "sizes_of", "slots_of",
]  # fmt: skip

NEVER: Final = 1 << 62
_BITS: Final = 48
"""Of an address: glibc asks for no memory above (mmap(2) gives none there unless it is asked to)."""
_ADDRESS: Final = np.uint64((1 << _BITS) - 1)
_NUMBER: Final = 64
"""Bits of the numbers that are sorted."""
_MOST: Final = np.uint64(LONGEST_PIECE)

PIECE: Final = np.dtype([
    ("key", np.uint64), ("asked", np.int64), ("born", np.int64), ("t_ns", np.int64), ("place", np.int32),
    ("wastes", np.bool_), ("own", np.bool_),
], align=True)  # fmt: skip
"""A piece that lives: its process and address (a key), the call that made it, and when that returned."""

Keys = npt.NDArray[np.uint64]
Pieces = npt.NDArray[np.void]


class Alive(NamedTuple):
    """Pieces that live at one moment, in order of key or not, and the processes by their slots."""

    pieces: Pieces
    pids: dict[int, int]


class Paired(NamedTuple):
    """Who takes pieces and who gives them among some calls.

    A turn is twice the row of its call, and one more where the call gives: what realloc takes it takes first. `turns`
    are in the order of the `keys` of their pieces, those of one key in their own; at the positions `firsts` of these a
    key comes up first, at those in `given` a piece was given. `ended` are the turns at which the pieces that were given
    ended, `old_ended` those at which pieces did that lived before, NEVER for those that live on: when they were taken,
    or when their address was given again.
    """

    turns: Integers
    keys: Keys
    firsts: Integers
    given: Integers
    ended: Integers
    old_ended: Integers

    @property
    def born(self) -> Integers:
        """The turns at which pieces were given, in order of key."""
        return self.turns[self.given]


def addresses_of(keys: Keys) -> Integers:
    """Return the addresses in *keys*."""
    return (keys & _ADDRESS).astype(np.int64)


def slots_of(keys: Keys) -> Integers:
    """Return the slots of the processes in *keys*."""
    return (keys >> np.uint64(_BITS)).astype(np.int64)


def sizes_of(asked: npt.NDArray[np.uint64]) -> Integers:
    """Return the bytes of pieces that were *asked* for."""
    return np.minimum(asked, _MOST).view(np.int64)


def paired(calls: CallColumns, slots: Integers, old: Keys) -> Paired:
    """Pair *calls* with each other and with pieces that lived before, whose keys are in *old*, in order.

    *slots* are the numbers, below 65,536, of their processes: of each call, or one of all.
    """
    resizes = calls.kind == RESIZES
    gives = ((calls.kind == ALLOCATES) | resizes) & (calls.result != 0)
    takes = calls.kind == FREES
    if resizes.any():
        takes |= resizes & ((calls.result != 0) | (calls.asked == 0))
    taking, giving = np.flatnonzero(takes & (calls.pointer != 0)), np.flatnonzero(gives)
    keys, turns = _in_order(
        np.concatenate([calls.pointer[taking], calls.result[giving]]) & _ADDRESS,
        np.concatenate([2 * taking, 2 * giving + 1]), 2 * len(calls.n), slots,
    )  # fmt: skip
    goes_on = keys[1:] == keys[:-1]
    following = np.full(len(turns), NEVER, dtype=np.int64)
    np.copyto(following[:-1], turns[1:], where=goes_on)
    firsts = np.flatnonzero(np.concatenate([np.ones(min(len(keys), 1), dtype=np.bool_), ~goes_on]))
    given = np.flatnonzero(turns & 1)
    old_ended = np.full(len(old), NEVER, dtype=np.int64)
    if len(old):
        at = np.minimum(np.searchsorted(old, keys[firsts]), len(old) - 1)
        known = old[at] == keys[firsts]
        old_ended[at[known]] = turns[firsts[known]]
    return Paired(turns, keys, firsts, given, following[given], old_ended)


def made(calls: CallColumns, rows: Integers, keys: Keys) -> Pieces:
    """Return the pieces that the calls in *rows* gave, which have these *keys*."""
    new = np.empty(len(rows), dtype=PIECE)
    new["key"], new["asked"], new["born"], new["place"] = (
        keys, sizes_of(calls.asked[rows]), calls.n[rows], calls.place[rows],
    )  # fmt: skip
    new["wastes"], new["own"] = calls.wastes[rows], calls.own[rows]
    new["t_ns"] = np.maximum(calls.end_ns[rows], calls.t_ns[rows])
    return new


class Living:
    """What lives in the processes of a run: `pair` some calls with it, `go_on` behind them, `end` a process."""

    def __init__(self) -> None:
        self.pieces: Pieces = np.empty(0, dtype=PIECE)
        self._slots: dict[int, int] = {}

    @property
    def alive(self) -> Alive:
        """The pieces that live in processes that have not ended."""
        return Alive(self.pieces, self.pids)

    @property
    def pids(self) -> dict[int, int]:
        """The processes by the slots that the pieces' keys have."""
        return {slot: pid for pid, slot in self._slots.items()}

    def pair(self, calls: CallColumns) -> Paired:
        """Pair *calls*, one or more, with each other and with what lives before them."""
        return paired(calls, self._slots_of(calls.pid), self.pieces["key"])

    def go_on(self, calls: CallColumns, found: Paired) -> None:
        """Have that live which does behind *calls*, paired as *found*."""
        stays = found.ended == NEVER
        kept = self.pieces[found.old_ended == NEVER]
        new = made(calls, (found.born >> 1)[stays], found.keys[found.given[stays]])
        self.pieces = np.insert(kept, np.searchsorted(kept["key"], new["key"]), new)

    def end(self, pid: int) -> Pieces:
        """Return what lived in a process, which does no longer."""
        slot = self._slots.pop(pid, None)
        if slot is None:
            return self.pieces[:0]
        first, last = np.searchsorted(slots_of(self.pieces["key"]), [slot, slot + 1])
        gone = self.pieces[first:last]
        self.pieces = np.concatenate([self.pieces[:first], self.pieces[last:]])
        return gone

    def _slots_of(self, pids: Integers) -> Integers:
        """Return the slots of *pids*; one, if they are all the same."""
        if (pids == pids[0]).all():
            return np.array([self._slot(int(pids[0]))])
        used, each = np.unique(pids, return_inverse=True)
        return np.array([self._slot(pid) for pid in used.tolist()])[each]

    def _slot(self, pid: int) -> int:
        slot = self._slots.get(pid)
        if slot is None:
            taken = set(self._slots.values())
            slot = self._slots[pid] = next(i for i in range(len(taken) + 1) if i not in taken)
        return slot


def _in_order(addresses: Keys, turns: Integers, most: int, slots: Integers) -> tuple[Keys, Integers]:
    """Return the keys of *addresses*, and their *turns*, below *most*, in order.

    Where address and turn fit into one number these are sorted: plain numbers are, several times as fast.
    """
    union, bits = int(np.bitwise_or.reduce(addresses)), most.bit_length()
    low = max((union & -union).bit_length() - 1, 0)  # chunks begin at multiples of 16, as glibc has them
    if union.bit_length() - low + bits <= _NUMBER:
        numbers = addresses >> np.uint64(low) << np.uint64(bits) | turns.view(np.uint64)
        numbers.sort()
        turns = (numbers & np.uint64((1 << bits) - 1)).view(np.int64)
        addresses = numbers >> np.uint64(bits) << np.uint64(low)
    else:
        order = np.lexsort((turns, addresses))
        addresses, turns = addresses[order], turns[order]
    if len(slots) == 1:
        return addresses | slots.astype(np.uint64) << np.uint64(_BITS), turns
    each = slots[turns >> 1]
    order = np.argsort(each.astype(np.uint16), kind="stable")
    return addresses[order] | each[order].astype(np.uint64) << np.uint64(_BITS), turns[order]
