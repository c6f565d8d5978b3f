"""Reading spools back, whole or torn."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from observer.errors import BadTrace
from observer.files import Folder
from observer.instruments.faults import FAULT_FIELDS
from observer.recording.notes import Born, Gone
from observer.trace.spooled import read_spools
from tests.builders import HEAP, MAP, PAGE, PID
from tests.unit.trace.collected import records
from tests.unit.trace.spooling import LOST, SAMPLE, SP, Recorder

SAMPLE_BYTES = 96


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
    return records(read_spools(Folder.open(directory), stack_bytes).faults)["address"].tolist()


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
    recorder.note("born", 12, how="fork", child=77, child_pid=77, shares=False)
    spooled = recorder.read()
    (call,) = records(spooled.calls)
    assert [call[name] for name in ("began", "ended", "op", "a0", "a1", "result", "inner", "sp")] == [
        5, 9, 1, 17, 23, HEAP + 16, 2, SP,
    ]  # fmt: skip
    assert records(spooled.syscalls)["number"].tolist() == [12, 11]
    assert records(spooled.syscalls)["result"].tolist() == [HEAP, -22]
    assert records(spooled.faults)["address"].tolist() == [HEAP]
    assert spooled.notes == [Born(pid=PID, tid=PID, t=12, how="fork", child=77, child_pid=77, shares=False)]
    assert spooled.damaged == {}
    assert len(spooled.stacks) == len(spooled.frames) == 0


def test_a_run_without_events_is_read_as_one(folder: Path) -> None:
    spooled = read_spools(Folder.open(folder), 512)
    assert [len(part) for part in (spooled.calls, spooled.syscalls, spooled.stacks, spooled.faults)] == [0, 0, 0, 0]


def test_a_spool_is_read_up_to_its_first_damaged_record(recorder: Recorder) -> None:
    for i in range(17):
        recorder.call("malloc", 100, began=i + 1, ended=i + 2, result=HEAP)
    recorder.read()
    path = recorder.directory / "calls.bin"
    size = path.stat().st_size // 17
    raw = path.read_bytes()
    for damaged in (raw[: 5 * size] + bytes(2 * size) + raw[7 * size :], raw[: 5 * size] + b"\xff" * 12 * size):
        path.write_bytes(damaged)
        spooled = read_spools(recorder.folder, 0)
        assert records(spooled.calls)["began"].tolist() == [1, 2, 3, 4, 5]
        assert spooled.damaged == {"calls.bin": 12}


def test_a_hole_of_gigabytes_is_not_read(recorder: Recorder) -> None:
    recorder.call("malloc", 100, began=1, ended=2)
    recorder.read()
    for name in ("calls.bin", "arguments.bin", "faults.7.bin"):
        with (recorder.directory / name).open("ab") as file:
            file.truncate(1 << 36)
    spooled = read_spools(recorder.folder, 0)
    assert (len(spooled.calls), len(spooled.arguments), len(spooled.faults)) == (1, 0, 0)
    assert sorted(spooled.damaged) == ["arguments.bin", "calls.bin", "faults.7.bin"]


def test_half_a_record_at_the_end_is_left_out(recorder: Recorder) -> None:
    recorder.call("malloc", 100, began=1, ended=2)
    recorder.call("malloc", 100, began=3, ended=4)
    recorder.read()
    path = recorder.directory / "calls.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert records(read_spools(recorder.folder, 0).calls)["began"].tolist() == [1]


GONE = b'{"what":"gone","pid":1,"tid":1,"t":5,"status":0}\n'
ONE_GONE = Gone(pid=1, tid=1, t=5, status=0)


@pytest.mark.parametrize("torn", [b'{"what":"go', b'{"what":"gone","pid":1', b"\x00\x00"])
def test_the_line_that_was_being_written_ends_the_notes(folder: Path, torn: bytes) -> None:
    (folder / "notes.jsonl").write_bytes(GONE + GONE + torn)
    spooled = read_spools(Folder.open(folder), 0)
    assert spooled.notes == [ONE_GONE, ONE_GONE]
    assert spooled.damaged == {}


@pytest.mark.parametrize(
    "odd",
    [
        b"", b"what", b'["what"]', b'{"what":"exec"}', b'{"what":"gone","pid":"x","tid":1,"t":5,"status":0}',
        b'{"what":"gone","pid":1,"tid":1,"t":-5,"status":0}', b'{"what":7}', b'{"t":5}', b"\xff\xfe", b"[" * 9999,
        b'{"what":"file","pid":1,"t":5,"start":18446744073709551616,"path":"/x"}',
        b'{"what":"end","pid":"x","t":[],"mappings":{}}', b'{"what":"region","pid":1,"t":5,"start":0,"end":1,"mappings":[{"start":1}]}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_note_is_left_out_and_counted(folder: Path, odd: bytes) -> None:
    (folder / "notes.jsonl").write_bytes(GONE + odd + b"\n" + GONE)
    spooled = read_spools(Folder.open(folder), 0)
    assert spooled.notes == [ONE_GONE, ONE_GONE]
    assert spooled.damaged == {"notes.jsonl": 1}


def test_records_of_another_version_are_not_read_as_ours(folder: Path) -> None:
    ours, other = (b'{"what":"layouts","t":3,"version":%d}\n' % version for version in (5, 6))
    (folder / "notes.jsonl").write_bytes(ours + GONE)
    assert read_spools(Folder.open(folder), 0).notes == [ONE_GONE]
    (folder / "notes.jsonl").write_bytes(other + GONE)
    with pytest.raises(BadTrace, match=r"cannot read the spools in .*: they are of version 6, and this observer reads"):
        read_spools(Folder.open(folder), 0)


def test_an_interval_cannot_bring_in_more_pages_than_there_is_memory(recorder: Recorder) -> None:
    for _ in range(3):
        recorder.note("interval", 40, count=1 << 24, pages=[[1, 1 << 23]], tid=77)
    spooled = recorder.read()
    assert (len(spooled.faults), spooled.damaged) == (0, {"notes.jsonl": 3})


@pytest.mark.parametrize("name", ["calls.bin", "stacks.bin", "notes.jsonl", "frames.bin", "faults.3.bin"])
def test_what_is_no_file_is_neither_read_nor_waited_for(recorder: Recorder, name: str) -> None:
    recorder.read()
    path = recorder.directory / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(BadTrace, match=f"cannot read the spools in .*{name}: not a regular file"):
        read_spools(recorder.folder, 0)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(BadTrace, match=f"{name}: it is a link, which is not followed"):
        read_spools(recorder.folder, 0)


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
    faults = records(read_spools(Folder.open(folder), 64).faults)
    assert [record["stack"].tobytes() for record in faults] == [stack, stack]
    assert faults["stack_length"].tolist() == [64, 64]


def test_a_sample_without_a_stack_has_an_empty_one(folder: Path) -> None:
    # A kernel thread's or a task's without user registers: the record is shorter than the others.
    (folder / "faults.0.bin").write_bytes(sample(1, stack=bytes(64)) + sample(2))
    faults = records(read_spools(Folder.open(folder), 64).faults)
    assert faults["address"].tolist() == [1, 2]
    assert faults["stack_length"].tolist() == [64, 0]


def test_faults_placed_by_pages_have_the_time_of_the_later_stop(recorder: Recorder) -> None:
    recorder.note("interval", 40, count=3, pages=[[HEAP // PAGE, 2], [MAP // PAGE, 1]], tid=77)
    recorder.note("interval", 50, count=1, pages=[])
    faults = records(recorder.read().faults)
    assert faults["address"].tolist() == [HEAP, HEAP + PAGE, MAP]
    assert faults["time"].tolist() == [40, 40, 40]
    assert (faults["tid"].tolist(), faults["user_ip"].tolist()) == ([77, 77, 77], [0, 0, 0])


def test_what_is_no_spool_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="cannot read the spools"):
        read_spools(Folder.open(tmp_path), 512)
