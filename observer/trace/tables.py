"""The tables of a trace: one Parquet file a kind, readable as it is by DuckDB, Polars and Spark."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from observer.files import Folder
from observer.trace.assembly import Assembly
from observer.trace.columns import LONGEST
from observer.trace.database import database
from observer.trace.layout import TABLES

__all__ = ["write_table", "write_tables"]

_SITE: Final = """case when s.id is null then null else
    {'function': s.function, 'file': s.file, 'line': nullif(s.line, 0), 'module': s.module, 'offset': s."offset"}
    end as site"""

_MOST_VARIABLES: Final = 50
_OF_EXCEPTIONS: Final = ("exception", "reason", "access", "where", "mapping", "protection")

_QUERIES: Final = {
    "call": f"""select n, t_ns, pid, tid, op,
        case when has_size = 1 then size end as size, case when has_count = 1 then count end as count,
        case when has_alignment = 1 then alignment end as alignment,
        case when has_pointer = 1 then pointer end as pointer,
        case when has_result = 1 then result end as result, "where",
        case when returned = 1 then end_ns end as end_ns, nullif(errno, 0) as errno, {_SITE}, origin,
        cast(null as varchar) as served_by, steps, inner_calls, cast(allocator as varchar) as allocator,
        case when has_parameter = 1 then parameter end as parameter, case when has_value = 1 then value end as value,
        case when misuse is null then null else {{'what': cast(misuse as varchar), 'given': nullif(misuse_given, -1),
        'given_at': cast(misuse_given_at as varchar), 'freed': nullif(misuse_freed, -1),
        'freed_at': cast(misuse_freed_at as varchar)}} end as misuse
        from rows left join sites s on rows.site = s.id order by n""",
    "syscall": f"""select n, t_ns, pid, tid, name, number, [a0, a1, a2, a3, a4, a5][1:arity] as args,
        case when returned = 1 then result end as result, nullif(errno, 0) as errno, gate, ring_before,
        case when returned = 1 then end_ns end as end_ns, nullif(cause, -1) as cause, {_SITE},
        case when decoded = '' then [] else string_split(decoded, chr(31)) end as decoded,
        nullif(within, -1) as within
        from rows left join sites s on rows.site = s.id order by n""",
    "fault": f"""select n, t_ns, pid, tid, address, "where", ip, access, major = 1 as major, ring, mapping,
        case when chunk_call < 0 then null else
        {{'call': chunk_call, 'address': chunk_address, 'size': chunk_size}} end as chunk,
        toucher, nullif(cause, -1) as cause, {_SITE}, nullif(frame, -1) as frame
        from rows left join sites s on rows.site = s.id order by n""",
    "signal": f"""select n, t_ns, pid, tid, signal, code, case when has_address = 1 then address end as address, fatal,
        {_SITE}, instruction, ring, {", ".join(f'cast("{name}" as varchar) as "{name}"' for name in _OF_EXCEPTIONS)}
        from rows left join sites s on rows.site = s.id order by n""",
    "process": """select n, t_ns, pid, tid, what, case when has_child = 1 then child end as child,
        case when has_status = 1 then status end as status, path, from_json(environment, '["varchar"]') as environment
        from rows order by n""",
    "library": f"""select n, t_ns, pid, tid, cast(rows.function as varchar) as function,
        cast(rows.module as varchar) as module, case when returned = 1 then result end as result,
        case when returned = 1 then end_ns end as end_ns, {_SITE}, nullif(crossings, -1) as crossings
        from rows left join sites s on rows.site = s.id order by n""",
    "lost": "select n, t_ns, pid, tid, instrument, count from rows order by n",
}

Arrays = dict[str, npt.NDArray[Any]]


def _column(values: list[Any]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _signals(assembly: Assembly) -> Arrays:
    rows = assembly.signals
    columns: Arrays = {
        name: np.array([row[name] for row in rows], dtype=np.int64)
        for name in ("n", "t_ns", "pid", "tid", "code", "ring")
    }
    columns["signal"] = _column([row["signal"] for row in rows])
    columns["address"] = np.array([row["address"] or 0 for row in rows], dtype=np.uint64)
    columns["has_address"] = np.array([row["address"] is not None for row in rows], dtype=np.int64)
    columns["fatal"] = np.array([row["fatal"] for row in rows], dtype=bool)
    columns["site"] = np.array([assembly.sites.number(row["site"]) for row in rows], dtype=np.int64)
    for name in ("instruction", *_OF_EXCEPTIONS):
        columns[name] = _column([row[name] for row in rows])
    return columns


def _processes(assembly: Assembly) -> Arrays:
    rows = assembly.processes
    columns: Arrays = {
        name: np.array([row[name] for row in rows], dtype=np.int64) for name in ("n", "t_ns", "pid", "tid")
    }
    columns["what"] = _column([row["what"] for row in rows])
    for name in ("child", "status"):
        columns[name] = np.array([row[name] or 0 for row in rows], dtype=np.int64)
        columns[f"has_{name}"] = np.array([row[name] is not None for row in rows], dtype=np.int64)
    columns["path"] = _column([row["path"] for row in rows])
    columns["environment"] = _column([_settings(row["environment"]) for row in rows])
    return columns


def _settings(environment: dict[str, str] | None) -> str | None:
    """Return NAME=value of each variable as a JSON list, those of the allocator first, as long as a text may be."""
    if environment is None:
        return None
    kept: list[str] = []
    for name in sorted(environment, key=lambda name: (name.startswith("LD_"), name)):
        if sum(map(len, kept)) + len(name) + len(environment[name]) < LONGEST // 4 and len(kept) < _MOST_VARIABLES:
            kept.append(f"{name}={environment[name]}")
    return msgspec.json.encode(kept).decode()


def _lost(rows: list[dict[str, Any]]) -> Arrays:
    columns: Arrays = {
        name: np.array([row[name] for row in rows], dtype=np.int64) for name in ("n", "t_ns", "pid", "tid", "count")
    }
    columns["instrument"] = _column([row["instrument"] for row in rows])
    return columns


def write_tables(folder: Folder, assembly: Assembly) -> int:
    """Write all tables into *folder*; return the number of events.

    Raises:
        BadTrace: the disk is full, or the folder cannot be written.
    """
    tables = {
        "call": assembly.calls.arrays(), "syscall": assembly.syscalls.arrays(), "fault": assembly.faults.arrays(),
        "signal": _signals(assembly), "process": _processes(assembly), "library": assembly.into_libraries.arrays(),
        "lost": _lost(assembly.lost),
    }  # fmt: skip
    sites = assembly.sites.columns()
    for kind, columns in tables.items():
        write_table(folder, kind, _QUERIES[kind], rows=columns, sites=sites)
    return sum(len(columns["n"]) for columns in tables.values())


def write_table(folder: Folder, kind: str, query: str, **given: Arrays) -> None:
    """Put what *query* selects, from the *given* columns by their names, in the place of the table of *kind*.

    DuckDB is given a file that we made, by its descriptor: of a name it would follow a link.

    Raises:
        BadTrace: it cannot be written; then the older table is still there.
    """
    what = f"cannot write {TABLES[kind]} of {folder.path}"
    with (
        database(what, f"observer show {folder.path} tries again") as connection,
        folder.replacing(TABLES[kind]) as file,
    ):
        for relation, columns in given.items():
            connection.register(relation, columns)
        target = f"/proc/self/fd/{file.fileno()}"
        connection.execute(f"copy ({query}) to '{target}' (format parquet, compression zstd, use_tmp_file false)")
