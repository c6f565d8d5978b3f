"""Exports for other tools: what they hold is what the run holds, and names stay text."""

from __future__ import annotations

import io
import json
from typing import Any

from observer.model.events import Call, Event, Library, Syscall
from observer.report.flame import write_collapsed, write_speedscope
from observer.report.perfetto import write_perfetto
from observer.story.weights import Weights, weigh
from tests.builders import HEAP, PAGE, Script, library, site, story_run

HOSTILE = 'a";\n<script>\udcff\x1b[31m'


def perfetto(events: list[Event]) -> list[dict[str, Any]]:
    out = io.BytesIO()
    write_perfetto(events, out, PAGE)
    found: list[dict[str, Any]] = json.loads(out.getvalue())["traceEvents"]
    return found


def test_every_event_is_drawn_once_at_its_time() -> None:
    events = [*story_run(), library(len(story_run()))]
    drawn = [each for each in perfetto(events) if each["ph"] in ("X", "B", "i")]
    assert [each["args"]["n"] for each in drawn] == [event.n for event in events]
    for each, event in zip(drawn, events, strict=True):
        assert (each["cat"], each["pid"], each["tid"]) == (event.__struct_config__.tag, event.pid, event.tid)
        assert round(each["ts"] * 1000) == event.t_ns
        if isinstance(event, Call | Syscall | Library) and event.end_ns is not None:
            assert round(each["dur"] * 1000) == event.end_ns - event.t_ns
        else:
            assert "dur" not in each


def test_what_never_ended_is_begun_only() -> None:
    run = Script()
    run.call("malloc", 1 << 40, result=None, end_ns=None)
    [drawn] = [each for each in perfetto(run.events) if each["ph"] != "C"]
    assert (drawn["ph"], drawn["name"]) == ("B", f"malloc({1 << 40})")


def test_counters_rise_when_a_call_has_returned() -> None:
    run = Script()
    run.call("malloc", 100, result=HEAP, t_ns=1000, end_ns=1500)
    [counter] = [each for each in perfetto(run.events) if each["ph"] == "C"]
    assert (counter["ts"], counter["args"]) == (1.5, {"asked": 100, "heap": 0, "mapped": 0, "frames": 0})


def test_hostile_names_stay_text_everywhere() -> None:
    run = Script()
    run.process("start", path=f"/tmp/{HOSTILE}")
    run.call("malloc", 7, result=HEAP, site=site(1, f"/tmp/{HOSTILE}", HOSTILE))
    named = [each for each in perfetto(run.events) if each["ph"] == "M"]
    assert named[0]["args"]["name"] == HOSTILE.replace("\udcff", "\\udcff")
    out = io.BytesIO()
    write_collapsed(weigh(run.events), out)
    [line] = out.getvalue().decode().splitlines()
    assert (line.count(";"), line.rsplit(" ", 1)[1]) == (3, "7")
    out = io.BytesIO()
    write_speedscope(weigh(run.events), HOSTILE, out)
    assert json.loads(out.getvalue())["name"] == HOSTILE.replace("\udcff", "\\udcff")


def test_collapsed_stacks_weigh_what_the_run_asked_for() -> None:
    out = io.BytesIO()
    write_collapsed(weigh(story_run()), out)
    lines = out.getvalue().decode().splitlines()
    asked = sum(event.bytes_asked for event in story_run() if isinstance(event, Call))
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines) == asked > 0
    assert all(line.startswith("story;main;story.c:") for line in lines)


def test_speedscope_has_a_profile_for_each_weight_and_no_weight_below_one() -> None:
    out = io.BytesIO()
    weights = {("a", "b"): Weights(1, 10, 5, 0), ("a", "b", "c"): Weights(2, 0, -1, 3)}
    write_speedscope(weights, "a", out)
    read = json.loads(out.getvalue())
    assert read["shared"]["frames"] == [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert [(p["unit"], p["samples"], p["weights"], p["endValue"]) for p in read["profiles"]] == [
        ("bytes", [[0, 1]], [10], 10), ("none", [[0, 1], [0, 1, 2]], [1, 2], 3), ("nanoseconds", [[0, 1]], [5], 5),
        ("none", [[0, 1, 2]], [3], 3),
    ]  # fmt: skip
