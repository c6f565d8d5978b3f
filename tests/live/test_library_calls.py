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
