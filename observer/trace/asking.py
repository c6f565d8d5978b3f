"""Questions in SQL to the tables of one trace or of many, which DuckDB answers; it reads nothing else, and writes
nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from observer.errors import BadTrace, UsageError
from observer.files import Folder, real_path
from observer.model.filenames import as_text, typed
from observer.trace.database import interruptible, literal, quoted
from observer.trace.layout import STACKS, TABLES, is_unfinished
from observer.trace.reader import read_meta

__all__ = ["Answer", "ask"]

_ROWS: Final = 4096
_UNANSWERED: Final = "the query cannot be answered"
_EXAMPLE: Final = "select * from calls limit 3"
_AGAIN: Final = "record it again"
_SETTINGS: Final = "set enable_external_access = false; set lock_configuration = true"
"""Nothing is read but the tables, nothing is fetched from anywhere."""
_QUESTION: Final = re.compile(r"[\s(]*(select|from|with|pivot|unpivot)\b", re.IGNORECASE)
"""How a question may begin that DuckDB answers in several steps; of what else begins so it is said what it does."""


_USERS: Final = (
    duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException,
)  # fmt: skip
"""What the question itself makes fail."""


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
        UsageError: *query* is no SQL, asks for what is not there, or is no question: it would do something.
    """
    for folder in folders:
        _check(folder)
    connection = duckdb.connect()
    tables = {Path(file).stem: _tables(folders, file) for file in (*TABLES.values(), STACKS)}
    for name, paths in tables.items():
        _view(connection, paths, name)
    _lock(connection, [word for path in chain(*tables.values()) for word in (path, literal(path))])
    try:
        question = _question(connection, query)
        result = interruptible(connection, lambda: connection.execute(question))
    except _USERS as error:
        raise UsageError(_UNANSWERED, str(error).strip().splitlines()[0], _EXAMPLE) from error
    except duckdb.Error as error:
        raise _failed(error) from error
    return Answer([column[0] for column in result.description or []], _rows(connection, result))


def _lock(connection: duckdb.DuckDBPyConnection, allowed: Sequence[str]) -> None:
    """Let nothing be read from now on but the files *allowed*."""
    try:
        connection.execute(f"set allowed_paths = [{', '.join(map(quoted, allowed))}]")
        connection.execute(_SETTINGS)
    except duckdb.IOException as error:
        raise BadTrace(
            "nothing can be asked", str(error).splitlines()[0], "a working directory that is there"
        ) from error


def _question(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    """Return the one question in *query*; raises UsageError where there is none, or more, or an order."""
    if as_text(query) != query:
        raise UsageError(_UNANSWERED, "it is no UTF-8, which DuckDB needs", _EXAMPLE)
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        why = "it is empty" if not statements else f"it holds {len(statements)} statements"
        raise UsageError(_UNANSWERED, why, _EXAMPLE)
    (statement,) = statements
    is_question = statement.type == duckdb.StatementType.SELECT or (
        statement.type == duckdb.StatementType.MULTI and _QUESTION.match(query)
    )
    if not is_question:
        raise UsageError(_UNANSWERED, "it asks for nothing: it is no SELECT, FROM, DESCRIBE or SUMMARIZE", _EXAMPLE)
    return statement


def _tables(folders: Sequence[Path], name: str) -> list[str]:
    """Return the paths of the tables called *name* in *folders*.

    Raises:
        BadTrace: one is missing, or no regular file, or cannot be named to DuckDB.
    """
    found = []
    for folder in folders:
        opened, path = _opened(folder), str(real_path(folder) / name)
        if as_text(path) != path:
            raise BadTrace(f"{folder} cannot be asked", "its name is no UTF-8, which DuckDB needs", "another name")
        if opened.has(name):
            found.append(path)
        elif name in opened.names():
            raise BadTrace(f"cannot read {name} of {folder}", "it is no regular file", _AGAIN)
        elif name != STACKS:
            raise BadTrace(f"{folder} is incomplete", f"{name} is missing", _AGAIN)
    return found


def _check(folder: Path) -> None:
    opened = _opened(folder)
    if is_unfinished(opened):
        why = "its run was only recorded, or cut off"
        raise BadTrace(f"{folder} is not finished", why, f"observer show {typed(folder)} finishes it")
    read_meta(opened)


def _opened(folder: Path) -> Folder:
    try:
        return Folder.open(folder)
    except OSError as error:
        raise BadTrace(f"cannot open {folder}", error.strerror or str(error)) from error


def _view(connection: duckdb.DuckDBPyConnection, paths: Sequence[str], name: str) -> None:
    if not paths:
        return
    listed = ", ".join(quoted(literal(path)) for path in paths)
    source = f"read_parquet([{listed}], filename = 'trace', union_by_name = true)"
    place = "regexp_extract(trace, '([^/]*)/[^/]*$', 1)"
    try:
        connection.execute(f"create view {name} as select {place} as trace, * exclude (trace) from {source}")
    except duckdb.Error as error:
        raise BadTrace(f"the table {name} cannot be read", str(error).splitlines()[0], _AGAIN) from error


def _rows(connection: duckdb.DuckDBPyConnection, result: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, ...]]:
    try:
        while rows := interruptible(connection, lambda: result.fetchmany(_ROWS)):
            yield from rows
    except duckdb.Error as error:
        raise _failed(error) from error


def _failed(error: duckdb.Error) -> BadTrace:
    return BadTrace("the query failed", str(error).splitlines()[0])
