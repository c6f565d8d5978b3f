"""The hand-ins of a class: what is read, what is kept, who has the same recording. What grades is made up here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pytest

from observer.errors import UsageError
from observer.labs.box import Box
from observer.labs.classroom import Results, files_of, grade_class
from observer.labs.fleet import Task, Wish
from observer.labs.gradebook import write_gradebook
from observer.labs.grading import Document
from tests.unit.labs.hand_ins import bytes_of, check, document, given, recorded


class Fleet:
    """Grades everything as good, the last first; remembers what it was asked for."""

    def __init__(self, **fields: object) -> None:
        self.asked: list[str] = []
        self._fields = fields

    def __call__(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Document]]:
        for task in reversed(list(tasks)):
            self.asked.append(task.name)
            yield task.number, document(task.name, **self._fields)


def put(folder: Path, name: str, **fields: object) -> Path:
    path = folder / name
    path.write_bytes(bytes_of(given(**fields)))
    return path


def test_a_folder_means_the_hand_ins_in_it(tmp_path: Path) -> None:
    for name in ("b.handin", "a.handin", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of([tmp_path])] == ["a.handin", "b.handin"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing to grade"):
        files_of([tmp_path / "empty"])


def test_documents_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    files = [put(tmp_path, f"{name}.handin") for name in "cab"]
    assert [each.file for each in grade_class(files, Fleet(), None)] == ["c.handin", "a.handin", "b.handin"]


def test_a_fifo_a_link_to_a_device_and_a_folder_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.handin")
    (tmp_path / "b.handin").symlink_to("/dev/zero")
    (tmp_path / "c.handin").mkdir()
    (tmp_path / "d.handin").write_text("a hand-in")
    fleet = Fleet()
    found = list(grade_class([tmp_path / f"{name}.handin" for name in "abcd"], fleet, None))
    assert [(each.verdict, each.score) for each in found] == [("RE", 0)] * 3 + [("OK", 3)]
    assert fleet.asked == ["d.handin"]


def test_a_file_that_is_gone_is_our_failure_and_has_no_score(tmp_path: Path) -> None:
    (found,) = grade_class([tmp_path / "gone.handin"], Fleet(), None)
    assert (found.verdict, found.score) == ("XX", None)


def test_what_was_graded_is_not_graded_again_whatever_its_file_is_called(tmp_path: Path) -> None:
    files = [put(tmp_path, "a.handin"), put(tmp_path, "b.handin", seed="2")]
    first, second = Fleet(), Fleet()
    before = list(grade_class(files, first, Results(tmp_path / "kept", Wish())))
    files[0] = files[0].rename(tmp_path / "c.handin")
    after = list(grade_class(files, second, Results(tmp_path / "kept", Wish())))
    assert (sorted(first.asked), second.asked) == (["a.handin", "b.handin"], [])
    assert [each.file for each in after] == ["c.handin", "b.handin"]
    assert after[1] == before[1]


def test_another_hand_in_or_a_changed_lab_is_graded(tmp_path: Path) -> None:
    path, lab = put(tmp_path, "a.handin"), tmp_path / "labs" / "mine"
    lab.mkdir(parents=True)
    (lab / "lab.toml").write_text("points = 1\n")
    asked = []
    for change in (None, (lab / "lab.toml", "points = 2\n"), (path, bytes_of(given(seed="9")).decode()), None):
        if change is not None:
            change[0].write_text(change[1])
        fleet = Fleet()
        list(grade_class([path], fleet, Results(tmp_path / "kept", Wish(tmp_path / "labs"))))
        asked.append(len(fleet.asked))
    assert asked == [1, 1, 1, 0]


def test_our_failures_and_damaged_documents_are_graded_again(tmp_path: Path) -> None:
    path = put(tmp_path, "a.handin")
    for fleet in (Fleet(verdict="XX", score=None), Fleet(), Fleet()):
        list(grade_class([path], fleet, Results(tmp_path / "kept", Wish())))
        asked = fleet.asked
    assert asked == []
    (kept,) = (tmp_path / "kept").glob("*.json")
    kept.write_text("{")
    again = Fleet()
    list(grade_class([path], again, Results(tmp_path / "kept", Wish())))
    assert again.asked == ["a.handin"]


def test_what_is_cut_off_loses_only_what_was_not_known(tmp_path: Path) -> None:
    files = [put(tmp_path, f"{name}.handin", seed=name) for name in "abc"]

    class Cut(Exception):
        pass

    def dies(tasks: Iterable[Task]) -> Iterator[tuple[int, Document]]:
        for task in tasks:
            if task.number == 2:
                raise Cut
            yield task.number, document(task.name)

    with pytest.raises(Cut):
        list(grade_class(files, dies, Results(tmp_path / "kept", Wish())))
    rest = Fleet()
    assert len(list(grade_class(files, rest, Results(tmp_path / "kept", Wish())))) == 3
    assert rest.asked == ["c.handin"]


def test_the_same_recording_handed_in_twice_is_named(tmp_path: Path) -> None:
    files = [
        put(tmp_path, "a.handin", recording=recorded("AAAA")), put(tmp_path, "b.handin", recording=recorded("BBBB")),
        put(tmp_path, "c.handin", seed="2", recording=recorded("AAAA", asks="passed")), put(tmp_path, "d.handin"),
    ]  # fmt: skip
    found = list(grade_class(files, Fleet(), None))
    assert [each.verdict for each in found] == ["SUSPECT", "OK", "SUSPECT", "OK"]
    assert found[0].why == "the same recording as in c.handin"
    assert found[2].score == 3


def test_the_gradebook_is_a_table_and_parquet(tmp_path: Path) -> None:
    results = Results(tmp_path / "it's kept", Wish())
    documents = [
        document("a.handin", checks=[check(), check("asks", "failed", seen="4", expected="5")]),
        document("b.handin", verdict="XX", score=None, why="no gcc", notes=["late"]),
    ]
    write_gradebook(results, tmp_path / "it's kept", documents)
    rows = duckdb.sql(f"select file, verdict, score, notes from '{tmp_path}/it''s kept/gradebook.parquet'").fetchall()
    assert rows == [("a.handin", "OK", 3, []), ("b.handin", "XX", None, ["late"])]
    rows = duckdb.sql(f"select file, name, status, seen from '{tmp_path}/it''s kept/checks.parquet'").fetchall()
    assert rows == [("a.handin", "nothing left", "passed", ""), ("a.handin", "asks", "failed", "4")]
    assert (tmp_path / "it's kept" / "gradebook.csv").read_text().count("\n") == 3
    assert "<title>" in (tmp_path / "it's kept" / "class.html").read_text()


def test_a_name_that_is_no_text_spoils_no_gradebook(tmp_path: Path) -> None:
    results = Results(tmp_path / "a*b", Wish())
    odd = document("\udcff.handin")
    results.keep("0.json", odd)
    kept = results.known("0.json")
    assert kept is not None
    assert kept.file == "\\xff.handin"
    (tmp_path / "a, b").mkdir()
    (tmp_path / "a, b" / "gradebook.jsonl").write_text("{}\n")
    write_gradebook(results, tmp_path / "a*b", [odd])
    rows = duckdb.sql(f"select file from '{tmp_path}/a[*]b/gradebook.parquet'").fetchall()
    assert rows == [("\\xff.handin",)]


@pytest.mark.parametrize("by", [Wish(only="threshold"), Wish(box=Box.USER)])
def test_what_was_graded_by_other_rules_is_graded_again(tmp_path: Path, by: Wish) -> None:
    path, again = put(tmp_path, "a.handin"), Fleet()
    list(grade_class([path], Fleet(), Results(tmp_path / "kept", by)))
    list(grade_class([path], again, Results(tmp_path / "kept", Wish())))
    assert again.asked == ["a.handin"]


def test_a_file_that_is_named_twice_is_nobodys_twin(tmp_path: Path) -> None:
    path = put(tmp_path, "a.handin", recording=recorded())
    put(tmp_path, "b.handin")
    (tmp_path / "c.handin").symlink_to(path)
    files = files_of([path, tmp_path])
    assert [each.name for each in files] == ["a.handin", "b.handin"]
    assert [each.verdict for each in grade_class(files, Fleet(), None)] == ["OK", "OK"]
