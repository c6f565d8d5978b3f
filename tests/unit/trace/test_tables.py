"""Tables on disk: what is written is read, event for event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.errors import BadTrace
from observer.files import Folder
from observer.model.events import Call, ChunkRef, Event, Fault, Library, Lost, Process, Signal, Site, Syscall
from observer.model.machine import Meta
from observer.trace.columns import Columns, SiteTable, Words
from observer.trace.layout import TABLES
from observer.trace.part import Part
from observer.trace.reader import Trace, read_meta
from observer.trace.tables import TableWriter
from tests.builders import HEAP, PID, call, fault, free, library, lost, meta, process, signal, site, story_run, syscall
from tests.unit.seeded import seeded
from tests.unit.trace.written import trace_of

WIDE = {"size", "count", "alignment", "pointer", "result", "address", "ip", "a0", "a1", "a2", "a3", "a4", "a5"}


def columns(rows: list[dict[str, Any]], texts: tuple[str, ...], words: Words | None = None) -> Columns:
    """Columns from rows of plain values; texts as they are, or as numbers among *words*."""
    made = Columns(len(rows), {}, texts if words is None else ())
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        if name in texts and words is not None:
            made.coded[name] = np.array([words.number(value) for value in values], dtype=np.int32)
        elif name in texts:
            made.texts[name] = values
        else:
            wide = name in WIDE and min(values, default=0) >= 0
            made.numbers[name] = np.array(values, dtype=np.uint64 if wide else np.int64)
    return made


def common(event: Event, sites: SiteTable) -> dict[str, Any]:
    row = {"n": event.n, "t_ns": event.t_ns, "pid": event.pid, "tid": event.tid}
    return row if isinstance(event, (Process, Lost)) else {**row, "site": sites.number(event.site)}


def call_row(event: Call, sites: SiteTable) -> dict[str, Any]:
    row = {
        **common(event, sites), "op": event.op, "where": event.where, "origin": event.origin, "served_by": event.served_by, "steps": event.steps,
        "errno": event.errno or 0, "inner_calls": event.inner, "returned": int(event.end_ns is not None),
        "end_ns": event.end_ns or 0, "where_at": -1, "stack": event.stack or 0,
    }  # fmt: skip
    misuse = event.misuse
    row |= {
        "allocator": event.allocator, "misuse": misuse.what if misuse else None,
        "misuse_given": -1 if misuse is None or misuse.given is None else misuse.given,
        "misuse_freed": -1 if misuse is None or misuse.freed is None else misuse.freed,
        "misuse_given_at": misuse.given_at if misuse else None, "misuse_freed_at": misuse.freed_at if misuse else None,
    }  # fmt: skip
    for name in ("size", "count", "alignment", "pointer", "result", "parameter", "value"):
        value = getattr(event, name)
        row |= {name: value or 0, f"has_{name}": int(value is not None)}
    return row


def syscall_row(event: Syscall, sites: SiteTable) -> dict[str, Any]:
    return {
        **common(event, sites), "name": event.name, "gate": event.gate, "number": event.number,
        "result": event.result or 0, "errno": event.errno or 0, "ring_before": event.ring_before,
        "returned": int(event.end_ns is not None), "end_ns": event.end_ns or 0, "arity": len(event.args),
        "cause": -1 if event.cause is None else event.cause,
        "within": -1 if event.within is None else event.within,
        "decoded": None if event.decoded is None else "\x1f".join(event.decoded),
        **{f"a{i}": value for i, value in enumerate((*event.args, 0, 0, 0, 0, 0, 0)[:6])},
    }  # fmt: skip


def fault_row(event: Fault, sites: SiteTable) -> dict[str, Any]:
    chunk = event.chunk or ChunkRef(-1, 0, 0)
    return {
        **common(event, sites), "address": event.address, "ip": event.ip, "where": event.where, "access": event.access,
        "mapping": event.mapping, "toucher": event.toucher, "major": int(event.major), "ring": event.ring,
        "chunk_call": chunk.call, "chunk_address": chunk.address, "chunk_size": chunk.size,
        "cause": -1 if event.cause is None else event.cause, "frame": -1 if event.frame is None else event.frame,
    }  # fmt: skip


def library_row(event: Library, sites: SiteTable) -> dict[str, Any]:
    return {
        **common(event, sites), "function": event.function, "module": event.module, "result": event.result or 0,
        "returned": int(event.end_ns is not None), "end_ns": event.end_ns or 0,
        "crossings": -1 if event.crossings is None else event.crossings,
    }  # fmt: skip


CALL_TEXTS = (
    "op", "where", "origin", "served_by", "steps", "allocator", "misuse", "misuse_given_at", "misuse_freed_at",
)  # fmt: skip


def part_of(events: list[Event]) -> Part:
    """The columns that a recording of *events* would have led to."""
    sites = SiteTable()
    calls = [call_row(event, sites) for event in events if isinstance(event, Call)]
    syscalls = [syscall_row(event, sites) for event in events if isinstance(event, Syscall)]
    faults = [fault_row(event, sites) for event in events if isinstance(event, Fault)]
    into = [library_row(event, sites) for event in events if isinstance(event, Library)]
    empty = part_of([*story_run(), library(9999)]) if events and not (calls and syscalls and faults and into) else None
    made = Part(
        sites,
        columns(calls, CALL_TEXTS, sites.words) if calls else _none(empty, "calls"),
        columns(syscalls, ("name", "gate", "decoded")) if syscalls else _none(empty, "syscalls"),
        columns(faults, ("where", "access", "mapping", "toucher")) if faults else _none(empty, "faults"),
        columns(into, ("function", "module")) if into else _none(empty, "into_libraries"),
    )
    signals = [event for event in events if isinstance(event, Signal)]
    made.signals = [{**msgspec.structs.asdict(event), "site": sites.number(event.site)} for event in signals]
    made.processes = [msgspec.structs.asdict(event) for event in events if isinstance(event, Process)]
    made.lost = [msgspec.structs.asdict(event) for event in events if isinstance(event, Lost)]
    return made


def _none(like: Part | None, kind: str) -> Columns:
    """The columns of a kind of event that did not happen."""
    assert like is not None
    full: Columns = getattr(like, kind)
    made = Columns(0, {}, tuple(full.texts))
    made.numbers = {name: values[:0] for name, values in full.numbers.items()}
    made.coded = {name: values[:0] for name, values in full.coded.items()}
    return made


def written(directory: Path, events: list[Event]) -> Trace:
    trace, count = trace_of([part_of(events)], directory)
    assert count == len(events)
    return trace


EVERY_KIND: list[Event] = [
    process(0, "start", path="/home/ada/größe 'n' \"quotes\"\n"), call(1, result=HEAP + 0x2A0, inner=2),
    syscall(2, "brk", HEAP, result=HEAP, cause=1), syscall(3, "munmap", 0, 17, result=-22, errno=22),
    fault(4, cause=1, chunk=ChunkRef(1, HEAP + 0x2A0, 100), frame=0x1234, major=True, ring=0, access=None),
    fault(5, where=None, mapping=None, site=None), signal(6), signal(7, "SIGALRM", address=None, fatal=False, site=None),
    call(8, end_ns=None, result=None, where=None, steps="1"), free(9, HEAP + 0x2A0), call(10, size=0, count=17),
    syscall(11, "execve", result=None, end_ns=None), process(12, "fork", child=PID + 6), process(13, "exit", status=0),
    process(14, "killed", status=11, path="SIGSEGV"), lost(15, "fault samples", 7),
    call(16, size=(1 << 64) - 1, pointer=(1 << 64) - 1, result=None, errno=12, site=Site(module="x", offset=1 << 63)),
    fault(17, (1 << 64) - 4096, where=None, ip=(1 << 64) - 1, site=site(None, None)),
    syscall(18, "mmap", *[(1 << 64) - 1] * 6, result=(1 << 47) - 4096),
]  # fmt: skip


def test_every_kind_of_event_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert list(written(tmp_path, EVERY_KIND).events()) == EVERY_KIND


def test_a_whole_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    # What served a call is not recorded yet: the column is there, and empty.
    run = [
        msgspec.structs.replace(event, served_by=None) if isinstance(event, Call) else event for event in story_run()
    ]
    assert list(written(tmp_path, run).events()) == run


def test_more_events_than_one_batch_holds_come_in_order(tmp_path: Path) -> None:
    events: list[Event] = [maker(3 * i + j) for i in range(1700) for j, maker in enumerate((call, fault, lost))]
    assert [event.n for event in written(tmp_path, events).events()] == list(range(5100))


def test_a_few_events_of_many_places_come_in_order(tmp_path: Path) -> None:
    # A join goes through the larger side: of few rows and many sites it hands the rows out as the sites lie.
    calls: list[Event] = [call(n, site=site(n + 1)) for n in range(307)]
    crossings: list[Event] = [syscall(n, "brk", HEAP, site=site(331 - n)) for n in range(307, 330)]
    assert list(written(tmp_path, [*calls, *crossings]).events()) == [*calls, *crossings]


def test_a_single_text_among_thousands_of_nothings_is_kept(tmp_path: Path) -> None:
    events: list[Event] = [process(n, "clone", child=n) for n in range(5000)]
    events[1237] = process(1237, "exec", path="/bin/true")
    found = list(written(tmp_path, events).events())
    assert found[1237] == events[1237]
    assert found == events


def test_only_the_kinds_that_are_asked_for_are_read(tmp_path: Path) -> None:
    trace = written(tmp_path, EVERY_KIND)
    assert [event.n for event in trace.events(frozenset({"signal", "lost"}))] == [6, 7, 15]
    assert list(trace.events(frozenset())) == []


def test_a_call_is_found_by_its_number(tmp_path: Path) -> None:
    trace = written(tmp_path, EVERY_KIND)
    assert trace.calls_by_number(9) == EVERY_KIND[9]
    assert [trace.calls_by_number(n) for n in (2, 99, -1)] == [None, None, None]


def test_the_tables_are_read_by_other_tools_as_they_are(tmp_path: Path) -> None:
    written(tmp_path, EVERY_KIND)
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select n, site.line, chunk.call from read_parquet(?) order by n", [str(tmp_path / "faults.parquet")]
        ).fetchall()
    assert rows == [(4, 29, 1), (5, None, None), (17, None, None)]


TEXT = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12))
WORD = st.one_of(st.none(), st.integers(0, (1 << 64) - 1))
SITES = st.one_of(st.none(), st.builds(Site, TEXT, TEXT, st.integers(1, 1 << 20), TEXT, st.integers(0, (1 << 63) - 1)))
CALLS = st.builds(
    call, st.just(0), st.sampled_from(["malloc", "free", "calloc"]), WORD, count=WORD, alignment=WORD, pointer=WORD,
    result=WORD, where=TEXT, site=SITES, steps=TEXT, inner=st.integers(0, 1 << 31),
    errno=st.one_of(st.none(), st.integers(1, 133)),
)  # fmt: skip
FAULTS = st.builds(
    fault, st.just(0), st.integers(0, (1 << 64) - 1), where=TEXT, access=TEXT, mapping=TEXT, site=SITES,
    frame=st.one_of(st.none(), st.integers(0, (1 << 55) - 1)), cause=st.one_of(st.none(), st.integers(0, 1 << 40)),
)  # fmt: skip


@settings(seeded, max_examples=6)
@given(st.lists(st.one_of(CALLS, FAULTS), min_size=1, max_size=40))
def test_events_of_any_content_survive_the_disk(tmp_path_factory: pytest.TempPathFactory, drawn: list[Event]) -> None:
    events = [msgspec.structs.replace(event, n=n) for n, event in enumerate(drawn)]
    assert list(written(tmp_path_factory.mktemp("trace"), events).events()) == events


# ---- meta.json and folders that are no traces ---------------------------------------------------------------


def test_meta_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_bytes(msgspec.json.encode(meta("./story", "-n", "17")))
    assert read_meta(Folder.open(tmp_path)) == meta("./story", "-n", "17")


def with_meta(directory: Path, text: bytes) -> Path:
    (directory / "meta.json").write_bytes(text)
    return directory


def opened_with(directory: Path, text: bytes) -> Folder:
    return Folder.open(with_meta(directory, text))


def test_a_folder_that_is_no_trace_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match=r"is not a trace: it has no meta\.json"):
        read_meta(Folder.open(tmp_path))
    with pytest.raises(BadTrace, match="is damaged"):
        read_meta(opened_with(tmp_path, b'{"schema": 1'))
    with pytest.raises(BadTrace, match="is damaged"):
        read_meta(opened_with(tmp_path, b'{"schema": 1}'))
    newer: Meta = msgspec.structs.replace(meta(), schema=4711)
    with pytest.raises(BadTrace, match="has schema version 4711"):
        read_meta(opened_with(tmp_path, msgspec.json.encode(newer)))
    (tmp_path / "meta.json").unlink()
    (tmp_path / "meta.json").mkdir()
    with pytest.raises(BadTrace, match="cannot read"):
        read_meta(Folder.open(tmp_path))


def test_a_run_that_was_cut_off_and_is_somebody_elses_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    written(tmp_path, EVERY_KIND)

    def refused(folder: Folder, name: str) -> Folder:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Folder, "folder", refused)
    with pytest.raises(BadTrace, match="its run was cut off; spool: Permission denied"):
        Trace.open(tmp_path)


@pytest.mark.parametrize("table", ["calls.parquet", "lost.parquet"])
def test_a_trace_that_lacks_a_table_is_refused(tmp_path: Path, table: str) -> None:
    written(tmp_path, EVERY_KIND)
    (tmp_path / table).unlink()
    with pytest.raises(BadTrace, match=f"{table} is missing"):
        Trace.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(64) + b"PAR1", b"x" * 4096])
def test_a_damaged_table_is_refused_when_it_is_read(tmp_path: Path, content: bytes) -> None:
    for name in TABLES.values():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadTrace, match=r"cannot read calls\.parquet"):
        Trace.open(with_meta(tmp_path, msgspec.json.encode(meta())))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ("* exclude (tid)", "it has no column tid"), ("* rename (tid as nobody)", "it has no column tid"),
        ("* replace (cast(n as double) as n)", "its column n has values of another type"),
        ("* replace (cast(pid as integer) as pid)", "its column pid has values of another type"),
        ("* replace (timestamp '2026-01-01' as t_ns)", "its column t_ns has values of another type"),
        ("* replace (cast(pid as varchar) as pid)", "its column pid has values of another type"),
        ("*, 1 as more", "it has other columns than were written"),
        ("* exclude (n), n", "it has other columns than were written"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("table", TABLES.values())
def test_a_table_with_other_columns_is_refused_before_it_is_read(
    tmp_path: Path, table: str, changed: str, why: str
) -> None:  # fmt: skip
    written(tmp_path, EVERY_KIND)
    with duckdb.connect() as connection:
        connection.execute(f"copy (select {changed} from '{tmp_path}/{table}') to '{tmp_path}/new' (format parquet)")
    (tmp_path / "new").replace(tmp_path / table)
    with pytest.raises(BadTrace, match=f"{table} of .* is damaged: {why}"):
        Trace.open(tmp_path)


def test_a_table_whose_columns_have_names_that_are_no_text_is_refused(tmp_path: Path) -> None:
    written(tmp_path, EVERY_KIND)
    table = tmp_path / "lost.parquet"
    table.write_bytes(table.read_bytes().replace(b"tid", b"\xffid"))
    with pytest.raises(BadTrace, match=r"cannot read lost\.parquet .*: a name or a text in it is no UTF-8"):
        Trace.open(tmp_path)


def test_tables_that_cannot_be_written_are_a_bad_trace(tmp_path: Path) -> None:
    gone = Folder.make(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    part = part_of([*story_run(), library(9999)])
    with TableWriter(gone, part.sites) as tables:
        tables.add(part)
        with pytest.raises(BadTrace, match=r"cannot write calls\.parquet"):
            tables.finish()
