"""The gradebook of a class, in the folder of its results: a table, the same as Parquet, and the instructor's page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from observer.errors import ObserverError
from observer.labs.classroom import Results
from observer.labs.formats import FORMATS
from observer.labs.grading import Document
from observer.recording.text import to_json
from observer.trace.database import literal, quoted

__all__ = ["write_gradebook"]

_LINES: Final = "gradebook.jsonl"
_PAGES: Final = {"gradebook.csv": "csv", "class.html": "html"}
_CHECK: Final = "struct(name varchar, status varchar, points bigint, max_points bigint, seen varchar, expected varchar)"
_COLUMNS: Final = (
    "file: 'varchar', lab: 'varchar', seed: 'varchar', verdict: 'varchar', why: 'varchar', score: 'bigint', "
    f"max_score: 'bigint', points: 'bigint', checks: '{_CHECK}[]', notes: 'varchar[]'"
)
_TABLES: Final = {
    "gradebook.parquet": "select * exclude (checks) from hand_ins",
    "checks.parquet": "select file, lab, seed, verdict, unnest(checks, recursive := true) from hand_ins",
}


def write_gradebook(results: Results, path: Path, documents: Sequence[Document]) -> None:
    """Write the gradebook of *documents* into the folder of *results*, which is at *path*.

    Raises:
        ObserverError: it cannot be written.
    """
    for name, form in _PAGES.items():
        results.write(name, FORMATS[form](documents).encode(errors="backslashreplace"))
    results.write(_LINES, b"".join(to_json(each) + b"\n" for each in documents))
    try:
        with duckdb.connect() as connection:
            lines = quoted(literal(str(path / _LINES)))
            source = f"read_json({lines}, format = 'newline_delimited', columns = {{{_COLUMNS}}})"
            connection.execute(f"create view hand_ins as select * from {source}")
            for name, query in _TABLES.items():
                connection.execute(f"copy ({query}) to {quoted(str(path / name))} (format parquet)")
    except duckdb.Error as error:
        raise ObserverError(f"cannot write the tables in {path}", str(error).partition("\n")[0]) from error
