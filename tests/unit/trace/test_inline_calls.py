"""What programs recorded themselves, read back: whole, torn, and written by somebody else."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from observer.files import Folder
from observer.model.operations import FAMILY
from observer.recording.notes import Annexed
from observer.recording.records import CALL, CLOCK, COUNTED, INLINE, RETURNED
from observer.recording.spool import Spools
from observer.trace.inline_calls import InlineCalls

Records = npt.NDArray[np.void]

FUNCTIONS = ((0, 3, 17), (1, 0, 17))
NOTE = Annexed(pid=7, t=5, start=1 << 20, end=2 << 20, places=(), functions=FUNCTIONS, memory=(3 << 20, 4 << 20))


def clock(*pairs: tuple[int, int]) -> Records:
    return np.array(list(pairs), dtype=CLOCK.dtype)


FIRST = ("a0", "a1", "result", "ret", "sp")
SECOND = ("began", "ended", "a2", "stack")
CALLED = np.dtype([*((name, "<u8") for name in (*FIRST, *SECOND)), ("function", "<u4"), ("inner", "<u4")])


def calls(count: int, function: int = 1, first: int = 1000) -> Records:
    made = np.zeros(count, dtype=CALLED)
    made["began"] = first + 10 * np.arange(count)
    made["ended"], made["a0"], made["function"] = made["began"] + 4, np.arange(count), function
    return made


def folded(called: Records) -> Records:
    """Return calls as a program records them."""
    raw = []
    for call in called:
        second = any(call[name] for name in SECOND)
        number = int(call["function"]) | second << 30
        raw.append(struct.pack("<5Q2I", *(int(call[name]) for name in FIRST), number, int(call["inner"])))
        if second:
            raw.append(struct.pack("<5Q2I", *(int(call[name]) for name in SECOND), 7, 0xFFFF_FFFF, 9))
    return np.frombuffer(b"".join(raw), dtype=INLINE.dtype)


def written(folder: Path, *batches: tuple[int, int, Records], cut: int = 0) -> InlineCalls:
    spools = Spools(Folder.make(folder / "spool", 0o700))
    for pid, tid, records in batches:
        spools.inline.append_of(pid, tid, folded(records), len(records))
    spools.close()
    path = folder / "spool" / INLINE.file
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return InlineCalls(Folder.open(folder / "spool").file(INLINE.file), clock((1000, 50), (2000, 1050)), [NOTE])


def read(found: InlineCalls) -> Records:
    return np.concatenate(list(found.pieces()))


def test_calls_come_back_with_their_task_their_function_and_their_times(tmp_path: Path) -> None:
    found = written(tmp_path, (7, 9, calls(2)), (7, 11, calls(1, function=0, first=1500)))
    records = read(found)
    assert found.damaged == 0
    assert records[["pid", "tid", "op", "implementation", "flags"]].tolist() == [
        (7, 9, 0, 17, RETURNED), (7, 9, 0, 17, RETURNED), (7, 11, 3, 17, RETURNED),
    ]  # fmt: skip
    assert records[["began", "ended", "a0"]].tolist() == [(50, 54, 0), (60, 64, 1), (550, 554, 0)]


def test_calls_of_a_thread_come_one_after_the_other_even_where_the_counter_stands(tmp_path: Path) -> None:
    standing = calls(4)
    standing["began"] = standing["ended"] = 1000
    later = calls(1, first=1004)
    found = written(tmp_path, (7, 9, standing), (7, 11, calls(1)), (7, 9, later))
    records = read(found)
    times = records[["began", "ended"]].tolist()
    assert times == [(50, 51), (52, 53), (54, 55), (56, 57), (50, 54), (58, 59)]


def test_the_highest_bit_of_a_function_is_not_its_number(tmp_path: Path) -> None:
    assert read(written(tmp_path, (7, 9, calls(1, function=1 << 31)))).tolist()[0][4] == 3


def test_many_calls_are_read_in_pieces(tmp_path: Path) -> None:
    found = written(tmp_path, (7, 9, calls(40_000)))
    pieces = list(found.pieces())
    assert len(pieces) > 1
    assert np.concatenate(pieces)["a0"].tolist() == list(range(40_000))


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        (1, 2),
        (INLINE.size, 2),
        (2 * INLINE.size, 2),
        (2 * INLINE.size + 1, 1),
        (5 * INLINE.size, 0),
        (7 * INLINE.size, 0),
    ],
)
def test_of_a_file_that_was_cut_the_whole_records_are_read(tmp_path: Path, cut: int, left: int) -> None:
    assert sum(map(len, written(tmp_path, (7, 9, calls(3)), cut=cut).pieces())) == left


@pytest.mark.parametrize("field", ["function", "ended", "began"])
def test_behind_a_record_that_cannot_be_nothing_is_read(tmp_path: Path, field: str) -> None:
    records = calls(5)
    records[field][2] = {"function": 2, "ended": 3, "began": 1 << 61}[field]
    found = written(tmp_path, (7, 9, records), (7, 11, calls(1)))
    assert (len(read(found)), found.damaged) == (2, 2 * 3 + 1 + 2)


def test_times_that_were_not_read_lie_between_those_that_were_also_of_the_batch_before(tmp_path: Path) -> None:
    first, second, other = calls(2), calls(2, first=1900), calls(1, first=1500)
    first["ended"][1] = second["began"][0] = second["ended"][0] = 0
    second["began"][1] = 1900
    found = written(tmp_path, (7, 9, first), (7, 11, other), (7, 9, second))
    records = read(found)
    assert found.damaged == 0
    mine = records[records["tid"] == 9]
    assert mine[["began", "ended"]].tolist() == [(50, 54), (60, 63), (358, 654), (950, 964)]


def test_a_thread_that_never_read_the_clock_is_damage(tmp_path: Path) -> None:
    unread = calls(2)
    unread["began"] = unread["ended"] = 0
    found = written(tmp_path, (7, 9, calls(2)), (7, 11, unread))
    assert (len(read(found)), found.damaged) == (2, 2)


def test_a_head_that_is_none_ends_it(tmp_path: Path) -> None:
    found = written(tmp_path, (7, 9, calls(2)))
    path = tmp_path / "spool" / INLINE.file
    path.write_bytes(path.read_bytes() + folded(calls(3)).tobytes())
    found = InlineCalls(Folder.open(tmp_path / "spool").file(INLINE.file), clock((1000, 50), (2000, 1050)), [NOTE])
    assert (len(read(found)), found.damaged) == (2, 2 * 3)


@pytest.mark.parametrize("functions", [(), ((0, 0, 17),), ((0, 0, 17), (1, len(FAMILY), 17))])
def test_calls_of_functions_that_nobody_named_are_damage(
    tmp_path: Path, functions: tuple[tuple[int, int, int], ...]
) -> None:
    written(tmp_path, (7, 9, calls(2)))
    note = Annexed(pid=7, t=5, start=1, end=2, places=(), functions=functions, memory=(3, 4))
    found = InlineCalls(Folder.open(tmp_path / "spool").file(INLINE.file), clock((1000, 50)), [note])
    assert (sum(map(len, found.pieces())), found.damaged) == (0, 2 * 2)


def test_a_clock_that_runs_backwards_is_not_believed(tmp_path: Path) -> None:
    written(tmp_path, (7, 9, calls(2)))
    odd = clock((1000, 50), (900, 60), (1500, 40), (2000, 1050), (0, 2000), (1 << 63, 1 << 63))
    found = InlineCalls(Folder.open(tmp_path / "spool").file(INLINE.file), odd, [NOTE])
    assert read(found)["began"].tolist() == [50, 60]


def test_a_function_that_no_note_explains_is_none(tmp_path: Path) -> None:
    note = Annexed(pid=7, t=5, start=1, end=2, places=(), functions=((3, 1, 17), (1 << 40, 1, 17)), memory=(3, 4))
    written(tmp_path, (7, 9, calls(2, function=3)), (7, 9, calls(2, function=2)))
    folder = Folder.open(tmp_path / "spool")
    found = InlineCalls(folder.file(INLINE.file), clock((1000, 50), (2000, 1050)), [note])
    assert read(found)["implementation"].tolist() == [17, 17]
    assert found.damaged == 2 * 2


def taken_over(*counters: int, pid: int = 7, tid: int = 9) -> Records:
    made = np.zeros(len(counters), dtype=CALL.dtype)
    made["began"], made["ended"], made["pid"], made["tid"] = counters, 1 << 40, pid, tid
    made["flags"] = RETURNED | COUNTED
    return made


def settled(found: InlineCalls, *pieces: Records) -> Records:
    return np.concatenate(list(found.settled(lambda: iter(pieces))()))


def test_a_call_that_was_taken_over_begins_by_the_same_clock_as_those_before(tmp_path: Path) -> None:
    found = written(tmp_path, (7, 9, calls(2)), (7, 11, calls(1, first=1500)), (7, 9, calls(1, first=1800)))
    others = taken_over(5, tid=9)
    others["flags"] = RETURNED
    records = settled(found, taken_over(1020), others, taken_over(1300, 1900), taken_over(1400, tid=11))
    assert records[["began", "flags"]].tolist() == [
        (70, RETURNED), (5, RETURNED), (350, RETURNED), (950, RETURNED), (450, RETURNED),
    ]  # fmt: skip


def test_a_call_that_was_taken_over_begins_later_than_the_end_before_even_where_the_counter_stands(
    tmp_path: Path,
) -> None:
    standing = calls(4)
    standing["began"] = standing["ended"] = 1000
    found = written(tmp_path, (7, 9, standing), (7, 9, calls(1, first=1300)))
    assert settled(found, taken_over(1001), taken_over(1001, tid=8))["began"].tolist() == [58, 51]


def test_a_file_of_calls_that_became_longer_is_read_as_far_as_it_was(tmp_path: Path) -> None:
    found, kept = written(tmp_path, (7, 9, calls(1))), [taken_over(1020)]
    pieces = found.settled(lambda: iter(kept))
    kept.append(taken_over(1030))
    assert sum(map(len, pieces())) == 1
