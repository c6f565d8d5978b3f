"""A student's folder and the file that is handed in; no program is run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from observer.errors import BadLab, UsageError
from observer.labs.grading import Document, Grader, as_csv, files_of
from observer.labs.handin import hand_in, read_hand_in
from observer.labs.work import Work, open_work, start

SEED = "20261234"
ANSWERS: dict[str, int | bool | str] = {"how_many": 2, "steps": "1-2-3-4-5", "second": 6}


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return start("first_malloc", tmp_path / "mine", SEED)


def test_a_started_lab_holds_what_the_student_needs_and_no_solution(work: Work) -> None:
    names = {path.name for path in work.folder.iterdir()}
    assert names == {"first_malloc.c", "parameters.h", "question.md", "question.ko.md", "lab.json"}
    assert (work.folder / "parameters.h").read_text() == "#define SIZE 25000\n"
    again = open_work(work.folder)
    assert (again.lab.name, again.seed, again.sealed) == ("first_malloc", SEED, None)


def test_an_existing_folder_is_refused(work: Work) -> None:
    with pytest.raises(BadLab, match="File exists"):
        start("first_malloc", work.folder, SEED)


@pytest.mark.parametrize("seed", ["", "x" * 65, "a\nb"])
def test_a_seed_is_a_word(tmp_path: Path, seed: str) -> None:
    with pytest.raises(UsageError, match="the seed must be a word"):
        start("first_malloc", tmp_path / "mine", seed)
    assert not (tmp_path / "mine").exists()


def test_predictions_are_sealed_once(work: Work) -> None:
    work.keep(ANSWERS)
    again = open_work(work.folder)
    assert again.answers == ANSWERS
    with pytest.raises(BadLab, match="sealed already"):
        again.keep(ANSWERS)


def test_predictions_that_were_changed_are_refused(work: Work) -> None:
    work.keep(ANSWERS)
    path = work.folder / "predictions.json"
    path.write_text(path.read_text().replace('"how_many": 2', '"how_many": 3'))
    with pytest.raises(BadLab, match="were changed"):
        _ = open_work(work.folder).answers


@pytest.mark.parametrize("content", [b"", b"[", b'{"lab": 3}', b"\xff", b"[" * 60_000])
def test_a_damaged_folder_is_an_error_with_its_file(work: Work, content: bytes) -> None:
    (work.folder / "lab.json").write_bytes(content)
    with pytest.raises(BadLab, match=r"lab\.json"):
        open_work(work.folder)


def test_what_is_no_students_folder_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadLab):
            open_work(place)


def test_one_file_holds_all_that_is_handed_in(work: Work, tmp_path: Path) -> None:
    work.keep(ANSWERS)
    hand_in(open_work(work.folder), tmp_path / "a.handin")
    found = read_hand_in(tmp_path / "a.handin")
    assert (found.lab, found.seed, set(found.sources)) == ("first_malloc", SEED, {"first_malloc.c"})
    assert found.predictions is not None
    assert found.predictions.answers == ANSWERS
    with pytest.raises(BadLab, match="File exists"):
        hand_in(work, tmp_path / "a.handin")


def test_a_source_that_is_missing_or_no_text_is_not_handed_in(work: Work, tmp_path: Path) -> None:
    source = work.folder / "first_malloc.c"
    source.write_bytes(b"\xff\xfe")
    with pytest.raises(BadLab, match="is no text"):
        hand_in(work, tmp_path / "a.handin")
    source.unlink()
    with pytest.raises(BadLab, match="is missing"):
        hand_in(work, tmp_path / "a.handin")
    assert not (tmp_path / "a.handin").exists()


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader()


GOOD = {
    "schema": "observer/hand-in/1", "lab": "first_malloc", "seed": "1", "sources": {}, "hashes": {}, "predictions": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "", "no JSON", "[" * 100_000, "[]", "{}", json.dumps(GOOD | {"schema": "other"}), json.dumps(GOOD | {"seed": 7}),
        json.dumps(GOOD | {"lab": "../first_malloc"}), json.dumps(GOOD | {"lab": "x" * 5000}),
        json.dumps(GOOD | {"lab": "a\x00b"}), json.dumps(GOOD).replace('"seed": "1"', '"seed": "\\ud800"'),
        json.dumps(GOOD | {"sources": {"first_malloc.c": "x" * (1 << 20)}}),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_hand_in_is_the_students_error_and_scores_nothing(
    grader: Grader, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "a.handin"
    path.write_text(content)
    document = grader.grade(path)
    assert (document.verdict, document.score) == ("RE", 0)
    assert document.why


def test_a_fifo_a_link_to_a_device_and_a_folder_are_not_waited_for(grader: Grader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.handin")
    (tmp_path / "b.handin").symlink_to("/dev/zero")
    (tmp_path / "c.handin").mkdir()
    documents = [grader.grade(tmp_path / name) for name in ("a.handin", "b.handin", "c.handin")]
    assert [(each.verdict, each.score) for each in documents] == [("RE", 0)] * 3


def test_a_file_that_is_gone_is_our_failure_and_has_no_score(grader: Grader, tmp_path: Path) -> None:
    assert (grader.grade(tmp_path / "gone.handin").verdict, grader.grade(tmp_path / "gone.handin").score) == (
        "XX",
        None,
    )


def test_without_a_box_nothing_is_run_and_nothing_scored(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(work, tmp_path / "a.handin")
    monkeypatch.setenv("PATH", str(tmp_path))
    document = Grader().grade(tmp_path / "a.handin")
    assert (document.verdict, document.score) == ("XX", None)
    assert "bwrap is not installed" in document.why


def test_a_folder_means_the_hand_ins_in_it(tmp_path: Path) -> None:
    for name in ("b.handin", "a.handin", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of([tmp_path])] == ["a.handin", "b.handin"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="nothing to grade"):
        files_of([tmp_path / "empty"])


def test_a_table_has_a_row_a_hand_in_and_no_formula() -> None:
    document = Document("a,b.handin", "first_malloc", "=1+1", "XX", "", None, 10)
    assert list(as_csv([document])) == [
        "file,lab,seed,verdict,score,max_score,why", '"a,b.handin",first_malloc,\'=1+1,XX,,10,',
    ]  # fmt: skip


def test_a_document_has_the_documented_fields() -> None:
    fields = msgspec.to_builtins(Document("a", "first_malloc", "1", "OK", "", 3, 10))
    assert {"verdict", "score", "max_score", "checks"} <= fields.keys()
