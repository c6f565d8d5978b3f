"""Graders' formats: the fields that their documentation names, and nothing of a hand-in that steers a reader."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest

from observer.errors import ObserverError
from observer.labs.formats import FORMATS
from observer.labs.grading import Document
from tests.unit.labs.hand_ins import check, document

HOSTILE = '\x1b[2J</script><b onload="x">&\x00\ufffe\u202e=1'
FAILED = check("asks", "failed", 0, max_points=3, seen="4", expected="5", lines=["a.c:7"], hint={"en": "Ask for 5."})
HIDDEN = check("kept", "not reached", 0, max_points=4, visibility="hidden")
BLIND = check("faults", "not verifiable here", 0, max_points=0, why="perf is refused")
GRADED = document(score=2, max_score=8, checks=[check(), FAILED, HIDDEN, BLIND], notes=["nothing was predicted"])
OURS = document(verdict="XX", why="gcc is not installed", score=None)
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
TEST = {
    "type": "object",
    "properties": {
        "score": {"type": "number"}, "max_score": {"type": "number"}, "name": {"type": "string"},
        "number": {"type": "string"}, "output": {"type": "string"}, "status": {"enum": ["passed", "failed"]},
        "output_format": FORMAT, "name_format": FORMAT, "visibility": VISIBILITY, "extra_data": {"type": "object"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["score"],
    "additionalProperties": False,
}  # fmt: skip
GRADESCOPE = {
    "type": "object",
    "properties": {
        "score": {"type": "number"}, "execution_time": {"type": "number"}, "output": {"type": "string"},
        "output_format": FORMAT, "test_output_format": FORMAT, "test_name_format": FORMAT, "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY, "extra_data": {"type": "object"}, "tests": {"type": "array", "items": TEST},
        "leaderboard": {"type": "array"},
    },
    "additionalProperties": False,
}  # fmt: skip
"""What Gradescope documents of results.json."""


def told(form: str, *documents: Document) -> str:
    return FORMATS[form](documents)


def test_gradescope_gets_the_fields_that_it_documents() -> None:
    result = json.loads(told("gradescope", GRADED))
    jsonschema.validate(result, GRADESCOPE)
    assert result["score"] == 2.5  # 2 of 8 that can be verified, of 10
    names = [(test["name"], test["score"], test["max_score"], test.get("status")) for test in result["tests"]]
    assert names == [
        ("nothing left", 2, 2, "passed"), ("asks", 0, 3, "failed"), ("kept", 0, 4, "failed"), ("faults", 0, 0, None),
    ]  # fmt: skip
    assert [test["visibility"] for test in result["tests"]] == ["visible", "visible", "after_published", "visible"]
    assert "hint: Ask for 5." in result["tests"][1]["output"]
    assert "perf is refused" in result["tests"][3]["output"]


def test_our_failure_is_scored_nowhere() -> None:
    result = json.loads(told("gradescope", OURS))
    jsonschema.validate(result, GRADESCOPE)
    assert not {"score", "tests"} & result.keys()
    assert "scores" not in told("autolab", OURS)
    with pytest.raises(ObserverError, match="there is no result"):
        told("classroom50", OURS)
    assert told("csv", OURS).splitlines()[1] == "a.handin,first_malloc,1,XX,,10,10,gcc is not installed"
    suite = ElementTree.fromstring(told("junit", OURS)).find("testsuite")
    assert suite is not None
    assert (suite.get("errors"), suite.get("failures")) == ("1", "0")


def test_autolab_reads_the_scores_in_the_last_line() -> None:
    *_, stages, scores = told("autolab", GRADED).splitlines()
    assert json.loads(scores) == {"scores": {"nothing left": 2, "asks": 0, "kept": 0, "faults": 0}}
    assert json.loads(stages)["_presentation"] == "semantic"
    assert json.loads(stages)["checks"]["asks"] == {"passed": False}


def test_classroom50_gets_whole_numbers_and_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ObserverError, match="CLASSROOM is not in the environment"):
        told("classroom50", GRADED)
    for name in ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL"):
        monkeypatch.setenv(name, f"https://example.org/{name.lower()}")
    result = json.loads(told("classroom50", GRADED))
    assert set(result) == {
        "schema", "classroom", "assignment", "submission", "commit", "release", "review", "datetime", "score",
        "max-score", "tests",
    }  # fmt: skip
    assert (result["schema"], result["score"], result["max-score"]) == ("classroom50/result/v1", 2, 8)
    assert result["review"] == result["commit"]
    assert result["tests"][0] == {"test-name": "nothing left", "passed": True, "score": 2, "max-score": 2}


def test_junit_counts_what_failed_and_what_was_skipped() -> None:
    suite = ElementTree.fromstring(told("junit", GRADED)).find("testsuite")
    assert suite is not None
    counted = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "4", "failures": "1", "errors": "0", "skipped": "2"}


def test_a_table_has_a_row_a_hand_in_and_no_formula() -> None:
    lines = told("csv", document("a,b.handin", seed="=1+1", verdict="XX", score=None)).splitlines()
    assert lines == ["file,lab,seed,verdict,score,max_score,points,why", '"a,b.handin",first_malloc,\'=1+1,XX,,10,10,']


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"csv"}))
def test_hostile_text_steers_nothing(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL"):
        monkeypatch.setenv(name, "x")
    checks = [check(HOSTILE, "failed", seen=HOSTILE, why=HOSTILE, row=HOSTILE)]
    text = told(form, document(HOSTILE, why=HOSTILE, seed=HOSTILE, checks=checks, notes=[HOSTILE]), document())
    assert not {"\x1b", "\x00", "\u202e", "\ufffe"} & set(text)
    if form in ("junit", "html"):
        assert "<b " not in text
    if form == "html":
        assert "<script" not in text


def test_the_page_says_where_the_class_stumbles() -> None:
    page = told("html", GRADED, document("b.handin", verdict="SUSPECT", why="the same recording as in a.handin"), OURS)
    assert page.index(">kept<") > page.index(">asks<")  # both are not passed: in the order of the lab
    assert page.index(">nothing left<") > page.index(">kept<")
    assert "the same recording as in a.handin" in page
    assert 'aria-label="1 failed"' in page


def test_no_hand_ins_and_one_that_is_none_make_a_page() -> None:
    assert "<h1>0 hand-ins</h1>" in told("html")
    assert "<title>Labs: 1 hand-in</title>" in told("html", GRADED)
    page = told("html", document(lab="", verdict="RE", why="it is no hand-in"))
    assert "To be looked at" in page
    assert "it is no hand-in" in page
    assert "To be looked at" not in told("html", GRADED)
