"""The allocator calls of one window as columns: those that had begun before it, and those that begin in it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.model.addresses import LONGEST_PIECE
from observer.model.events import ChunkRef, is_glibc
from observer.model.operations import FAMILY
from observer.recording.records import RETURNED
from observer.trace.part import Part
from observer.trace.timeline import Moments

__all__ = ["ALLOCATES", "GIVES", "KEEPS", "RELEASES", "TAKES", "CallRows"]

Integers = npt.NDArray[np.int64]
Checked = npt.NDArray[np.bool_]

TAKES, GIVES, KEEPS = range(3)
"""What a call does to a piece: takes it back at its entry, gives it at its return, or keeps it as realloc(3) does that
failed.
"""
ALLOCATES: Final = np.array([operation.allocates for operation in FAMILY], dtype=np.bool_)
RELEASES: Final = np.array([operation.releases for operation in FAMILY], dtype=np.bool_)

_COLUMNS: Final = (
    "n", "pid", "op", "returned", "failed", "asks", "pointer", "result", "size", "back", "stack", "ended", "allocator",
    "is_glibc", "site", "growth", "origin", "steps", "where", "where_at",
)  # fmt: skip
_LATER: Final = 1 << 62
_LONGEST: Final = np.uint64(LONGEST_PIECE)


class CallRows:
    """The calls of a window: the first `carried` of them had begun before, the others are the rows of its part.

    `began_at` and `ended_at` are positions in the window: -1 and a very large one where that was, or will be, in
    another. `kept` has, of reallocs that fail in the end, the piece that they took in an earlier stretch (a PIECE).
    The columns from `site` on are what the replay finds; words are given by their numbers.
    """

    def __init__(self, moments: Moments, part: Part, before: CallRows | None) -> None:
        own, numbers, coded = moments.calls.records, part.calls.numbers, part.calls.coded
        self.part, self.high = part, moments.high
        self.carried, self.homes = 0, list[tuple[Part, int]]()
        count = len(own)
        self.n: Integers = numbers["n"]
        self.pid = own["pid"].astype(np.int64)
        self.op: npt.NDArray[Any] = own["op"].copy()
        self.returned: Checked = (own["flags"] & RETURNED).astype(np.bool_)
        self.failed: Checked = numbers["errno"] != 0
        times = np.where(numbers["has_count"] == 1, numbers["count"], np.uint64(1))
        self.asks: Checked = (numbers["size"] != 0) & (times != 0)
        self.pointer: npt.NDArray[np.uint64] = own["a0"].copy()
        self.result: npt.NDArray[np.uint64] = own["result"].copy()
        self.size: npt.NDArray[np.uint64] = np.minimum(numbers["size"] * times, _LONGEST)
        self.back: npt.NDArray[np.uint64] = own["ret"].copy()
        self.stack: npt.NDArray[np.uint64] = own["stack"].copy()
        self.ended: npt.NDArray[np.uint64] = own["ended"].copy()
        self.allocator: npt.NDArray[Any] = coded["allocator"]
        self.is_glibc: Checked = part.sites.words.are(self.allocator, is_glibc)
        self.site: Integers = numbers["site"]
        self.growth = np.zeros(count, dtype=np.int64)
        self.origin, self.steps = coded["origin"], coded["steps"]
        self.where, self.where_at = coded["where"], numbers["where_at"]
        self.kept: dict[int, np.void] = {}
        if before is not None:
            self._carry(before)
        part.open += count

    def _carry(self, before: CallRows) -> None:
        """Take over the calls of *before*, the window before, that had not ended."""
        stay = np.flatnonzero(before.are_open)
        if not len(stay):
            return
        for name in _COLUMNS:
            setattr(self, name, np.concatenate([getattr(before, name)[stay], getattr(self, name)]))
        self.carried = len(stay)
        self.homes = [before.home(row) for row in stay.tolist()]
        self.kept = {i: before.kept[row] for i, row in enumerate(stay.tolist()) if row in before.kept}

    @property
    def are_open(self) -> Checked:
        """Which calls have not ended in this window."""
        found: Checked = self.ended >= np.uint64(self.high)
        return found

    def home(self, row: int) -> tuple[Part, int]:
        """Return the part and the row of the table that a row is written to."""
        return self.homes[row] if row < self.carried else (self.part, row - self.carried)

    def place(self, began_at: Integers, ended: Integers, ended_at: Integers, base: int) -> None:
        """Learn the positions at which those of the window began, and those of the rows *ended* in that order.

        *base* is how many positions there were in the windows before.
        """
        self.ended_rows, self.ended_positions, self._base = ended, ended_at, base
        self.began_at = np.full(len(self.n), -1, dtype=np.int64)
        self.began_at[self.carried :] = began_at
        self.ended_at = np.full(len(self.n), _LATER, dtype=np.int64)
        self.ended_at[ended] = ended_at
        self.made, self.foreign = self.ended_at + base, (~self.is_glibc).astype(np.int64)

    def made_at(self, positions: Integers) -> Integers:
        """Return the places of *positions* in the whole run."""
        return positions + self._base

    def turns(self, count: int) -> tuple[Integers, Integers, Integers]:
        """Return position, row and kind of all that is done to pieces in the window of *count* positions, in order."""
        allocates, releases = ALLOCATES[self.op], RELEASES[self.op]
        has_result = self.result != 0
        ends = allocates & self.returned & (self.ended_at < count)
        takes = releases & (self.pointer != 0) & (self.began_at >= 0)
        keeps = ends & releases & ~has_result & self.asks & (self.pointer != 0)
        turn = np.full(count, -1, dtype=np.int64)
        for kind, which, at in (
            (TAKES, takes, self.began_at), (GIVES, ends & has_result, self.ended_at), (KEEPS, keeps, self.ended_at)
        ):  # fmt: skip
            rows = np.flatnonzero(which)
            turn[at[rows]] = rows * 3 + kind
        positions = np.flatnonzero(turn >= 0)
        turn = turn[positions]
        return positions, turn // 3, turn % 3

    def keeping(self, low: int, high: int, later: Checked) -> Checked:
        """Return which calls begin from position *low* up to *high*, take a piece, and will keep it *later*."""
        keeps = ALLOCATES[self.op] & RELEASES[self.op] & self.returned & (self.result == 0) & self.asks
        found: Checked = keeps & (self.began_at >= low) & (self.began_at < high) & later
        return found

    def piece(self, row: int) -> ChunkRef:
        """Return the piece that the call of *row* returns."""
        return ChunkRef(int(self.n[row]), int(self.result[row]), int(self.size[row]))

    def write(self) -> None:
        """Put what was found of the calls of earlier windows into their parts, and close what has ended."""
        own = slice(self.carried, None)
        calls = self.part.calls
        calls.numbers["site"], calls.numbers["where_at"] = self.site[own], self.where_at[own]
        for name in ("origin", "steps", "where"):
            calls.coded[name] = getattr(self, name)[own]
        has_ended = ~self.are_open
        self.part.open_rows = np.flatnonzero(~has_ended[own]).tolist()
        self.part.open += len(self.part.open_rows) - len(calls.numbers["n"])
        for row in np.flatnonzero(has_ended[: self.carried]).tolist():
            part, at = self.homes[row]
            part.calls.numbers["where_at"][at] = self.where_at[row]
            for name in ("steps", "where"):
                part.calls.coded[name][at] = getattr(self, name)[row]
            part.close("call", at)
