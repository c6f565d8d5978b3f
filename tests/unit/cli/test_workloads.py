"""Workloads as the command line names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.cli.workloads import find_workload
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
