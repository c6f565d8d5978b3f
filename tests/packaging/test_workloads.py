"""`scripts/workloads`: what is kept of each workload, and what makes one wrong."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.recordings import environment_of_commands

SCRIPT = ROOT / "scripts" / "workloads"
Results = dict[str, dict[str, Any]]
Row = Callable[[Results], tuple[list[object], bool]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what was said of `six_steps`."""
    folder = tmp_path_factory.mktemp("workloads")
    done = subprocess.run(
        [sys.executable, SCRIPT, "-o", folder, "six_steps"],
        capture_output=True,
        text=True,
        env=environment_of_commands(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    _head, row, last = done.stdout.splitlines()
    assert row.split()[:1] + row.split()[2:] == ["six_steps", "0", "4", "4", "0", "0"]
    assert last == "1 workloads, 0 wrong"
    return folder


@pytest.fixture
def results(kept: Path) -> Results:
    names = [f"six_steps.{reference}.json" for reference in ("book", "glibc")]
    assert sorted(path.name for path in kept.iterdir()) == names
    return {name.split(".")[1]: json.loads((kept / name).read_text()) for name in names}


@pytest.fixture(scope="module")
def row() -> Row:
    found: Row = runpy.run_path(str(SCRIPT))["row"]
    return found


def test_each_reference_is_kept(results: Results, row: Row) -> None:
    assert [(reference, said["allocator"]) for reference, said in results.items()] == [("book",) * 2, ("glibc",) * 2]
    assert row(results)[1]


@pytest.mark.parametrize(
    ("reference", "what", "value"),
    [
        ("book", "unexplained", 1), ("glibc", "unexplained", 1), ("glibc", "differences", [{"rule": None}]),
        ("glibc", "calls", {"total": 4, "agree": 3, "undetermined": 1}),
    ],
)  # fmt: skip
def test_what_is_not_explained_or_predicted_is_wrong(
    reference: str, what: str, value: object, results: Results, row: Row
) -> None:
    results[reference][what] = value
    assert not row(results)[1]


def test_a_page_that_nobody_can_place_is_not_wrong(results: Results, row: Row) -> None:
    results["glibc"]["differences"] = [{"rule": "unplaced"}]
    figures, good = row(results)
    assert (figures[-2:], good) == ([0, 1], True)


def test_nothing_said_is_wrong(row: Row) -> None:
    assert row({"book": {}, "glibc": {}}) == (["-"] * 6, False)
