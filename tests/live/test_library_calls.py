"""Probes at the program's calls must not change what it does, however a call ends."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from observer.model.events import Library
from tests.live.programs import compile_c
from tests.recordings import run_observer

JUMPS = (Path(__file__).parent / "jumps.c").read_text()
ODD = (Path(__file__).parent / "odd_calls.c").read_text()
TRIALS = Path(__file__).parent / "trials"
I386 = "i686-linux-gnu-gcc"
THROWS = """
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>
int main() {
    int caught = 0;
    std::vector<int> v(3);
    for (int i = 0; i < 10; i++) {
        try { v.at(5) = 1; } catch (const std::out_of_range &) { caught++; }
        try { std::stoi("x"); } catch (...) { caught++; }
    }
    std::printf("%d\\n", caught);
    return caught == 20 ? 0 : 1;
}
"""


@pytest.mark.parametrize("options", [("-q", "-e", "library"), ("-q", "-e", "trace=all,library")])
@pytest.mark.parametrize("flags", [(), ("-static",)])
def test_calls_that_end_in_odd_ways_end_as_they_would(
    options: tuple[str, ...], flags: tuple[str, ...], tmp_path: Path
) -> None:
    program = compile_c(JUMPS, tmp_path / "jumps", *flags)
    alone = subprocess.run([program], capture_output=True, text=True, check=False)
    run = run_observer([program], tmp_path / "trace", options=options)
    assert (run.status, run.stdout) == (alone.returncode, alone.stdout)
    run.assert_balanced()
    calls = [event for event in run.events if isinstance(event, Library)]
    assert sum(event.function == "raise" for event in calls) == 15
    assert sum(event.function == "raise" and event.end_ns is not None for event in calls) == 5
    assert sum(event.function == "snprintf" for event in calls) >= 400


def test_exceptions_find_their_way_through_probed_calls(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler here")
    source, program = tmp_path / "throws.cc", tmp_path / "throws"
    source.write_text(THROWS)
    subprocess.run(["g++", "-g", "-O0", "-o", str(program), str(source)], check=True)
    run = run_observer([str(program)], tmp_path / "trace", options=("-q", "-e", "trace=all,library"))
    assert (run.status, run.stdout) == (0, "20\n")
    run.assert_balanced()
    assert any("at their entry only" in note for note in run.trace.meta.notes)
    assert all(event.crossings is None for event in run.events if isinstance(event, Library) and event.module is None)


def test_a_program_without_lines_is_told_so(tmp_path: Path) -> None:
    program = tmp_path / "bare"
    text = '#include <stdio.h>\nint main(void) { puts("x"); return 0; }\n'
    subprocess.run(["gcc", "-O0", "-x", "c", "-", "-o", str(program)], input=text, text=True, check=True)
    run = run_observer([str(program)], tmp_path / "trace", options=("-q", "-e", "library"))
    assert run.status == 0
    assert any("compile it with -g" in note for note in run.trace.meta.notes)


# ---- calls that are easily got wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (("-q", "-e", "library"), ("-O0",)),
        (("-q", "-e", "trace=all,library"), ("-O0",)),
        (("-q", "-e", "library"), ("-O2", "-fno-plt")),
        (("-q", "-e", "trace=all,library"), ("-static-pie",)),
    ],
)
def test_odd_calls_and_data_like_calls_are_left_as_they_are(
    options: tuple[str, ...], flags: tuple[str, ...], tmp_path: Path
) -> None:
    assert_unchanged(compile_c(ODD, tmp_path / "odd", *flags), tmp_path, options)


@pytest.mark.parametrize("flags", [("-fPIC", "-pie"), ("-no-pie", "-fno-pie", "-O2"), ("-static",)])
def test_odd_calls_of_i386_are_left_as_they_are(flags: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(I386) is None:
        pytest.skip(f"{I386} is not installed")
    if "-static" not in flags and not Path("/lib/ld-linux.so.2").exists():
        pytest.skip("there is no loader for i386 here")
    program, source = tmp_path / "odd", tmp_path / "odd.c"
    source.write_text(ODD)
    subprocess.run([I386, "-g", *flags, "-pthread", "-o", str(program), str(source)], check=True)
    assert_unchanged(str(program), tmp_path, ("-q", "-e", "library"))


def test_stack_pages_that_a_fork_shares_while_threads_call_are_accounted_for(tmp_path: Path) -> None:
    program = compile_c((TRIALS / "meantime.c").read_text(), tmp_path / "meantime", "-O1")
    run = run_observer([program], tmp_path / "trace", options=("-q", "-e", "library"))
    assert (run.status, run.stdout) == (0, "end\n"), run.stderr
    run.assert_balanced()


def assert_unchanged(program: str, folder: Path, options: tuple[str, ...]) -> None:
    """The program does the same under the observer as alone, and the ledger balances."""
    alone = subprocess.run([program], capture_output=True, text=True, check=False)
    assert alone.returncode == 6, alone
    run = run_observer([program], folder / "trace", options=options)
    assert (run.status, run.stdout) == (alone.returncode, alone.stdout), run.stderr
    run.assert_balanced()
    assert any(isinstance(event, Library) and event.function == "div" for event in run.events)


THROWING = """
#include <cstdio>
#include <stdexcept>
struct Told { ~Told() { std::puts("destroyed"); fflush(stdout); } };
extern "C" void throw_it() { throw std::runtime_error("thrown"); }
extern "C" int catching(int (*call)(int)) { try { return call(1); } catch (std::exception &e) { std::puts(e.what()); return 17; } }
extern "C" int holding(int (*call)(int)) { Told told; return call(1); }
"""
BETWEEN = """
#define _GNU_SOURCE
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
void throw_it(void); int catching(int (*)(int)); int holding(int (*)(int));
static int throws(int x) { throw_it(); return x; }
static int waits(int x) { for (;;) pause(); return x; }
static int leaves(int x) { pthread_exit(NULL); return x; }
static int walks(int x) { void *frames[50]; return x + backtrace(frames, 50); }
static void *begin(void *how) { holding(how); return NULL; }
int main(void)
{
    pthread_t thread;
    printf("%d %d\\n", catching(throws), catching(throws));
    pthread_create(&thread, NULL, begin, (void *)waits);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, begin, (void *)leaves);
    pthread_join(thread, NULL);
    printf("%d div\\n", catching(walks));
    puts("whole");
    return 6;
}
"""


def test_what_a_library_of_cxx_throws_passes_through_callbacks_of_c(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler here")
    library = tmp_path / "libthrowing.so"
    words = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(words, input=THROWING, text=True, check=True)
    program = compile_c(BETWEEN, tmp_path / "between", f"-L{tmp_path}", "-lthrowing", f"-Wl,-rpath,{tmp_path}")
    alone = subprocess.run([program], capture_output=True, text=True, check=False)
    assert alone.stdout.count("destroyed") == 2
    run = run_observer([program], tmp_path / "trace", options=("-q", "-e", "trace=all,library"))
    assert (run.status, run.stdout) == (6, alone.stdout), run.stderr
    run.assert_balanced()
    calls = [event for event in run.events if isinstance(event, Library) and event.function == "catching"]
    assert [event.crossings for event in calls] == [None] * 3, (
        "whose return could not be seen says nothing of its inside"
    )
    puts = [event for event in run.events if isinstance(event, Library) and event.function == "puts"]
    assert [event.crossings for event in puts if event.site and event.site.function == "main"] == [0]


EXECS = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int calling(const void *one, const void *other)
{
    execl("/bin/true", "true", NULL);
    return *(const int *)one - *(const int *)other;
}
static void *other(void *given)
{
    int values[] = { 5, 3, 7 };
    free(malloc(23));
    qsort(values, 3, sizeof values[0], calling);
    return given;
}
static void *waits(void *given)
{
    pause();
    return given;
}
int main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, waits, NULL);
    pthread_create(&threads[2], NULL, other, NULL);
    pthread_join(threads[2], NULL);
    return 1;
}
"""


def test_an_exec_from_another_thread_cuts_the_calls_of_all(tmp_path: Path) -> None:
    program = compile_c(EXECS, tmp_path / "execs")
    run = run_observer([program], tmp_path / "trace", options=("-q", "-e", "trace=all,library"))
    assert run.status == 0, run.stderr
    run.assert_balanced()
    (line,) = [line for line in run.trace.meta.ledger if line.identity == "library calls returned = begun"]
    assert line.unexplained == 0
    calls = [event for event in run.events if isinstance(event, Library)]
    for function in ("qsort", "execl", "pthread_join"):
        assert [event.end_ns for event in calls if event.function == function] == [None], function


UNANSWERED = """
#include <time.h>
int main(void)
{
    struct timespec now;
    for (int i = 0; i < 3; i++)
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    for (int i = 0; i < 5; i++)
        clock_gettime(CLOCK_MONOTONIC, &now);
    return 0;
}
"""


def test_a_question_that_the_vdso_cannot_answer_crosses_for_both(tmp_path: Path) -> None:
    program = compile_c(UNANSWERED, tmp_path / "unanswered")
    run = run_observer([program], tmp_path / "trace", options=("--full", "-e", "trace=all,library"))
    calls = [event for event in run.events if isinstance(event, Library)]
    if not any(event.module for event in calls):
        pytest.skip("this kernel gives no vDSO")
    for of_vdso in (True, False):
        asked = [event.crossings for event in calls if bool(event.module) is of_vdso and "clock" in event.function]
        assert asked == [1, 1, 1, 0, 0, 0, 0, 0]
    told = " ".join(run.stderr.replace("│", "").split())
    assert "the vDSO cannot answer clock_gettime" in told
    assert "clock_gettime is answered in the vDSO, no system call" in told
    assert "answered in the vDSO, 1 system call" not in told
