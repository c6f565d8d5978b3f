"""The table of scripts/accuracy: what an ordinary user may not see stands apart from what is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.ordinary import NO_HOME, PREFIX, PYTHON, ROOT, open_to_everyone

pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")


@pytest.mark.parametrize("user", [[], PREFIX], ids=["root", "ordinary"])
def test_nothing_is_wrong_whoever_asks(user: list[str], tmp_path: Path) -> None:
    open_to_everyone(tmp_path)
    assert PYTHON is not None
    python = ["env", f"PYTHONPATH={PYTHON[1]}", NO_HOME, PYTHON[0]]
    words = [*user, *python, str(ROOT / "scripts" / "accuracy"), "ls", "sed"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: [int(cell.replace(",", "")) for cell in line.split()[1:]] for line in lines[2:5]}
    assert list(rows) == ["ls", "sed", "all"]
    for calls, calls_right, asks, asks_right, _pages, _pages_right, undetermined, hidden, wrong in rows.values():
        assert (calls_right, asks_right, undetermined, wrong) == (calls, asks, 0, 0)
        assert hidden == 0 or user or os.geteuid()
    assert (len(lines) > 5) == (rows["all"][7] > 0)
    assert all(line.startswith(("not visible: a page ", "  ")) for line in lines[5:])
