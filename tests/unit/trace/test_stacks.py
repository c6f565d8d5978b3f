"""The stacks of calls: from what was recorded to the table of a trace."""

from __future__ import annotations

import struct
from pathlib import Path

import duckdb
import msgspec
import pytest

from observer.errors import BadTrace
from observer.files import Folder
from observer.instruments.session import Recording
from observer.recording.records import WHOLE
from observer.trace.finish import finish
from observer.trace.layout import STACKS
from observer.trace.reader import Trace
from observer.trace.unfinished import begin
from tests.builders import meta
from tests.unit.trace.spooling import Recorder
from tests.unit.trace.test_heap_lines import FIRST, SECOND, begun

REQUEST = msgspec.structs.replace(meta().request, stack=3)


def kept(recorder: Recorder, told: int, *callers: int, flags: int = 0) -> int:
    """Return the number of these callers."""
    return recorder.spools.callers.append(1, told, len(callers), flags, struct.pack(f"<{len(callers)}Q", *callers))


def finished(directory: Path, stacks: int = 3) -> Trace:
    folder = Folder.make(directory)
    begin(folder, meta().machine, REQUEST)
    recorder = Recorder(directory / "spool")
    begun(recorder)
    one, other = kept(recorder, 0x1200, 0x1100, 0x1200, flags=WHOLE), kept(recorder, 0, 0x1100, 0x9999)
    for number, (pointer, stack) in enumerate([(FIRST, one), (SECOND, other), (SECOND + 64, one), (SECOND + 128, 77)]):
        at = 10 + 2 * number
        recorder.call("malloc", 24, began=at, ended=at + 1, result=pointer, stack=stack, implementation=1)
    recorder.exit(92)
    recorder.spools.close()
    counts = {"faults_lost": 0, "faults_counted": 0}
    finish(folder, meta().machine, REQUEST, Recording(0, 0.062, counts, [], {}, sees_kernel_faults=False))
    return Trace.open(directory)


def test_each_different_stack_is_kept_once_and_calls_name_it(tmp_path: Path) -> None:
    trace = finished(tmp_path / "t")
    calls = [event.stack for event in trace.events(frozenset({"call"}))]
    assert calls == [1, 2, 1, None]
    assert [(len(stack.callers), stack.is_whole) for stack in trace.stacks().values()] == [(2, True), (2, False)]


def test_the_table_has_a_row_for_each_caller(tmp_path: Path) -> None:
    trace = finished(tmp_path / "t")
    query = f"select stack, depth, address, whole from '{trace.directory}/{STACKS}'"
    assert duckdb.sql(query).fetchall() == [
        (1, 1, 0x1100, True), (1, 2, 0x1200, True), (2, 1, 0x1100, False), (2, 2, 0x9999, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        "where depth > 1",
        "where stack > 1",
        "where false union all select 1, 2, 0, null, true",
        "union all select null, 1, 0, null, true",
    ],
)
def test_a_table_that_somebody_changed_is_refused(change: str, tmp_path: Path) -> None:
    trace = finished(tmp_path / "t")
    place = tmp_path / "t" / STACKS
    duckdb.sql(f"create or replace temp table changed as select * from '{place}' {change}")
    duckdb.sql(f"copy changed to '{place}' (format parquet)")
    with pytest.raises(BadTrace, match="is damaged"):
        trace.stacks()


def test_a_table_that_is_missing_is_said(tmp_path: Path) -> None:
    trace = finished(tmp_path / "t")
    (tmp_path / "t" / STACKS).unlink()
    with pytest.raises(BadTrace, match=f"cannot read {STACKS}"):
        trace.stacks()
