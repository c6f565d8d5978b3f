"""Reading spools back, whole or torn."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from observer.errors import BadTrace
from observer.instruments.faults import FAULT_FIELDS
from observer.trace.spooled import read_spools
from tests.builders import HEAP, MAP, PAGE, PID
from tests.unit.trace.spooling import LOST, SAMPLE, SP, Recorder

SAMPLE_BYTES = 104


def sample(address: int, time: int = 1, stack: bytes | None = None) -> bytes:
    record = np.zeros(1, dtype=FAULT_FIELDS)
    tail = b"" if stack is None else stack + struct.pack("<Q", len(stack))
    record["type"], record["size"] = SAMPLE, SAMPLE_BYTES + len(tail)
    record["time"], record["address"] = time, address
    record["stack_size"] = len(stack or b"")
    return record.tobytes() + tail


def lost_record(count: int) -> bytes:
    """PERF_RECORD_LOST: header, id, lost, and the sample id that `sample_id_all` appends."""
    return struct.pack("<IHHQQ", LOST, 0, 64, 7, count) + bytes(40)


def addresses(directory: Path, *files: bytes, stack_bytes: int = 0) -> list[int]:
    for i, content in enumerate(files):
        (directory / f"faults.{i}.bin").write_bytes(content)
    return read_spools(directory, stack_bytes).faults["address"].tolist()


@pytest.fixture
def folder(recorder: Recorder) -> Path:
    """The spools of a run in which nothing happened."""
    recorder.read()
    return recorder.directory


def test_what_was_recorded_is_read(recorder: Recorder) -> None:
    recorder.call("calloc", 17, 23, began=5, ended=9, result=HEAP + 16, inner=2)
    recorder.syscall("brk", HEAP, began=6, ended=7, result=HEAP)
    recorder.syscall("munmap", MAP, 4096, began=10, ended=11, result=-22)
    recorder.fault(HEAP, 8)
    recorder.note("born", 12, how="fork", child=77)
    spooled = recorder.read()
    (call,) = spooled.calls
    assert [call[name] for name in ("began", "ended", "op", "a0", "a1", "result", "inner", "sp")] == [
        5, 9, 1, 17, 23, HEAP + 16, 2, SP,
    ]  # fmt: skip
    assert spooled.syscalls["number"].tolist() == [12, 11]
    assert spooled.syscalls["result"].tolist() == [HEAP, -22]
    assert spooled.faults["address"].tolist() == [HEAP]
    assert spooled.notes == [{"what": "born", "pid": PID, "tid": PID, "t": 12, "how": "fork", "child": 77}]
    assert len(spooled.stacks) == len(spooled.frames) == 0


def test_a_run_without_events_is_read_as_one(folder: Path) -> None:
    spooled = read_spools(folder, 512)
    assert [len(part) for part in (spooled.calls, spooled.syscalls, spooled.stacks, spooled.faults)] == [0, 0, 0, 0]


def test_the_preallocated_zeroes_of_a_killed_observer_are_not_records(recorder: Recorder) -> None:
    for i in range(17):
        recorder.call("malloc", 100, began=i + 1, ended=i + 2, result=HEAP)
    # As the kernel leaves it after SIGKILL: a mapped chunk, zero behind the last record.
    raw = (recorder.directory / "calls.bin").read_bytes()
    assert len(raw) == 1 << 20
    assert read_spools(recorder.directory, 0).calls["began"].tolist() == list(range(1, 18))


def test_half_a_record_at_the_end_is_left_out(recorder: Recorder) -> None:
    recorder.call("malloc", 100, began=1, ended=2)
    recorder.call("malloc", 100, began=3, ended=4)
    recorder.read()
    path = recorder.directory / "calls.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_spools(recorder.directory, 0).calls["began"].tolist() == [1]


@pytest.mark.parametrize("torn", [b'{"what":"go', b'{"what":"gone","pid":1', b"\x00\x00", b'["what"]\n{"what":"x"}\n'])
def test_the_line_that_was_being_written_ends_the_notes(folder: Path, torn: bytes) -> None:
    (folder / "notes.jsonl").write_bytes(b'{"what":"born"}\n{"what":"gone"}\n' + torn)
    assert [note["what"] for note in read_spools(folder, 0).notes] == ["born", "gone"]


def test_samples_of_all_processors_are_read(folder: Path) -> None:
    assert addresses(folder, sample(1) + sample(2), b"", sample(3)) == [1, 2, 3]


def test_losses_between_samples_are_stepped_over(folder: Path) -> None:
    assert addresses(folder, sample(1) + lost_record(7) + sample(2) + sample(3) + lost_record(1)) == [1, 2, 3]


def test_a_ring_that_only_lost_holds_no_samples(folder: Path) -> None:
    assert addresses(folder, lost_record(7)) == []


def test_a_sample_that_was_being_written_is_left_out(folder: Path) -> None:
    assert addresses(folder, sample(1) + sample(2)[:-1]) == [1]
    assert addresses(folder, sample(1) + sample(2)[:4]) == [1]


@pytest.mark.parametrize("size", [0, 7, 0xFFFF])
def test_a_record_of_an_impossible_size_ends_the_ring(folder: Path, size: int) -> None:
    assert addresses(folder, sample(1) + struct.pack("<IHH", SAMPLE, 0, size) + bytes(200)) == [1]


def test_copied_stacks_come_with_their_true_length(folder: Path) -> None:
    stack = bytes(range(64))
    (folder / "faults.0.bin").write_bytes(sample(1, stack=stack) + lost_record(1) + sample(2, stack=stack))
    faults = read_spools(folder, 64).faults
    assert [record["stack"].tobytes() for record in faults] == [stack, stack]
    assert faults["stack_length"].tolist() == [64, 64]


def test_a_sample_without_a_stack_has_an_empty_one(folder: Path) -> None:
    # A kernel thread's or a task's without user registers: the record is shorter than the others.
    (folder / "faults.0.bin").write_bytes(sample(1, stack=bytes(64)) + sample(2))
    faults = read_spools(folder, 64).faults
    assert faults["address"].tolist() == [1, 2]
    assert faults["stack_length"].tolist() == [64, 0]


def test_faults_placed_by_pages_have_the_time_of_the_later_stop(recorder: Recorder) -> None:
    recorder.note("interval", 40, count=3, pages=[[HEAP // PAGE, 2], [MAP // PAGE, 1]], tid=77)
    recorder.note("interval", 50, count=1, pages=[])
    faults = recorder.read().faults
    assert faults["address"].tolist() == [HEAP, HEAP + PAGE, MAP]
    assert faults["time"].tolist() == [40, 40, 40]
    assert (faults["tid"].tolist(), faults["user_ip"].tolist()) == ([77, 77, 77], [0, 0, 0])


def test_what_is_no_spool_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="cannot read the spools"):
        read_spools(tmp_path, 512)
