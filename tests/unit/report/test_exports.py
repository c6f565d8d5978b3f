"""Exports for other tools: what they hold is what the run holds, and names stay text."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

from observer.model.events import Call, Event, Library, Syscall
from observer.report.flame import KINDS, write_collapsed, write_speedscope
from observer.report.perfetto import write_perfetto
from observer.report.pprof import write_pprof
from observer.story.weights import Weights
from tests.builders import HEAP, PAGE, Script, library, site, story_run
from tests.columned import weigh

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
        ("none", [[0, 1, 2]], [3], 3), ("none", [], [], 0), ("bytes", [], [], 0),
    ]  # fmt: skip


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield numbers and values of a message of protocol buffers: whole numbers, and what has a length."""
    at = 0

    def whole() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = whole()
        if key & 7 == 0:
            yield key >> 3, whole()
        else:
            assert key & 7 == 2
            length = whole()
            yield key >> 3, data[at : at + length]
            at += length


def packed(data: int | bytes) -> list[int]:
    """Return the numbers of a packed field: each as if it were the value of a field with number 1."""
    assert isinstance(data, bytes)
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found


def read_pprof(data: bytes) -> tuple[list[str], dict[tuple[str, ...], list[int]]]:
    """Return the types of values, and the values of each stack from the outside in."""
    message = list(fields(gzip.decompress(data)))
    strings = [value.decode() for number, value in message if number == 6 and isinstance(value, bytes)]
    types = [
        strings[int(dict(fields(value))[1])] for number, value in message if number == 1 and isinstance(value, bytes)
    ]
    functions: dict[int, str] = {}
    places: dict[int, str] = {}
    for number, value in message:
        if number == 5 and isinstance(value, bytes):
            inside = dict(fields(value))
            functions[int(inside[1])] = strings[int(inside[2])]
    for number, value in message:
        if number == 4 and isinstance(value, bytes):
            inside = dict(fields(value))
            line = inside[4]
            assert isinstance(line, bytes)
            places[int(inside[1])] = functions[int(dict(fields(line))[1])]
    samples = {}
    for number, value in message:
        if number == 2 and isinstance(value, bytes):
            inside = dict(fields(value))
            samples[tuple(places[each] for each in reversed(packed(inside[1])))] = packed(inside[2])
    return types, samples


def test_pprof_holds_every_weight_of_every_stack() -> None:
    weights, out = weigh(story_run()), io.BytesIO()
    write_pprof(weights, out)
    types, samples = read_pprof(out.getvalue())
    assert types == list(KINDS)
    expected = {stack: [max(kind.of(each), 0) for kind in KINDS.values()] for stack, each in weights.items()}
    assert samples == {stack: values for stack, values in expected.items() if any(values)}


def test_what_is_beyond_pprofs_numbers_is_told_in_a_larger_unit() -> None:
    out = io.BytesIO()
    refused, met = Weights(bytes=3 << 62, calls=1), Weights(bytes=3 << 20, calls=2, live=9)
    write_pprof({("main", "asks"): refused, ("main", "asks again"): refused, ("main", "gets"): met}, out)
    _types, samples = read_pprof(out.getvalue())
    assert b"kilobytes" in gzip.decompress(out.getvalue())
    assert [values[:2] for values in samples.values()] == [[3 << 52, 1], [3 << 52, 1], [3 << 10, 2]]
    assert samples["main", "gets"][-1] == 9, "the others are in their own"


def test_a_flamegraph_may_weigh_anything() -> None:
    weights = weigh(story_run())
    for name, kind in KINDS.items():
        out = io.BytesIO()
        write_collapsed(weights, out, name)
        told = sum(int(line.rsplit(" ", 1)[1]) for line in out.getvalue().decode().splitlines())
        assert told == sum(kind.of(each) for each in weights.values() if kind.of(each) > 0)


def test_a_flamegraph_steers_no_terminal() -> None:
    frames = ("ma\x1b[31min", "a;b\n", "\x9b31m\u202ex", "\udcff")
    out = io.BytesIO()
    write_collapsed({frames: Weights(bytes=7)}, out)
    assert out.getvalue().decode() == "ma\\x1b[31min;a:b ;\\x9b31m\\u202ex;\\udcff 7\n"
