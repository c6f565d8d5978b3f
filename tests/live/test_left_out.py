"""What -e leaves out is told as left out: it was not seen, and nothing that is said of it would be true."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from observer.trace.reader import Trace
from tests.recordings import run_observer

OBSERVER = (sys.executable, "-m", "observer")
LEFT_OUT = "not observed, because -e left it out"


def observer(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*OBSERVER, *words], capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def recorded(sample: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs c_samples/story.c with only the instruments that -e names."""
    folder = tmp_path_factory.mktemp("left_out")
    for name in ("calls", "faults"):
        run_observer([sample("story")], folder / name, options=["-q", "-e", name])
    return lambda name: folder / name


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("calls", ("faults", "faults in kernel mode", "fault.frame")), ("faults", ("calls", "fault.frame"))],
)
def test_the_trace_says_what_was_left_out(
    name: str, left_out: tuple[str, ...], recorded: Callable[[str], Path]
) -> None:
    meta = Trace.open(recorded(name)).meta
    assert {field for field, how in meta.how.items() if how == LEFT_OUT} == set(left_out)
    assert meta.sees_faults == (name == "faults")


def test_the_screen_claims_no_frames_where_no_fault_was_recorded(recorded: Callable[[str], Path]) -> None:
    lines = observer("show", recorded("calls")).stdout.splitlines()
    assert f"  page faults   {LEFT_OUT}" in lines
    assert not any(
        "resident" in line for line in [*lines, *observer("show", recorded("calls"), "--peak").stdout.split()]
    )


def test_no_difference_from_the_book_is_unexplained_for_what_was_left_out(recorded: Callable[[str], Path]) -> None:
    done = observer("compare", recorded("calls"))
    assert (done.returncode, "unexplained: 0" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("name", "part", "what"),
    [
        ("calls", ("--top", "untouched"), "page faults"), ("calls", ("--top", "faults"), "page faults"),
        ("calls", ("--fragmentation",), "page faults"), ("faults", ("--leaks",), "allocator calls"),
        ("faults", ("--peak", "--json"), "allocator calls"),
    ],
)  # fmt: skip
def test_a_part_that_is_made_of_what_was_left_out_is_refused(
    name: str, part: tuple[str, ...], what: str, recorded: Callable[[str], Path]
) -> None:
    done = observer("show", recorded(name), *part)
    assert (done.returncode, done.stdout) == (125, "")
    assert f"cannot be told of {recorded(name)}: {what} were not recorded" in done.stderr


def test_what_needs_only_the_rest_is_told(recorded: Callable[[str], Path]) -> None:
    assert observer("show", recorded("calls"), "--leaks").returncode == 0
    assert observer("show", recorded("faults"), "--top", "faults").returncode == 0
