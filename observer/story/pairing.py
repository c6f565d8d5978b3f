"""Who gives and who takes each piece, among very many calls at once."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.model.call_columns import CallColumns, Integers
from observer.model.operations import ALLOCATES, FREES, RESIZES

__all__ = ["NEVER", "PIECE", "Alive", "Paired", "Pieces", "addresses_of", "key_of", "paired", "slots_of"]

NEVER: Final = 1 << 62
_BITS: Final = 48
"""Of an address: glibc asks for no memory above (mmap(2) gives none there unless it is asked to)."""
_ADDRESS: Final = np.uint64((1 << _BITS) - 1)

_MOST: Final = np.uint64(1 << 62)
"""Bytes; no piece that anybody has is larger."""
_TURNS: Final = 64 - _BITS + 4
_PLAIN: Final = _ADDRESS & ~np.uint64(15)

PIECE: Final = np.dtype([
    ("key", np.uint64), ("asked", np.int64), ("born", np.int64), ("t_ns", np.int64), ("place", np.int32),
    ("wastes", np.bool_), ("own", np.bool_),
], align=True)  # fmt: skip
"""A piece that lives: its process and address (`key_of`), the call that made it, and when that returned."""

Pieces = npt.NDArray[np.void]


class Alive(NamedTuple):
    """Pieces that live at one moment, in order of key or not, and the processes by their slots."""

    pieces: Pieces
    pids: dict[int, int]


class Paired(NamedTuple):
    """The turns of some calls, each of which takes a piece or gives one, in their order: `rows` has the call of each,
    `keys` the key of its piece.

    `firsts` are the turns at which an address comes up first, in order of key, `takes` says which turns take a piece.
    `new` are the pieces that were given, `born` at which turn, `old` those that lived before. `new_ended` and
    `old_ended` are the turns at which they ended, NEVER for those that live on: when they were taken, or when their
    address was given again.
    """

    rows: Integers
    keys: npt.NDArray[np.uint64]
    firsts: Integers
    takes: npt.NDArray[np.bool_]
    new: Pieces
    born: Integers
    new_ended: Integers
    old: Pieces
    old_ended: Integers


def key_of(slots: Integers, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return one number for process and address: *slots* number the processes that are there, below 65,536."""
    return slots.astype(np.uint64) << np.uint64(_BITS) | addresses & _ADDRESS


def addresses_of(keys: npt.NDArray[np.uint64]) -> Integers:
    """Return the addresses in *keys*."""
    return (keys & _ADDRESS).astype(np.int64)


def slots_of(keys: npt.NDArray[np.uint64]) -> Integers:
    """Return the slots of the processes in *keys*."""
    return (keys >> np.uint64(_BITS)).astype(np.int64)


def paired(calls: CallColumns, slots: Integers, old: Pieces) -> Paired:
    """Pair *calls*, of processes that have these *slots*, with each other and with *old*, which is in order of key."""
    allocates = (calls.kind == ALLOCATES) | (calls.kind == RESIZES)
    gives = allocates & (calls.result != 0)
    moves = (calls.kind == RESIZES) & ((calls.result != 0) | (calls.asked == 0))
    takes = ((calls.kind == FREES) | moves) & (calls.pointer != 0)
    there, keys = np.empty(2 * len(calls.n), dtype=np.bool_), np.empty(2 * len(calls.n), dtype=np.uint64)
    there[::2], there[1::2] = takes, gives
    keys[::2], keys[1::2] = key_of(slots, calls.pointer), key_of(slots, calls.result)
    turns = np.flatnonzero(there)
    keys, rows = keys[turns], turns >> 1
    order = _by_key(keys)
    goes_on = np.diff(keys[order]) == 0
    next_turn = np.full(len(turns), NEVER, dtype=np.int64)
    next_turn[order[:-1][goes_on]] = order[1:][goes_on]
    firsts = order[np.concatenate([np.ones(min(len(order), 1), dtype=np.bool_), ~goes_on])]
    old_ended = np.full(len(old), NEVER, dtype=np.int64)
    if len(old):
        at = np.minimum(np.searchsorted(old["key"], keys[firsts]), len(old) - 1)
        known = old["key"][at] == keys[firsts]
        old_ended[at[known]] = firsts[known]
    born = np.flatnonzero(turns & 1)
    new = _made(calls, rows[born], keys[born])
    return Paired(rows, keys, firsts, (turns & 1) == 0, new, born, next_turn[born], old, old_ended)


def _by_key(keys: npt.NDArray[np.uint64]) -> Integers:
    """Return the turns in the order of their *keys*, those of one key in their own.

    Where all are of one process and at multiples of 16, as glibc's are, turn and address fit into one number, and plain
    numbers are sorted several times as fast.
    """
    if len(keys) > 1 << _TURNS or np.bitwise_or.reduce(keys) & ~_PLAIN:
        return np.argsort(keys, kind="stable")
    numbers = keys << np.uint64(64 - _BITS) | np.arange(len(keys), dtype=np.uint64)
    numbers.sort()
    return (numbers & np.uint64((1 << _TURNS) - 1)).astype(np.int64)


def _made(calls: CallColumns, rows: Integers, keys: npt.NDArray[np.uint64]) -> Pieces:
    new = np.empty(len(rows), dtype=PIECE)
    new["key"], new["asked"] = keys, np.minimum(calls.asked[rows], _MOST).astype(np.int64)
    new["born"], new["place"], new["wastes"] = calls.n[rows], calls.place[rows], calls.wastes[rows]
    new["own"] = calls.own[rows]
    new["t_ns"] = np.maximum(calls.end_ns[rows], calls.t_ns[rows])
    return new
