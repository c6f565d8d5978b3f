"""The tables of a trace as columns: what its events say one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from observer.errors import BadTrace
from observer.model.call_columns import Apart, CallColumns
from observer.model.events import Call, Event
from observer.runs.profiled import glanced
from observer.story.crashes import crash_words
from observer.story.glance import Glance
from observer.story.places import MEASURES
from observer.trace import call_columns
from observer.trace.reader import Trace
from tests.builders import HEAP, PID, Script, call, fault, free, process, site, story_run
from tests.columned import ColumnsOfEvents
from tests.unit.trace.test_about import lives_of_pieces
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of

ONE, TWO = HEAP + 0x1000, HEAP + 0x9000


def odd_calls() -> list[Event]:
    """Sizes of 64 bits, places without a line, other allocators, the C library's own calls."""
    other = site(None, None, "f")
    return [
        process(0, "start", path="/bin/true"), call(1, "calloc", 1 << 62, count=3, result=0, allocator="glibc"),
        call(2, "calloc", 7, count=3, result=ONE, site=None, allocator="glibc#2", origin="libc"),
        call(3, size=(1 << 64) - 1, result=0, site=other), call(4, result=TWO, site=other, allocator="libjemalloc.so.2"),
        fault(5, ONE, site=None), free(6, ONE), call(7, "mallopt", None, parameter=1, value=0, result=1, end_ns=None),
        process(8, "exec", path="/bin/ls"), process(9, "exit", status=0, tid=PID + 1), process(10, "exit", status=0),
    ]  # fmt: skip


def more_than_64_bits() -> list[Event]:
    return [call(0, "calloc", 1 << 62, count=8, result=0), call(1, size=3, result=ONE)]


@pytest.fixture(params=[story_run, lives_of_pieces, odd_calls, more_than_64_bits])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Trace, list[Event]]:
    make: Callable[[], list[Event]] = request.param
    events = make()
    return trace_of([part_of(events)], tmp_path)[0], events


def named(columns: Iterable[CallColumns], names: Any) -> list[tuple[object, ...]]:
    rows = [row for window in columns for row in zip(*(column.tolist() for column in window), strict=True)]
    place = CallColumns._fields.index("place")
    return [(*row[:place], names.texts[row[place]], names.ops[row[place]], *row[place + 1 :]) for row in rows]


@pytest.mark.parametrize("window", [1, 7, 1 << 19])
@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("apart", Apart)
def test_calls_are_those_of_the_events(
    run: tuple[Trace, list[Event]], window: int, times: bool, apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_columns, "_WINDOW", window)
    trace, events = run
    found, expected = trace.columns(apart), ColumnsOfEvents(events, apart=apart)
    assert named(found.calls(times=times), found.names) == named(expected.calls(times=times), expected.names)


@pytest.mark.parametrize("apart", Apart)
def test_faults_frames_and_ends_are_those_of_the_events(run: tuple[Trace, list[Event]], apart: Apart) -> None:
    trace, events = run
    found, expected = trace.columns(apart), ColumnsOfEvents(events, apart=apart)
    by_place: dict[str, tuple[int, int]] = {}
    for place, many, first in zip(*(column.tolist() for column in expected.faults()), strict=True):
        text = expected.names.texts[place]
        before = by_place.get(text, (0, first))
        by_place[text] = before[0] + many, min(before[1], first)
    told = zip(*(column.tolist() for column in found.faults()), strict=True)
    assert {found.names.texts[place]: (many, first) for place, many, first in told} == by_place
    assert [column.tolist() for column in found.frames()] == [column.tolist() for column in expected.frames()]
    assert found.ends() == expected.ends()
    assert {*zip(*found.names, strict=True)} == {*zip(*expected.names, strict=True)}


def crashing() -> list[Event]:
    """A thread that dies in an allocator call, of a piece that was freed before, among pieces that lie elsewhere."""
    run = Script()
    run.process("start", path="/home/ada/story")
    run.call("malloc", 100, result=ONE, site=site(3), served_by="tcache")
    run.call("malloc", 100, result=TWO, site=site(4), served_by="tcache")
    run.free(ONE, site=site(5))
    for _ in range(7):
        run.call("malloc", 50, result=HEAP + 0x20000, site=site(6), served_by="tcache")
        run.free(HEAP + 0x20000, site=site(7))
    run.call("malloc", 1 << 60, result=0, errno=12, site=site(8))
    run.call("malloc", 50, result=None, end_ns=None, site=site(8))
    run.call("malloc", 50, result=HEAP + 0x30000, tid=PID + 1, site=site(9))
    run.call("free", None, pointer=None, end_ns=None, tid=PID + 1, site=site(10))
    run.signal("SIGSEGV", address=ONE + 17, site=site(11))
    return run.events


@pytest.mark.parametrize("make", [story_run, lives_of_pieces, odd_calls, crashing])
def test_a_run_at_a_glance_is_that_of_its_events(make: Callable[[], list[Event]], tmp_path: Path) -> None:
    trace, _count = trace_of([part_of(make())], tmp_path)
    expected = Glance()
    for event in trace.events():
        expected.take(event)
    found = glanced(trace)
    assert found.summary() == expected.summary()
    assert found.departures() == expected.departures()
    assert [crash_words(crash) for crash in found.crashes] == [crash_words(crash) for crash in expected.crashes]
    assert (found.broken_rules(), found.refusals()) == (expected.broken_rules(), expected.refusals())
    assert found.programs == expected.programs
    for measure in MEASURES.keys() - {"resident"}:  # whose pieces these events do not agree about
        assert [place.text for place in found.places.top(measure)] == [
            place.text for place in expected.places.top(measure)
        ]


def test_few_calls_of_many_are_told(tmp_path: Path) -> None:
    trace, _count = trace_of([part_of(crashing())], tmp_path)
    told = [(event.n, is_of_pieces) for event, is_of_pieces in trace.told() if isinstance(event, Call)]
    assert [n for n, is_of_pieces in told if is_of_pieces] == [1, 3]
    assert [n for n, is_of_pieces in told if not is_of_pieces] == [18, 19, 21]


def test_a_table_that_nobody_can_have_written_is_refused(tmp_path: Path) -> None:
    trace, _count = trace_of([part_of(story_run())], tmp_path)
    table = tmp_path / "calls.parquet"
    duckdb.sql(f"select * replace (case when n > 200 then 150 else n end as n) from '{table}'").write_parquet(
        str(tmp_path / "other.parquet")
    )
    (tmp_path / "other.parquet").rename(table)
    with pytest.raises(BadTrace, match="two calls of one number"):
        list(Trace(trace.folder, trace.meta).columns().calls(times=False))


def test_numbers_that_no_event_has_are_refused_and_not_gone_through(tmp_path: Path) -> None:
    trace, _count = trace_of([part_of(story_run())], tmp_path)
    table = tmp_path / "calls.parquet"
    far = f"select * replace (case when n > 200 then n + {1 << 62} else n end as n) from '{table}'"
    duckdb.sql(far).write_parquet(str(tmp_path / "other.parquet"))
    (tmp_path / "other.parquet").rename(table)
    with pytest.raises(BadTrace, match="has numbers that no event of the run has"):
        list(Trace(trace.folder, trace.meta).columns().calls(times=False))
