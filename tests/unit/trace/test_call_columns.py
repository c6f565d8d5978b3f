"""The tables of a trace as columns: what its events say one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from observer.errors import BadTrace
from observer.model.call_columns import CallColumns
from observer.model.events import Event
from observer.trace import call_columns
from observer.trace.reader import Trace
from tests.builders import HEAP, PID, call, fault, free, process, site, story_run
from tests.columned import ColumnsOfEvents
from tests.unit.trace.test_about import lives_of_pieces
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of

ONE, TWO = HEAP + 0x1000, HEAP + 0x9000


def odd_calls() -> list[Event]:
    """Sizes that do not fit into 64 bits, places without a line, other allocators, the C library's own calls."""
    other = site(None, None, "f")
    return [
        process(0, "start", path="/bin/true"), call(1, "calloc", 1 << 62, count=8, result=0, allocator="glibc"),
        call(2, "calloc", 7, count=3, result=ONE, site=None, allocator="glibc#2", origin="libc"),
        call(3, size=(1 << 64) - 1, result=0, site=other), call(4, result=TWO, site=other, allocator="libjemalloc.so.2"),
        fault(5, ONE, site=None), free(6, ONE), call(7, "mallopt", None, parameter=1, value=0, result=1, end_ns=None),
        process(8, "exec", path="/bin/ls"), process(9, "exit", status=0, tid=PID + 1), process(10, "exit", status=0),
    ]  # fmt: skip


@pytest.fixture(params=[story_run, lives_of_pieces, odd_calls])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Trace, list[Event]]:
    make: Callable[[], list[Event]] = request.param
    events = make()
    return trace_of([part_of(events)], tmp_path)[0], events


def named(columns: Iterable[CallColumns], names: Any) -> list[tuple[object, ...]]:
    rows = [row for window in columns for row in zip(*(column.tolist() for column in window), strict=True)]
    place = CallColumns._fields.index("place")
    return [(*row[:place], names.texts[row[place]], *row[place + 1 :]) for row in rows]


@pytest.mark.parametrize("window", [1, 7, 1 << 19])
@pytest.mark.parametrize("times", [True, False])
def test_calls_are_those_of_the_events(
    run: tuple[Trace, list[Event]], window: int, times: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_columns, "_WINDOW", window)
    trace, events = run
    found, expected = trace.columns(), ColumnsOfEvents(events)
    assert named(found.calls(times=times), found.names) == named(expected.calls(times=times), expected.names)


def test_faults_frames_and_ends_are_those_of_the_events(run: tuple[Trace, list[Event]]) -> None:
    trace, events = run
    found, expected = trace.columns(), ColumnsOfEvents(events)
    by_place: dict[str, tuple[int, int]] = {}
    for place, many, first in zip(*(column.tolist() for column in expected.faults()), strict=True):
        text = expected.names.texts[place]
        before = by_place.get(text, (0, first))
        by_place[text] = before[0] + many, min(before[1], first)
    told = zip(*(column.tolist() for column in found.faults()), strict=True)
    assert {found.names.texts[place]: (many, first) for place, many, first in told} == by_place
    assert [column.tolist() for column in found.frames()] == [column.tolist() for column in expected.frames()]
    assert found.ends() == expected.ends()
    assert dict(zip(*found.names, strict=True)) == dict(zip(*expected.names, strict=True))


def test_a_table_that_nobody_can_have_written_is_refused(tmp_path: Path) -> None:
    trace, _count = trace_of([part_of(story_run())], tmp_path)
    table = tmp_path / "calls.parquet"
    duckdb.sql(f"select * replace (case when n > 200 then 150 else n end as n) from '{table}'").write_parquet(
        str(tmp_path / "other.parquet")
    )
    (tmp_path / "other.parquet").rename(table)
    with pytest.raises(BadTrace, match="two calls of one number"):
        list(Trace(trace.folder, trace.meta).columns().calls(times=False))
