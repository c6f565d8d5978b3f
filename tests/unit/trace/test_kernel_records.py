"""Samples of tracepoints made into records."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from observer.files import Folder
from observer.recording.notes import Tracepoint
from observer.recording.records import ENTERED, FAULT_BEGAN, FOR_PROGRAM, FRAMES, IN_INTERRUPT, LEFT_KERNEL, ZEROED
from observer.trace import kernel_records
from observer.trace.kernel_records import samples
from tests.builders import HEAP, PID
from tests.unit.trace.spooling import LOST
from tests.unit.trace.tracing import (
    ALLOC,
    KERNEL_FAULT,
    SOFT_INTERRUPT,
    TABLE,
    USER_COPY,
    allocated,
    entered,
    fault_began,
    left,
    raw_sample,
    tracepoints,
)

Row = tuple[int, ...]


def read(folder: Path, *content: bytes, points: list[Tracepoint] | None = None) -> tuple[list[Row], int]:
    """The records (time, tid, what, flags, order, value) in order of time, and how many were damaged."""
    (folder / "kernel.0.bin").write_bytes(b"".join(content))
    damaged: list[int] = []
    file = Folder.open(folder).file("kernel.0.bin")
    found = np.concatenate(list(samples(file, tracepoints() if points is None else points, damaged.append)))
    rows = zip(*(found[name].tolist() for name in ("time", "tid", "what", "flags", "order", "value")), strict=True)
    return sorted(rows), sum(damaged)


def test_each_tracepoint_becomes_what_it_says(tmp_path: Path) -> None:
    content = [
        fault_began(11, HEAP), allocated(13, 0x246F36), allocated(17, 0x1003, asked=TABLE), entered(19, 12, tid=77),
        left(23, 12, tid=77), fault_began(29, HEAP + 8, number=KERNEL_FAULT),
    ]  # fmt: skip
    assert read(tmp_path, *content) == (
        [
            (11, PID, FAULT_BEGAN, 0, 0, HEAP), (13, PID, FRAMES, ZEROED | FOR_PROGRAM, 0, 0x246F36),
            (17, PID, FRAMES, ZEROED, 0, 0x1003), (19, 77, ENTERED, 0, 0, 12), (23, 77, LEFT_KERNEL, 0, 0, 12),
            (29, PID, FAULT_BEGAN, 0, 0, HEAP + 8),
        ],
        0,
    )  # fmt: skip


def test_several_frames_and_interrupts(tmp_path: Path) -> None:
    content = [allocated(3, 0x200, order=9, asked=USER_COPY), allocated(5, 0x300, context=SOFT_INTERRUPT)]
    rows, _damaged = read(tmp_path, *content)
    assert [row[3:] for row in rows] == [(FOR_PROGRAM, 9, 0x200), (IN_INTERRUPT | ZEROED | FOR_PROGRAM, 0, 0x300)]


def test_fields_are_read_where_the_notes_say(tmp_path: Path) -> None:
    record = bytes(8) + struct.pack("<QQI", 0x55AA, 0x100100, 3)
    points = tracepoints(pfn=(8, 8), gfp_flags=(16, 8), order=(24, 4))
    assert read(tmp_path, raw_sample(ALLOC, 7, record), points=points)[0] == [
        (7, PID, FRAMES, ZEROED | FOR_PROGRAM, 3, 0x55AA)
    ]


def test_other_records_lie_between_them(tmp_path: Path) -> None:
    lost = struct.pack("<IHHQQ", LOST, 0, 24, 41, 5)
    assert read(tmp_path, lost, entered(3, 12), lost, left(5, 12)) == (
        [(3, PID, ENTERED, 0, 0, 12), (5, PID, LEFT_KERNEL, 0, 0, 12)], 0,
    )  # fmt: skip


@pytest.mark.parametrize("at_once", [80, 200, 1 << 18])
def test_pieces_of_the_file_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(kernel_records, "_AT_ONCE", at_once)
    content = [piece for i in range(1, 24) for piece in (fault_began(3 * i, i), allocated(3 * i + 1, i))]
    rows, damaged = read(tmp_path, *content)
    assert (len(rows), damaged) == (46, 0)
    assert [row[0] for row in rows if row[2] == FAULT_BEGAN] == [3 * i for i in range(1, 24)]


def test_a_torn_last_sample_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, entered(3, 12), left(5, 12)[:-9]) == ([(3, PID, ENTERED, 0, 0, 12)], 0)


@pytest.mark.parametrize(
    "damaged",
    [
        raw_sample(999, 5, bytes(40)),  # of no tracepoint that was noted
        entered(0, 12), entered((1 << 62) + 1, 12), allocated(5, 7, order=32), allocated(5, 7, order=(1 << 32) - 1),
    ],
    ids=["unknown", "no time", "late", "order", "largest order"],
)  # fmt: skip
def test_what_cannot_have_been_recorded_is_counted(tmp_path: Path, damaged: bytes) -> None:
    assert read(tmp_path, entered(3, 12), damaged, left(9, 12)) == (
        [(3, PID, ENTERED, 0, 0, 12), (9, PID, LEFT_KERNEL, 0, 0, 12)], 1,
    )  # fmt: skip


def test_without_notes_all_are_damaged(tmp_path: Path) -> None:
    assert read(tmp_path, entered(3, 12), left(5, 12), points=[]) == ([], 2)


def test_rubbish_is_damage_and_no_end_of_us(tmp_path: Path) -> None:
    rows, damaged = read(tmp_path, entered(3, 12), bytes(1024), left(5, 12))
    assert rows == [(3, PID, ENTERED, 0, 0, 12)]
    assert damaged == 1096 // 128
    assert read(tmp_path, b"\xff" * 512) == ([], 4)
