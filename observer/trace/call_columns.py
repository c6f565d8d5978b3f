"""The calls of a trace as columns, a window at a time, with what is known of its places, faults and ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from observer.errors import BadTrace
from observer.model.call_columns import CallColumns, End, Faults, Frames, PlaceNames
from observer.model.events import GLIBC, Site
from observer.model.operations import ALLOCATING, FREEING, RESIZING, kind_of
from observer.trace.database import database
from observer.trace.layout import TABLES

if TYPE_CHECKING:
    import duckdb

    from observer.files import File

__all__ = ["COLUMNS_NEEDED", "ColumnsOfRun"]

_WINDOW: Final = 1 << 18
"""Events that are looked at at once."""
_SETTINGS: Final = "set parquet_metadata_cache = true"  # a window reads some row groups, and would read what all are
_KINDS: Final = " ".join(f"when '{op}' then {kind_of(op)}" for op in sorted(ALLOCATING | FREEING | RESIZING))
_CALLS: Final = """
    select n, {times} pid,
        cast(case op {kinds} else 0 end as tinyint) as kind,
        coalesce(pointer, 0) as pointer, coalesce(result, 0) as result,
        case when count is null then coalesce(size, 0) else
            coalesce(try_cast(cast(size as hugeint) * count as ubigint), 18446744073709551615) end as asked,
        hash(site) as place,
        coalesce(allocator = '{glibc}' or starts_with(allocator, '{glibc}#'), false) as wastes,
        origin <> 'program' as own
    from read_parquet(?) where n >= ? and n < ?"""
_TIMES: Final = "t_ns, coalesce(end_ns, -1) as end_ns,"
_NO_TIMES: Final = "cast(0 as bigint) as t_ns, cast(0 as bigint) as end_ns,"
_SITES: Final = """
    with firsts as (select hash(site) as place, min(n) as first from read_parquet($file) group by 1)
    select place, site, first from firsts join (select n, site from read_parquet($file)) on n = first"""
_FAULTS: Final = "select hash(site) as place, count(*) as many, min(n) as first from read_parquet(?) group by 1"
_FRAMES: Final = """
    select chunk."call" as "call", pid, count(*) as many from read_parquet(?)
    where chunk is not null and access is distinct from 'read' group by all order by "call", pid"""
_ENDS: Final = """
    select n, pid, what = 'exec' as is_exec from (
        select n, pid, what, max(n) over (partition by pid) as last from read_parquet(?)
    ) where what = 'exec' or (what in ('exit', 'killed', 'stopped') and n = last) order by n"""

COLUMNS_NEEDED: Final = {
    "call": ("n", "t_ns", "pid", "op", "site", "origin"), "fault": ("n", "pid", "site", "chunk"),
    "process": ("n", "pid", "what"),
}  # fmt: skip
"""What must hold in the tables for their columns to be told, by kind of event."""

Arrays = dict[str, npt.NDArray[Any]]


class ColumnsOfRun:
    """What the tables of a trace hold, without a value for each event.

    Args:
        tables: the files of the tables by kind of event.
        events: how many events there are.
        what: what has failed when a table cannot be read.
        remedy: what to do then.
    """

    def __init__(self, tables: dict[str, File], events: int, what: str, remedy: str) -> None:
        self._tables, self._what, self._remedy = tables, what, remedy
        self.events = events
        """How many events the run has."""
        self.names, self._hashes, self._numbers = self._places()

    def calls(self, *, times: bool) -> Iterator[CallColumns]:
        """Yield the calls in order of n, windows of them, with their *times* or with zeros in the place of these.

        Raises:
            BadTrace: their numbers are no order.
        """
        query = _CALLS.format(times=_TIMES if times else _NO_TIMES, kinds=_KINDS, glibc=GLIBC)
        with database(self._what, self._remedy) as connection:
            connection.execute(_SETTINGS)
            for first in range(0, self.events, _WINDOW):
                found = self._arrays(connection, query, "call", first, first + _WINDOW)
                if (np.diff(found["n"]) <= 0).any():
                    raise BadTrace(self._what, f"{TABLES['call']} has two calls of one number", self._remedy)
                found["place"] = self._number(found["place"])
                yield CallColumns(**found)

    def faults(self) -> Faults:
        """Return who took page faults."""
        with database(self._what, self._remedy) as connection:
            found = self._arrays(connection, _FAULTS, "fault")
        return Faults(self._number(found["place"]), found["many"], found["first"])

    def frames(self) -> Frames:
        """Return to whose pieces page frames came."""
        with database(self._what, self._remedy) as connection:
            return Frames(**self._arrays(connection, _FRAMES, "fault"))

    def ends(self) -> list[End]:
        """Return the ends of processes and of their programs, in order of n."""
        with database(self._what, self._remedy) as connection:
            rows = connection.execute(_ENDS, [self._tables["process"].path]).fetchall()
        return [End(*row) for row in rows]

    def _arrays(self, connection: duckdb.DuckDBPyConnection, query: str, kind: str, *values: int) -> Arrays:
        found: Arrays = connection.execute(query, [self._tables[kind].path, *values]).fetchnumpy()
        return found

    def _places(self) -> tuple[PlaceNames, npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Return the places, the hashes of sites in their order, and the place of each.

        Sites of one text are one place. So would be two of one hash, of which there is one in a million runs of a
        million sites.
        """
        with database(self._what, self._remedy) as connection:
            rows = [
                row for kind in ("call", "fault")
                for row in connection.execute(_SITES, {"file": self._tables[kind].path}).fetchall()
            ]  # fmt: skip
        numbers: dict[str, int] = {}
        sites: list[Site | None] = []
        each: dict[int, int] = {}
        for number, value, _first in sorted(rows, key=lambda row: int(row[2])):
            site = Site(**value) if value is not None else None
            text = site.text if site is not None else "?"
            each[number] = numbers.setdefault(text, len(numbers))
            if each[number] == len(sites):
                sites.append(site)
        hashes, places = np.array(list(each), dtype=np.uint64), np.array(list(each.values()), dtype=np.int64)
        order = np.argsort(hashes)
        return PlaceNames(list(numbers), sites), hashes[order], places[order]

    def _number(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        if not len(hashes):
            return np.zeros(0, dtype=np.int64)
        return self._numbers[np.searchsorted(self._hashes, hashes)]
