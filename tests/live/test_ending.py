"""A recording that ends before its program does, and a program that is ended: what is left, and what is told of it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.left_behind import left_after
from tests.live.programs import compile_c
from tests.recordings import Recorded, environment_of_commands, run_observer

LIVELY = (Path(__file__).parent / "lively.c").read_text()
RECORDERS = ("breakpoint", "inline")
ROUNDS = "1500"
TOUCHING = """
#include <stdlib.h>
#include <stdio.h>
int main(void) {
    enum { PAGES = 40000 };
    volatile char *piece = malloc(PAGES * 4096L);
    for (long i = 0; i < PAGES; i++) piece[i * 4096] = 1;
    puts("touched");
    return 3;
}
"""


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_c(LIVELY, tmp_path_factory.mktemp("lively") / "lively")


def assert_as_alone(recorded: Recorded, *command: str) -> None:
    """The program said and came to what it does without the observer."""
    alone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (recorded.status, recorded.stdout) == (alone.returncode, alone.stdout), recorded.stderr


def assert_closed(recorded: Recorded, why: str) -> None:
    """The recording ended early, for this reason, and the ledger judges what was seen until then."""
    outcome = recorded.trace.meta.outcome
    assert outcome.closed == why
    assert outcome.recorded is not None
    assert 0 < outcome.recorded <= outcome.seconds
    recorded.assert_balanced()
    ended = [event for event in recorded.processes if event.what == "released"]
    assert ended
    assert {event.pid for event in ended} <= {event.pid for event in recorded.events}


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("most", [1, 40, 150, 400, 900, 1700, 3000, 6000])
def test_after_the_most_events_everything_runs_on_as_if_nobody_had_been_there(
    lively: str, recorder: str, most: int, tmp_path: Path
) -> None:
    options = ["--max-events", str(most), "--recorder", recorder]
    recorded = run_observer([lively, ROUNDS], tmp_path / "t", options=options)
    assert_as_alone(recorded, lively, ROUNDS)
    assert_closed(recorded, f"--max-events {most}")
    assert len(recorded.events) >= most


@pytest.mark.parametrize("selection", ["trace=all", "library", "trace=all,library", "calls", "faults", "kernel"])
def test_whatever_was_watched_is_taken_out(lively: str, selection: str, tmp_path: Path) -> None:
    if selection == "kernel" and os.geteuid() != 0:
        pytest.skip("tracepoints are for root")
    rounds = ROUNDS if selection != "faults" else "300000"  # page faults are counted now and then
    recorded = run_observer([lively, rounds], tmp_path / "t", options=["--max-events", "300", "-e", selection])
    assert_as_alone(recorded, lively, rounds)
    assert_closed(recorded, "--max-events 300")


def test_the_limit_is_met_closely_and_told_on_the_screen(lively: str, tmp_path: Path) -> None:
    recorded = run_observer(
        [lively, ROUNDS], tmp_path / "t", options=["--max-events", "500", "-e", "calls", "--recorder", "breakpoint"]
    )
    assert 500 <= len(recorded.calls) + len(recorded.syscalls) < 600
    assert "(--max-events 500); the program ran on" in " ".join(recorded.stderr.split())
    assert "alive where the recording ended" in recorded.stderr or not recorded.trace.meta.totals["live_bytes"]


def test_a_limit_that_is_not_reached_changes_nothing(tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "t", options=["--max-events", "1000000"])
    assert (recorded.trace.meta.outcome.closed, recorded.trace.meta.outcome.recorded) == ("", None)
    assert recorded.trace.meta.request.max_events == 1_000_000
    assert not [event for event in recorded.processes if event.what in ("released", "stopped")]


def test_page_faults_count_where_nothing_else_stops_the_program(tmp_path: Path) -> None:
    program = compile_c(TOUCHING, tmp_path / "touching")
    recorded = run_observer([program], tmp_path / "t", options=["--max-events", "2000"])
    assert (recorded.status, recorded.stdout) == (3, "touched\n")
    if recorded.trace.meta.sees_faults and recorded.trace.meta.outcome.closed:  # it may be faster than a look
        assert_closed(recorded, "--max-events 2000")
        assert 2000 <= len(recorded.events) <= 41_000


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_stopped_program_stays_stopped_until_it_is_continued(recorder: str, tmp_path: Path) -> None:
    source = """
    #include <stdlib.h>
    #include <signal.h>
    #include <unistd.h>
    #include <stdio.h>
    #include <sys/wait.h>
    int main(void) {
        pid_t child = fork();
        if (!child) { raise(SIGSTOP); free(malloc(17)); _exit(4); }
        int status;
        waitpid(child, &status, WUNTRACED);
        for (int i = 0; i < 3000; i++) free(malloc(19));
        printf("stopped %d ", WIFSTOPPED(status));
        printf("still %d ", waitpid(child, &status, WNOHANG | WUNTRACED) == 0);
        fflush(stdout);
        kill(child, SIGCONT);
        waitpid(child, &status, 0);
        printf("ended %d\\n", WEXITSTATUS(status));
        return 0;
    }
    """
    program = compile_c(source, tmp_path / "stopping")
    recorded = run_observer([program], tmp_path / "t", options=["--max-events", "100", "--recorder", recorder])
    assert (recorded.status, recorded.stdout) == (0, "stopped 1 still 1 ended 4\n")
    assert_closed(recorded, "--max-events 100")


def test_a_program_that_waits_for_its_vfork_child_is_let_go_of_with_it(tmp_path: Path) -> None:
    source = """
    #define _GNU_SOURCE
    #include <stdlib.h>
    #include <unistd.h>
    #include <stdio.h>
    #include <sys/wait.h>
    int main(void) {
        int status;
        free(malloc(11));
        pid_t child = vfork();
        if (!child) { for (volatile int i = 0; i < 500; i++) free(malloc(13)); execl("/bin/true", "true", NULL); _exit(1); }
        waitpid(child, &status, 0);
        for (int i = 0; i < 500; i++) free(malloc(17));
        printf("child %d\\n", WEXITSTATUS(status));
        return 6;
    }
    """
    program = compile_c(source, tmp_path / "lending")
    for recorder in RECORDERS:
        directory = tmp_path / recorder
        recorded = run_observer([program], directory, options=["--max-events", "300", "--recorder", recorder])
        assert (recorded.status, recorded.stdout) == (6, "child 0\n")
        assert_closed(recorded, "--max-events 300")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_program_is_ended_after_so_many_events_with_all_that_it_started(
    lively: str, recorder: str, tmp_path: Path
) -> None:
    mark = f"OBSERVED={tmp_path.name}-{os.getpid()}"
    name, _is, value = mark.partition("=")
    options = ["--stop-after", "2000", "--recorder", recorder]
    environment = {**environment_of_commands(), name: value}
    recorded = run_observer(
        ["sh", "-c", f"sleep 300 & {lively} 100000000"], tmp_path / "t", options=options, environment=environment
    )
    outcome = recorded.trace.meta.outcome
    assert (recorded.status, recorded.stdout) == (124, "")
    assert (outcome.ended, outcome.status, outcome.signal, outcome.closed) == (
        "stopped",
        None,
        None,
        "--stop-after 2000",
    )
    assert "was ended by the observer" in recorded.stderr
    recorded.assert_balanced()
    assert {event.what for event in recorded.processes} >= {"start", "stopped"}
    assert left_after(mark, 5) == {}


def test_of_two_limits_the_lower_one_counts(lively: str, tmp_path: Path) -> None:
    options = ["--stop-after", "900", "--max-events", "300"]
    recorded = run_observer([lively, ROUNDS], tmp_path / "t", options=options)
    assert_as_alone(recorded, lively, ROUNDS)
    assert_closed(recorded, "--max-events 300")


@pytest.mark.parametrize("option", ["--max-events", "--stop-after"])
@pytest.mark.parametrize("count", ["0", "-3", "many", "1e6", ""])
def test_a_number_that_is_none_is_refused(option: str, count: str, tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "t", options=[f"{option}={count}"])
    assert recorded.status == 125
    assert "whole number of at least 1" in recorded.stderr
    assert not (tmp_path / "t").exists()


def test_how_far_a_run_has_come_is_told_on_a_terminal_alone(tmp_path: Path) -> None:
    """Its own output goes elsewhere; what the program has for stderr is the terminal, too."""
    words = [sys.executable, "-m", "observer", "run", "-q", "-o", str(tmp_path / "t"), "--", "sleep", "4"]
    ours, theirs = pty.openpty()
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env=environment_of_commands())
    os.close(theirs)
    shown = b""
    while piece := _read(ours):
        shown += piece
    os.close(ours)
    assert run.wait() == 0
    told = shown.decode().split("\r\x1b[K")
    assert (
        len([line for line in told if re.fullmatch(r"observer: recording for [2-9] s, [0-9,]+ events .*", line)]) >= 2
    )
    assert told[-1] == ""
    piped = subprocess.run(
        [*words[:-4], str(tmp_path / "u"), *words[-3:]],
        capture_output=True,
        text=True,
        check=True,
        env=environment_of_commands(),
    )
    assert (piped.stdout, piped.stderr) == ("", "")


def _read(terminal: int) -> bytes:
    """Return what comes, nothing at its end: a terminal that everybody has closed is an error (EIO)."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
