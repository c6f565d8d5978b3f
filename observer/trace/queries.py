"""The queries that make rows of the tables of columns as they were collected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from observer.model.events import Site
from observer.trace.columns import SiteTable, Words, is_thin, thin
from observer.trace.schema import SITE, selection_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["OF_EXCEPTIONS", "query_of"]

Arrays = dict[str, npt.NDArray[Any]]

_KERNEL: Final = """case when kernel_ns < 0 then null else {'ns': kernel_ns, 'pages': kernel_pages,
    'frame': nullif(kernel_frame, -1), 'order': nullif(kernel_order, -1),
    'zeroed': case when kernel_zeroed >= 0 then kernel_zeroed = 1 end, 'others': kernel_others,
    'handling_ns': nullif(kernel_handling_ns, -1)} end as kernel"""

OF_EXCEPTIONS: Final = ("exception", "reason", "access", "where", "mapping", "protection")

_QUERIES: Final = {
    "call": """select n, t_ns, pid, tid, op,
        case when has_size = 1 then size end as size, case when has_count = 1 then count end as count,
        case when has_alignment = 1 then alignment end as alignment,
        case when has_pointer = 1 then pointer end as pointer,
        case when has_result = 1 then result end as result, "where",
        case when returned = 1 then end_ns end as end_ns, nullif(errno, 0) as errno, site, origin, served_by, steps,
        inner_calls, allocator,
        case when has_parameter = 1 then parameter end as parameter, case when has_value = 1 then value end as value,
        case when misuse is null then null else {'what': cast(misuse as varchar), 'given': nullif(misuse_given, -1),
        'given_at': cast(misuse_given_at as varchar), 'freed': nullif(misuse_freed, -1),
        'freed_at': cast(misuse_freed_at as varchar)} end as misuse, nullif(stack, 0) as stack
        from rows""",
    "syscall": f"""select n, t_ns, pid, tid, name, number, [a0, a1, a2, a3, a4, a5][1:arity] as args,
        case when returned = 1 then result end as result, nullif(errno, 0) as errno, gate, ring_before,
        case when returned = 1 then end_ns end as end_ns, nullif(cause, -1) as cause, site,
        case when cast(decoded as varchar) = '' then [] else string_split(decoded, chr(31)) end as decoded,
        nullif(within, -1) as within, {_KERNEL}
        from rows""",
    "fault": f"""select n, t_ns, pid, tid, address, "where", ip, access, major = 1 as major, ring, mapping,
        case when chunk_call < 0 then null else
        {{'call': chunk_call, 'address': chunk_address, 'size': chunk_size}} end as chunk,
        toucher, nullif(cause, -1) as cause, site, nullif(frame, -1) as frame, {_KERNEL}
        from rows""",
    "signal": f"""select n, t_ns, pid, tid, signal, code, case when has_address = 1 then address end as address, fatal,
        site, instruction, ring, {", ".join(f'cast("{name}" as varchar) as "{name}"' for name in OF_EXCEPTIONS)}
        from rows""",
    "process": """select n, t_ns, pid, tid, what, case when has_child = 1 then child end as child,
        case when has_status = 1 then status end as status, path, from_json(environment, '["varchar"]') as environment
        from rows""",
    "library": """select n, t_ns, pid, tid, function, module, case when returned = 1 then result end as result,
        case when returned = 1 then end_ns end as end_ns, site, nullif(crossings, -1) as crossings
        from rows""",
    "lost": "select n, t_ns, pid, tid, instrument, count from rows",
}

_MOST_DISTINCT: Final = 256
"""Words or places, of rows that are written together, that are put into the query itself."""
_MOST_APART: Final = 1 << 20
_WHOLE: Final = {np.dtype(np.int64): "bigint", np.dtype(np.uint64): "ubigint"}
_UNTOLD: Final = {
    "returned": 1, "errno": 0, "stack": 0,
    **dict.fromkeys(("cause", "within", "frame", "crossings", "chunk_call", "kernel_ns", "misuse_given"), -1),
}  # fmt: skip
"""Values that do not come into the tables, as the queries have it: null stands for them, or nothing depends on them."""


def query_of(connection: duckdb.DuckDBPyConnection, kind: str, rows: Arrays, sites: SiteTable) -> str:
    """Hand *rows*, in the order of n, and their places to DuckDB; return the query for the table's rows of them.

    What all rows have in common, and what few words there are, stands in the query: DuckDB reads it much faster there.
    """
    given: Arrays = {}
    made = [_column(name, rows, given, sites) for name in rows if name != "where_at"]
    source, order = "given", ""
    if _PLACES in given:
        connection.register("sites", sites.columns())
        source = f"given left join (select id, {_PLACE} as place from sites) s on given.{_PLACES} = s.id"
        order = " order by n"
    connection.register("given", given)
    known = f"with rows as (select {', '.join(made)} from {source}{order})"
    return f"{known} select {selection_of(kind, but_texts=True)} from ({_QUERIES[kind]})"


_PLACES: Final = "places"
_PLACE: Final = """case when id is null then null else
    {'function': "function", 'file': file, 'line': nullif(line, 0), 'module': module, 'offset': "offset"} end"""


def _column(name: str, rows: Arrays, given: Arrays, sites: SiteTable) -> str:
    """Return the expression for a column, by what is in *given* then."""
    values = rows[name]
    if name == "site":
        return f'{_site(values, given, sites)} as "site"'
    if values.dtype == np.int32:
        text = _word(name, values, given, sites.words)
        return f'{_with_offset(text, rows["where_at"], given) if name == "where" else text} as "{name}"'
    kind = _WHOLE.get(values.dtype)
    if kind is not None and name != "n" and is_thin(thin(values)):
        value = f"cast({values[0]} as {kind})"
        is_told = not name.startswith("has_") and values[0] != _UNTOLD.get(name)
        return f'{_all(value) if is_told else value} as "{name}"'
    given[name] = values
    value = f'given."{name}"'
    return f'{_varchar(value) if values.dtype == object else value} as "{name}"'


def _varchar(text: str) -> str:
    """Return the expression for *text*, of whatever type: a column without any may have another one."""
    return f"cast({text} as varchar)"


def _site(values: npt.NDArray[Any], given: Arrays, sites: SiteTable) -> str:
    used = _distinct(values)
    places = [sites.of(number) for number in used.tolist()] if used is not None else []
    if used is None or any("\0" in (part or "") for place in places for part in _texts(place)):
        given[_PLACES] = values
        return f"cast(place as {SITE})"
    known = zip(*map(_texts, filter(None, places)), strict=True)
    function, file, module = map(_texts_of, known) if any(places) else ("varchar",) * 3
    kind = f'struct("function" {function}, file {file}, line bigint, module {module}, "offset" ubigint)'
    return _one_of("site", values, used, [_struct(place) for place in places], given, kind)


def _texts(place: Site | None) -> tuple[str | None, ...]:
    return (place.function, place.file, place.module) if place is not None else ()


def _struct(place: Site | None) -> str:
    if place is None:
        return "null"
    function, file, module = map(_literal, _texts(place))
    return (
        f"{{'function': {function}, 'file': {file}, 'line': {place.line or 'null'}, 'module': {module}, "
        f"'offset': {place.offset or 0}}}"
    )


def _word(name: str, values: npt.NDArray[Any], given: Arrays, words: Words) -> str:
    used = _distinct(values)
    texts = [words.words[number] for number in used.tolist()] if used is not None else []
    if used is None or any("\0" in (text or "") for text in texts):
        given[name] = words.texts(values)
        return _varchar(f'given."{name}"')
    return _one_of(name, values, used, [_literal(text) for text in texts], given, _texts_of(texts))


def _texts_of(texts: Iterable[str | None]) -> str:
    """Return the type of a column with no other texts: DuckDB writes each of them once, and looks for none again."""
    literals = sorted({_literal(text) for text in texts if text is not None})
    return f"enum({', '.join(literals)})" if literals else "varchar"


def _with_offset(text: str, offsets: npt.NDArray[Any], given: Arrays) -> str:
    """Return the expression for an address in words (`model.where`)."""
    least = int(offsets.min(initial=0))
    if int(offsets.max(initial=-1)) < 0:
        return text
    given["where_at"] = offsets
    text = _varchar(text)
    whole = f"{text} || '+0x' || lower(to_hex(given.where_at))"
    return whole if least >= 0 else f"case when given.where_at < 0 then {text} else {whole} end"


def _distinct(values: npt.NDArray[Any]) -> npt.NDArray[np.int64] | None:
    """Return the different *values*, in order, None if there are many."""
    if not len(values):
        return np.empty(0, dtype=np.int64)
    if is_thin(thin(values)):
        return np.array([values[0]])
    low, high = int(values.min()), int(values.max())
    if high - low >= _MOST_APART:
        return None
    found = np.flatnonzero(np.bincount(values - low)) + low
    return found if len(found) <= _MOST_DISTINCT else None


def _one_of(
    name: str, values: npt.NDArray[Any], used: npt.NDArray[np.int64], literals: Sequence[str], given: Arrays, kind: str
) -> str:  # fmt: skip
    """Return the expression for a column of few values, the literal for each that is *used*."""
    if len(used) <= 1:
        value = f"cast({literals[0] if literals else 'null'} as {kind})"
        return _all(value) if literals and literals[0] != "null" else value
    number = np.zeros(int(used[-1] - used[0]) + 1, dtype=np.uint16)
    number[used - used[0]] = np.arange(1, len(used) + 1)
    given[name] = number[values - used[0]]
    return f'cast([{", ".join(literals)}] as {kind}[])[given."{name}"]'


def _all(value: str) -> str:
    """Return the expression for a column that is *value* in all rows.

    DuckDB must not know that it is never null: it would write another kind of column, to which rows that have null
    could not be joined.
    """
    return f"case when given.n is not null then {value} end"


def _literal(text: str | None) -> str:
    return "null" if text is None else "'" + text.replace("'", "''") + "'"
