"""Calls recorded inside the program: none is missed, and nothing is felt, in the midst of whatever happens."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from observer.arch.known import NATIVE
from observer.tracee.inline.landing_code import landing_code_of
from tests.conftest import ROOT, needs_inline
from tests.live.programs import compile_c
from tests.live.users import Observe, compiled, observe, workshop
from tests.recordings import Recorded, run_observer

__all__ = ["observe", "workshop"]

pytestmark = [needs_inline, pytest.mark.timeout(300)]

INLINE = ("-q", "--recorder", "inline")
OURS = range(3000, 4024)


def recorded(folder: Path, *command: str) -> Recorded:
    found = run_observer(command, folder / "trace", options=INLINE)
    found.assert_balanced()
    return found


def of_program(found: Recorded, operation: str) -> int:
    return sum(call.op == operation and call.size in OURS for call in found.calls)


@pytest.mark.parametrize("how", ["signals", "children", "threads"])
def test_every_call_is_recorded_whatever_else_happens(workshop: Path, tmp_path: Path, how: str) -> None:
    found = recorded(tmp_path, compiled(workshop, "inside", "-pthread", "-O0"), how)
    made, handled = (int(word) for word in found.stdout.split())
    assert (found.status, of_program(found, "malloc")) == (7, made)
    assert sum(call.op == "malloc_usable_size" for call in found.calls) == handled
    assert handled > 3 or how != "signals"
    assert all(call.end_ns is not None for call in found.calls)
    # What was made by a child without a thread base of its own, and since, is followed by breakpoints.
    assert found.trace.meta.totals["calls_inline"] > (0.3 if how == "children" else 0.95) * len(found.calls)


@pytest.mark.parametrize("recorder", ["inline", "auto"])
def test_children_of_threads_have_threads_of_their_own(workshop: Path, tmp_path: Path, recorder: str) -> None:
    program = compiled(workshop, "heirs", "-pthread", "-O0")
    found = run_observer([program], tmp_path / "trace", options=("-q", "--recorder", recorder))
    found.assert_balanced()
    assert (found.status, of_program(found, "malloc")) == (0, int(found.stdout))
    assert found.trace.meta.totals["calls_inline"] > 0.9 * len(found.calls)


@pytest.mark.parametrize("recorder", ["inline", "auto"])
def test_a_stop_that_comes_while_something_is_laid_out_is_one(workshop: Path, tmp_path: Path, recorder: str) -> None:
    program = compiled(workshop, "stopped", "-O0")
    found = run_observer([program], tmp_path / "trace", options=("-q", "--recorder", recorder))
    assert (found.status, found.stdout) == (0, "40\n")
    found.assert_balanced()


def test_calls_from_just_below_a_page_of_stack_that_is_not_there(workshop: Path, tmp_path: Path) -> None:
    found = recorded(tmp_path, compiled(workshop, "hollow", "-O1", "-g"))
    ours = [call for call in found.calls if call.op == "malloc" and call.size == len("a piece") + 1]
    assert len(ours) == 4000
    assert {Path(call.site.file).name if call.site.file else None for call in ours} == {"hollow.c"}
    assert len({call.site.line for call in ours}) == 1
    assert found.trace.meta.totals["calls_inline"] > 0.9 * len(found.calls)


def test_an_ordinary_user_has_it_too(observe: Observe, workshop: Path) -> None:
    found = observe(compiled(workshop, "inside", "-pthread", "-O0"), "threads", options=("--recorder", "inline"))
    made, _handled = (int(word) for word in found.stdout.split())
    assert of_program(found, "malloc") == made
    found.assert_balanced()


def test_what_another_option_needs_is_refused_with_the_way_out(tmp_path: Path) -> None:
    found = run_observer(["/bin/true"], tmp_path / "trace", options=(*INLINE, "-e", "all,library"))
    assert found.status == 125
    assert "cannot record inside the program: -e library" in found.stderr
    assert "--recorder auto" in found.stderr
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("what", ["zeros", "ones", "chance", "records"])
def test_a_program_that_writes_over_the_recorder_is_told_of(workshop: Path, tmp_path: Path, what: str) -> None:
    program = compiled(workshop, "scribbles", "-O0")
    (tmp_path / "nothing").mkdir()
    assert recorded(tmp_path / "nothing", program, "nothing").status == 0
    found = run_observer([program, what], tmp_path / "trace", options=INLINE)
    assert "found" in found.stdout
    assert "Traceback" not in found.stderr
    assert found.status == 125
    [line] = [line for line in found.trace.meta.ledger if line.identity == "records stored"]
    assert (line.lost > 0, line.verdict) == (True, "INCOMPLETE")
    assert any("wrote over the memory of the recorder" in note for note in found.trace.meta.notes)


MARKED = {"x86_64": "-fcf-protection=full", "aarch64": "-mbranch-protection=standard"}


@pytest.mark.parametrize("marks", [MARKED[os.uname().machine], ""], ids=["marked", "plain"])
def test_functions_that_begin_with_a_mark_to_land_on_begin_once(workshop: Path, tmp_path: Path, marks: str) -> None:
    program = compiled(workshop, f"marked{marks}", *filter(None, [marks]), source="marked")
    stopped = run_observer([program], tmp_path / "stopped", options=("-q", "--recorder", "breakpoint"))
    found = recorded(tmp_path, program)
    assert [(call.op, call.size) for call in found.calls] == [(call.op, call.size) for call in stopped.calls]
    assert all(call.end_ns is not None for call in found.calls)
    assert found.trace.meta.totals["calls_inline"] == len(found.calls) - 1 == 39


def test_how_calls_were_recorded_is_told(sample: object, tmp_path: Path) -> None:
    assert callable(sample)
    found = recorded(tmp_path, sample("small_blocks"))
    assert found.trace.meta.how["calls"].startswith("exact: recorded inside the program (")
    usual = run_observer([sample("small_blocks")], tmp_path / "usual", options=("-q",))
    assert re.search(r"inside the program \(21,\d+\); the others by breakpoints \(", usual.trace.meta.how["calls"])
    few = run_observer([sample("first_touch")], tmp_path / "few", options=("-q",))
    assert few.trace.meta.how["calls"].startswith("exact: breakpoints")
    other = run_observer([sample("small_blocks")], tmp_path / "other", options=("-q", "--recorder", "breakpoint"))
    assert other.trace.meta.how["calls"].startswith("exact: breakpoints")
    assert (ROOT / "observer" / "tracee" / "inline" / landing_code_of(NATIVE).source).is_file()


TWO_BASES = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static char stack[1 << 16];
static int ready[2], done[2];
static void *lends(void *base)
{
    char byte;
    *(pthread_t *)base = pthread_self();
    write(ready[1], "r", 1);
    return (void *)read(done[0], &byte, 1);
}
static int child(void *unused) { for (int i = 0; i < 100; i++) free(malloc(3001)); return unused != 0; }
int main(void)
{
    pthread_t thread, base;
    char byte;
    pipe(ready), pipe(done);
    for (int i = 0; i < 200; i++) free(malloc(i));
    pthread_create(&thread, 0, lends, &base);
    read(ready[0], &byte, 1);
    for (int i = 0; i < 200; i++) free(malloc(i));
    int flags = CLONE_VM | CLONE_VFORK | CLONE_SETTLS | SIGCHLD;
    pid_t born = clone(child, stack + sizeof stack, flags, 0, 0, (void *)base, 0);
    for (int i = 0; i < 100; i++) free(malloc(3002));
    waitpid(born, 0, 0);
    write(done[1], "d", 1);
    pthread_join(thread, 0);
    return 0;
}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the base is pthread_self() there")
def test_who_waits_for_a_child_with_a_base_of_its_own_has_its_own_calls(tmp_path: Path) -> None:
    found = recorded(tmp_path, str(compile_c(TWO_BASES, tmp_path / "bases", "-pthread", "-fno-builtin")))
    root = found.calls[0].pid
    makers = {size: [call.pid == root for call in found.calls if call.size == size] for size in (3001, 3002)}
    assert makers == {3001: 100 * [False], 3002: 100 * [True]}
