"""Workloads as the command line names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observer.cli.main import main
from observer.cli.workloads import find_workload, is_trace
from observer.errors import UsageError


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = tmp_path / "one.workload"
    workload.write_text("malloc a 100\n")
    assert find_workload(str(workload), tmp_path) == workload

    def refused(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UsageError, match=r"cannot read .*one\.workload: Permission denied"):
        find_workload(str(workload), tmp_path)
    workload.chmod(0o755)
    assert find_workload(str(workload), tmp_path) is None


LONG = "a" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", LONG), ("compare", LONG), ("show", LONG), ("query", LONG, "select 1"), ("libraries", LONG),
        ("allocators", LONG), ("allocators", "--source", LONG, "true"), ("lab", "lint", f"./{LONG}"),
        ("lab", "start", f"./{LONG}"), ("lab", "check", LONG), ("lab", "grade", LONG), ("export", LONG, "--to", "rep"),
    ],
    ids=lambda words: " ".join(word for word in words if len(word) < 50),
)  # fmt: skip
def test_a_name_that_no_file_can_have_is_said(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (2, 125, 127)
    said = capsys.readouterr()
    assert LONG in said.out + said.err


def test_a_folder_that_may_not_be_looked_into_is_taken_for_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    assert not is_trace("nowhere")
    monkeypatch.setattr(os, "stat", refused)
    assert is_trace("somebody/else's")
