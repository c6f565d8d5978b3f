"""The callers of calls equal to those that gdb finds at malloc, whichever recorder kept them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from shutil import which

import pytest

from observer.model.events import Call
from observer.model.stacks import CallStack
from tests.recordings import Recorded, run_observer
from tests.witness.programs import real_command
from tests.witness.unwound import Place, mallocs_callers

RECORDERS = ("breakpoint", "inline")
MOST = 64
BUILDS = {
    "c": ["gcc", "-g", "-O2", "-fomit-frame-pointer", "-fno-builtin", "-pthread", "stacks.c"],
    "c-O0": ["gcc", "-g", "-O0", "-fno-builtin", "-pthread", "stacks.c"],
    "c-static": ["gcc", "-g", "-O2", "-fomit-frame-pointer", "-fno-builtin", "-pthread", "-static", "stacks.c"],
    "c++": ["g++", "-g", "-O2", "stacks.cc"],
    "c++-O0": ["g++", "-g", "-O0", "stacks.cc"],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    for name, (compiler, *flags, source) in BUILDS.items():
        subprocess.run([compiler, *flags, str(Path(__file__).with_name(source)), "-o", str(folder / name)], check=True)
    return folder


def recorded_by(recorder: str, command: list[str], folder: Path, *options: str) -> Recorded:
    recorded = run_observer(
        command,
        folder / recorder,
        options=("-q", "--recorder", recorder, "--stack", str(MOST), *options),
    )
    recorded.assert_balanced()
    return recorded


def callers_of(calls: Iterable[Call], stacks: Mapping[int, CallStack]) -> list[list[Place]]:
    """The callers of each call, the innermost first, in the order of the calls."""
    chosen = [stacks[call.stack or 0] for call in calls]
    return [[(site.module, site.offset + 1 if site.offset else None) for site in stack.callers] for stack in chosen]


def assert_as_gdb_says(command: list[str], folder: Path, *, least: int, begin: str = "main") -> None:
    said = mallocs_callers(command, begin)
    assert len(said) >= least
    for recorder in RECORDERS:
        recorded = recorded_by(recorder, command, folder)
        # realloc(NULL, n) ends by a jump to malloc
        mallocs = [
            call for call in recorded.calls if call.op == "malloc" or (call.op == "realloc" and not call.pointer)
        ]
        seen = callers_of(mallocs, recorded.trace.stacks())
        assert seen[-len(said) :] == said, recorder


@pytest.mark.parametrize("name", BUILDS)
def test_the_callers_of_each_malloc_are_those_that_gdb_finds(name: str, built: Path, tmp_path: Path) -> None:
    assert_as_gdb_says([str(built / name)], tmp_path, least=17)


def test_of_sqlites_own_mallocs_too(tmp_path: Path) -> None:
    if which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    script = tmp_path / "script.sql"
    script.write_text(
        "create table t(a, b); insert into t values (1, 'two'), (3, 'four'); select * from t order by b;\n"
    )
    command = [which("sqlite3") or "", "-init", str(script), ":memory:", ".quit"]
    assert_as_gdb_says(command, tmp_path, least=100, begin="__libc_start_main")


@pytest.mark.parametrize("name", ["sqlite3", "python3"])
def test_both_recorders_keep_the_same_callers_of_a_real_program(name: str, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    command = real_command(name, tmp_path)
    by_breakpoints, inside = (recorded_by(recorder, command, tmp_path) for recorder in RECORDERS)
    assert "inside the program" in inside.trace.meta.how["calls"]
    one, other = (callers_of(each.calls, each.trace.stacks()) for each in (by_breakpoints, inside))
    assert one == other


def test_a_threads_callers_end_where_it_began(built: Path, tmp_path: Path) -> None:
    for recorder in RECORDERS:
        recorded = recorded_by(recorder, [str(built / "c"), "thread"], tmp_path)
        stacks = recorded.trace.stacks()
        of_thread = [
            stacks[call.stack or 0] for call in recorded.calls
            if call.tid != call.pid and call.origin == "program"
        ]  # fmt: skip
        assert [[site.function for site in stack.callers][:2] for stack in of_thread] == [
            ["xmalloc", "thread"],
            ["thread", None],
        ]
        assert all(stack.is_whole for stack in of_thread)
