"""The tables of a trace: one Parquet file a kind, readable as it is by DuckDB, Polars and Spark."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from observer.files import File, Folder, NewFile
from observer.model.events import KernelWork
from observer.model.filenames import typed
from observer.trace.aside import done_aside
from observer.trace.columns import LONGEST, Columns, SiteTable, joined, objects, thin
from observer.trace.database import database
from observer.trace.layout import TABLES
from observer.trace.part import Part
from observer.trace.queries import OF_EXCEPTIONS, query_of
from observer.trace.row_groups import MAGIC, Stretch, closing_of, stretch_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["TableWriter"]

_MOST_VARIABLES: Final = 50
_AT_ONCE: Final = 1 << 16
"""Rows of a table that are held before they are written."""
_WRITERS: Final = 2
"""Stretches that are written at a time; each is held meanwhile."""
_ROW_GROUP: Final = 1 << 15
"""Rows that DuckDB holds before it writes them, and that a question about one of them reads; its own 122,880 take
some 70 MB.
"""
_HOW: Final = f"format parquet, parquet_version v2, compression zstd, use_tmp_file false, row_group_size {_ROW_GROUP}"

Arrays = dict[str, npt.NDArray[Any]]


def _signals(rows: list[dict[str, Any]]) -> Arrays:
    columns = _integers(rows, ("n", "t_ns", "pid", "tid", "code", "ring", "site"))
    columns["signal"] = objects([row["signal"] for row in rows])
    columns["address"] = np.array([row["address"] or 0 for row in rows], dtype=np.uint64)
    columns["has_address"] = np.array([row["address"] is not None for row in rows], dtype=np.int64)
    columns["fatal"] = np.array([row["fatal"] for row in rows], dtype=bool)
    for name in ("instruction", *OF_EXCEPTIONS):
        columns[name] = objects([row[name] for row in rows])
    return columns


def _processes(rows: list[dict[str, Any]]) -> Arrays:
    columns = _integers(rows, ("n", "t_ns", "pid", "tid"))
    columns["what"] = objects([row["what"] for row in rows])
    for name in ("child", "status"):
        columns[name] = np.array([row[name] or 0 for row in rows], dtype=np.int64)
        columns[f"has_{name}"] = np.array([row[name] is not None for row in rows], dtype=np.int64)
    columns["path"] = objects([row["path"] for row in rows])
    columns["environment"] = objects([_settings(row["environment"]) for row in rows])
    return columns


def _lost(rows: list[dict[str, Any]]) -> Arrays:
    return {
        **_integers(rows, ("n", "t_ns", "pid", "tid", "count")),
        "instrument": objects([row["instrument"] for row in rows]),
    }  # fmt: skip


def _with_work(columns: Columns, work: dict[int, KernelWork]) -> Arrays:
    """Return the columns with those of what the kernel did, -1 where that is not known."""
    arrays, rows = columns.arrays(), np.array(list(work), dtype=np.int64)
    for name in KernelWork.__struct_fields__ if arrays else ():
        values = arrays[f"kernel_{name}"] = np.full(columns.length, -1, dtype=np.int64)
        known = [getattr(done, name) for done in work.values()]
        values[rows] = [-1 if value is None else value for value in known]
    return arrays


def _integers(rows: list[dict[str, Any]], names: tuple[str, ...]) -> Arrays:
    return {name: np.array([row[name] for row in rows], dtype=np.int64) for name in names}


def _settings(environment: dict[str, str] | None) -> str | None:
    """Return NAME=value of each variable as a JSON list, those of the allocator first, as long as a text may be."""
    if environment is None:
        return None
    kept: list[str] = []
    for name in sorted(environment, key=lambda name: (name.startswith("LD_"), name)):
        if sum(map(len, kept)) + len(name) + len(environment[name]) < LONGEST // 4 and len(kept) < _MOST_VARIABLES:
            kept.append(f"{name}={environment[name]}")
    return msgspec.json.encode(kept).decode()


def _arrays(part: Part) -> dict[str, Arrays]:
    """Return the columns of a part by the kinds of event that it has columns for."""
    arrays = {
        "call": part.calls.arrays(),
        "syscall": _with_work(part.syscalls, part.syscall_work), "fault": _with_work(part.faults, part.fault_work),
        "signal": _signals(part.signals), "process": _processes(part.processes),
        "library": part.into_libraries.arrays(), "lost": _lost(part.lost),
    }  # fmt: skip
    return {kind: columns for kind, columns in arrays.items() if columns}


class _Table:
    """One table on its way: the file that becomes it, its stretches in order, the n of the last row of each."""

    def __init__(self, file: NewFile) -> None:
        self.file = file
        self.stretches: list[Stretch] = []
        self.lasts: list[int] = []


class TableWriter:
    """Writes a run's parts as tables without holding them: `add` all parts, then `finish`.

    What is many is written some ten thousand rows at a time, each of these stretches as row groups of the table; that
    is done aside, by threads that end with the `with` statement that the writer is used in.

    Raises:
        BadTrace: by both, when the disk is full, or the folder cannot be written.
    """

    def __init__(self, folder: Folder, sites: SiteTable) -> None:
        self._folder = folder
        self._sites = sites
        self._waiting: dict[str, list[Arrays]] = {kind: [] for kind in TABLES}
        self._rows = dict.fromkeys(TABLES, 0)
        self._tables: dict[str, _Table] = {}
        self._files = ExitStack()
        self._unfinished: list[Part] = []
        self._aside = ThreadPoolExecutor(_WRITERS, "tables")
        self._writing: deque[tuple[str, int, Future[File]]] = deque()
        # Making the database takes as long as telling a small run: meanwhile its first part can be made.
        self._settled = done_aside(self._aside, self._settle)

    def _settle(self) -> None:
        with self._database("call") as connection:
            # More threads would hold more rows, and hand them out in another order.
            connection.execute("set threads = 1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: Any) -> None:
        self._aside.shutdown(wait=True, cancel_futures=True)
        self._files.__exit__(*what)

    def add(self, part: Part) -> None:
        """Take the next part; what is said later of its calls that are still open is put in by `finish`."""
        if part.open:
            part.overdue = {"call": [], "library": [], "syscall": []}
            self._unfinished.append(part)
        for kind, columns in _arrays(part).items():
            if self._waiting[kind] and not len(columns["n"]):
                continue  # a part without any tells no more than one before it
            self._waiting[kind].append({name: thin(values) for name, values in columns.items()})
            self._rows[kind] += len(columns["n"])
            if self._rows[kind] >= _AT_ONCE:
                self._write(kind, self._rows[kind] // _ROW_GROUP * _ROW_GROUP or self._rows[kind])

    def finish(self) -> None:
        """Put the tables in their places; until then older ones are still there."""
        for kind in TABLES:
            if self._waiting[kind] and (self._rows[kind] or kind not in self._tables):
                self._write(kind, self._rows[kind])
        self._wait(0)
        if self._unfinished:
            self._mend()
        for kind, table in self._tables.items():
            with self._database(kind):
                table.file.append(closing_of(table.stretches))
        self._files.close()

    def _taken(self, kind: str, count: int) -> Arrays:
        """Return *count* rows of those that wait, which do so no more."""
        waiting = self._waiting[kind]
        rows = {name: joined([part[name] for part in waiting]) for name in waiting[0]}
        rest = self._rows[kind] - count
        self._waiting[kind] = [{name: thin(values[count:].copy()) for name, values in rows.items()}] if rest else []
        self._rows[kind] = rest
        return {name: values[:count] for name, values in rows.items()}

    def _write(self, kind: str, count: int) -> None:
        """Have the first *count* rows of those that wait written as a stretch of their table."""
        self._settled.result()
        self._wait(_WRITERS - 1)
        if kind not in self._tables:
            with self._database(kind):
                self._tables[kind] = _Table(self._files.enter_context(self._folder.replacing(TABLES[kind])))
        rows = self._taken(kind, count)
        last = int(rows["n"][-1]) if count else -1
        work = partial(self._made, kind, lambda connection: query_of(connection, kind, rows, self._sites))
        self._writing.append((kind, last, done_aside(self._aside, work)))

    def _wait(self, most: int) -> None:
        """Wait until no more than *most* stretches are still being written; put what is written into its table."""
        while len(self._writing) > most:
            kind, last, writing = self._writing.popleft()
            self._tables[kind].stretches.append(self._put(kind, writing.result()))
            self._tables[kind].lasts.append(last)

    def _made(self, kind: str, query: Callable[[duckdb.DuckDBPyConnection], str]) -> File:
        """Write the rows of a *query* to a file of their own."""
        # DuckDB is given a file that we made, by its descriptor: of a name it would follow a link.
        with self._database(kind) as connection:
            scratch = self._folder.nameless()
            connection.execute(f"copy ({query(connection)}) to '{scratch.path}' ({_HOW})")
            return scratch.by_now()

    def _put(self, kind: str, file: File) -> Stretch:
        table = self._tables[kind]
        with self._database(kind):
            return stretch_of(file, table.file, table.stretches[0] if table.stretches else None)

    def _mend(self) -> None:
        """Put in what became known of calls after their part was taken: their stretches are written anew."""
        for kind in ("call", "library", "syscall"):
            parts = [(_arrays(part)[kind], part.overdue[kind]) for part in self._unfinished if part.overdue]
            late = {
                name: np.concatenate([columns[name][overdue] for columns, overdue in parts]) for name in parts[0][0]
            }
            table, first = self._tables[kind], 0
            for i, last in enumerate(table.lasts):
                mine = (late["n"] >= first) & (late["n"] <= last)
                first = last + 1
                if mine.any():
                    rows = {name: values[mine] for name, values in late.items()}
                    made = self._made(kind, partial(self._mended, kind, table, i, rows))
                    table.stretches[i] = self._put(kind, made)

    def _mended(self, kind: str, table: _Table, i: int, rows: Arrays, connection: duckdb.DuckDBPyConnection) -> str:
        stretch, before = table.stretches[i], self._folder.nameless()
        with open(before.path, "wb") as file:
            file.write(MAGIC + table.file.read_at(stretch.start, stretch.length) + stretch.alone())
        connection.execute(f"create temp table kept as select * from read_parquet('{before.path}')")
        late = query_of(connection, kind, rows, self._sites)
        return (
            f"select * from ((select * from kept where n not in (select n from given)) union all ({late})) order by n"
        )

    def _database(self, kind: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        what = f"cannot write {TABLES[kind]} of {self._folder.path}"
        return database(what, f"observer show {typed(self._folder.path)} tries again")
