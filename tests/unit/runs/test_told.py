"""What the last screen is made of is the same whether calls come column by column or one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from observer.model.machine import Machine, Request
from observer.runs.told import Glanced
from observer.story.glance import Glance
from observer.trace.evidence import Lives
from observer.trace.findings import Findings
from observer.trace.lives import images_of
from observer.trace.part import Part
from observer.trace.replay import replayed
from observer.trace.spooled import Spooled
from observer.trace.values import events_of
from tests.builders import HEAP, MAP, PAGE, PID
from tests.unit.trace.spooling import Recorder

OTHER = PID + 1


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "spool")


def parts_of(spooled: Spooled) -> Iterator[Part]:
    return replayed(spooled, Findings(images=images_of(spooled.notes)), Lives(spooled.notes), residency=False)


def told(glance: Glance) -> list[Any]:
    places = glance.places
    tops = [places.top(measure) for measure in ("bytes", "live", "resident", "waste", "faults")]
    pieces = [{pid: list(held.items()) for pid, held in each.items()} for each in (places.alive, places.freed)]
    return [
        glance.summary(), glance.departures(), glance.refusals(), glance.crashes, glance.broken_rules(),
        glance.programs, *tops, *pieces,
    ]  # fmt: skip


def agree(recorder: Recorder) -> Glance:
    """Take the run both ways; they come to the same."""
    spooled = recorder.read()
    one_by_one, by_columns = Glance(), Glanced()
    for part in parts_of(spooled):
        for event in events_of(part):
            one_by_one.take(event)
    parts = by_columns.listen(parts_of(spooled), cast(Machine, None), cast(Request, None), {})
    assert len(list(parts)) > 0
    assert told(by_columns.glance) == told(one_by_one)
    return by_columns.glance


def churn(recorder: Recorder, count: int = 400) -> None:
    """Calls of all kinds, with page faults and system calls in some, and between some of them."""
    recorder.start(1)
    recorder.note("born", 2, how="clone", child=OTHER, child_pid=PID, shares=True)
    recorder.syscall("brk", 0, began=3, ended=4, result=HEAP)
    recorder.syscall("brk", HEAP + 256 * PAGE, began=5, ended=6, result=HEAP + 256 * PAGE)
    for i in range(count):
        at, pointer, tid = 100 * i + 100, HEAP + 0x1000 + 64 * (i % 50), (PID, OTHER)[i % 2]
        op = ("malloc", "calloc", "realloc")[i % 3]
        arguments = {"malloc": (24 + i % 7,), "calloc": (2, 10 + i % 5), "realloc": (0, 30)}[op]
        recorder.call(op, *arguments, began=at, ended=at + 20, result=pointer, tid=tid)
        if i % 16 == 0:
            recorder.fault(pointer, at + 10, tid=tid)
            recorder.fault(pointer, at + 30, tid=tid)
        if i % 40 == 0:
            recorder.syscall("mmap", 0, PAGE, 3, 0x22, began=at + 5, ended=at + 6, result=MAP + i * PAGE, tid=tid)
        if i % 3:
            recorder.call("free", pointer, began=at + 40, ended=at + 50, tid=tid)


def test_a_run_of_many_calls(recorder: Recorder) -> None:
    churn(recorder)
    recorder.exit(90_000)
    summary = agree(recorder).summary()
    assert (sum(summary.calls.values()), summary.grown, summary.live_pieces > 0) == (666, 10, True)


def test_calls_that_are_refused_or_break_rules_and_one_that_crashes(recorder: Recorder) -> None:
    churn(recorder, 200)
    recorder.call("malloc", 1 << 60, began=50_000, ended=50_010, result=0)
    recorder.call("free", HEAP + 0x1000, began=50_020, ended=50_030)
    recorder.call("free", HEAP + 0x1000, began=50_040, ended=50_050)
    recorder.exit(90_000)
    glance = agree(recorder)
    assert (glance.summary().refused, glance.broken_rules()[0] > 0) == (1, True)


@pytest.mark.parametrize("goes_on", [False, True])
def test_calls_that_do_not_return(recorder: Recorder, goes_on: bool) -> None:
    churn(recorder, 200)
    recorder.call("malloc", 24, began=50_000, ended=50_010, result=0, flags=0)
    if goes_on:
        recorder.call("malloc", 24, began=50_020, ended=50_030, result=HEAP + 0x8000)
    recorder.exit(90_000)
    assert agree(recorder).summary().unfinished == 1


@pytest.mark.parametrize("seed", range(8))
def test_any_calls_of_processes_that_come_and_go(recorder: Recorder, seed: int) -> None:
    """Pieces that are given, moved, given again without a free, and left, by several processes."""
    random, at = Random(seed), 100
    recorder.start(1)
    for pid in (OTHER, OTHER + 1):
        recorder.note("born", 2, how="fork", child=pid, child_pid=pid, shares=False)
    recorder.syscall("brk", 0, began=3, ended=4, result=HEAP)
    recorder.syscall("brk", HEAP + 64 * PAGE, began=5, ended=6, result=HEAP + 64 * PAGE)
    alive: dict[int, list[int]] = {PID: [], OTHER: [], OTHER + 1: []}
    for i in range(900):
        at += 100
        if i in (300, 600):
            pid = OTHER + i // 600
            recorder.exit(at, pid=pid)
            del alive[pid]
            continue
        pid = random.choice(list(alive))
        pointer, size = HEAP + 16 * random.randrange(1, 400), random.choice((0, 1, 24, 1000, 1 << 40))
        taken = random.choice(alive[pid]) if alive[pid] else 0
        op = random.choice(("malloc", "malloc", "realloc", "free", "free"))
        result = 0 if op == "free" or (op == "realloc" and not size) else pointer
        arguments = {"malloc": (size,), "realloc": (taken, size), "free": (taken,)}[op]
        recorder.call(op, *arguments, began=at, ended=at + 20, result=result, tid=pid, pid=pid)
        if op != "malloc" and taken:
            alive[pid].remove(taken)
        if result and pointer not in alive[pid]:
            alive[pid].append(pointer)
        if random.random() < 0.1:
            recorder.fault(pointer, at + random.choice((10, 30)), tid=pid, pid=pid)
    recorder.exit(100_000)
    assert agree(recorder).places.peak > 0
