"""What may be handed in, and what is said of it, before any program is run."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from observer.labs.grading import Grader
from observer.labs.handin import Recording, hand_in, suspicions
from observer.labs.predictions import seal
from observer.labs.work import start
from tests.unit.labs.hand_ins import bytes_of, document, given, recorded


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader()


GOOD = msgspec.to_builtins(given())


@pytest.mark.parametrize(
    "content",
    [
        "", "no JSON", "[" * 100_000, "[]", "{}", json.dumps(GOOD | {"schema": "other"}), json.dumps(GOOD | {"seed": 7}),
        json.dumps(GOOD | {"lab": "../first_malloc"}), json.dumps(GOOD | {"lab": "x" * 5000}),
        json.dumps(GOOD | {"lab": "a\x00b"}), json.dumps(GOOD).replace('"seed": "1"', '"seed": "\\ud800"'),
        json.dumps(GOOD | {"sources": {"first_malloc.c": "x" * (8 << 20)}}), json.dumps(GOOD | {"recording": [1]}),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_hand_in_is_the_students_error_and_scores_nothing(grader: Grader, content: str) -> None:
    graded = grader.grade("a.handin", content.encode())
    assert (graded.verdict, graded.score) == ("RE", 0)
    assert graded.why


def test_without_a_box_nothing_is_run_and_nothing_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with Grader() as grader:
        graded = grader.grade("a.handin", bytes_of(given()))
    assert (graded.verdict, graded.score) == ("XX", None)
    assert "bwrap is not installed" in graded.why


def test_a_hand_in_that_nobody_touched_is_not_suspicious(tmp_path: Path) -> None:
    work = start("first_malloc", tmp_path / "mine", "7")
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / "meta.json").write_text("{}")
    made = hand_in(work, tmp_path / "a.handin", tmp_path / "trace", {"asks": "passed"})
    assert suspicions(made) == []
    assert made.recording is not None
    assert set(made.recording.files) == {"meta.json"}
    assert suspicions(given()) == suspicions(given(recording=recorded())) == []


def test_each_part_that_was_touched_is_named() -> None:
    whole = given(recording=recorded(asks="failed"), predictions=seal("first_malloc", "1", {"steps": "1-5"}))
    replace = msgspec.structs.replace
    assert suspicions(replace(whole, sources={"first_malloc.c": ""})) == [
        "first_malloc.c is not the file that was hashed"
    ]
    assert suspicions(replace(whole, seed="2")) == ["the predictions are not what was sealed"]
    changed = ["it was changed after it had been made"]
    assert suspicions(replace(whole, recording=recorded("BBBB", asks="failed"))) == changed
    assert suspicions(replace(whole, recording=recorded(asks="passed"))) == changed
    assert suspicions(replace(whole, recording=None)) == changed
    assert suspicions(replace(whole, machine={"kernel": "other"})) == changed
    assert suspicions(given(recording=recorded("no base 64!"))) == ["its recording is none"]


def test_a_recording_is_known_by_all_that_is_in_it() -> None:
    one = Recording({"a": "AAAA", "b": "BBBB"}, {})
    assert one.digest == Recording({"b": "BBBB", "a": "AAAA"}, {"x": "passed"}).digest
    assert one.digest != Recording({"a": "AAAA", "b": "BBBC"}, {}).digest
    assert Recording({}, {"x": "passed"}).digest == ""


def test_a_recording_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    work = start("first_malloc", tmp_path / "mine", "7")
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / "calls.parquet").write_bytes(bytes((4 << 20) + 1))
    made = hand_in(work, tmp_path / "a.handin", tmp_path / "trace", {"asks": "passed"})
    assert made.recording == Recording({}, {"asks": "passed"})


def test_a_document_has_the_documented_fields() -> None:
    assert {"verdict", "score", "max_score", "checks"} <= msgspec.to_builtins(document()).keys()
