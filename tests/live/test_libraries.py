"""`observer libraries` from the command line: one source, whatever compilers there are."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
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


def test_a_source_in_another_language_is_refused_in_so_many_words(tmp_path: Path) -> None:
    (tmp_path / "good.cc").write_text('#include <cstdio>\nint main() { std::puts("x"); }\n')
    done = libraries("good.cc", folder=tmp_path)
    assert done.returncode == 2
    assert "good.cc is not C" in done.stderr


def test_flags_are_words_as_a_shell_has_them_and_libraries_come_last(tmp_path: Path) -> None:
    (tmp_path / "root.c").write_text(
        "#include <math.h>\n#include <stdio.h>\nint main(int argc, char **argv) { puts(TEXT); return (int)sqrt(argc * 9) + 1; }\n"
    )
    done = libraries("--only", "static", "--json", "--flags", "-DTEXT='\"two words\"' -lm", "root.c", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["status"] == "exit 4"
    unclosed = libraries("--only", "static", '--flags=-DTEXT="', "root.c", folder=tmp_path)
    assert (unclosed.returncode, "No closing quotation" in unclosed.stderr) == (2, True)


def test_what_the_linker_lacks_is_the_reason_and_not_that_it_failed(tmp_path: Path) -> None:
    (tmp_path / "good.c").write_text(HELLO)
    done = libraries("--only", "glibc", "--flags=-lnosuch -O0", "good.c", folder=tmp_path)
    assert (done.returncode, "cannot find -lnosuch" in " ".join(done.stderr.split())) == (126, True), done.stderr


def test_how_each_side_ended_is_told(tmp_path: Path) -> None:
    (tmp_path / "crash.c").write_text("int main(void) { return *(volatile int *)8; }\n")
    done = libraries("crash.c", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    words = next(line for line in done.stdout.splitlines() if line.startswith("ended with")).split()[2:]
    assert words
    assert set(words) == {"SIGSEGV"}


def test_every_side_reads_the_same_input(tmp_path: Path) -> None:
    (tmp_path / "count.c").write_text(
        "#include <stdio.h>\nint main(void) { int n = 0; while (getchar() != EOF) n++; return n; }\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "observer", "libraries", "--json", "count.c"], input="x" * 17, text=True,
        capture_output=True, cwd=tmp_path, env=environment_of_commands(), check=True,
    )  # fmt: skip
    assert {side["status"] for side in json.loads(done.stdout)} == {"exit 17"}


@pytest.mark.parametrize("pause", [0.02, 0.1, 0.3])
def test_interrupted_it_leaves_nothing_behind(pause: float, tmp_path: Path) -> None:
    (tmp_path / "loop.c").write_text("int main(void) { for (;;) ; }\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "observer", "libraries", "loop.c"], cwd=tmp_path, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment_of_commands(), "TMPDIR": str(scratch)},
        start_new_session=True,
    )  # fmt: skip
    running = wait_for_program("loop-", process.pid)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(pause)
    out, messages = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b""), messages.decode()
    assert not Path(f"/proc/{running}").exists()
    assert os.listdir(scratch) == []


def wait_for_program(beginning: str, session: int) -> int:
    """Return the process of *session* whose program's name begins with *beginning*, when it runs."""
    for _ in range(200):
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                name = os.path.basename(os.readlink(entry / "exe"))
                if name.startswith(beginning) and os.getsid(int(entry.name)) == session:
                    return int(entry.name)
        time.sleep(0.05)
    pytest.fail("the program did not begin")
