"""Questions in SQL to the tables of one trace or of many, which DuckDB answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from observer.errors import BadTrace, UsageError
from observer.files import Folder
from observer.trace.layout import STACKS, TABLES, is_unfinished
from observer.trace.reader import read_meta

__all__ = ["Answer", "ask"]

_ROWS: Final = 4096
_UNANSWERED: Final = "the query cannot be answered"
_EXAMPLE: Final = "select * from calls limit 3"
_SETTINGS: Final = "set autoinstall_known_extensions = false; set autoload_known_extensions = false"
"""Nothing is fetched from anywhere, whatever is asked for."""


class Answer(NamedTuple):
    """The names of the columns, and the rows, which are asked for as they are taken."""

    columns: list[str]
    rows: Iterator[tuple[object, ...]]


def ask(folders: Sequence[Path], query: str) -> Answer:
    """Return what *query* answers; its tables are calls, syscalls, faults, signals, processes, library, lost, and
    stacks where callers were kept.

    Each has a column `trace` besides its own: the name of the trace's folder.

    Raises:
        BadTrace: one of *folders* is no trace, or none that is finished; or a table cannot be read.
        UsageError: *query* is no SQL, or asks for what is not there.
    """
    for folder in folders:
        _check(folder)
    connection = duckdb.connect()
    connection.execute(_SETTINGS)
    for file in (*TABLES.values(), STACKS):
        _view(connection, [folder / file for folder in folders if (folder / file).exists()], Path(file).stem)
    try:
        result = connection.execute(query)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise UsageError(_UNANSWERED, str(error).strip().splitlines()[0], _EXAMPLE) from error
    except duckdb.Error as error:
        raise BadTrace("the query failed", str(error).splitlines()[0]) from error
    if result is None:
        raise UsageError(_UNANSWERED, "it is empty", _EXAMPLE)
    return Answer([column[0] for column in result.description or []], _rows(result))


def _check(folder: Path) -> None:
    try:
        opened = Folder.open(folder)
    except OSError as error:
        raise BadTrace(f"cannot open {folder}", error.strerror or str(error)) from error
    if is_unfinished(opened):
        raise BadTrace(f"{folder} is not finished", "its run was cut off", f"observer show {folder} finishes it")
    read_meta(opened)


def _view(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], name: str) -> None:
    if not paths:
        return
    listed = ", ".join("'" + str(path.resolve()).replace("'", "''") + "'" for path in paths)
    source = f"read_parquet([{listed}], filename = 'trace', union_by_name = true)"
    place = "regexp_extract(trace, '([^/]*)/[^/]*$', 1)"
    try:
        connection.execute(f"create view {name} as select {place} as trace, * exclude (trace) from {source}")
    except duckdb.Error as error:
        raise BadTrace(f"the table {name} cannot be read", str(error).splitlines()[0], "record it again") from error


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, ...]]:
    try:
        while rows := result.fetchmany(_ROWS):
            yield from rows
    except duckdb.Error as error:
        raise BadTrace("the query failed", str(error).splitlines()[0]) from error
