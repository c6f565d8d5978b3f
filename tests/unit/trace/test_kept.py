"""What the instruments counted, read back: whole, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from observer.files import Folder
from observer.instruments.session import Recording
from observer.trace.kept import read_kept

KEPT = Recording(
    status=0x8B, seconds=0.125, totals={"syscalls": 37, "faults_lost": 2}, notes=["3 calls"], not_observed={},
    sees_kernel_faults=True, recorder="breakpoints", lost={"calls": 1},
)  # fmt: skip


def read(folder: Path, **fields: Any) -> Recording | None:
    kept = msgspec.to_builtins(KEPT) | fields
    (folder / "recording.json").write_text(json.dumps(kept))
    return read_kept(Folder.open(folder))


def test_what_was_kept_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) == KEPT
    assert read(tmp_path, status=None, totals={}, lost={}) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"lost": {"calls": 1 << 63}}, {"totals": {"syscalls": -1}}, {"totals": {"faults_lost": 1 << 70}},
        {"seconds": 1e300}, {"seconds": -0.5}, {"status": 1 << 40}, {"status": -1}, {"totals": {"syscalls": "x"}},
    ],
)  # fmt: skip
def test_numbers_that_nobody_can_have_counted_are_none(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert read(tmp_path, **fields) is None


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"status": 0', b'{"notes": ["\xff"]}', bytes(4096)])
def test_what_is_no_recording_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recording.json").write_bytes(content)
    assert read_kept(Folder.open(tmp_path)) is None
