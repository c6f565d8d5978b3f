"""A run that is replayed in many windows comes to what it does in one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from observer.files import File, Folder
from observer.model.events import Call, Event
from observer.model.machine import Outcome
from observer.recording import merge
from observer.trace import spooled, tables
from observer.trace.evidence import Lives
from observer.trace.findings import Findings
from observer.trace.lives import images_of
from observer.trace.reader import Trace
from observer.trace.replay import replayed
from observer.trace.spooled import read_spools
from observer.trace.tables import TableWriter
from observer.trace.unfinished import write_meta
from observer.trace.values import events_of
from tests.builders import HEAP, PAGE, PID, call, meta
from tests.unit.trace.collected import collect
from tests.unit.trace.spooling import Recorder
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of

OTHER = PID + 1
PIECE = 64


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pieces of a few records, windows of a few pieces, and tables written a few rows at a time."""
    monkeypatch.setattr(spooled, "_AT_ONCE", 1000)
    monkeypatch.setattr(merge, "_TARGET", 8)
    monkeypatch.setattr(tables, "_AT_ONCE", 20)


def two_threads(recorder: Recorder) -> None:
    """One thread makes 300 pieces and frees them; another waits in one malloc all that while, and grows the heap."""
    recorder.start(1)
    recorder.note("born", 2, how="clone", child=OTHER, child_pid=PID, shares=True)
    recorder.syscall("brk", HEAP + 256 * PAGE, began=3, ended=4, result=HEAP + 256 * PAGE)
    for i in range(300):
        at, pointer = 100 * i + 100, HEAP + 0x1000 + PIECE * (i % 50)
        recorder.call("malloc", 24 + i % 7, began=at, ended=at + 20, result=pointer)
        recorder.fault(pointer, at + 30)
        recorder.call("free", pointer, began=at + 40, ended=at + 50)
    recorder.syscall("brk", HEAP + 512 * PAGE, began=20_000, ended=20_010, result=HEAP + 512 * PAGE, tid=OTHER)
    recorder.call("malloc", 5000, began=50, ended=31_000, result=HEAP + 300 * PAGE, tid=OTHER)
    recorder.fault(HEAP + 300 * PAGE, 31_500, tid=OTHER)
    recorder.exit(32_000, tid=OTHER)
    recorder.exit(33_000)


def told(recorder: Recorder, directory: Path, most_held: int = 16) -> tuple[int, list[Event]]:
    """Replay what lies in the spools; return in how many parts, and the events that the tables have then."""
    directory.mkdir()
    parts = collect(read_spools(recorder.folder, 0), most_held=most_held).parts
    trace, _count = trace_of(parts, directory)
    return len(parts), list(trace.events())


def test_many_windows_are_as_good_as_one(recorder: Recorder, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    two_threads(recorder)
    recorder.read()
    parts, whole = told(recorder, tmp_path / "one")
    assert (parts, len(whole)) == (1, 908)
    request.getfixturevalue("small")
    parts, found = told(recorder, tmp_path / "many")
    assert (parts > 20, found) == (True, whole)


def test_what_a_call_is_that_ends_long_after_its_part_was_written_is_put_in(
    recorder: Recorder, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    two_threads(recorder)
    recorder.read()
    _parts, whole = told(recorder, tmp_path / "one")
    request.getfixturevalue("small")
    taken = read_spools(recorder.folder, 0)
    findings = Findings(images=images_of(taken.notes))
    folder = Folder.make(tmp_path / "trace")
    early: list[str | None] = []
    with TableWriter(folder, findings.sites) as writer:
        for part in replayed(taken, findings, Lives(taken.notes), residency=False, most_held=2):
            early += [event.where for event in events_of(part) if isinstance(event, Call) and event.tid == OTHER]
            writer.add(part)
        writer.finish()
    assert early == [None]  # when its part was written nobody knew
    write_meta(folder, meta(outcome=Outcome(0, None, "exit", findings.events, 0.062)))
    assert list(Trace.open(tmp_path / "trace").events()) == whole


def test_rows_that_wait_while_others_are_being_written_are_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_AT_ONCE", 20)
    slowly = TableWriter._made

    def made(*given: Any) -> File:
        time.sleep(0.2)
        return slowly(*given)

    monkeypatch.setattr(TableWriter, "_made", made)
    parts = [part_of([call(n) for n in range(first, last)]) for first, last in ((0, 23), (23, 30))]
    trace, written = trace_of(parts, tmp_path)
    assert (len(list(trace.events())), written) == (30, 30)
