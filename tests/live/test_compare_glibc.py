"""`observer compare --allocator glibc` on real runs: every pointer, system call and page of the allocator is predicted.

What is compared is the C library of this machine; where it is another than a test is about, the test says so and is
skipped. Packaged workloads are run one after the other by two commands at once, as each is short.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from observer.glibc.versions import version_of
from observer.simulator import packaged
from observer.trace.reader import Trace
from observer.tracee import interpreter
from tests.conftest import FAULT_EVENTS_REFUSED, needs
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer

NAMES: Final = packaged.names()
_USAGE: Final = 2
_SYSTEM_PYTHON: Final = shutil.which("python3", path="/usr/bin:/bin")
"""Not a script that looks for the right Python first, which makes many more calls than Python."""
_ONE_AFTER_THE_OTHER: Final = """
import json
import sys
from observer.cli.main import main
for name in sys.argv[1:]:
    status = main(["compare", "--allocator", "glibc", "--json", name])
    sys.stdout.flush()
    print(json.dumps({"name": name, "status": status}), flush=True)
"""
_BUMP: Final = r"""
#include <stddef.h>
#include <string.h>

/* Pieces one behind the other in a large array, never given back. */
static char room[64 << 20];
static size_t used;

void *malloc(size_t size)
{
    void *place = room + used;

    used += (size + 31) & -16ul;
    return place;
}
void free(void *pointer) { (void)pointer; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *pointer, size_t size)
{
    void *other = malloc(size);

    if (pointer != NULL)
        memcpy(other, pointer, size);
    return other;
}
"""
_FREES_WHILE_BORROWING: Final = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child of vfork works in its parent's heap, with its parent's cache. */
int main(void)
{
    void *volatile piece = malloc(100);
    pid_t child;

    free(piece);
    child = vfork();
    if (child == 0) {
        piece = malloc(100);
        free(piece);
        piece = malloc(3000);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    piece = malloc(5000);
    return 0;
}
"""


@dataclass(frozen=True)
class Finished:
    """A finished command: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    def assert_predicted(self) -> dict[str, Any]:
        """Every call, every system call, every page, and nothing left open; return the result."""
        assert self.status == 0, self.stderr
        return assert_exact(self.result)


def assert_exact(result: dict[str, Any], *, all_determined: bool = True) -> dict[str, Any]:
    """Nothing differs, and all that was determined agrees; but where faults are only counted some have no page."""
    assert result["allocator"] == "glibc"
    unplaced = [each for each in result["differences"] if each["rule"] == "unplaced"] if FAULT_EVENTS_REFUSED else []
    assert result["differences"] == unplaced
    assert (result["agree"], result["unexplained"]) == (not unplaced, 0)
    calls = result["calls"]
    assert calls["agree"] + calls["undetermined"] == calls["total"]
    assert calls["undetermined"] == 0 or not all_determined
    faults = result["faults"]
    is_unsure = unplaced or (FAULT_EVENTS_REFUSED and not all_determined)
    for counts in (result["syscalls"], *([] if is_unsure else [faults["allocator"]]), faults["program"]):
        assert counts["observed"] == counts["predicted"] == counts["agree"]
    for end in result["ends"]:
        assert end["observed"] == end["predicted"]
    return result


Compare = Callable[..., Finished]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Return a function that runs `observer compare --allocator glibc --json WORDS`, which leaves no file behind."""
    scratch = tmp_path / "temporary"
    scratch.mkdir()

    def run(*words: str, as_json: bool = True, **environment: str) -> Finished:
        done = subprocess.run(
            [*OBSERVER, "compare", "--allocator", "glibc", *(["--json"] if as_json else []), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=100, cwd=tmp_path,
            env={**environment_of_commands(), "TMPDIR": str(scratch), **environment},
        )  # fmt: skip
        assert list(scratch.iterdir()) == []
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def kept(sample: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    """Return a function that gives the recorded run of a sample, made once."""
    known: dict[str, Recorded] = {}

    def record(name: str) -> Recorded:
        if name not in known:
            known[name] = run_observer([sample(name)], tmp_path_factory.mktemp("kept") / "trace", options=["-q"])
        return known[name]

    return record


@pytest.fixture(scope="module")
def release(kept: Callable[[str], Recorded]) -> str:
    """Return the release of this machine's glibc as the trace of a run has it; skip where there is none we know."""
    version = kept("story").trace.meta.machine.libc_version
    try:
        return version_of(version).name
    except ValueError:
        pytest.skip(f"no model of this machine's C library ({version or 'no glibc'})")


@pytest.fixture(autouse=True)
def _is_known(release: str) -> None:
    """Skip everything where the C library is not known."""


def compiled(source: str, place: Path, *options: str) -> Path:
    """Compile a C program or library."""
    place.with_suffix(".c").write_text(source)
    words = ["gcc", "-O1", "-fno-builtin", *options, "-o", str(place), str(place.with_suffix(".c"))]
    subprocess.run(words, check=True)
    return place


# ---- packaged workloads -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged_results(build: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return exit status and result of every packaged workload."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        interpreter.build(cache)

    def some(names: list[str]) -> dict[str, tuple[int, dict[str, Any]]]:
        words = [sys.executable, "-c", _ONE_AFTER_THE_OTHER, *names]
        environment = {**environment_of_commands(), "XDG_CACHE_HOME": str(cache)}
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, cwd=scratch,
                env={**environment, "TMPDIR": scratch},
            )  # fmt: skip
        assert done.stderr == ""
        found, at, decoder = [], 0, json.JSONDecoder()
        while at < len(done.stdout):
            value, at = decoder.raw_decode(done.stdout, at)
            at += 1  # the line's end
            found.append(value)
        return {last["name"]: (last["status"], result) for result, last in zip(found[::2], found[1::2], strict=True)}

    with ThreadPoolExecutor(2) as both:
        first, second = both.map(some, (list(NAMES[::2]), list(NAMES[1::2])))
    return first | second


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_workload_is_predicted(name: str, packaged_results: dict[str, tuple[int, dict[str, Any]]]) -> None:
    status, result = packaged_results[name]
    assert status == 0
    assert_exact(result)


# ---- samples and programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["story", "realloc", "trim", "mmap_threshold", "family", "fork_cow", "exec_self"])
def test_a_sample_is_predicted(name: str, compare: Compare, kept: Callable[[str], Recorded]) -> None:
    result = compare(str(kept(name).directory)).assert_predicted()
    assert result["calls"]["total"] == len(kept(name).calls) > 0
    assert result["syscalls"]["observed"] > 0
    assert [end["what"] for end in result["ends"]] == ["heap bytes at the end"]


def test_threads_may_leave_calls_open_but_none_wrong(compare: Compare, kept: Callable[[str], Recorded]) -> None:
    done = compare(str(kept("threads").directory))
    assert done.status == 0
    result = assert_exact(done.result, all_determined=False)
    assert bool(result["calls"]["undetermined"]) == bool(result["notes"])


def test_a_program_is_run_and_its_trace_may_be_kept(
    compare: Compare, sample: Callable[[str], str], tmp_path: Path
) -> None:
    result = compare("-o", str(tmp_path / "kept"), "--", sample("story")).assert_predicted()
    assert Trace.open(tmp_path / "kept").meta.outcome.status == 0
    assert compare(str(tmp_path / "kept")).assert_predicted() == result


def test_ls_is_predicted(compare: Compare) -> None:
    assert compare("--", "ls", "/usr").assert_predicted()["calls"]["total"] > 0


@needs("bash")
def test_a_shell_with_a_pipe_is_predicted(compare: Compare) -> None:
    result = compare("--", "bash", "-c", "ls / | sort | head -n 2; exec ls /usr").assert_predicted()
    assert result["calls"]["total"] > 0


@pytest.mark.skipif(_SYSTEM_PYTHON is None, reason="no python3 of the system")
def test_python_is_predicted(compare: Compare) -> None:
    assert _SYSTEM_PYTHON is not None
    if os.geteuid():
        pytest.skip("pages that a system call brought in are not visible to an ordinary user")
    result = compare("--", _SYSTEM_PYTHON, "-I", "-S", "-c", "print(len(str(list(range(9999)))))").assert_predicted()
    assert result["calls"]["total"] > 100


def test_tunables_of_the_run_hold(compare: Compare, sample: Callable[[str], str]) -> None:
    plain = compare("--", sample("story")).assert_predicted()
    tuned = "glibc.malloc.tcache_count=0:glibc.malloc.top_pad=0"
    result = compare("--", sample("story"), GLIBC_TUNABLES=tuned).assert_predicted()
    assert result["syscalls"]["observed"] > plain["syscalls"]["observed"]


def test_a_child_of_vfork_has_its_parents_cache(compare: Compare, tmp_path: Path) -> None:
    compare("--", str(compiled(_FREES_WHILE_BORROWING, tmp_path / "borrows"))).assert_predicted()


# ---- static programs ----------------------------------------------------------------------------------------


def test_a_static_program_is_predicted_when_its_release_is_told(
    release: str, compare: Compare, kept: Callable[[str], Recorded]
) -> None:
    if release != "2.36":
        pytest.skip(f"this machine's glibc is {release}, not 2.36")
    compare("--libc", "2.36", str(kept("story-static").directory)).assert_predicted()


def test_a_static_program_does_not_name_its_release(compare: Compare, kept: Callable[[str], Recorded]) -> None:
    _refused(compare(str(kept("story-static").directory)), "names its release", "--libc RELEASE")


# ---- what cannot be compared --------------------------------------------------------------------------------


def _refused(done: Finished, *told: str) -> None:
    assert done.status == _USAGE
    assert done.stdout == ""
    assert done.stderr.startswith("observer: ")
    assert done.stderr.count("\n") == 2
    for words in told:
        assert words in done.stderr


def test_a_release_that_is_not_known_is_refused(compare: Compare, kept: Callable[[str], Recorded]) -> None:
    _refused(compare("--libc", "9.99", str(kept("story").directory)), "glibc 9.99 is not known", "2.31, ", "--libc")


def test_there_is_nothing_to_confirm(compare: Compare) -> None:
    _refused(compare("--confirm", "six_steps"), "--confirm", "--allocator book")


# ---- what is not as predicted -------------------------------------------------------------------------------


def _diverges_once(done: Finished) -> dict[str, Any]:
    """One call is unlike its prediction, those after it are not judged; return the result."""
    assert done.status == 1
    assert "Traceback" not in done.stderr
    result = done.result
    assert not result["agree"]
    assert result["unexplained"] == len(result["differences"]) > 0
    assert {each["rule"] for each in result["differences"]} == {None}
    assert len({each["n"] for each in result["differences"]}) == 1
    calls = result["calls"]
    assert calls["agree"] + calls["undetermined"] + 1 == calls["total"]
    return result


def test_another_allocator_is_said_plainly(compare: Compare, sample: Callable[[str], str], tmp_path: Path) -> None:
    library = compiled(_BUMP, tmp_path / "bump.so", "-shared", "-fPIC")
    program = ["--", "env", f"LD_PRELOAD={library}", sample("story")]
    done = compare(*program)
    assert done.status == 0
    [whose] = done.result["differences"]
    assert (whose["what"], whose["observed"], whose["rule"]) == ("allocator", "bump.so", "other-allocator")
    assert (done.result["agree"], done.result["unexplained"]) == (False, 0)
    assert done.result["calls"]["undetermined"] > 0
    told = compare(*program, as_json=False)
    assert told.status == 0
    assert "went to the allocator of bump.so" in " ".join(told.stdout.split())


_ONE_THREAD_AT_A_TIME: Final = """
#include <pthread.h>
#include <stdlib.h>
static void *work(void *nothing) { free(malloc(100)); return nothing; }
int main(void)
{
    pthread_t thread;
    free(malloc(24));
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    free(malloc(1000));
    return 0;
}
"""


@pytest.mark.parametrize("wrong", ["2.31", "2.43"])
def test_the_wrong_release_is_found_out(wrong: str, release: str, compare: Compare, tmp_path: Path) -> None:
    if release == wrong or (wrong == "2.31" and release in ("2.32", "2.33", "2.34")):
        pytest.skip(f"this machine's glibc is {release}, which is like {wrong} there")
    # The header of a thread's heap was 16 bytes shorter up to 2.34; from 2.43 on the thread's cache comes later.
    program = str(compiled(_ONE_THREAD_AT_A_TIME, tmp_path / "program", "-pthread"))
    compare("--", program).assert_predicted()
    _diverges_once(compare("--libc", wrong, "--", program))
