"""The columns of the tables, and what makes a row one that cannot have been recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from observer.arch.architecture import GATES
from observer.model.events import MISUSES
from observer.model.operations import FAMILY
from observer.trace.columns import LONGEST

__all__ = ["COLUMNS", "SITE", "faults_of", "selection_of"]

_MOST: Final = 64  # texts or numbers of one list

SITE: Final = 'struct("function" varchar, file varchar, line bigint, module varchar, "offset" ubigint)'
_MISUSE: Final = "struct(what varchar, given bigint, given_at varchar, freed bigint, freed_at varchar)"
_COMMON: Final = {"n": "bigint!", "t_ns": "bigint!", "pid": "bigint!", "tid": "bigint!"}

_KERNEL: Final = (
    'struct(ns bigint, pages bigint, frame bigint, "order" bigint, zeroed boolean, others bigint, handling_ns bigint)'
)

COLUMNS: Final[dict[str, dict[str, str]]] = {
    "call": {
        **_COMMON, "op": "varchar!", "size": "ubigint", "count": "ubigint", "alignment": "ubigint",
        "pointer": "ubigint", "result": "ubigint", "where": "varchar", "end_ns": "bigint", "errno": "bigint",
        "site": SITE, "origin": "varchar!", "served_by": "varchar", "steps": "varchar", "inner_calls": "bigint!",
        "allocator": "varchar", "parameter": "bigint", "value": "bigint", "misuse": _MISUSE,
        "stack": "bigint",
    },
    "syscall": {
        **_COMMON, "name": "varchar!", "number": "bigint!", "args": "ubigint[]!", "result": "bigint",
        "errno": "bigint", "gate": "varchar!", "ring_before": "bigint!", "end_ns": "bigint", "cause": "bigint",
        "site": SITE, "decoded": "varchar[]", "within": "bigint", "kernel": _KERNEL,
    },
    "fault": {
        **_COMMON, "address": "ubigint!", "where": "varchar", "ip": "ubigint!", "access": "varchar",
        "major": "boolean!", "ring": "bigint!", "mapping": "varchar",
        "chunk": 'struct("call" bigint, address bigint, size bigint)', "toucher": "varchar!", "cause": "bigint",
        "site": SITE, "frame": "bigint", "kernel": _KERNEL,
    },
    "signal": {
        **_COMMON, "signal": "varchar!", "code": "bigint!", "address": "ubigint", "fatal": "boolean!", "site": SITE,
        "instruction": "varchar", "ring": "bigint!", "exception": "varchar", "reason": "varchar", "access": "varchar",
        "where": "varchar", "mapping": "varchar", "protection": "varchar",
    },
    "process": {**_COMMON, "what": "varchar!", "child": "bigint", "status": "bigint", "path": "varchar",
                "environment": "varchar[]"},
    "library": {
        **_COMMON, "function": "varchar!", "module": "varchar", "result": "ubigint", "end_ns": "bigint",
        "site": SITE, "crossings": "bigint",
    },
    "lost": {**_COMMON, "instrument": "varchar!", "count": "bigint!"},
}  # fmt: skip
"""DuckDB's type of each column by kind of event; `!`: never null."""

_WORDS: Final[dict[tuple[str, str], Iterable[str]]] = {
    ("call", "op"): [operation.name for operation in FAMILY],
    ("syscall", "gate"): GATES,
    ("process", "what"): (
        "start",
        "fork",
        "vfork",
        "clone",
        "exec",
        "exit",
        "killed",
        "released",
        "stopped",
        "unfollowed",
        "joined",
    ),
}
_NEVER_NEGATIVE: Final = frozenset({"n", "pid", "tid", "count", "inner_calls", "stack"})


def selection_of(kind: str, *, but_texts: bool = False) -> str:
    """Return the columns of *kind* as a list for SELECT, each as its type; those of texts as they are, if told so."""
    as_they_are = ("varchar", SITE) if but_texts else ()
    return ", ".join(
        f'"{name}"' if type_ in as_they_are else f'cast("{name}" as {type_}) as "{name}"'
        for name, type_ in ((name, type_.rstrip("!")) for name, type_ in COLUMNS[kind].items())
    )


def faults_of(kind: str, names: Iterable[str]) -> str:
    """Return, as a list for SELECT, how many rows have in each column of *names* what cannot have been recorded."""
    return ", ".join(
        f'count_if(coalesce({" or ".join(_faults(kind, name, type_))}, false)) as "{name}"'
        for name, type_ in ((name, COLUMNS[kind][name]) for name in names)
    )


def _faults(kind: str, name: str, type_: str) -> Iterable[str]:
    """Yield the conditions, in SQL, under which a value of this column is none."""
    quoted = f'"{name}"'
    yield f"{quoted} is null" if type_.endswith("!") else "false"
    plain = type_.rstrip("!")
    if plain == "varchar":
        yield f"strlen({quoted}) > {LONGEST}"
    if plain.endswith("[]"):
        yield f"len({quoted}) > {_MOST} or len(list_filter({quoted}, lambda x: x is null)) > 0"
    if plain == "varchar[]":
        yield f"strlen(array_to_string({quoted}, '')) > {LONGEST}"
    if plain == SITE:
        yield " or ".join(f'strlen({quoted}."{part}") > {LONGEST}' for part in ("function", "file", "module"))
    elif plain == _MISUSE:
        yield " or ".join(f"strlen({quoted}.{part}) > {LONGEST}" for part in ("given_at", "freed_at"))
        yield f"{quoted} is not null and coalesce({quoted}.what not in {MISUSES}, true)"
    elif plain == _KERNEL:
        never = " or ".join(f"coalesce({quoted}.{part} < 0, true)" for part in ("ns", "pages", "others"))
        rarely = " or ".join(f'coalesce({quoted}."{part}" < 0, false)' for part in ("frame", "order", "handling_ns"))
        yield f"{quoted} is not null and ({never} or {rarely})"
    elif plain.startswith("struct"):
        yield f'{quoted} is not null and ({quoted}."call" is null or {quoted}.address is null or {quoted}.size is null)'
    if plain == "bigint" and name in _NEVER_NEGATIVE:
        yield f"{quoted} < 0"
    if (kind, name) in _WORDS:
        yield f"{quoted} not in ({', '.join(repr(word) for word in _WORDS[kind, name])})"
