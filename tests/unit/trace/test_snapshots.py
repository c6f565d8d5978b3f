"""Snapshots of heaps: from notes and chunks in the spools to the ledger's line and the table of a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from observer.errors import BadTrace
from observer.files import Folder
from observer.instruments.session import Recording
from observer.model.chunks import STATES, Chunk
from observer.model.ledger import LedgerLine
from observer.recording.records import IN_USE, NO_BIN, NOT_IN_USE, OF_CACHE, SNAPSHOT_CHUNK
from observer.trace.finish import finish
from observer.trace.reader import Trace
from observer.trace.unfinished import begin
from tests.builders import HEAP, PID, meta
from tests.unit.trace.collected import collect
from tests.unit.trace.spooling import Recorder
from tests.unit.trace.test_balance import ledger, reasons, told
from tests.unit.trace.test_heap_lines import FIRST, SECOND, THIRD, begun, malloc

LINE = "bytes in live pieces' chunks = chunks in use in snapshots of the heap"
OTHER = PID + 3
CHUNKS = (
    Chunk(HEAP, 0x290, "cache"), Chunk(FIRST - 16, 0x70, "in use"), Chunk(SECOND - 16, 0x20, "tcache", 0, 0),
    Chunk(THIRD - 16, 0x1000, "unsorted", 0, 1), Chunk(HEAP + 0x2000, 0x1F000, "top"),
)  # fmt: skip
KINDS = {"in use": IN_USE, "cache": OF_CACHE}


def snapped(recorder: Recorder, time: int, *chunks: Chunk, **fields: Any) -> None:
    """A snapshot that met *chunks*."""
    file = recorder.directory / "snapshots.bin"
    at = file.stat().st_size if file.exists() else 0
    with file.open("ab") as out:
        for each in chunks:
            bin_ = NO_BIN if each.bin is None else each.bin
            kind = KINDS.get(each.state, NOT_IN_USE)
            state = STATES.index(each.state)
            out.write(SNAPSHOT_CHUNK.packed.pack(each.address, each.size, state, each.arena, bin_, kind))
    known: dict[str, Any] = {
        "layout": "2.35", "regions": ((HEAP, HEAP + 0x21000),), "sums": {}, "damage": "", "findings": 0, "unread": "",
        "locked": False, "when": "every 2 calls", "others": 0,
    }  # fmt: skip
    recorder.note("snapshot", time, count=len(chunks), at=at, **{**known, **fields})


def two_calls(recorder: Recorder) -> None:
    """100 bytes live at 11, 24 bytes made at 13 and given back at 15."""
    begun(recorder)
    malloc(recorder, 100, FIRST, 10)
    malloc(recorder, 24, SECOND, 12)
    recorder.call("free", SECOND, began=14, ended=15, implementation=1)


def line_of(recorder: Recorder, **changes: Any) -> LedgerLine:
    recorder.exit(92)
    return ledger(recorder, **changes)[LINE]


def test_a_snapshot_sees_what_is_alive_as_its_call_returns(recorder: Recorder) -> None:
    two_calls(recorder)
    in_use = Chunk(SECOND - 16, 0x20, "in use")
    snapped(recorder, 13, CHUNKS[0], CHUNKS[1], in_use, *CHUNKS[3:])
    snapped(recorder, 15, *CHUNKS)
    recorder.call("free", FIRST, began=16, ended=17, implementation=1)
    assert told(line_of(recorder)) == (0x70 + 0x20 + 0x70, 0x70 + 0x20 + 0x70, 0, "COMPLETE")


def test_a_snapshot_that_does_not_agree_is_inconsistent(recorder: Recorder) -> None:
    two_calls(recorder)
    snapped(recorder, 13, *CHUNKS)  # the second piece is alive, and there its chunk is in a cache
    line = line_of(recorder)
    assert told(line) == (0x90, 0x70, -0x20, "INCONSISTENT")
    assert line.note == f"24 bytes of call 2 at {SECOND:#x}, where no chunk is in use"


def test_without_a_snapshot_there_is_no_line(recorder: Recorder) -> None:
    two_calls(recorder)
    recorder.exit(92)
    assert LINE not in ledger(recorder)


def test_calls_of_other_threads_may_have_taken_chunks(recorder: Recorder) -> None:
    two_calls(recorder)
    recorder.call("malloc", 0x2F00, began=14, ended=80, result=THIRD, implementation=1, tid=OTHER)
    snapped(recorder, 15, *CHUNKS[:3], Chunk(THIRD - 16, 0x2F10, "in use"), others=1)
    line = line_of(recorder)
    assert told(line) == (0x70, 0x70 + 0x2F10, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(line) == [(0x2F10, "chunks of calls that did not return")]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"others": 1}, "1 other threads ran on"),
        ({"findings": 2, "damage": "a cycle at 0x5581"}, "the heap is damaged: a cycle at 0x5581, and 1 more"),
        ({"findings": 1, "damage": "a cycle at 0x5581", "others": 4}, "or another thread was at work in it: a cycle"),
        ({"unread": "pages of it are swapped out"}, "parts of the heap are not known: pages of it are swapped out"),
    ],
)
def test_nobody_is_accused_where_there_is_an_excuse(recorder: Recorder, fields: dict[str, Any], why: str) -> None:
    two_calls(recorder)
    snapped(recorder, 13, *CHUNKS, **fields)
    line = line_of(recorder)
    assert line.verdict == "UNVERIFIABLE"
    assert why in line.note


def test_damage_at_one_moment_excuses_the_process_at_another(recorder: Recorder) -> None:
    two_calls(recorder)
    snapped(recorder, 13, *CHUNKS)
    snapped(recorder, 15, *CHUNKS, findings=1, damage="a cycle at 0x5581")
    line = line_of(recorder)
    assert (line.verdict, line.note) == ("UNVERIFIABLE", "at another moment the heap was found damaged")


def test_what_only_looks_damaged_while_threads_run_excuses_nobody(recorder: Recorder) -> None:
    two_calls(recorder)
    snapped(recorder, 13, *CHUNKS)
    snapped(recorder, 15, *CHUNKS, findings=1, damage="a cycle at 0x5581", others=1)
    assert line_of(recorder).verdict == "INCONSISTENT"


def test_damage_is_told_with_its_call_where_all_pieces_agree(recorder: Recorder) -> None:
    two_calls(recorder)
    snapped(recorder, 15, *CHUNKS, findings=1, damage="a cycle at 0x5581")
    line = line_of(recorder)
    assert (line.verdict, line.note) == ("COMPLETE", "after call 3 the heap is damaged: a cycle at 0x5581")


def test_it_is_known_after_which_call_and_beside_how_many(recorder: Recorder) -> None:
    two_calls(recorder)
    recorder.call("malloc", 24, began=11, ended=80, result=THIRD, implementation=1, tid=OTHER)
    snapped(recorder, 13, *CHUNKS, others=1)
    recorder.exit(92)
    (taken,) = collect(recorder.read()).findings.snapshots
    assert (taken.snapshot.n, taken.snapshot.t_ns, taken.snapshot.under_way, taken.snapshot.chunks) == (3, 12, 1, 5)


def test_a_file_of_chunks_that_is_too_short_costs_that_snapshot(recorder: Recorder) -> None:
    two_calls(recorder)
    snapped(recorder, 15, *CHUNKS)
    file = recorder.directory / "snapshots.bin"
    file.write_bytes(file.read_bytes()[:-1])
    line = line_of(recorder)
    assert line.verdict == "UNVERIFIABLE"
    assert "its chunks are damaged" in line.note


# ---- as a table of the trace --------------------------------------------------------------------------------


def finished(directory: Path, *, with_snapshots: bool) -> Trace:
    """A whole trace of the two calls, with two snapshots or with none."""
    folder = Folder.make(directory)
    begin(folder, meta().machine, meta().request)
    recorder = Recorder(directory / "spool")
    two_calls(recorder)
    if with_snapshots:
        snapped(recorder, 13, *CHUNKS[:2], CHUNKS[4])
        snapped(recorder, 15, *CHUNKS)
    recorder.exit(92)
    recorder.spools.close()
    counts = {"faults_lost": 0, "faults_counted": 0}
    recording = Recording(0, 0.062, counts, [], {}, sees_kernel_faults=False)
    finish(folder, meta().machine, meta().request, recording)
    return Trace.open(directory)


def test_the_chunks_of_each_snapshot_are_read_as_they_were(tmp_path: Path) -> None:
    trace = finished(tmp_path / "t", with_snapshots=True)
    early, late = trace.meta.snapshots
    assert trace.chunks_of(early) == [*CHUNKS[:2], CHUNKS[4]]
    assert trace.chunks_of(late) == list(CHUNKS)
    assert trace.snapshot_after(late.n) == late
    assert trace.snapshot_after(1) is None
    assert not (tmp_path / "t" / "spool").exists()


def test_a_trace_without_snapshots_has_no_such_table(tmp_path: Path) -> None:
    plain, other = (finished(tmp_path / name, with_snapshots=name == "b") for name in "ab")
    assert not (tmp_path / "a" / "snapshots.parquet").exists()
    assert plain.meta.outcome.events == other.meta.outcome.events == len(list(other.events()))


def test_meta_of_an_older_observer_is_read(tmp_path: Path) -> None:
    trace = finished(tmp_path / "t", with_snapshots=False)
    file = tmp_path / "t" / "meta.json"
    plain = msgspec.json.decode(file.read_bytes())
    del plain["snapshots"], plain["request"]["snapshots"]
    file.write_bytes(msgspec.json.encode(plain))
    assert Trace.open(tmp_path / "t").meta == trace.meta


def test_a_table_that_was_changed_is_damaged(tmp_path: Path) -> None:
    trace = finished(tmp_path / "t", with_snapshots=True)
    early = msgspec.structs.replace(trace.meta.snapshots[0], chunks=4)
    with pytest.raises(BadTrace, match="other chunks"):
        trace.chunks_of(early)
    (tmp_path / "t" / "snapshots.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(BadTrace, match=r"snapshots\.parquet"):
        trace.chunks_of(trace.meta.snapshots[0])
    (tmp_path / "t" / "snapshots.parquet").unlink()
    with pytest.raises(BadTrace, match="No such file"):
        trace.chunks_of(trace.meta.snapshots[0])
