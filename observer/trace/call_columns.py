"""The calls of a trace as columns, a window at a time, with what is known of its places, faults and ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from observer.errors import BadTrace
from observer.model.events import GLIBC, Site
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.story.call_columns import CallColumns, End, Faults, Frames, PlaceNames
from observer.story.many_calls import kind_of
from observer.trace.database import database
from observer.trace.layout import TABLES

if TYPE_CHECKING:
    import duckdb

    from observer.files import File

__all__ = ["ColumnsOfRun"]

_WINDOW: Final = 1 << 19
"""Events that are looked at at once."""
_SETTINGS: Final = "set parquet_metadata_cache = true"  # a window reads some row groups, and would read what all are
_KINDS: Final = " ".join(f"when '{op}' then {kind_of(op)}" for op in sorted(ALLOCATING | FREEING | RESIZING))
_CALLS: Final = f"""
    select n, t_ns, coalesce(end_ns, -1) as end_ns, pid,
        cast(case op {_KINDS} else 0 end as tinyint) as kind,
        coalesce(pointer, 0) as pointer, coalesce(result, 0) as result,
        case when count is null then coalesce(size, 0) else
            coalesce(try_cast(cast(size as hugeint) * count as ubigint), 18446744073709551615) end as asked,
        hash(site) as place,
        coalesce(allocator = '{GLIBC}' or starts_with(allocator, '{GLIBC}#'), false) as wastes
    from read_parquet(?) where n >= ? and n < ? order by n"""
_SITES: Final = """
    select hash(site) as place, any_value(site) as site, min(n) as first
    from (select site, n from read_parquet(?) union all select site, n from read_parquet(?))
    group by 1 order by first"""
_FAULTS: Final = "select hash(site) as place, count(*) as many, min(n) as first from read_parquet(?) group by 1"
_FRAMES: Final = """
    select chunk."call" as "call", pid, count(*) as many from read_parquet(?)
    where chunk is not null and access is distinct from 'read' group by all order by "call", pid"""
_ENDS: Final = """
    select n, pid, what = 'exec' as is_exec from (
        select n, pid, what, max(n) over (partition by pid) as last from read_parquet(?)
    ) where what = 'exec' or (what in ('exit', 'killed', 'stopped') and n = last) order by n"""

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

    def calls(self) -> Iterator[CallColumns]:
        """Yield the calls in order of n, windows of them; raises BadTrace where their numbers are no order."""
        with database(self._what, self._remedy) as connection:
            connection.execute(_SETTINGS)
            for first in range(0, self.events, _WINDOW):
                found = self._arrays(connection, _CALLS, "call", first, first + _WINDOW)
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
            files = [self._tables["call"].path, self._tables["fault"].path]
            rows = connection.execute(_SITES, files).fetchall()
        numbers: dict[str, int] = {}
        sites: list[Site | None] = []
        hashes = np.array([row[0] for row in rows], dtype=np.uint64)
        each = np.zeros(len(rows), dtype=np.int64)
        for i, (_hash, value, _first) in enumerate(rows):
            site = Site(**value) if value is not None else None
            text = site.text if site is not None else "?"
            each[i] = numbers.setdefault(text, len(numbers))
            if each[i] == len(sites):
                sites.append(site)
        order = np.argsort(hashes)
        return PlaceNames(list(numbers), sites), hashes[order], each[order]

    def _number(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        if not len(hashes):
            return np.zeros(0, dtype=np.int64)
        return self._numbers[np.searchsorted(self._hashes, hashes)]
