"""How much of a disk is left to a recording."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from observer.files import Folder
from observer.recording.room import Room

MIB = 1 << 20


def disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: SimpleNamespace(f_bavail=free // 4096, f_frsize=4096))


@pytest.mark.parametrize(
    ("at_first", "free", "written", "is_short"), [
        (1024, 5, 0, False), (1024, 3, 0, True), (1024, 104, 400, False), (1024, 103, 400, True),
        (4, 2, 0, False), (4, 0.5, 0, True),
    ],
)  # fmt: skip
def test_some_room_is_kept_for_the_tables(
    at_first: float, free: float, written: float, is_short: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, int(at_first * MIB))
    room = Room(Folder.open(tmp_path))
    disk(monkeypatch, int(free * MIB))
    assert room.is_short(int(written * MIB)) is is_short


def test_what_is_free_is_what_the_system_says(tmp_path: Path) -> None:
    there = os.statvfs(tmp_path)
    assert Room(Folder.open(tmp_path)).free == pytest.approx(there.f_bavail * there.f_frsize, abs=1 << 30)
