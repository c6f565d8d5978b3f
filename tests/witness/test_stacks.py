"""The callers of calls equal to those that gdb finds at malloc, whichever recorder kept them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from shutil import which

import pytest

from observer.model.events import Call
from observer.model.stacks import CallStack
from tests.conftest import by_recorder, needs_inline
from tests.recordings import Recorded, run_observer
from tests.witness.programs import real_command
from tests.witness.unwound import Place, mallocs_callers, mappings

MOST = 64
BUILDS = {
    "c": ["gcc", "-g", "-O2", "-fomit-frame-pointer", "-fno-builtin", "-pthread", "stacks.c"],
    "c-O0": ["gcc", "-g", "-O0", "-fno-builtin", "-pthread", "stacks.c"],
    "c-static": ["gcc", "-g", "-O2", "-fomit-frame-pointer", "-fno-builtin", "-pthread", "-static", "stacks.c"],
    "c++": ["g++", "-g", "-O2", "stacks.cc"],
    "c++-O0": ["g++", "-g", "-O0", "stacks.cc"],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the path of a build by name."""
    folder = tmp_path_factory.mktemp("built")

    @cache
    def build(name: str) -> str:
        compiler, *flags, source = BUILDS[name]
        if which(compiler) is None:
            pytest.skip(f"{compiler} is not installed")
        subprocess.run([compiler, *flags, str(Path(__file__).with_name(source)), "-o", str(folder / name)], check=True)
        return str(folder / name)

    return build


@pytest.fixture(scope="module")
def gdb_says() -> Callable[..., list[list[Place]]]:
    """Return who called malloc in a command, a tuple, as gdb tells it once."""
    if which("gdb") is None:
        pytest.skip("gdb is not installed")
    return cache(mallocs_callers)


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


def assert_as_gdb_says(said: list[list[Place]], recorded: Recorded, *, least: int) -> None:
    assert len(said) >= least
    # realloc(NULL, n) ends by a jump to malloc
    mallocs = [call for call in recorded.calls if call.op == "malloc" or (call.op == "realloc" and not call.pointer)]
    assert callers_of(mallocs, recorded.trace.stacks())[-len(said) :] == said


@pytest.mark.parametrize(
    "said",
    [
        "  0x555555554000     0x555555556000     0x2000        0x0  r--p   /usr/bin/true\n"
        "  0x7ffff7fc1000     0x7ffff7fc5000     0x4000        0x0  r--p   [vvar]\n",
        "0x0000555555554000 0x0000555555556000 0x2000             0x0                r--p  /usr/bin/true \n"
        "0x00007ffff7fc1000 0x00007ffff7fc5000 0x4000             0x0                r--p  [vvar] \n",
    ],
    ids=["gdb 13", "gdb 16"],
)
def test_files_mappings_are_read_as_each_release_tells_them(said: str) -> None:
    assert mappings(said) == [(0x5555_5555_4000, 0x5555_5555_6000, "/usr/bin/true")]


@by_recorder
@pytest.mark.parametrize("name", BUILDS)
def test_the_callers_of_each_malloc_are_those_that_gdb_finds(
    name: str, recorder: str, built: Callable[[str], str], gdb_says: Callable[..., list[list[Place]]], tmp_path: Path
) -> None:
    command = [built(name)]
    assert_as_gdb_says(gdb_says(tuple(command)), recorded_by(recorder, command, tmp_path), least=17)


@by_recorder
def test_of_sqlites_own_mallocs_too(recorder: str, gdb_says: Callable[..., list[list[Place]]], tmp_path: Path) -> None:
    if which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    script = tmp_path / "script.sql"
    script.write_text(
        "create table t(a, b); insert into t values (1, 'two'), (3, 'four'); select * from t order by b;\n"
    )
    command = [which("sqlite3") or "", "-init", str(script), ":memory:", ".quit"]
    said = gdb_says(tuple(command), begin="__libc_start_main")
    assert_as_gdb_says(said, recorded_by(recorder, command, tmp_path), least=100)


@needs_inline
@pytest.mark.parametrize("name", ["sqlite3", "python3"])
def test_both_recorders_keep_the_same_callers_of_a_real_program(name: str, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    command = real_command(name, tmp_path)
    by_breakpoints, inside = (recorded_by(recorder, command, tmp_path) for recorder in ("breakpoint", "inline"))
    assert "inside the program" in inside.trace.meta.how["calls"]
    one, other = (callers_of(each.calls, each.trace.stacks()) for each in (by_breakpoints, inside))
    assert one == other


@by_recorder
def test_a_threads_callers_end_where_it_began(recorder: str, built: Callable[[str], str], tmp_path: Path) -> None:
    recorded = recorded_by(recorder, [built("c"), "thread"], tmp_path)
    stacks = recorded.trace.stacks()
    of_thread = [
        stacks[call.stack or 0] for call in recorded.calls if call.tid != call.pid and call.origin == "program"
    ]
    assert [[site.function for site in stack.callers][:2] for stack in of_thread] == [
        ["xmalloc", "thread"],
        ["thread", None],
    ]
    assert all(stack.is_whole for stack in of_thread)
