"""`observer libraries` from the command line: one source, whatever compilers there are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.recordings import environment_of_commands

HELLO = (
    '#include <stdio.h>\nint main(int argc, char **argv) {\n    printf("%s\\n", argv[argc - 1]);\n    return 3;\n}\n'
)


def libraries(*words: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observer", "libraries", *words], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, cwd=folder, env={**environment_of_commands(), **environment},
    )  # fmt: skip


def listed(*words: str) -> list[dict[str, Any]]:
    done = libraries("--json", *words)
    assert done.returncode == 0, done.stderr
    sides: list[dict[str, Any]] = json.loads(done.stdout)
    return sides


def rows(side: dict[str, Any]) -> dict[tuple[int, str], dict[str, Any]]:
    return {(row["line"], row["function"]): row for row in side["calls"]}


def test_the_same_library_calls_make_other_system_calls() -> None:
    sides = listed(str(ROOT / "c_samples" / "library.c"))
    observed = [side for side in sides if side["observed"]]
    assert "glibc" in [side["name"] for side in observed]
    assert len({tuple(sorted(rows(side))) for side in observed}) == 1
    for side in observed:
        inside = sum(sum(row["syscalls"].values()) for row in side["calls"])
        outside = sum(side["before"].values()) + sum(side["after"].values())
        assert inside + outside <= sum(side["syscalls"].values())
        strlen = [row for row in side["calls"] if row["function"] == "strlen"]
        assert [row["syscalls"] for row in strlen] == [{}, {}]
        mkdir = next(row for row in side["calls"] if row["function"] == "mkdir")
        assert mkdir["syscalls"] == {"mkdir": 1}
    if shutil.which("musl-gcc") is not None:
        musl = next(side for side in sides if side["name"] == "musl")
        assert "open" in musl["syscalls"]
        assert "openat" not in musl["syscalls"]


@pytest.mark.parametrize(("mode", "writes"), [("full", 2), ("line", 100), ("none", 10_000)])
def test_a_buffer_decides_how_often_putc_crosses(mode: str, writes: int) -> None:
    (side,) = listed("--only", "glibc", str(ROOT / "c_samples" / "buffering.c"), "--", mode)
    (putc,) = [row for row in side["calls"] if row["function"] == "putc"]
    assert (putc["count"], putc["syscalls"]["write"]) == (10_000, writes)


def test_a_source_in_an_odd_place_gets_its_arguments_and_flags(tmp_path: Path) -> None:
    source = tmp_path / "odd place é" / "hello.c"
    source.parent.mkdir()
    source.write_text(f"#ifndef WORD\n#error no word\n#endif\n{HELLO}")
    done = libraries("--only", "glibc", "--flags=-DWORD=1", str(source), "--", "x", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "printf" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert os.listdir(tmp_path) == ["odd place é"]


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["missing.c"], 2, "no such file"),
        (["--only", "dietlibc", "good.c"], 2, "no side 'dietlibc'"),
        (["bad.c"], 126, "could not be compiled"),
        (["-o", "traces", "good.c"], 125, "cannot make the folder traces"),
    ],
)
def test_what_cannot_be_done_is_said(words: Sequence[str], status: int, why: str, tmp_path: Path) -> None:
    (tmp_path / "good.c").write_text(HELLO)
    (tmp_path / "bad.c").write_text("int main(void) { return x; }\n")
    (tmp_path / "traces").mkdir()
    done = libraries("--only", "glibc", *words, folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert why in done.stderr


def test_without_a_compiler_the_command_that_installs_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.c").write_text(HELLO)
    done = libraries("good.c", folder=tmp_path, PATH=str(tmp_path))
    assert done.returncode == 126
    assert "apt-get install" in done.stderr
