"""Reading a trace: its meta.json, and its events as values in their order, without holding them all.

Whoever may write the trace's folder may have changed what is in it: all of it is checked before it is told.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import msgspec

from observer.errors import BadTrace
from observer.files import File, Folder
from observer.model.call_columns import Apart, CallTotals, StepsTaken
from observer.model.chunks import Chunk
from observer.model.events import Call, Event, Signal
from observer.model.machine import SCHEMA, Meta
from observer.model.named import Nth
from observer.model.snapshots import HeapSnapshot
from observer.model.stacks import CallStack, alike
from observer.trace.about import (
    LAST_OF_ENDED,
    TELLING,
    About,
    about_line,
    calls_near,
    ender_of,
    giver_of,
    lives_of,
    numbered,
)
from observer.trace.call_columns import COLUMNS_NEEDED, ColumnsOfRun
from observer.trace.call_totals import steps_of, totals_of
from observer.trace.database import database
from observer.trace.finish import Listener, recover
from observer.trace.layout import META, TABLES, is_unfinished
from observer.trace.rows import MAKERS, Sites, site_of
from observer.trace.schema import COLUMNS, faults_of, selection_of
from observer.trace.slices import Slices
from observer.trace.snapshots import read_chunks
from observer.trace.stacks import read_stacks
from observer.trace.written_types import odd_column

__all__ = ["Trace", "read_meta"]

_GOES_ON: Final = " and what not in ('exit', 'killed')"
_BATCH: Final = 4096
_AGAIN: Final = "record the program again"
_LARGEST_META: Final = 1 << 28
_MOST_LINES: Final = 1000
_MOST_SITES: Final = 1 << 14
_GROUPS: Final = 64
"""Row groups that are asked at once."""


def read_meta(folder: Folder) -> Meta:
    """Return meta.json of the trace in *folder*.

    Raises:
        BadTrace: it is not a trace, or one of another schema version.
    """
    path = folder.path / META
    try:
        meta = msgspec.json.decode(folder.read(META, _LARGEST_META), type=Meta)
        msgspec.msgpack.encode(meta)  # which knows no number that has more than 64 bits
    except FileNotFoundError as error:
        raise BadTrace(
            f"{folder.path} is not a trace", "it has no meta.json", "name a folder that observer run made"
        ) from error
    except OSError as error:
        raise BadTrace(f"cannot read {path}", error.strerror or "") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError) as error:
        raise BadTrace(f"{path} is damaged", str(error), _AGAIN) from error
    if len(meta.ledger) > _MOST_LINES:
        raise BadTrace(f"{path} is damaged", f"its ledger has {len(meta.ledger):,} lines", _AGAIN)
    if meta.schema != SCHEMA:
        raise BadTrace(f"{folder.path} has schema version {meta.schema}", f"this version reads {SCHEMA}")
    return meta


def _open(directory: Path) -> Folder:
    try:
        return Folder.open(directory)
    except FileNotFoundError as error:
        raise BadTrace(f"{directory} is not a trace", "there is no such folder", "observer run makes one") from error
    except OSError as error:
        raise BadTrace(
            f"cannot read {directory}", error.strerror or "", "name a folder that observer run made"
        ) from error


class Trace:
    """A finished trace on disk."""

    def __init__(self, folder: Folder, meta: Meta) -> None:
        self.folder = folder
        self.meta = meta
        self._checked: set[str] = set()
        self._sliced: dict[str, Slices] = {}

    @property
    def directory(self) -> Path:
        """Where it was found."""
        return self.folder.path

    @classmethod
    def open(cls, directory: Path, listeners: Callable[[], Sequence[Listener]] = tuple) -> Trace:
        """Open the trace in *directory*; finish it first if its run was only recorded, or its observer killed.

        Then it is told to *listeners*, as `finish` does.

        Raises:
            BadTrace: as `read_meta`; a table is missing, has other columns than were written, or other rows than
                meta.json tells; the run is still being recorded.
        """
        folder = _open(directory)
        was_unfinished = is_unfinished(folder)  # asked first: what another finishes meanwhile has its meta.json anew
        meta = read_meta(folder)
        if was_unfinished:
            meta = recover(folder, meta, listeners()) or read_meta(folder)
        trace = cls(folder, meta)
        trace._check_columns()
        rows = sum(trace._rows(kind) for kind in TABLES)
        if rows != meta.outcome.events:
            why = f"its tables hold {rows:,} events, its meta.json tells of {meta.outcome.events:,}"
            raise BadTrace(f"{directory} is damaged", why, _AGAIN)
        return trace

    def table(self, kind: str) -> File:
        """Return the file of one kind of event; raises BadTrace when there is none."""
        try:
            return self.folder.file(TABLES[kind])
        except FileNotFoundError as error:
            raise BadTrace(f"{self.directory} is incomplete", f"{TABLES[kind]} is missing") from error
        except OSError as error:
            what = f"cannot read {TABLES[kind]} of {self.directory}"
            raise BadTrace(what, error.strerror or "", _AGAIN) from error

    def snapshot_after(self, n: int) -> HeapSnapshot | None:
        """Return the snapshot of the heap that was taken as the call *n* returned, None if none was."""
        return next((snapshot for snapshot in self.meta.snapshots if snapshot.n == n), None)

    def stacks(self) -> dict[int, CallStack]:
        """Return the stacks of its calls by their numbers, none if none were kept; raises BadTrace as `read_stacks`."""
        return read_stacks(self.folder) if self.meta.request.stack else {}

    def chunks_of(self, snapshot: HeapSnapshot) -> list[Chunk]:
        """Return the chunks of a *snapshot* in the order of their addresses; raises BadTrace as `read_chunks`."""
        return list(read_chunks(self.folder, snapshot))

    def events(self, kinds: frozenset[str] | None = None, about: About | None = None) -> Iterator[Event]:
        """Yield the events of *kinds* (None: all) in order of n; of a question *about* some, hardly more than those."""
        chosen = [kind for kind in TABLES if kinds is None or kind in kinds]
        yield from heapq.merge(*(self._kind(kind, about) for kind in chosen), key=lambda event: event.n)

    def columns(self, apart: Apart = Apart.LINES) -> ColumnsOfRun:
        """Return the calls as columns, for what is counted of all, those of different places *apart*.

        Raises:
            BadTrace: a table is damaged.
        """
        checks = {kind: partial(self._check_some, kind, needed) for kind, needed in COLUMNS_NEEDED.items()}
        for kind in COLUMNS_NEEDED.keys() - {"call"}:
            checks[kind]()
        return ColumnsOfRun(
            self._slices("call"), {kind: self.table(kind) for kind in COLUMNS_NEEDED}, self.meta.outcome.events,
            self._rows("call"), f"cannot read the tables of {self.directory}", _AGAIN, checks["call"], apart,
            alike(self.stacks()) if apart is not Apart.LINES else {},
        )  # fmt: skip

    def call_totals(self) -> CallTotals:
        """Return what all calls came to, but for what the numbers of `told` are needed for."""
        return totals_of(partial(self._each, "call"), self._telling)

    def steps(self) -> Iterator[StepsTaken]:
        """Yield which steps calls took, in no order, the same ones several times."""
        return steps_of(partial(self._each, "call"))

    def told(self) -> Iterator[tuple[Event, bool]]:
        """Yield in order of n everything but calls, and the calls of which events are needed where all are counted.

        With True come those that say whose piece a crash touched.
        """
        events = ((event, False) for event in self.events(None, numbered(self._telling)))
        near: set[int] = set()
        for signal in self.events(frozenset({"signal"})):
            if isinstance(signal, Signal) and signal.fatal and signal.exception and signal.address is not None:
                calls = self.table("call")
                near.update(self._numbers(*calls_near(signal, calls.path)))
        pieces = ((event, True) for event in self.events(frozenset({"call"}), numbered(sorted(near))))
        yield from heapq.merge(pieces, events, key=lambda each: each[0].n)

    @cached_property
    def _telling(self) -> list[int]:
        syscalls, faults, signals = map(self.table, ("syscall", "fault", "signal"))
        found = {int(n) for (n,) in self._each("call", TELLING, [syscalls.path, faults.path])}
        last: dict[int, int] = {}
        for end, n in self._each("call", LAST_OF_ENDED, [signals.path]):
            last[end] = max(n, last.get(end, n))
        return sorted(found | set(last.values()))

    def _numbers(self, condition: str, parameters: Sequence[Any]) -> list[int]:
        query = f"select n from read_parquet(?) where {condition} order by n"
        return [int(n) for (n,) in self._query("call", query, parameters)]

    def calls_by_number(self, n: int) -> Call | None:
        """Return the call with number *n*."""
        for event in self._kind("call", About({"call": f"n = {int(n)}"})):
            assert isinstance(event, Call)
            return event
        return None

    def pid_of(self, n: int) -> int | None:
        """Return the process of event *n*, None if there is no such event."""
        found = (
            row for kind in TABLES for row in self._query(kind, "select pid from read_parquet(?) where n = ?", [n])
        )
        return next((int(pid) for (pid,) in found), None)

    def last_of_first(self) -> int:
        """Return the last event of the first process before its end."""
        first = "select n, pid from read_parquet(?) order by n limit 1"
        root = min((row for kind in TABLES for row in self._query(kind, first)), default=(0, 0))[1]
        return max(
            self._one(kind, "max(n)", "pid = ?" + (_GOES_ON if kind == "process" else ""), [root]) or 0
            for kind in TABLES
        )

    def about_line(self, file: str, line: int) -> About:
        """Return what is about the source line *file*:*line*."""
        return about_line(file, line)

    def count_at_line(self, file: str, line: int) -> dict[str, int]:
        """Return how many events of each kind the source line *file*:*line* caused; of kinds without any, nothing."""
        about, counts = about_line(file, line), {}
        for kind in about.conditions:
            query = f"select count(*) from read_parquet(?) where {about.conditions[kind]}"
            ((count,),) = self._query(kind, query, about.parameters[kind])
            if count:
                counts[kind] = int(count)
        return counts

    def at_each_line(self) -> Iterator[Event]:
        """Yield of each source line, by kind and by whether a call caused them, its first event and its last."""
        asked = {}
        for kind in (kind for kind in TABLES if "site" in COLUMNS[kind]):
            apart = "cause is null" if "cause" in COLUMNS[kind] else "true"
            query = f"select min(n), max(n) from read_parquet(?) group by site.file, site.line, {apart}"
            ends = [str(int(n)) for pair in self._query(kind, query) for n in pair]
            asked[kind] = f"n in ({', '.join(ends)})" if ends else "false"
        return self.events(frozenset(asked), About(asked))

    def giver(self, call: Call) -> Call | None:
        """Return the call that had returned the pointer of *call*, in its process."""
        last = self._one("call", "max(n)", *giver_of(call)) if call.pointer else None
        return self.calls_by_number(last) if last is not None else None

    def ender(self, call: Call) -> Call | None:
        """Return the call that freed or moved the piece of *call*."""
        first = self._one("call", "min(n)", *ender_of(call))
        return self.calls_by_number(first) if first is not None else None

    def about_pieces(self, calls: Sequence[Call]) -> About:
        """Return what is about the life of the piece that *calls* made, moved and freed."""
        return lives_of(calls)

    def nth(self, named: Nth) -> int | None:
        """Return the number of the event that is *named* by what it is; None where there are not so many."""
        skip = f"limit 1 offset {named.ordinal - 1}"
        if named.op:
            query = f"select n from read_parquet(?) where op = ? and origin = 'program' order by n {skip}"
            return next((int(n) for (n,) in self._query("call", query, [named.op])), None)
        about = about_line(named.file, named.line)
        for kind in about.conditions:
            query = f"select n from read_parquet(?) where {about.conditions[kind]} order by n {skip}"
            for (n,) in self._query(kind, query, about.parameters[kind]):
                return int(n)
        return None

    def _one(self, kind: str, what: str, condition: str, parameters: list[Any]) -> int | None:
        """Return *what* of the events of *kind* that fulfil a *condition*."""
        ((n,),) = self._query(kind, f"select {what} from read_parquet(?) where {condition}", parameters)
        return n if n is None else int(n)

    def _kind(self, kind: str, about: About | None = None) -> Iterator[Event]:
        make, last = MAKERS[kind], -1
        condition, parameters = about.of(kind) if about is not None else ("true", [])
        self._check(kind, condition, parameters)
        wide = about is None or about.has_lists
        chosen = f"select {selection_of(kind)} from read_parquet(?) where {condition}"
        order = " order by n" if about is not None and about.has_lists else ""
        parts = self._slices(kind).parts(_GROUPS)
        for file in (part.file for part in parts) if wide else [self.table(kind)]:
            sites = self._sites(kind, file, chosen, parameters)
            hashed = f"select * replace (hash(site) as site) from ({chosen})" if sites is not None else chosen
            for row in self._rows_of(kind, file, f"{hashed}{order}", parameters):
                if row[0] <= last:
                    raise self._damaged(kind, "n", 1)
                last = row[0]
                yield make(row, sites)

    def _sites(self, kind: str, file: File, chosen: str, parameters: list[Any]) -> Sites:
        """Return the places in the *chosen* rows by their hashes: there are few, and each is made once.

        None: the rows have no places, or too many, or two of one hash.
        """
        if "site" not in COLUMNS[kind]:
            return None
        query = f"select distinct hash(site), site from ({chosen}) limit {_MOST_SITES + 1}"
        found = list(self._rows_of(kind, file, query, parameters))
        sites = {key: site_of(value) for key, value in found}
        return sites if len(sites) == len(found) <= _MOST_SITES else None

    def _check(self, kind: str, condition: str, parameters: list[Any]) -> None:
        """Raise BadTrace when a value cannot have been recorded; asked of DuckDB, of a whole table once."""
        if kind in self._checked:
            return
        self._check_some(kind, COLUMNS[kind], condition, parameters)
        if condition == "true":
            self._checked.add(kind)

    def _check_some(
        self, kind: str, names: Collection[str], condition: str = "true", parameters: Sequence[Any] = ()
    ) -> None:  # fmt: skip
        select = f"select {selection_of(kind)} from read_parquet(?) where {condition}"
        counts = self._each(kind, f"select {faults_of(kind, names)} from ({select})", parameters)
        for name, found in zip(names, zip(*counts, strict=True), strict=True):
            if any(found):
                raise self._damaged(kind, name, sum(filter(None, found)))

    def _check_columns(self) -> None:
        """Raise BadTrace when a table has other columns than are written."""
        for kind in TABLES:
            file = next(self._slices(kind).parts(1)).file
            with database(f"cannot read {TABLES[kind]} of {self.directory}", _AGAIN) as connection:
                odd = odd_column(connection, kind, file)
            if odd is not None:
                raise BadTrace(f"{TABLES[kind]} of {self.directory} is damaged", odd, _AGAIN)

    def _rows(self, kind: str) -> int:
        rows = self._slices(kind).rows
        if rows is not None:
            return rows
        ((count,),) = self._query(kind, "select coalesce(sum(num_rows), 0) from parquet_file_metadata(?)")
        return int(count)

    def _slices(self, kind: str) -> Slices:
        known = self._sliced.get(kind)
        if known is None:
            try:
                known = self._sliced[kind] = Slices(self.table(kind))
            except OSError as error:
                what = f"cannot read {TABLES[kind]} of {self.directory}"
                raise BadTrace(what, error.strerror or "", _AGAIN) from error
        return known

    def _query(self, kind: str, query: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that *query* selects from the table of *kind*, whose name is its first parameter."""
        return self._rows_of(kind, self.table(kind), query, parameters)

    def _each(self, kind: str, query: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the same from each slice of the table."""
        for part in self._slices(kind).parts(_GROUPS):
            yield from self._rows_of(kind, part.file, query, parameters)

    def _rows_of(
        self, kind: str, file: File, query: str, parameters: Sequence[Any]
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        with database(f"cannot read {TABLES[kind]} of {self.directory}", _AGAIN) as connection:
            rows = connection.execute(query, [file.path, *parameters])
            while batch := rows.fetchmany(_BATCH):
                yield from batch

    def _damaged(self, kind: str, column: str, count: int) -> BadTrace:
        why = f"{count:,} rows have in column {column} what cannot have been recorded"
        return BadTrace(f"{TABLES[kind]} of {self.directory} is damaged", why, _AGAIN)
