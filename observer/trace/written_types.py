"""Whether a table has the columns that were written: their names, their order, their types.

Who reads a table may then ask for its columns as they are: a number in one of them is one, and of the width that it was
written with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from observer.trace.schema import COLUMNS

if TYPE_CHECKING:
    import duckdb

    from observer.files import File

__all__ = ["odd_column"]


def odd_column(connection: duckdb.DuckDBPyConnection, kind: str, file: File) -> str | None:
    """Return what is odd about the columns of *file*, a table of *kind*, in words; None: nothing."""
    result = connection.execute("select * from read_parquet(?) limit 0", [file.path])
    found = {column[0]: column[1] for column in result.description or ()}
    for name, type_ in COLUMNS[kind].items():
        wanted = connection.sqltype(type_.rstrip("!"))
        if name not in found:
            return f"it has no column {name}"
        if found[name] != wanted:
            return f"its column {name} has values of another type"
    if list(found) != list(COLUMNS[kind]):
        return "it has other columns than were written"
    return None
