"""Reading a trace: its meta.json, and its events as values in their order, without holding them all."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from observer.errors import BadTrace
from observer.model.events import Call, ChunkRef, Event, Fault, Library, Lost, Process, Signal, Site, Syscall
from observer.model.machine import SCHEMA, Meta
from observer.trace.finish import is_unfinished, recover
from observer.trace.tables import TABLES

__all__ = ["Trace", "read_meta"]

_BATCH: Final = 4096


def read_meta(directory: Path) -> Meta:
    """Return meta.json of the trace in *directory*.

    Raises:
        BadTrace: it is not a trace, or one of another schema version.
    """
    path = directory / "meta.json"
    try:
        meta = msgspec.json.decode(path.read_bytes(), type=Meta)
    except FileNotFoundError as error:
        raise BadTrace(
            f"{directory} is not a trace", "it has no meta.json", "name a folder that observer run made"
        ) from error
    except OSError as error:
        raise BadTrace(f"cannot read {path}", error.strerror or "") from error
    except msgspec.MsgspecError as error:
        raise BadTrace(f"{path} is damaged", str(error)) from error
    if meta.schema != SCHEMA:
        raise BadTrace(f"{directory} has schema version {meta.schema}", f"this version reads {SCHEMA}")
    return meta


class Trace:
    """A finished trace on disk."""

    def __init__(self, directory: Path, meta: Meta) -> None:
        self.directory = directory
        self.meta = meta

    @classmethod
    def open(cls, directory: Path) -> Trace:
        """Open the trace in *directory*, recovering it first if the observer that recorded it was killed.

        Raises:
            BadTrace: as `read_meta`; a table is missing; the run is still being recorded.
        """
        meta = read_meta(directory)
        if is_unfinished(directory):
            meta = recover(directory, meta)
        missing = [name for name in TABLES.values() if not (directory / name).is_file()]
        if missing:
            raise BadTrace(f"{directory} is incomplete", f"{missing[0]} is missing")
        return cls(directory, meta)

    def events(self, kinds: frozenset[str] | None = None) -> Iterator[Event]:
        """Yield the events of *kinds* (None: all) in order of n."""
        chosen = [kind for kind in TABLES if kinds is None or kind in kinds]
        yield from heapq.merge(*(self._kind(kind) for kind in chosen), key=lambda event: event.n)

    def calls_by_number(self, n: int) -> Call | None:
        """Return the call with number *n*."""
        for event in self._kind("call", n):
            assert isinstance(event, Call)
            return event
        return None

    def _kind(self, kind: str, n: int | None = None) -> Iterator[Event]:
        make, fields = _MAKERS[kind]
        names = ", ".join(f'"{name}"' for name in fields)
        connection = duckdb.connect()
        try:
            condition = "" if n is None else " where n = ?"
            query = f"select {names} from read_parquet(?){condition} order by n"
            rows = connection.execute(query, [str(self.directory / TABLES[kind]), *([] if n is None else [n])])
            while batch := rows.fetchmany(_BATCH):
                for row in batch:
                    yield make(row)
        except duckdb.Error as error:
            raise BadTrace(f"cannot read {TABLES[kind]} of {self.directory}", str(error).splitlines()[0]) from error
        finally:
            connection.close()


def _site(value: dict[str, Any] | None) -> Site | None:
    return Site(**value) if value else None


def _call(row: tuple[Any, ...]) -> Call:
    return Call(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], op=row[4], size=row[5], count=row[6], alignment=row[7],
        pointer=row[8], result=row[9], where=row[10], end_ns=row[11], errno=row[12], site=_site(row[13]),
        origin=row[14], served_by=row[15], steps=row[16], inner=row[17],
    )  # fmt: skip


def _syscall(row: tuple[Any, ...]) -> Syscall:
    return Syscall(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], name=row[4], number=row[5], args=tuple(row[6]), result=row[7],
        errno=row[8], gate=row[9], ring_before=row[10], end_ns=row[11], cause=row[12], site=_site(row[13]),
        decoded=tuple(row[14]) if row[14] is not None else None, within=row[15],
    )  # fmt: skip


def _fault(row: tuple[Any, ...]) -> Fault:
    return Fault(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], address=row[4], where=row[5], ip=row[6], access=row[7],
        major=row[8], ring=row[9], mapping=row[10], chunk=ChunkRef(**row[11]) if row[11] else None, toucher=row[12],
        cause=row[13], site=_site(row[14]), frame=row[15],
    )  # fmt: skip


def _signal(row: tuple[Any, ...]) -> Signal:
    return Signal(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], signal=row[4], code=row[5], address=row[6], fatal=row[7],
        site=_site(row[8]), instruction=row[9], ring=row[10], exception=row[11], reason=row[12], access=row[13],
        where=row[14], mapping=row[15], protection=row[16],
    )  # fmt: skip


def _process(row: tuple[Any, ...]) -> Process:
    return Process(n=row[0], t_ns=row[1], pid=row[2], tid=row[3], what=row[4], child=row[5], status=row[6], path=row[7])


def _library(row: tuple[Any, ...]) -> Library:
    return Library(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], function=row[4], module=row[5], result=row[6], end_ns=row[7],
        site=_site(row[8]), crossings=row[9],
    )  # fmt: skip


def _lost(row: tuple[Any, ...]) -> Lost:
    return Lost(n=row[0], t_ns=row[1], pid=row[2], tid=row[3], instrument=row[4], count=row[5])


_MAKERS: Final[dict[str, tuple[Callable[[tuple[Any, ...]], Event], tuple[str, ...]]]] = {
    "call": (_call, ("n", "t_ns", "pid", "tid", "op", "size", "count", "alignment", "pointer", "result", "where",
                     "end_ns", "errno", "site", "origin", "served_by", "steps", "inner_calls")),
    "syscall": (_syscall, ("n", "t_ns", "pid", "tid", "name", "number", "args", "result", "errno", "gate",
                           "ring_before", "end_ns", "cause", "site", "decoded", "within")),
    "fault": (_fault, ("n", "t_ns", "pid", "tid", "address", "where", "ip", "access", "major", "ring", "mapping",
                       "chunk", "toucher", "cause", "site", "frame")),
    "signal": (_signal, ("n", "t_ns", "pid", "tid", "signal", "code", "address", "fatal", "site", "instruction", "ring",
                         "exception", "reason", "access", "where", "mapping", "protection")),
    "process": (_process, ("n", "t_ns", "pid", "tid", "what", "child", "status", "path")),
    "library": (_library, ("n", "t_ns", "pid", "tid", "function", "module", "result", "end_ns", "site", "crossings")),
    "lost": (_lost, ("n", "t_ns", "pid", "tid", "instrument", "count")),
}  # fmt: skip
