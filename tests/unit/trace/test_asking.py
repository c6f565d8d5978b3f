"""SQL over the tables of traces, and what cannot be answered."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from observer.cli import query
from observer.errors import BadTrace, UsageError
from observer.trace.asking import ask
from tests.builders import HEAP, call, fault, site
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of


@pytest.fixture
def traces(tmp_path: Path) -> list[Path]:
    """Two traces: two mallocs and a fault; one malloc."""
    folders = [tmp_path / "it's one.trace", tmp_path / "two.trace"]
    for folder, sizes in zip(folders, ([24, 100], [7]), strict=True):
        folder.mkdir()
        calls = [call(n, "malloc", size=size, result=HEAP + 64 * n) for n, size in enumerate(sizes, 1)]
        faults = [fault(9, HEAP, site=site(7))] if len(sizes) > 1 else []
        trace_of([part_of([*calls, *faults])], folder)
    return folders


def rows(folders: list[Path], text: str) -> list[tuple[object, ...]]:
    return list(ask(folders, text).rows)


def test_a_table_holds_the_rows_of_all_traces_and_which_they_are_of(traces: list[Path]) -> None:
    found = rows(traces, "select trace, sum(size) from calls group by trace order by trace")
    assert found == [("it's one.trace", 124), ("two.trace", 7)]
    assert rows(traces[:1], "select count(*) from faults") == [(1,)]
    assert rows(traces[1:], "select count(*) from faults") == [(0,)]
    assert ask(traces, "select n, op from calls").columns == ["n", "op"]


def test_where_no_thread_can_be_had_a_question_is_answered_without(
    traces: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert rows(traces[:1], "select count(*) from calls") == [(2,)]


@pytest.mark.parametrize("text", ["selekt 1", "select 1 from nowhere", "select nothing from calls", "", "select (("])
def test_what_is_no_query_is_the_users_error(traces: list[Path], text: str) -> None:
    with pytest.raises(UsageError, match="the query cannot be answered"):
        rows(traces, text)


def test_a_query_that_is_no_utf8_is_told_as_that(traces: list[Path]) -> None:
    with pytest.raises(UsageError) as said:
        rows(traces, os.fsdecode(b"select '\xff'"))
    assert said.value.why == "it is no UTF-8, which DuckDB needs"


def test_what_goes_wrong_while_rows_are_read_is_told(traces: list[Path]) -> None:
    with pytest.raises(BadTrace, match="the query failed"):
        rows(traces, "select cast(op as bigint) from calls")


def test_what_is_no_trace_is_said_before_anything_is_asked(traces: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="is not a trace"):
        ask([tmp_path], "select 1")
    with pytest.raises(BadTrace, match="cannot open"):
        ask([tmp_path / "gone"], "select 1")
    (traces[0] / "calls.parquet").write_bytes(b"PAR1 it is not")
    with pytest.raises(BadTrace, match="the table calls cannot be read"):
        ask(traces, "select 1")


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    parser = argparse.ArgumentParser()
    query.configure(parser)
    assert query.run(parser.parse_args(words)) == 0
    return capsys.readouterr().out


def test_the_answer_is_a_table_or_lines_for_a_program(traces: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    pattern, text = str(traces[0].parent / "*.trace"), "select size, '=' || op as op from calls order by size"
    assert [line.split() for line in told(capsys, pattern, text).splitlines()] == [
        ["size", "op"], ["7", "=malloc"], ["24", "=malloc"], ["100", "=malloc"],
    ]  # fmt: skip
    lines = [json.loads(line) for line in told(capsys, pattern, text, "--json").splitlines()]
    assert lines == [{"size": size, "op": "=malloc"} for size in (7, 24, 100)]
    assert told(capsys, pattern, text, "--csv") == "size,op\n7,'=malloc\n24,'=malloc\n100,'=malloc\n"


def test_an_answer_steers_no_terminal(traces: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in told(capsys, str(traces[0]), "select chr(27) || '[2J[red]x' as \"a\x1bb\"")


def test_a_pattern_that_names_nothing_is_said(traces: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="nothing is called"):
        told(capsys, str(traces[0].parent / "*.none"), "select 1")


@pytest.mark.parametrize(
    "text",
    [
        "select 1; select 2", "create table mine as select 1", "drop view calls", "set threads = 1", "install httpfs",
        "load httpfs", "attach '{folder}/new.db'", "copy (select 1) to '{folder}/new.csv'", "export database '{folder}'",
        "copy (select 1) to '{table}' (use_tmp_file false)", "explain analyze copy (select 1) to '{table}'",
        "copy (pivot calls on op using count(*)) to '{table}' (use_tmp_file false, format csv)",
        "/* */ copy (pivot calls on op using count(*)) to '{table}' (use_tmp_file false, format csv)",
        "create table mine as pivot calls on op using count(*)", "select * from read_text('{folder}/other')",
        "select * from '{folder}/other.csv'", "select * from glob('{folder}/*')", "from 'https://localhost/x.parquet'",
        "select '\udcff'",
    ],
)  # fmt: skip
def test_a_question_reads_the_tables_and_does_nothing(traces: list[Path], tmp_path: Path, text: str) -> None:
    for name in ("other", "other.csv"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    table = traces[1] / "calls.parquet"
    before = table.read_bytes(), sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match="the query cannot be answered"):
        rows(traces, text.format(folder=tmp_path, table=table))
    assert (table.read_bytes(), sorted(tmp_path.iterdir())) == before


def test_questions_need_not_begin_with_select(traces: list[Path]) -> None:
    assert rows(traces, "from calls select count(*)") == [(3,)]
    assert rows(traces, "with mine as (from calls) select count(*) from mine;") == [(3,)]
    assert rows(traces, "pivot calls on op using count(*) group by trace order by trace")[0] == ("it's one.trace", 2)
    assert ("n", "BIGINT") in [row[:2] for row in rows(traces, "describe calls")]
    assert rows(traces, "summarize faults")[0][0] == "trace"


def test_a_table_that_is_missing_or_something_else_is_said(traces: list[Path], tmp_path: Path) -> None:
    (traces[0] / "lost.parquet").unlink()
    with pytest.raises(BadTrace, match=r"is incomplete: lost\.parquet is missing"):
        ask(traces, "select 1")
    os.mkfifo(traces[0] / "lost.parquet")
    with pytest.raises(BadTrace, match=r"cannot read lost\.parquet .*: it is no regular file"):
        ask(traces, "select 1")
    (traces[0] / "lost.parquet").unlink()
    (traces[0] / "lost.parquet").symlink_to(traces[1] / "lost.parquet")
    with pytest.raises(BadTrace, match="it is no regular file"):
        ask(traces, "select 1")


def test_a_folders_name_stands_for_itself(traces: list[Path], tmp_path: Path) -> None:
    for name in ("a*b.trace", "[t]wo.trace", "tw?.trace", "a[1].trace", "{two}.trace"):
        shutil.copytree(traces[1], tmp_path / name)
        assert rows([tmp_path / name], "select trace, size from calls") == [(name, 7)]
    odd = tmp_path / "\udcff.trace"
    shutil.copytree(traces[1], odd)
    with pytest.raises(BadTrace, match="cannot be asked: its name is no UTF-8"):
        ask([odd], "select 1")


def test_two_columns_of_one_name_are_no_object(traces: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="two columns are called a"):
        told(capsys, str(traces[0]), "select 1 as a, 2 as a", "--json")
    assert told(capsys, str(traces[0]), "select 1 as a, 2 as a", "--csv") == "a,a\n1,2\n"


def test_an_answer_of_many_rows_is_told_as_it_comes(traces: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = "select range as n, 'x' || range as word, null as nothing from range(2500)"
    lines = told(capsys, str(traces[0]), text).splitlines()
    assert [line.split() for line in lines] == [["n", "word", "nothing"], *([f"{n:,}", f"x{n}"] for n in range(2500))]
    assert len({line.index("x") for line in lines[1001:]}) == 1
    wide = told(capsys, str(traces[0]), f"select range as n, '{'w' * 200}' as word from range(1001)")
    assert len(wide.splitlines()) == 1002
    assert wide.count("w" * 200) == 1001
