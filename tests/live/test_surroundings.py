"""Surroundings that lack what every program takes for granted: as much as can be done is, the rest is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BWRAP = shutil.which("bwrap")
NO_BOX = "bubblewrap cannot make a box here"
Done = subprocess.CompletedProcess[str]


def works() -> bool:
    probe = [str(BWRAP), "--bind", "/", "/", "--dev", "/dev", "true"]
    return BWRAP is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not works(), reason=NO_BOX)


def observer(box: tuple[str, ...], *words: str, folder: Path) -> Done:
    command = [str(BWRAP), *box, "--chdir", str(folder), sys.executable, "-m", "observer", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_proc_that_is_read_only_hides_nothing(sample: Callable[[str], str], tmp_path: Path) -> None:
    box = ("--ro-bind", "/", "/", "--bind", str(tmp_path), str(tmp_path), "--dev", "/dev")
    done = observer(box, "run", "-q", "-o", "story.trace", "--", sample("story"), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    meta = json.loads((tmp_path / "story.trace" / "meta.json").read_text())
    assert meta["totals"]["calls"] >= 21
    assert all(line["verdict"] != "INCOMPLETE" for line in meta["ledger"])


@pytest.mark.parametrize("words", [("compare", "six_steps"), ("allocators", "true"), ("lab", "grade", "x.handin")])
def test_where_nothing_may_be_written_temporary_files_are_what_is_missing(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = observer(("--ro-bind", "/", "/", "--dev", "/dev"), *words, folder=tmp_path)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("observer: cannot write temporary files: No usable temporary directory")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's box has no devices that can be opened")
def test_devices_that_cannot_be_opened_are_said_where_they_are_needed(
    sample: Callable[[str], str], tmp_path: Path
) -> None:
    box = ("--bind", "/", "/")
    if observer((*box, "--dev-bind", "/dev/null", "/dev/null"), "--version", folder=tmp_path).returncode:
        pytest.skip(NO_BOX)
    assert observer(box, "run", "-q", "-o", "t", "--", sample("story"), folder=tmp_path).returncode == 0
    done = observer(box, "compare", "six_steps", folder=tmp_path)
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == "observer: cannot open /dev/null: Permission denied"


@pytest.mark.parametrize("words", [("run", "--", "true"), ("show", "t"), ("doctor",)])
def test_without_proc_the_message_says_so(words: tuple[str, ...], sample: Callable[[str], str], tmp_path: Path) -> None:
    box = ("--bind", "/", "/", "--dev", "/dev")
    assert observer(box, "run", "-q", "-o", "t", "--", sample("story"), folder=tmp_path).returncode == 0
    done = observer((*box, "--tmpfs", "/proc"), *words, folder=tmp_path)
    first, *rest = done.stderr.splitlines()
    assert done.returncode == 125
    assert first.endswith(": /proc is not mounted")
    assert rest == ["  try: mount -t proc proc /proc"]
    assert observer((*box, "--tmpfs", "/proc"), "simulate", "six_steps", folder=tmp_path).returncode == 0
