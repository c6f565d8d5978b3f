"""A student's folder and the file that is handed in; no program is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observer.errors import BadLab, UsageError
from observer.labs.attempt import sources_in
from observer.labs.handin import content_of, hand_in, parse_hand_in
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
    found = parse_hand_in("a.handin", content_of(tmp_path / "a.handin"))
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


def test_a_source_without_end_is_none_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int main(void) { return 0; }")
    assert list(sources_in(tmp_path, ["x.c", "gone.c"])) == ["x.c"]
    os.truncate(tmp_path / "x.c", 1 << 40)
    with pytest.raises(BadLab, match=r"x\.c is no source: it has more than 8,388,608 bytes"):
        sources_in(tmp_path, ["x.c"])
