"""Checks beside what a program did: passed, failed, not reached, not verifiable; and how they are scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.errors import BadLab
from observer.labs.anchors import anchors_in
from observer.labs.attempt import Attempt
from observer.labs.judging import CheckResult, Observed, answers_of, judge
from observer.labs.lab import Lab, read_lab
from observer.labs.marking import Marked
from observer.labs.program import program_in
from observer.labs.template import make_lab
from tests.builders import HEAP, Script, meta, site
from tests.unit.labs.test_lab import changed

PATH = "/home/ada/mine"


def attempt(size: int, *, frees: bool, line: int = 7, **fields: object) -> Attempt:
    run = Script()
    run.process("start", path=PATH)
    run.call("malloc", size, result=HEAP, site=site(line, "/home/ada/mine.c"), steps="1-2-3-4-5")
    if frees:
        run.call("free", None, pointer=HEAP, site=site(9, "/home/ada/mine.c"))
    run.process("exit", status=0)
    return Attempt("OK", "", program_in(run.events, meta(**fields), PATH), {"ASK": ["mine.c:7"]})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    make_lab(tmp_path / "mine")
    return read_lab(tmp_path / "mine")


def judged(lab: Lab, done: Attempt, answer: str = "1-2-3-4-5") -> list[CheckResult]:
    handout = answers_of(lab, attempt(size_of(lab), frees=False), "")
    return judge(lab, Observed(lab, done, "", {"steps": answer}, handout))


def size_of(lab: Lab) -> int:
    return lab.values("")["SIZE"]


def test_a_good_attempt_passes_everything(lab: Lab) -> None:
    results = judged(lab, attempt(size_of(lab), frees=True))
    assert [(result.status, result.points) for result in results] == [("passed", 1), ("passed", 0), ("passed", 2)]


def test_a_failed_check_says_what_was_seen_expected_and_where(lab: Lab) -> None:
    asks = judged(lab, attempt(77, frees=True))[1]
    assert (asks.status, asks.seen, asks.expected) == ("failed", "77", f"{size_of(lab):,}")
    assert asks.lines == ("mine.c:7",)
    assert "malloc(77)" in asks.row
    assert asks.book == "3.5.7"
    assert asks.hint == {"en": "Ask for SIZE bytes at @ASK.", "ko": "@ASK에서 SIZE바이트를 요청하십시오."}


def test_a_check_may_be_about_other_concepts_than_its_lab(lab: Lab) -> None:
    lab = read_lab(changed(lab.folder, "checks.toml", "points = 2", 'points = 2\nconcepts = ["brk", "rings"]'))
    assert judged(lab, attempt(77, frees=True))[2].book == "3.5.5 and 3.5.6, 3.5.1"
    with pytest.raises(BadLab, match="'nowhere' is no concept"):
        read_lab(changed(lab.folder, "checks.toml", '"rings"', '"nowhere"'))


def test_what_needs_a_check_that_failed_is_not_reached_and_gives_nothing(lab: Lab) -> None:
    last = judged(lab, attempt(77, frees=True))[2]
    assert (last.status, last.points, last.max_points, last.why) == ("not reached", 0, 2, "'asks' must pass first")


def test_a_prediction_is_set_beside_what_was_observed(lab: Lab) -> None:
    wrong = judged(lab, attempt(size_of(lab), frees=True), "1-5")[0]
    assert (wrong.status, wrong.seen, wrong.expected) == ("failed", "1-5", "1-2-3-4-5")


def test_a_question_is_about_the_handout_whatever_is_handed_in(lab: Lab) -> None:
    done = Attempt("RE", "it cannot be built")
    handout = answers_of(lab, attempt(size_of(lab), frees=False), "")
    observed = Observed(lab, done, "", {"steps": "1-2-3-4-5"}, handout)
    assert [result.status for result in judge(lab, observed)] == ["passed", "failed", "not reached"]
    assert judge(lab, observed)[1].why == "it cannot be built"


def test_a_line_without_its_anchor_fails_and_says_so(lab: Lab) -> None:
    done = attempt(size_of(lab), frees=True)
    nowhere = Attempt(done.verdict, done.why, done.program, {})
    twice = Attempt(done.verdict, done.why, done.program, {"ASK": ["mine.c:7", "mine.c:9"]})
    assert judged(lab, nowhere)[1].why == "no line of the source says // @ASK"
    assert "stands at 2 lines" in judged(lab, twice)[1].why


def test_what_cannot_be_verified_counts_neither_for_nor_against(lab: Lab) -> None:
    lab = read_lab(changed(lab.folder, "checks.toml", '"leaks == 0"', "'faults(line=\"@ASK\") == 0'"))
    blind = attempt(size_of(lab), frees=True, how={"faults": "inferred: refused"})
    last = judged(lab, blind)[2]
    assert (last.status, last.points, last.max_points) == ("not verifiable here", 0, 0)
    marked = Marked(blind, judged(lab, blind))
    assert (marked.score, marked.max_score) == (1, 1)


def test_a_check_whose_operands_do_not_fit_is_the_labs_error(lab: Lab) -> None:
    lab = read_lab(changed(lab.folder, "checks.toml", '"leaks == 0"', "'leaks == \"none\"'"))
    with pytest.raises(BadLab, match=r"checks\.toml, check 'nothing left': that: .* cannot be compared"):
        judged(lab, attempt(size_of(lab), frees=True))


def test_anchors_are_lines_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int a; // @ONE\n// no\n\fint b; //@TWO and // @ONE\n", encoding="utf-8")
    (tmp_path / "b.c").write_bytes(b"\xff // @THREE\n")
    found = anchors_in([tmp_path / "a.c", tmp_path / "b.c"])
    assert found == {"ONE": ["a.c:1", "a.c:3"], "TWO": ["a.c:3"], "THREE": ["b.c:1"]}
