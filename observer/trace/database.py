"""DuckDB as the tables are written and read with it, its failures in our words."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, TypeVar

import duckdb

from observer.errors import NO_PROC, OURS, SCARCE, BadTrace

__all__ = ["close_database", "database", "interruptible", "literal", "quoted"]

_ERRNO: Final = re.compile(r'"errno":"([0-9]+)"')
_NO_MORE: Final = (errno.EMFILE, errno.ENFILE)
_GLOB: Final = re.compile(r"[*?\[]")
_INTERRUPTED: Final = re.compile(r"\bKeyboardInterrupt\b|\bINTERRUPT Error\b")
"""What its errors tell of when Ctrl-C came while it worked, or Python below it."""


_NO_TEXT: Final = "conversion error"
"""What tells of bytes where text must be."""


_Result = TypeVar("_Result")


class _Instance:
    """The one database of this process, made when it is first needed: that takes as long as reading a small table.

    Several threads may ask for cursors; a connection itself is for one of them at a time.
    """

    def __init__(self) -> None:
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._opened is None:
                self._opened = duckdb.connect()
            return self._opened.cursor()

    def forget(self) -> None:
        """Have the next cursor be another database's. This one ends with the cursors that others still use."""
        with self._lock:
            self._opened = None

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None


_INSTANCE: Final = _Instance()


def close_database() -> None:
    """Let go of the database and of its threads; the next use makes it anew.

    To be done before a program is launched: threads do not survive a fork, and while Ctrl-C is blocked in all of
    ours, to be taken by one of them, it would be given to the database's.
    """
    _INSTANCE.close()


def literal(path: str) -> str:
    """Return *path* as a pattern that names this file alone: DuckDB takes what it reads for patterns.

    >>> literal("/tmp/a*[1]")
    '/tmp/a[*][[]1]'
    """
    return _GLOB.sub(r"[\g<0>]", path)


def quoted(text: str) -> str:
    """Return *text* as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def interruptible(connection: duckdb.DuckDBPyConnection, work: Callable[[], _Result]) -> _Result:
    """Return what *work* does with *connection*; Ctrl-C ends it at once, where a thread can be had.

    A thread that works in DuckDB looks for signals only between its tasks, and a question may be one that never ends.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return work()
    try:
        return future.result()
    except KeyboardInterrupt:
        connection.interrupt()
        thread.join()  # DuckDB's own end must not meet Python's
        raise


@contextmanager
def database(what: str, remedy: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection of its own to a database in memory; *what* is the failure when something cannot be done in it.

    Raises:
        BadTrace: with DuckDB's reason, or Linux's where there is one.
        KeyboardInterrupt: DuckDB, which takes Ctrl-C while it works, was interrupted.
    """
    try:
        with _INSTANCE.cursor() as connection:
            yield connection
    except (duckdb.Error, OSError, UnicodeDecodeError) as error:
        _INSTANCE.forget()  # a failure may have made it unfit for anything else
        if _INTERRUPTED.search(str(error)):
            raise KeyboardInterrupt from error
        if OURS in str(error) and not os.path.exists(OURS):
            raise BadTrace(what, *NO_PROC) from error
        raise BadTrace(what, _reason(error), _remedy(error, remedy)) from error
    except RuntimeError as error:
        if "interrupted" in str(error):
            raise KeyboardInterrupt from error
        if _NO_TEXT not in str(error):
            raise
        raise BadTrace(what, "a name or a text in it is no UTF-8", remedy) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = _ERRNO.search(str(error))
    return os.strerror(int(found[1])) if found is not None else str(error).splitlines()[0]


def _remedy(error: Exception, otherwise: str) -> str:
    """Return what gives more of what was scarce, and *otherwise*; of few descriptors the table is none the worse."""
    scarce = next((number for number in SCARCE if os.strerror(number) in str(error)), 0)
    if not scarce:
        return otherwise
    return SCARCE[scarce] if scarce in _NO_MORE else f"{SCARCE[scarce]}; {otherwise}"
