"""The calls of a trace as columns, a window at a time, with what is known of its places, faults and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from observer.errors import BadTrace
from observer.model.call_columns import Apart, CallColumns, End, Faults, Frames, PlaceNames
from observer.model.events import GLIBC, Site
from observer.model.operations import FAMILY, kind_of
from observer.trace.aside import done_aside
from observer.trace.columns import LONGEST
from observer.trace.database import database
from observer.trace.layout import TABLES

if TYPE_CHECKING:
    import duckdb

    from observer.files import File
    from observer.trace.slices import Slices

__all__ = ["COLUMNS_NEEDED", "ColumnsOfRun"]

_WINDOW: Final = 1 << 19
"""Events that are read at once, at the most."""
_GROUPS: Final = 2
"""Row groups that are read at once, a processor each: DuckDB holds some 20 MB for one meanwhile."""
_AT_ONCE: Final = 1 << 18
"""Calls that are looked at at once: what is made of them fits into a processor's cache."""
_MANY_GROUPS: Final = 64
"""Row groups of which DuckDB counts something at once."""
_SHORT: Final = 16
"""Bits of a site's hash by which it is looked for."""
_KINDS: Final = " ".join(f"when '{operation.name}' then {kind_of(operation.name)}" for operation in FAMILY)
_CALLS: Final = """
    select n, {times} pid,
        cast(case op {kinds} end as tinyint) as kind,
        coalesce(pointer, 0) as pointer, coalesce(result, 0) as result,
        case when count is null then coalesce(size, 0) else
            coalesce(try_cast(cast(size as hugeint) * count as ubigint), 18446744073709551615) end as asked,
        hash({apart}) as place,
        coalesce(allocator = '{glibc}' or starts_with(allocator, '{glibc}#'), false) as wastes,
        origin <> 'program' as own
    from read_parquet(?) where n >= ? and n < ?"""
"""Where one of these columns is null the table is damaged."""
_NUMBERS: Final = "select min(n), max(n) from read_parquet(?)"
_ALL: Final = (0, (1 << 63) - 1)
"""All numbers that an event may have."""
_TIMES: Final = "t_ns, coalesce(end_ns, -1) as end_ns,"
_NO_TIMES: Final = "cast(0 as bigint) as t_ns, cast(0 as bigint) as end_ns,"
_SITES: Final = """
    select hash({apart}) as place, any_value(site) as site, any_value(stack) as stack, any_value(op) as op,
        min(n) as first
    from {table} group by 1"""
_FAULTS: Final = "select hash({apart}) as place, count(*) as many, min(n) as first from {table} group by 1"
_OF_CALLS: Final = "read_parquet(?)"
_OF_FAULTS: Final = "(select *, cast(null as bigint) as stack, cast(null as varchar) as op from read_parquet(?))"
_FRAMES: Final = """
    select chunk."call" as "call", pid, count(*) as many from read_parquet(?)
    where chunk is not null and access is distinct from 'read' group by all order by "call", pid"""
_ENDS: Final = """
    select n, pid, what = 'exec' as is_exec from (
        select n, pid, what, max(n) over (partition by pid) as last from read_parquet(?)
    ) where what = 'exec' or (what in ('exit', 'killed', 'stopped') and n = last) order by n"""

COLUMNS_NEEDED: Final = {
    "call": ("n", "t_ns", "pid", "op", "site", "origin", "stack"), "fault": ("n", "pid", "site", "chunk"),
    "process": ("n", "pid", "what"),
}  # fmt: skip
"""What must hold in the tables for their columns to be told, by kind of event. Of calls it is seen as they are told."""

Arrays = dict[str, npt.NDArray[Any]]
Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]


class ColumnsOfRun:
    """What the tables of a trace hold, without a value for each event.

    Args:
        calls: the table of calls.
        tables: the files of other tables by kind of event.
        events: how many events there are.
        many: how many of them are calls.
        what: what has failed when a table cannot be read.
        remedy: what to do then.
        check: looks through the calls for what cannot have been recorded, and raises BadTrace where it is found.
        apart: what makes calls those of different places.
        stacks: where that is who called, the number of the one that stands for each stack (`model.stacks.alike`).
    """

    def __init__(
        self, calls: Slices, tables: dict[str, File], events: int, many: int, what: str, remedy: str,
        check: Callable[[], None], apart: Apart, stacks: Mapping[int, int],
    ) -> None:  # fmt: skip
        self._apart, self._stacks = apart, stacks
        self._calls, self._tables, self._many = calls, tables, many
        self._what, self._remedy, self._check = what, remedy, check
        self.events = events
        """How many events the run has."""
        self.names, self._hashes, self._numbers = self._places()
        self._table = np.zeros(1 << _SHORT, dtype=np.int64)
        self._table[self._hashes >> np.uint64(64 - _SHORT)] = np.arange(len(self._hashes))

    def calls(self, *, times: bool) -> Iterator[CallColumns]:
        """Yield the calls in order of n, windows of them, with their *times* or with zeros in the place of these.

        While one window is looked at the next is read aside.

        Raises:
            BadTrace: their numbers are no order; something cannot have been recorded.
        """
        query = _CALLS.format(
            times=_TIMES if times else _NO_TIMES, kinds=_KINDS, glibc=GLIBC, apart=self._key
        )  # fmt: skip
        windows, seen, last = self._windows(query), 0, -1
        with ThreadPoolExecutor(1, "calls") as aside:
            ahead = done_aside(aside, partial(next, windows, None))
            while (found := ahead.result()) is not None:
                ahead = done_aside(aside, partial(next, windows, None))
                if found.n[0] <= last or (found.n[1:] <= found.n[:-1]).any():
                    raise self._damaged(f"{TABLES['call']} has two calls of one number")
                seen, last = seen + len(found.n), int(found.n[-1])
                for first in range(0, len(found.n), _AT_ONCE):
                    yield found.rows(slice(first, first + _AT_ONCE))
        if seen != self._many:
            raise self._damaged(f"{TABLES['call']} has calls without numbers")

    def _windows(self, query: str) -> Iterator[CallColumns]:
        with database(self._what, self._remedy) as connection:
            for file, rows in self._calls.parts(_GROUPS):
                for first, end in self._stretches(connection, file, rows):
                    found = self._arrays(connection, query, file, first, end)
                    if any(map(np.ma.is_masked, found.values())) or (found["pid"] < 0).any():
                        raise self._damaged(f"{TABLES['call']} has calls without what every call has")
                    found["place"] = self._number(found["place"])
                    if len(found["n"]):
                        yield CallColumns(**found)

    def _stretches(
        self, connection: duckdb.DuckDBPyConnection, file: File, rows: int | None
    ) -> list[tuple[int, int]]:  # fmt: skip
        """Return from which numbers to which the calls in *file* are read at once, the latter not included."""
        if rows is not None and rows <= _WINDOW:
            return [_ALL]
        least, most = connection.execute(_NUMBERS, [file.path]).fetchall()[0]
        if least is None:
            return []
        if least < 0 or most >= self.events:
            raise self._damaged(f"{TABLES['call']} has numbers that no event of the run has")
        return [(first, first + _WINDOW) for first in range(least, most + 1, _WINDOW)]

    def _damaged(self, why: str) -> BadTrace:
        """Return the failure that the calls are damaged, unless what is known of them better raises its own."""
        self._check()
        return BadTrace(self._what, why, self._remedy)

    def faults(self) -> Faults:
        """Return who took page faults."""
        with database(self._what, self._remedy) as connection:
            found = self._arrays(
                connection, _FAULTS.format(apart=self._key, table=_OF_FAULTS), self._tables["fault"]
            )  # fmt: skip
        return Faults(self._number(found["place"]), found["many"], found["first"])

    def frames(self) -> Frames:
        """Return to whose pieces page frames came."""
        with database(self._what, self._remedy) as connection:
            return Frames(**self._arrays(connection, _FRAMES, self._tables["fault"]))

    def ends(self) -> list[End]:
        """Return the ends of processes and of their programs, in order of n."""
        with database(self._what, self._remedy) as connection:
            rows = connection.execute(_ENDS, [self._tables["process"].path]).fetchall()
        return [End(*row) for row in rows]

    def _arrays(self, connection: duckdb.DuckDBPyConnection, query: str, file: File, *values: int) -> Arrays:
        found: Arrays = connection.execute(query, [file.path, *values]).fetchnumpy()
        return found

    def _places(self) -> tuple[PlaceNames, Hashes, Integers]:
        """Return the places, the hashes of sites in their order, and the place of each.

        Sites of one text are one place. So would be two of one hash, of which there is one in a million runs of a
        million sites.
        """
        files = chain(((file, _OF_CALLS) for file in self._call_files()), [(self._tables["fault"], _OF_FAULTS)])
        with database(self._what, self._remedy) as connection:
            rows = [
                row for file, table in files
                for row in connection.execute(_SITES.format(apart=self._key, table=table), [file.path]).fetchall()
            ]  # fmt: skip
        numbers: dict[tuple[str, int | None, str | None], int] = {}
        sites: list[Site | None] = []
        each: dict[int, int] = {}
        for number, value, stack, op, _first in sorted(rows, key=lambda row: row[-1] or 0):
            site = Site(**value) if value is not None else None
            text = site.text if site is not None else "?"
            if site is not None and any(len((part or "").encode()) > LONGEST for part in _texts(site)):
                raise self._damaged(f"{TABLES['call']} has places with names that are too long")
            place = text, self._stacks.get(stack), op if self._apart is Apart.FUNCTIONS else None
            each[number] = numbers.setdefault(place, len(numbers))
            if each[number] == len(sites):
                sites.append(site)
        hashes, places = np.array(list(each), dtype=np.uint64), np.array(list(each.values()), dtype=np.int64)
        order = np.argsort(hashes)
        texts, stacks, ops = zip(*numbers, strict=True) if numbers else ((), (), ())
        return PlaceNames(texts, sites, stacks, ops), hashes[order], places[order]

    @property
    def _key(self) -> str:
        return ", ".join(self._apart.value)

    def _call_files(self) -> Iterator[File]:
        return (part.file for part in self._calls.parts(_MANY_GROUPS))

    def _number(self, hashes: Hashes) -> Integers:
        """Return the places of sites by the first bits of their *hashes*, and of the few that share these by all."""
        if not len(hashes):
            return np.zeros(0, dtype=np.int64)
        found: Integers = self._table[hashes >> np.uint64(64 - _SHORT)]
        others = np.flatnonzero(self._hashes[found] != hashes)
        found[others] = np.searchsorted(self._hashes, hashes[others])
        places: Integers = self._numbers[found]
        return places


def _texts(site: Site) -> tuple[str | None, ...]:
    return site.function, site.file, site.module
