"""scripts/facts sets what was seen of samples on several machines beside each other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

MACHINE = {"kernel": "Linux 6.1", "libc": "2.36", "thp": "always", "architecture": "x86_64", "page_size": 4096,
           "faults": "exact"}  # fmt: skip
CALL = "process 1: malloc(100) at line 26: heap+0x2a0, steps 1-2-3-4-5, brk +0, brk +135168"
LARGE = "process 1: malloc(4308992) at line 22"
SMALL = "process 1: malloc(30011) at line 28"


def place(folder: Path, name: str, sample: dict[str, Any] | None = None, **machine: Any) -> Path:
    kinds = {"calls": [CALL], "touched": [[SMALL, 30011, 1], [LARGE, 4308992, 263]], "lives": ["process 1: exit 0"]}
    kept = {"machine": MACHINE | machine, "samples": {"story": {**kinds, "failing": [], **(sample or {})}}}
    (folder / name).mkdir()
    (folder / name / "facts-root.json").write_text(json.dumps(kept))
    return folder / name


def facts(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "scripts" / "facts", *words], capture_output=True, text=True)


def test_the_same_facts_are_said_to_be(tmp_path: Path) -> None:
    done = facts("compare", place(tmp_path, "a"), place(tmp_path, "b", thp="never", kernel="Linux 5.10"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "story: a root | b root: the same 4 facts\n"


@pytest.mark.parametrize(
    ("sample", "machine", "said"),
    [
        ({"calls": [CALL.replace("2a0", "290")]}, {"libc": "2.41"}, "as these differ: libc 2.36 | 2.41"),
        (
            {"touched": [[SMALL, 30011, 1], [LARGE, 4308992, 7]]},
            {"thp": "never"},
            "as these differ: thp always | never",
        ),
        ({"touched": [[SMALL, 30011, 1]]}, {"thp": "never"}, "as these differ: thp always | never"),
        ({"touched": [[SMALL, 30011, 2]]}, {"faults": "inferred"}, "as these differ: faults exact | inferred"),
        ({"touched": []}, {"page_size": 16384}, "as these differ: page_size 4096 | 16384"),
    ],
    ids=["another glibc", "huge pages", "huge pages, none", "placed", "larger pages"],
)
def test_a_difference_is_explained_by_what_it_depends_on(
    sample: dict[str, Any], machine: dict[str, Any], said: str, tmp_path: Path
) -> None:
    done = facts("compare", place(tmp_path, "a"), place(tmp_path, "b", sample, **machine))
    assert (done.returncode, done.stderr) == (0, "")
    assert "story: a root | b root: differ\n" in done.stdout
    assert said in done.stdout


@pytest.mark.parametrize(
    ("sample", "machine"),
    [
        ({"calls": [CALL.replace("2a0", "290")]}, {"thp": "never"}),
        ({"calls": [CALL, CALL]}, {}),
        ({"touched": [[SMALL, 30011, 2], [LARGE, 4308992, 263]]}, {"thp": "never"}),
        ({"lives": ["process 1: exit 1"]}, {"libc": "2.41", "page_size": 16384}),
    ],
    ids=["a pointer", "a call more", "a small piece", "a life"],
)
def test_any_other_difference_is_not(sample: dict[str, Any], machine: dict[str, Any], tmp_path: Path) -> None:
    done = facts("compare", place(tmp_path, "a"), place(tmp_path, "b", sample, **machine))
    assert done.returncode == 1
    assert "UNEXPLAINED" in done.stdout


def test_a_ledger_that_fails_is_named(tmp_path: Path) -> None:
    done = facts("compare", place(tmp_path, "a"), place(tmp_path, "b", {"failing": ["calls = calls"]}))
    assert done.returncode == 1
    assert "story: b root: the ledger fails: calls = calls\n" in done.stdout


def test_a_sample_recorded_twice_has_the_same_facts(sample: Callable[[str], str], tmp_path: Path) -> None:
    samples = Path(sample("first_touch")).parent
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "facts", "keep", tmp_path / name / "facts-me.json", "first_touch"],
            env={"PATH": "/usr/bin:/bin", "OBSERVER_SAMPLES": str(samples)}, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    kept = json.loads((tmp_path / "a" / "facts-me.json").read_text())["samples"]["first_touch"]
    assert len(kept["calls"]) == 2
    assert "malloc(4308992)" in kept["calls"][0]
    assert kept["lives"] == ["process 1: exit 0"]
    done = facts("compare", tmp_path / "a", tmp_path / "b")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the same" in done.stdout


def test_what_is_no_place_is_said(tmp_path: Path) -> None:
    done = facts("compare", tmp_path)
    assert (done.returncode, done.stderr) == (1, "facts: no facts-*.json is in that folder\n")
