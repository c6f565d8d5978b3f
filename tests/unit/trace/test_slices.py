"""A large table in slices: together they are the table, and what is told of it is the same however it is cut."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from observer.errors import BadTrace
from observer.files import File, Folder
from observer.model.events import Call, Event
from observer.runs.profiled import counted, glanced
from observer.story.profile import ALL_PARTS
from observer.trace import call_columns, reader, slices
from observer.trace.reader import Trace
from observer.trace.row_groups import Stretch, closing_of, stretch_of
from observer.trace.slices import Slices
from tests.builders import PID, call, fault, free, process, site
from tests.columned import used
from tests.unit.story.test_profile import random_run
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of

ROW_GROUP = 2048
"""Rows."""
ROWS = 13_345


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is cut, into slices of one row group."""
    monkeypatch.setattr(slices, "_SMALL", 0)
    monkeypatch.setattr(call_columns, "_GROUPS", 1)
    monkeypatch.setattr(call_columns, "_MANY_GROUPS", 1)
    monkeypatch.setattr(reader, "_GROUPS", 1)


def regrouped(folder: Path, name: str, selection: str = "*") -> File:
    """Have the table *name* be one of small row groups, each written apart."""
    stretches = list[Stretch]()
    count = len(duckdb.sql(f"select n from '{folder / name}'").fetchall())
    with Folder.open(folder).replacing(name) as whole:
        for first in range(0, count, ROW_GROUP):
            rows = f"select * exclude (file_row_number) from read_parquet('{folder / name}', file_row_number = true)"
            rows = f"{rows} where file_row_number >= {first} and file_row_number < {first + ROW_GROUP}"
            duckdb.sql(f"""copy (select {selection} from ({rows})) to '{folder / "one"}'
                (format parquet, parquet_version v2, compression zstd)""")
            stretches.append(stretch_of(Folder.open(folder).file("one"), whole, stretches[0] if stretches else None))
        whole.append(closing_of(stretches))
    return Folder.open(folder).file(name)


def large_run(length: int = ROWS) -> list[Event]:
    """Calls of three processes, misuses and faults among them; pieces live across row groups; one call is unfinished."""
    events = random_run(3, length)
    for n in range(1000, length, 1000):
        pid = PID + n // 1000 % 3
        events[n] = (
            call(n, size=n, result=0, errno=12, pid=pid, tid=pid, site=site(7)) if n % 3000
            else process(n, "exec", pid=pid, tid=pid, path="/bin/ls")
        )  # fmt: skip
    events[-2] = free(length - 2, 16, end_ns=None)
    events[-1] = process(length - 1, "exit", status=0)
    return events


@pytest.fixture
def table(tmp_path: Path) -> File:
    path = tmp_path / "numbers.parquet"
    duckdb.sql(
        f"select n, n % 7 = 0 as seventh, case when n % 3 = 0 then 'x' || n % 5 end as word from range({ROWS}) t(n)"
    ).write_parquet(str(path))
    return regrouped(tmp_path, path.name)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_slices_are_the_table(table: File, most: int) -> None:
    found = Slices(table)
    files = [part.file for part in found.parts(most)]
    assert found.rows == sum(part.rows or 0 for part in found.parts(most)) == ROWS
    assert len(files) == -(-7 // most)
    whole = duckdb.sql(f"from read_parquet('{table.path}')").fetchall()
    assert [row for file in files for row in duckdb.sql(f"from read_parquet('{file.path}')").fetchall()] == whole
    words = "where word = 'x3'"  # which filters by what is known of the words may answer
    assert [row for file in files for row in duckdb.sql(f"from read_parquet('{file.path}') {words}").fetchall()] == [
        row for row in whole if row[2] == "x3"
    ]


def test_a_small_table_is_one_slice(table: File) -> None:
    assert (Slices(table).rows, [*Slices(table).parts(1)]) == (None, [(table, None)])


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("damage", [b"", b"\x00", b"\xff" * 60, b"\x1c" * 60, b"\x19\xfc\xff\xff\xff\xff\x0f" * 9])
def test_a_table_that_is_damaged_is_not_cut(table: File, damage: bytes, tmp_path: Path) -> None:
    content = bytearray(table.read_at(0, table.size))
    length = int.from_bytes(content[-8:-4], "little")
    at = len(content) - 8 - length
    content[at : at + len(damage)] = damage
    (tmp_path / "damaged").write_bytes(content if damage else content[:5])
    file = Folder.open(tmp_path).file("damaged")
    assert (Slices(file).rows, [*Slices(file).parts(1)]) == (None, [(file, None)])


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("window", [100, 5000, 1 << 19])
def test_what_is_told_of_a_large_run_is_the_same(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_columns, "_WINDOW", window)
    monkeypatch.setattr(call_columns, "_AT_ONCE", 1234)
    events = large_run()
    whole, _count = trace_of([part_of(events)], tmp_path)
    expected = glanced(whole), used(events).profile
    assert len(list(Slices(regrouped(tmp_path, "calls.parquet")).parts(1))) > 4
    trace = Trace.open(tmp_path)
    found = glanced(trace), counted(trace, *ALL_PARTS)
    assert (found[0].summary(), found[0].departures()) == (expected[0].summary(), expected[0].departures())
    assert found[0].broken_rules() == expected[0].broken_rules()
    assert [each[1:] for each in found[1].places()] == [each[1:] for each in expected[1].places()]
    assert [str(each.place) for each in found[1].places()] == [str(each.place) for each in expected[1].places()]
    assert found[1].peak[:3] == expected[1].peak[:3]
    assert sorted(found[1].peak.alive.pieces["born"]) == sorted(expected[1].peak.alive.pieces["born"])
    for told in ("lifetimes", "sizes", "curve"):
        assert getattr(found[1], told)() == getattr(expected[1], told)()
    assert found[1].lifetimes(in_time=True) == expected[1].lifetimes(in_time=True)
    assert list(trace.events()) == events


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("selection", [
    "* replace (case when n > 5000 then 77 else n end as n)", "* replace (n % 4000 as n)",
    "* replace (nullif(n, 5000) as n)", "* replace (case when n < 9000 then op else 'mangle' end as op)",
    "* replace (case when n < 9000 then pid else -1 end as pid)", "* replace (nullif(origin, 'libc') as origin)",
    "* replace (case when n < 9000 then site else {'function': repeat('f', 20000), 'file': null, 'line': null,"
    " 'module': null, 'offset': null} end as site)",
])  # fmt: skip
def test_calls_that_cannot_have_been_recorded_are_refused(selection: str, tmp_path: Path) -> None:
    trace_of([part_of(large_run())], tmp_path)
    regrouped(tmp_path, "calls.parquet", selection)
    trace = Trace.open(tmp_path)
    with pytest.raises(BadTrace, match=r"calls\.parquet"):
        counted(trace)


@pytest.mark.usefixtures("cut")
def test_a_call_of_many_is_found_by_its_number(tmp_path: Path) -> None:
    events = large_run()
    trace_of([part_of(events)], tmp_path)
    regrouped(tmp_path, "calls.parquet")
    calls = [event for event in events if isinstance(event, Call)]
    assert Trace.open(tmp_path).calls_by_number(calls[-7].n) == calls[-7]


@pytest.mark.usefixtures("cut")
def test_page_faults_come_to_pieces_of_other_slices(tmp_path: Path) -> None:
    events: list[Event] = [call(0, size=5000, result=1 << 20, site=site(3))]
    events += [event for n in range(1, 3000) for event in (call(n, size=1, result=16 * n, site=site(4)),)]
    events.append(fault(3000, 1 << 20, site=site(5)))
    trace_of([part_of(events)], tmp_path)
    regrouped(tmp_path, "calls.parquet")
    places = {each.place.text: each.place for each in counted(Trace.open(tmp_path)).places()}
    assert (places["story.c:5"].faults, places["story.c:3"].live) == (1, 5000)
