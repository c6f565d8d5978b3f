"""When snapshots are taken, and when no more: the walk itself is stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observer.files import Folder
from observer.instruments import heap_snapshots
from observer.instruments.heap_snapshots import HeapSnapshots
from observer.model.snapshots import EveryNth
from observer.recording.notes import Snapped
from observer.recording.records import SNAPSHOT_CHUNK


class Notes:
    def __init__(self) -> None:
        self.notes = self
        self.all: list[Snapped] = []

    def append(self, note: Snapped) -> None:
        self.all.append(note)


class Process:
    """A task, its memory and its call in one: as much as is asked of them."""

    word, fd, glibcs = 8, 3, (None,)

    def __init__(self, pid: int = 41) -> None:
        self.pid = self.tid = pid


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were walked."""
    found: list[int] = []

    def walks(tid: int, *_rest: Any) -> list[Any]:
        found.append(tid)
        return []

    monkeypatch.setattr(heap_snapshots, "walks_through", walks)
    monkeypatch.setattr(heap_snapshots, "read_mappings", lambda _tid: [])
    monkeypatch.setattr(heap_snapshots, "heap_start", lambda _tid: 0)
    monkeypatch.setattr(heap_snapshots, "_threads", lambda _tid: 1)
    monkeypatch.setattr(heap_snapshots, "chunks_in", lambda _walks: np.zeros(5, dtype=SNAPSHOT_CHUNK.dtype))
    return found


def returned(snapshots: HeapSnapshots, times: int, process: Any) -> None:
    for i in range(times):
        snapshots.returned(process, process, process, 100 + i)


def made(folder: Path, notes: Any, *calls: int) -> HeapSnapshots:
    return HeapSnapshots(notes, Folder.make(folder / "spool"), [EveryNth(count) for count in calls])


def test_every_process_counts_its_own_calls(tmp_path: Path, walked: list[int]) -> None:
    notes = Notes()
    snapshots = made(tmp_path, notes, 5, 7)
    returned(snapshots, 14, Process(41))
    returned(snapshots, 6, Process(43))
    assert walked == [41, 41, 41, 41, 43]
    assert [(note.t, note.when, note.at) for note in notes.all[:3]] == [
        (104, "every 5 calls", 0), (106, "every 7 calls", 120), (109, "every 5 calls", 240),
    ]  # fmt: skip
    assert snapshots.notes == []


@pytest.mark.parametrize(
    ("cap", "value", "why"),
    [("MOST_SNAPSHOTS", 3, "3 were taken, and no more are"), ("MOST_BYTES", 390, "have filled")],
)
def test_the_cap_is_said_once_and_nothing_is_walked_for_nothing(
    tmp_path: Path, walked: list[int], monkeypatch: pytest.MonkeyPatch, cap: str, value: int, why: str
) -> None:
    monkeypatch.setattr(heap_snapshots, cap, value)
    notes = Notes()
    snapshots = made(tmp_path, notes, 1)
    returned(snapshots, 11, Process())
    assert len(notes.all) == 3
    assert len(walked) <= 4
    (said,) = snapshots.notes
    assert why in said


def test_a_process_that_is_gone_is_said(tmp_path: Path, walked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_tid: int) -> list[Any]:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(heap_snapshots, "read_mappings", gone)
    snapshots = made(tmp_path, Notes(), 1)
    returned(snapshots, 2, Process())
    assert snapshots.notes == ["snapshots of heaps were left out: a process could not be read: No such process"]
    assert walked == []
