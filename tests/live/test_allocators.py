"""`observer allocators` on real programs: what is measured, what cannot be and why, and the hostile cases."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from observer.tracee.allocators import PRELOADED, Missing, find
from tests.live.programs import compile_c
from tests.ordinary import NO_HOME, PYTHON
from tests.recordings import OBSERVER, ORDINARY, environment_of_commands

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = [name for name in PRELOADED if not isinstance(find(name, os.environ), Missing)]
NUMBERS = ("faults", "peak_resident_bytes", "end_resident_bytes", "mapped_bytes", "wasted_bytes", "seconds")
Done = subprocess.CompletedProcess[str]


def needs_libraries(*names: str) -> pytest.MarkDecorator:
    missing = [name for name in names or PRELOADED if name not in INSTALLED]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(*words: str, prefix: tuple[str, ...] = (), given: str | None = None, **environment: str) -> Done:
    """Run `observer allocators` with *words*; its input is *given*, or nothing."""
    return subprocess.run(
        [*prefix, *OBSERVER, "allocators", *words], cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
        env={**environment_of_commands(), **environment}, timeout=120,
        **({"input": given} if given is not None else {"stdin": subprocess.DEVNULL}),  # type: ignore[arg-type]
    )  # fmt: skip


def entries(done: Done, status: int = 0) -> dict[str, dict[str, Any]]:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return {entry["allocator"]: entry for entry in json.loads(done.stdout)}


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each test its temporary folder holds nothing of ours."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    yield
    assert list(place.iterdir()) == []


# ---- what is measured ---------------------------------------------------------------------------------------


@needs_libraries()
@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="musl-gcc is not installed")
def test_all_five_are_measured_and_their_versions_named(sample: Callable[[str], str]) -> None:
    done = run("--json", "--runs", "2", "--source", str(ROOT / "c_samples" / "story.c"), "--", sample("story"))
    found = entries(done)
    assert list(found) == ["glibc", *PRELOADED, "musl"]
    for entry in found.values():
        assert entry["version"][0].isdigit(), entry
        assert entry["version_from"]
        assert all(entry[name] > 0 for name in NUMBERS)
        assert entry["ledger"] in ("COMPLETE", "COMPLETE WITH EXCLUSIONS")
        assert (entry["status"], entry["runs"], entry["processes"]) == ("exit 0", 2, 1)
        assert entry["story"]
        assert sum(entry["calls"].values()) >= 42
        assert sum(entry["syscalls"].values()) > 5
    assert sorted(what for entry in found.values() for what in entry["best_for"]) == ["memory", "time"]
    assert found["musl"]["remarks"] == ["compiled anew: musl-gcc -O0 -fno-builtin story.c"]
    assert done.stderr.count("fact calls 42") == 1, "the program's output is shown once, not on our own output"


@needs_libraries("mimalloc")
def test_programs_differ_in_what_is_best_for_their_memory(sample: Callable[[str], str]) -> None:
    best = {}
    for name in ("story", "alloc_fragment"):
        found = entries(run("--json", "--runs", "1", "--only", "glibc,mimalloc", "--", sample(name)))
        best[name] = next(entry["allocator"] for entry in found.values() if "memory" in entry["best_for"])
    assert best == {"story": "glibc", "alloc_fragment": "mimalloc"}


@needs_libraries("tcmalloc")
def test_one_that_keeps_a_large_buffer_has_a_tenth_of_the_faults(sample: Callable[[str], str]) -> None:
    words = ("--json", "--runs", "3", "--only", "glibc,tcmalloc", "--", sample("alloc_large"))
    glibc, tcmalloc = entries(run(*words)).values()
    assert glibc["faults"] > 10 * tcmalloc["faults"] > 10 * 10240
    assert tcmalloc["best_for"] == ["time"]
    assert glibc["wasted_bytes"] < 64 << 10 < tcmalloc["wasted_bytes"]


@needs_libraries()
def test_the_table_fits_80_columns_and_tells_a_story_of_each(sample: Callable[[str], str]) -> None:
    done = run("--runs", "1", "--", sample("reuse"))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[3:7]] == ["glibc", *PRELOADED]
    assert "never used mmap" in done.stdout
    assert "not measured: musl: the program must be compiled anew; try: --source FILE.c" in done.stdout


def test_a_workload_is_run_by_its_name_and_by_its_file() -> None:
    packaged = ROOT / "observer" / "simulator" / "workloads" / "small_blocks.workload"
    for word in ("small_blocks", str(packaged)):
        found = entries(run("--json", "--runs", "1", "--only", "glibc,musl", word))
        assert found["glibc"]["calls"] == {"malloc": 26, "free": 13}
        if shutil.which("musl-gcc"):
            assert sum(found["musl"]["calls"].values()) == 39


def test_traces_are_kept_where_asked(sample: Callable[[str], str], tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    words = ("--runs", "1", "--only", "glibc", "-o", str(kept), "--", sample("reuse"))
    assert run(*words).returncode == 0
    shown = subprocess.run(
        [*OBSERVER, "show", str(kept / "glibc"), "--ledger"], cwd=ROOT, capture_output=True, check=False
    )
    assert shown.returncode == 0
    again = run(*words)
    assert again.returncode == 125
    assert f"{kept} exists" in again.stderr


# ---- how the program is run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_every_run_finds_the_same_input(way: str, tmp_path: Path) -> None:
    text = "line\n" * 20011
    words = ("--json", "--runs", "2", "--only", "glibc", "--", "sh", "-c", 'test "$(wc -l)" = 20011')
    if way == "pipe":
        found = entries(run(*words, given=text))
    else:
        (tmp_path / "input").write_text("skipped\n" + text)
        with (tmp_path / "input").open() as file:
            os.lseek(file.fileno(), len("skipped\n"), os.SEEK_SET)
            done = subprocess.run(
                [*OBSERVER, "allocators", *words], stdin=file, cwd=ROOT, capture_output=True, text=True, check=False
            )
        found = entries(done)
    assert found["glibc"]["status"] == "exit 0"
    assert found["glibc"]["remarks"] == []


@pytest.mark.parametrize(("command", "status"), [("exit 1", "exit 1"), ("kill -SEGV $$", "SIGSEGV"), ("kill -KILL $$", "SIGKILL"), ("kill -TERM $$", "SIGTERM")])  # fmt: skip
def test_a_program_that_fails_is_measured_and_said_to_fail(command: str, status: str) -> None:
    done = run("--runs", "1", "--only", "glibc,mimalloc", "--", "sh", "-c", command)
    assert done.returncode == 0
    assert f"The program ended with {status}." in done.stdout
    assert "not comparable" not in done.stdout


def test_children_count_for_faults_and_the_largest_process_for_sizes(
    sample: Callable[[str], str], tmp_path: Path
) -> None:
    # The kernel counts resident pages in batches of 32 or more for each processor: what is compared must be larger.
    source = (
        "#include <stdlib.h>\n#include <string.h>\nint main(void) { memset(malloc(32 << 20), 1, 32 << 20); return 0; }"
    )
    large = compile_c(source, tmp_path / "large", "-fno-builtin")
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n{large}\n{sample('story')} >/dev/null\nexit 3\n")
    script.chmod(0o755)
    whole = entries(run("--json", "--runs", "1", "--only", "glibc", "--", str(script)))["glibc"]
    parts = [
        entries(run("--json", "--runs", "1", "--only", "glibc", "--", program))["glibc"]
        for program in (large, sample("story"))
    ]
    assert (whole["processes"], whole["status"]) == (3, "exit 3")
    assert whole["faults"] > sum(part["faults"] for part in parts)
    assert whole["peak_resident_bytes"] == pytest.approx(parts[0]["peak_resident_bytes"], rel=0.1)
    assert whole["peak_resident_bytes"] > 32 << 20 > 4 * parts[1]["peak_resident_bytes"]


@needs_libraries("jemalloc")
def test_a_call_that_an_allocator_lacks_is_named(sample: Callable[[str], str]) -> None:
    found = entries(run("--json", "--runs", "1", "--only", "glibc,jemalloc", "--", sample("family")))["jemalloc"]
    assert found["status"] == "SIGSEGV"
    assert [remark.partition(":")[0] for remark in found["remarks"]] == [
        "it has no pvalloc", "ended with SIGSEGV, not with exit 0",
    ]  # fmt: skip
    assert found["best_for"] == []


# ---- where preloading has no effect -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "own"), [("story-static", "glibc"), ("story-stripped", "its own")])
def test_a_static_program_has_only_its_own(name: str, own: str, sample: Callable[[str], str]) -> None:
    done = run("--json", "--runs", "1", "--", sample(name))
    assert list(entries(done)) == [own]
    assert "not measured: jemalloc, mimalloc, tcmalloc: the program is static" in done.stderr


@needs_libraries("mimalloc")
@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to another user needs root")
def test_a_program_that_changes_its_user_has_only_its_own(sample: Callable[[str], str], tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy(sample("reuse"), program)
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    for place in (tmp_path, *list(tmp_path.parents)[:2]):
        place.chmod(place.stat().st_mode | 0o055)
    done = run("--json", "--runs", "1", "--only", "glibc,mimalloc", "--", str(program))
    assert list(entries(done)) == ["glibc"]
    assert "mimalloc: its library was not loaded: the loader ignores LD_PRELOAD" in done.stderr


@needs_libraries("mimalloc")
def test_a_program_with_its_own_malloc_has_only_that(tmp_path: Path) -> None:
    source = """
#include <stddef.h>
static char room[1 << 20]; static size_t used;
void *malloc(size_t n) { void *p = room + used; used += (n + 15) & -16ul; return p; }
void free(void *p) { (void)p; }
void *calloc(size_t n, size_t s) { return malloc(n * s); }
void *realloc(void *p, size_t n) { (void)p; return malloc(n); }
int main(void) { for (int i = 0; i < 23; i++) free(malloc(100)); return 0; }
"""
    program = compile_c(source, tmp_path / "program", "-rdynamic")
    done = run("--json", "--runs", "1", "--only", "glibc,mimalloc", "--", program)
    assert list(entries(done)) == ["its own"]
    assert "mimalloc: the program brings a malloc of its own" in done.stderr


@needs_libraries("mimalloc", "jemalloc")
def test_what_the_user_preloads_stays_in_front(sample: Callable[[str], str]) -> None:
    jemalloc = find("jemalloc", os.environ)
    assert not isinstance(jemalloc, Missing)
    words = ("--json", "--runs", "1", "--only", "glibc,jemalloc,mimalloc", "--", sample("reuse"))
    done = run(*words, LD_PRELOAD=jemalloc.path)
    assert list(entries(done)) == ["jemalloc"]
    assert "jemalloc: the program has it already" in done.stderr
    assert "mimalloc: libjemalloc.so.2 comes before it" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding libraries needs root")
def test_what_is_not_installed_is_named_with_the_command(sample: Callable[[str], str], tmp_path: Path) -> None:
    found = [find(name, os.environ) for name in PRELOADED]
    hidden = [each.path for each in found if not isinstance(each, Missing)]
    hide = "; ".join(f"mount --bind /dev/null {path}" for path in hidden)
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    prefix = ("unshare", "-m", "sh", "-ec", f'{hide}; exec "$@"', "sh")
    done = run("--runs", "1", "--", sample("reuse"), prefix=prefix)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for name in INSTALLED:
        assert f"not measured: {name}: it is not installed; try: apt-get install lib{name}" in text


# ---- mistakes, interruptions, other users -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "no program to run"),
        (("--only", "glibc,dlmalloc", "--", "true"), 2, "no allocator 'dlmalloc' is known"),
        (("--only", "musl", "--", "true"), 2, "--source FILE.c"),
        (("--runs", "0", "--", "true"), 2, "at least 1"),
        (("--source", "/no/such.c", "--", "true"), 2, "there is no such file"),
        (("--source", "/etc/passwd", "six_steps"), 2, "--source is for programs"),
        (("--", "no-such-program-anywhere"), 127, "no such program"),
        (("--", "/etc/passwd"), 126, "permission denied"),
        (("-o", "/proc/nowhere/at/all", "--", "true"), 125, "cannot make the folder"),
    ],
)
def test_a_mistake_is_told_in_a_line(words: tuple[str, ...], status: int, message: str) -> None:
    done = run(*words)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="musl-gcc is not installed")
def test_a_source_that_musl_gcc_refuses_is_named_with_the_error(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return missing; }\n")
    done = run("--json", "--runs", "1", "--only", "glibc,musl", "--source", str(source), "--", "true")
    assert list(entries(done)) == ["glibc"]
    assert "not measured: musl: musl-gcc cannot compile wrong.c" in done.stderr
    assert "missing" in done.stderr


SLEEPER = """
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int n, char **words) {
    struct stat about;
    for (int i = 0; i < 23; i++) free(malloc(i * 100));
    if (n > 2 && stat(words[1], &about) != 0) { mkdir(words[1], 0700); return 0; }
    mkdir(words[n - 1], 0700);
    for (;;) pause();
}
"""


@pytest.mark.parametrize("to_group", [True, False])
@pytest.mark.parametrize("when", ["recorded", "light"])
def test_an_interrupt_ends_all_of_it(when: str, to_group: bool, tmp_path: Path) -> None:
    program = compile_c(SLEEPER, tmp_path / "sleeper")
    sleeps, first = tmp_path / "sleeps", tmp_path / "first"
    words = [program, str(sleeps)] if when == "recorded" else [program, str(first), str(sleeps)]
    process = subprocess.Popen(
        [*OBSERVER, "allocators", "--only", "glibc", "--", *words], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment_of_commands(),
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not sleeps.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (os.killpg if to_group else os.kill)(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert error.strip().splitlines()[-1] == "observer: interrupted"
    assert "Traceback" not in error
    assert subprocess.run(["pgrep", "-f", str(sleeps)], check=False, capture_output=True).returncode == 1


@pytest.mark.parametrize("words", [("--json",), ()])
def test_a_reader_that_goes_away_is_no_disaster(words: tuple[str, ...]) -> None:
    command = " ".join([*OBSERVER, "allocators", "--runs", "1", "--only", "glibc", *words, "--", "true"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == ""


def test_closed_streams_do_not_matter() -> None:
    command = " ".join([*OBSERVER, "allocators", "--runs", "1", "--only", "glibc", "--", "true", ">&-", "2>&-", "<&-"])
    assert subprocess.run(["sh", "-c", command], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0 or PYTHON is None, reason="uid nobody may run no Python that has the packages")
@needs_libraries("mimalloc")
def test_an_ordinary_user_measures_the_same(build: Path, sample: Callable[[str], str], tmp_path: Path) -> None:
    assert PYTHON is not None
    for place in (build, *list(build.parents)[:2]):
        if place != Path("/"):
            place.chmod(place.stat().st_mode | 0o055)
    python, path = PYTHON
    words = ("--json", "--runs", "1", "--only", "glibc,mimalloc", "--", sample("story"))
    done = subprocess.run(
        [*ORDINARY, "env", f"PYTHONPATH={path}", NO_HOME, "TMPDIR=/tmp", python, "-m", "observer", "allocators", *words],
        cwd="/", capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    mine, roots = entries(done), entries(run(*words))
    for allocator, entry in mine.items():
        assert entry["calls"] == roots[allocator]["calls"]
        assert entry["wasted_bytes"] == pytest.approx(roots[allocator]["wasted_bytes"], abs=4 * 4096)
        assert entry["faults"] == pytest.approx(roots[allocator]["faults"], rel=0.05)


REEXEC = """
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (argc > 1 && fork() != 0)
        return wait(NULL) < 0;
    if (getenv("LD_PRELOAD") != NULL) {
        unsetenv("LD_PRELOAD");
        execv(argv[0], (char *[]){argv[0], NULL});
    }
    for (int i = 0; i < 1013; i++)
        free(malloc(i));
    return 0;
}
"""


@needs_libraries("mimalloc")
def test_a_program_that_starts_itself_without_preloading_is_not_told_as_another_allocators(tmp_path: Path) -> None:
    program = compile_c(REEXEC, tmp_path / "program")
    words = ("--json", "--runs", "1", "--only", "glibc,mimalloc", "--", program)
    alone = run(*words)
    assert list(entries(alone)) == ["glibc"]
    assert "mimalloc: the program ended without it" in alone.stderr
    forked = entries(run(*words, "child"))["mimalloc"]
    assert forked["remarks"] == ["1 of 2 processes ran without it: program"]
