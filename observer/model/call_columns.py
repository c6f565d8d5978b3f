"""The calls of a run as columns of numbers, for what is counted of millions of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.model.events import Site

__all__ = ["Apart", "CallColumns", "CallTotals", "End", "Faults", "Frames", "Integers", "PlaceNames", "StepsTaken"]

Integers = npt.NDArray[np.int64]


class Apart(Enum):
    """What makes calls those of different places: the names of columns of the table of calls."""

    LINES = ("site",)
    STACKS = ("site", "stack")
    FUNCTIONS = ("site", "stack", "op")


class CallColumns(NamedTuple):
    """Calls in order of n, a value each in every column.

    `kind` is what it does (`operations.kind_of`), `pointer` and `result` are 0 where there is none, `asked` bytes in
    all (2^64 - 1 stands for more), `place` the number of its place (`PlaceNames`), `end_ns` -1 where it did not return;
    `wastes` says whether its chunk is glibc's, `own` whether the C library or the loader made it for themselves.
    """

    n: Integers
    t_ns: Integers
    end_ns: Integers
    pid: Integers
    kind: npt.NDArray[np.int8]
    pointer: npt.NDArray[np.uint64]
    result: npt.NDArray[np.uint64]
    asked: npt.NDArray[np.uint64]
    place: Integers
    wastes: npt.NDArray[np.bool_]
    own: npt.NDArray[np.bool_]

    def upto(self, n: int) -> tuple[CallColumns, CallColumns]:
        """Return the calls before event *n*, and the others."""
        at = int(np.searchsorted(self.n, n))
        return self.rows(slice(0, at)), self.rows(slice(at, None))

    def rows(self, rows: slice) -> CallColumns:
        """Return some of the calls."""
        columns: list[npt.NDArray[Any]] = [column[rows] for column in self]
        return CallColumns(*columns)


class PlaceNames(NamedTuple):
    """The places of a run by their number: each its text (`Site.text`), and one of the sites that have it.

    Where they are apart by that, `stacks` are the numbers of their callers and `ops` the functions that were called,
    None for those that have none: page faults, and calls of which no callers were kept.
    """

    texts: Sequence[str]
    sites: Sequence[Site | None]
    stacks: Sequence[int | None]
    ops: Sequence[str | None]


class CallTotals(NamedTuple):
    """All calls together: how many are `alike` in operation, steps and whether they are unfinished; the tasks, as (pid,
    tid), that made them; how many allocations were `refused`; and of those that nobody needs an event of, how many a
    thread cache served, with the n of the first of these."""

    alike: Sequence[tuple[str, str | None, bool, int]]
    tasks: frozenset[tuple[int, int]]
    refused: int
    cached: int
    first_cached: Sequence[int]


class StepsTaken(NamedTuple):
    """How many `times` calls of one function at one place took the same steps, with the n of the `first`.

    Without an `op` these are page faults that gave a frame to memory which malloc manages.
    """

    first: int
    site: Site | None
    op: str | None
    steps: str | None
    times: int


class End(NamedTuple):
    """Event `n` ended what lived in process `pid`: the process itself, or (`is_exec`) the program that it ran."""

    n: int
    pid: int
    is_exec: bool


class Faults(NamedTuple):
    """Page faults by the `place` that took them: how `many`, and the n of the first."""

    place: Integers
    many: Integers
    first: Integers


class Frames(NamedTuple):
    """Page frames by the call, in order of its n, to whose piece so `many` came, and the process that touched it."""

    call: Integers
    pid: Integers
    many: Integers
