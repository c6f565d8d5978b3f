"""The tables of a trace: one Parquet file a kind, readable as it is by DuckDB, Polars and Spark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from observer.files import File, Folder
from observer.model.events import KernelWork
from observer.trace.columns import LONGEST, Columns, SiteTable, objects
from observer.trace.database import database
from observer.trace.layout import TABLES
from observer.trace.part import Part
from observer.trace.queries import OF_EXCEPTIONS, query_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["TableWriter"]

_MOST_VARIABLES: Final = 50
_AT_ONCE: Final = 1 << 14
"""Rows of a table that are held before they are written."""
_ROW_GROUP: Final = 1 << 15
"""Rows that DuckDB holds before it writes them, and that a question about one of them reads; its own 122,880 take
some 70 MB.
"""
_MOST_FILES: Final = 16
"""Files of one size that become one."""

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


class _Stretch(NamedTuple):
    """A file of rows on the way, the n of its last one, and how often such files were made one."""

    file: File
    last: int
    level: int


class TableWriter:
    """Writes a run's tables part by part, in the order of n, without holding them: `add` all parts, then `finish`.

    What is many is written to files without a name first, some ten thousand rows each, which become one table in the
    end; that is done aside, by a thread that ends with the `with` statement that the writer is used in.

    Raises:
        BadTrace: by both, when the disk is full, or the folder cannot be written.
    """

    def __init__(self, folder: Folder, sites: SiteTable) -> None:
        self._folder = folder
        self._sites = sites
        self._waiting: dict[str, list[Arrays]] = {kind: [] for kind in TABLES}
        self._rows = dict.fromkeys(TABLES, 0)
        self._stretches: dict[str, list[_Stretch]] = {kind: [] for kind in TABLES}
        self._unfinished: list[Part] = []
        self._aside = ThreadPoolExecutor(1, "tables")
        self._writing: Future[None] | None = None
        with self._database("call") as connection:
            # More threads would hold more rows, and hand them out in another order.
            connection.execute("set threads = 1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_what: object) -> None:
        self._aside.shutdown(wait=True, cancel_futures=True)

    def add(self, part: Part) -> None:
        """Take the next part; what is said later of its calls that are still open is put in by `finish`."""
        if part.open:
            part.overdue = {"call": [], "library": [], "syscall": []}
            self._unfinished.append(part)
        for kind, columns in _arrays(part).items():
            self._waiting[kind].append(columns)
            self._rows[kind] += len(columns["n"])
            if self._rows[kind] >= _AT_ONCE:
                self._write(kind)

    def finish(self) -> None:
        """Put the tables in their places; until then older ones are still there."""
        self._wait()
        for kind in TABLES:
            if self._rows[kind] and (self._stretches[kind] or self._unfinished):
                self._write(kind)
        self._wait()
        if self._unfinished:
            self._mend()
        for kind in TABLES:
            # DuckDB is given a file that we made, by its descriptor: of a name it would follow a link.
            with self._database(kind) as connection, self._folder.replacing(TABLES[kind]) as file:
                query = _all_of(self._stretches[kind])
                if not self._stretches[kind]:
                    query = query_of(connection, kind, self._taken(kind), self._sites)
                connection.execute(_copy(query, f"/proc/self/fd/{file.fileno()}"))

    def _taken(self, kind: str) -> Arrays:
        """Return what waits, which does so no more."""
        waiting, self._waiting[kind], self._rows[kind] = self._waiting[kind], [], 0
        return {name: np.concatenate([part[name] for part in waiting]) for name in waiting[0]}

    def _write(self, kind: str) -> None:
        """Have what waits written to a file of its own."""
        self._wait()
        work = partial(self._add_stretch, kind, self._taken(kind), self._sites)
        try:
            self._writing = self._aside.submit(work)
        except RuntimeError:  # no thread can be had
            work()

    def _wait(self) -> None:
        """Wait until what was begun is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _add_stretch(self, kind: str, rows: Arrays, sites: SiteTable) -> None:
        stretches, last = self._stretches[kind], int(rows["n"][-1])
        stretches.append(self._made(kind, last, 0, lambda connection: query_of(connection, kind, rows, sites)))
        while len(stretches) >= _MOST_FILES and stretches[-_MOST_FILES].level == stretches[-1].level:
            alike = stretches[-_MOST_FILES:]
            stretches[-_MOST_FILES:] = [self._made(kind, last, alike[0].level + 1, partial(_joined, alike))]

    def _made(
        self, kind: str, last: int, level: int, query: Callable[[duckdb.DuckDBPyConnection], str]
    ) -> _Stretch:  # fmt: skip
        file = self._folder.nameless()
        with self._database(kind) as connection:
            connection.execute(_copy(query(connection), file.path, "snappy"))  # soon read again, and then gone
        return _Stretch(file, last, level)

    def _mend(self) -> None:
        """Put in what became known of calls after their part was taken."""
        for kind in ("call", "library", "syscall"):
            parts = [(_arrays(part)[kind], part.overdue[kind]) for part in self._unfinished if part.overdue]
            late = {
                name: np.concatenate([columns[name][overdue] for columns, overdue in parts]) for name in parts[0][0]
            }
            first = 0
            for i, stretch in enumerate(self._stretches[kind]):
                mine = (late["n"] >= first) & (late["n"] <= stretch.last)
                first = stretch.last + 1
                if mine.any():
                    query = partial(self._mended, kind, stretch, {name: values[mine] for name, values in late.items()})
                    self._stretches[kind][i] = self._made(kind, stretch.last, stretch.level, query)

    def _mended(self, kind: str, stretch: _Stretch, rows: Arrays, connection: duckdb.DuckDBPyConnection) -> str:
        late = query_of(connection, kind, rows, self._sites)
        kept = f"select * from read_parquet('{stretch.file.path}') where n not in (select n from rows)"
        return f"select * from (({kept}) union all ({late})) order by n"

    def _database(self, kind: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        what = f"cannot write {TABLES[kind]} of {self._folder.path}"
        return database(what, f"observer show {self._folder.path} tries again")


def _all_of(stretches: Sequence[_Stretch]) -> str:
    paths = ", ".join(f"'{stretch.file.path}'" for stretch in stretches)
    return f"select * from read_parquet([{paths}])"


def _copy(query: str, target: str, compression: str = "zstd") -> str:
    how = f"format parquet, compression {compression}, use_tmp_file false, row_group_size {_ROW_GROUP}"
    return f"copy ({query}) to '{target}' ({how})"


def _joined(stretches: Sequence[_Stretch], _connection: duckdb.DuckDBPyConnection) -> str:
    return _all_of(stretches)
