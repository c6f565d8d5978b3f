"""The two recorders tell the same run alike: call for call, fault for fault, system call for system call, in one order."""

from __future__ import annotations

import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import Any

import msgspec
import pytest

from observer.linux.features import programs_read_thread_base
from observer.linux.timestamps import counts_by_time_stamp
from observer.model.events import Call, Fault
from tests.recordings import Recorded, run_observer
from tests.witness.programs import REAL, real_command

pytestmark = [
    pytest.mark.skipif(
        not (programs_read_thread_base() and counts_by_time_stamp()),
        reason="no calls can be recorded inside programs here (FSGSBASE, TSC)",
    ),
    pytest.mark.timeout(300),
]

ONE_TASK = (
    "story", "calloc", "realloc", "trim", "read_fresh", "fork_cow", "family", "longjmp", "buffering", "workload",
    "story-static",
)  # fmt: skip
PRELOADED = {
    "jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2.0", "tcmalloc": "libtcmalloc_minimal.so.4",
}  # fmt: skip
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
FIXED = {"PERL_HASH_SEED": "0", "PYTHONHASHSEED": "0"}
RUN_ANEW = ("n", "t_ns", "end_ns", "cause", "frame", "kernel", "pid", "tid", "child")


def both(command: Sequence[str], folder: Path) -> tuple[Recorded, Recorded]:
    """Record *command* by breakpoints and inline; both runs balance and end alike, the second made its calls inline."""
    found = [
        run_observer(command, folder / recorder, options=("-q", "--aslr", "off", "--recorder", recorder), environment=FIXED)
        for recorder in ("breakpoint", "inline")
    ]  # fmt: skip
    for recorded in found:
        recorded.assert_balanced()
    stopped, inline = found
    assert (stopped.status, stopped.stdout) == (inline.status, inline.stdout)
    assert stopped.trace.meta.totals["calls_inline"] == 0
    totals = inline.trace.meta.totals
    assert totals["calls_inline"] > 0.4 * totals["calls_returned"] - 8
    return stopped, inline


def by_task(recorded: Recorded) -> dict[int, list[dict[str, Any]]]:
    """Return what each task did, tasks in the order of their first events, without what no two runs share.

    Of faults those in files are left out: which pages one of them brings in depends on the page cache.
    """
    number: dict[int, int] = {}
    told: dict[int, list[dict[str, Any]]] = defaultdict(list)
    operations = {event.n: event.op for event in recorded.calls}
    for event in recorded.events:
        if isinstance(event, Fault) and (event.mapping or "").startswith("/"):
            continue
        plain = msgspec.to_builtins(event)
        plain["caused by"] = operations.get(plain.get("cause"))
        if isinstance(plain.get("chunk"), dict):
            plain["chunk"].pop("call")
        # What the kernel writes for a newborn child may come before or after the news of its birth.
        for name in (*RUN_ANEW, *(("where", "site", "mapping") if plain.get("ring") == 0 else ())):
            plain.pop(name, None)
        told[number.setdefault(event.tid, len(number))].append(plain)
    return told


def assert_alike(stopped: Recorded, inline: Recorded) -> None:
    ours, theirs = by_task(inline), by_task(stopped)
    assert ours.keys() == theirs.keys()
    for task, events in theirs.items():
        for i, (one, other) in enumerate(zip(ours[task], events, strict=False)):
            assert one == other, f"task {task}, event {i}"
        assert len(ours[task]) == len(events)


@pytest.mark.parametrize("name", ONE_TASK)
def test_samples_are_told_alike(name: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    assert_alike(*both([sample(name)], tmp_path))


def test_a_page_of_the_stack_that_a_functions_first_pushes_reach_is_of_the_call(tmp_path: Path) -> None:
    if which("gcc") is None:
        pytest.skip("gcc is not installed")
    source, program = Path(__file__).parent / "pushed.c", tmp_path / "pushed"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", program, source], check=True)
    stopped, inline = both([str(program)], tmp_path)
    assert_alike(stopped, inline)
    causes = {fault.cause for fault in stopped.faults if (fault.mapping or "").startswith("map#")}
    assert {"malloc", "free"} <= {call.op for call in stopped.calls if call.n in causes}


@pytest.mark.parametrize("name", [name for name in REAL if name not in ("sort", "gcc")])
def test_real_programs_are_told_alike(name: str, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    assert_alike(*both(real_command(name, tmp_path), tmp_path))


def test_perl_is_told_alike(tmp_path: Path) -> None:
    if which("perl") is None:
        pytest.skip("perl is not installed")
    script = (
        'my %h; $h{$_} = "x$_" for 1..997; print join(" ", scalar(keys %h), length join("", sort values %h)), "\\n"'
    )
    assert_alike(*both(["perl", "-e", script], tmp_path))


def test_a_compiler_and_what_it_starts_make_the_same_calls(tmp_path: Path) -> None:
    if which("gcc") is None:
        pytest.skip("gcc is not installed")
    counts = []
    for recorded in both(real_command("gcc", tmp_path), tmp_path):  # names of files for a while differ in each run
        processes = {process.tid for process in recorded.processes if process.what == "exec"}
        counts.append(
            (len(processes), Counter((call.op, call.size) for call in recorded.calls if (call.size or 0) < 4096))
        )
    (few, stopped), (many, inline) = counts
    assert few == many >= 2
    assert sum(((stopped - inline) + (inline - stopped)).values()) < 0.01 * sum(stopped.values())


@pytest.mark.parametrize("allocator", PRELOADED)
def test_other_allocators_are_told_alike(allocator: str, tools: Path, tmp_path: Path) -> None:
    if not (LIBRARIES / PRELOADED[allocator]).exists():
        pytest.skip(f"{allocator} is not installed")
    command = ["env", f"LD_PRELOAD={LIBRARIES / PRELOADED[allocator]}", *real_command("sqlite3", tmp_path)]
    if which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    stopped, inline = both(command, tmp_path)
    # mimalloc chooses addresses at random, so that what is found there differs: the calls are compared.
    assert calls_of(stopped) == calls_of(inline)


def calls_of(recorded: Recorded) -> list[tuple[object, ...]]:
    return [
        (call.op, call.size, call.count, call.allocator, call.site and (call.site.module, call.site.offset))
        for call in recorded.events if isinstance(call, Call)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["threads", "threads-static"])
def test_threads_make_the_same_calls(name: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    stopped, inline = (
        Counter((call.op, call.size) for call in recorded.calls) for recorded in both([sample(name)], tmp_path)
    )
    assert stopped == inline


def test_eight_threads_at_once_keep_their_own_order(sample: Callable[[str], str], tmp_path: Path) -> None:
    recorded = run_observer([sample("hammer"), "8", "4000"], tmp_path / "trace", options=("-q", "--recorder", "inline"))
    recorded.assert_balanced()
    calls: dict[int, list[Call]] = defaultdict(list)
    for call in recorded.calls:
        if call.origin == "program":
            calls[call.tid].append(call)
    assert sorted(map(len, calls.values()))[-8:] == [8_000] * 8
    totals = recorded.trace.meta.totals
    assert totals["calls_inline"] > 0.99 * totals["calls"]
    for own in calls.values():
        pieces: set[int | None] = set()
        for call in own:  # a piece is freed by who has it, and after it was given
            if call.op == "malloc":
                assert call.result not in pieces
                pieces.add(call.result)
            elif call.pointer:
                pieces.discard(call.pointer)
        assert all(one.end_ns <= other.t_ns for one, other in pairwise(own) if one.end_ns is not None)
