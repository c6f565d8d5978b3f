"""Folders of labs: the packaged ones are whole, and what is wrong with one is named with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observer.errors import BadLab, UsageError
from observer.labs.catalogue import find_lab, packaged_labs
from observer.labs.lab import Lab, Range, read_lab
from observer.labs.template import make_lab
from observer.model.chapter import CONCEPTS


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    make_lab(tmp_path / "mine")
    return tmp_path / "mine"


def changed(folder: Path, name: str, old: str, new: str) -> Path:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


def test_the_packaged_labs_are_at_least_eight_of_ten_points_each() -> None:
    labs = {lab.name: lab.points for lab in packaged_labs()}
    assert len(labs) >= 8
    assert set(labs.values()) == {10}


@pytest.mark.parametrize("lab", packaged_labs(), ids=lambda lab: lab.name)
def test_a_packaged_lab_teaches_concepts_in_two_languages_and_has_mistakes(lab: Lab) -> None:
    assert lab.concepts
    assert set(lab.concepts) <= set(CONCEPTS)
    assert len(lab.mistakes) >= 2
    assert all(question.text.en != question.text.ko for question in lab.questions)
    assert all(check.hint.en and any("가" <= letter <= "힣" for letter in check.hint.ko) for check in lab.checks)
    assert "seconds" not in " ".join(check.that.text for check in lab.checks)


def test_a_new_lab_can_be_read(lab: Path) -> None:
    read = read_lab(lab)
    assert (read.name, read.points, len(read.questions), len(read.checks)) == ("mine", 3, 1, 3)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("lab.toml", "points = 3", "points = 4", "lab.toml: points is 4, and its checks give 3"),
        ("lab.toml", "points = 3", "points = ", "lab.toml is no TOML"),
        ("lab.toml", "points = 3", "point = 3", "there is no key 'point'"),
        ("lab.toml", '"virtual"', '"magic"', "'magic' is no concept"),
        ("lab.toml", "[1000, 2000, 100]", "[1000, 999, 1]", r"SIZE is \[1000, 999, 1\], and must be \[least, most, step\]"),
        ("lab.toml", "SIZE =", "size =", "'size' must be a C name in capitals"),
        ("lab.toml", '"mine.c"', '"../mine.c"', "no plain file name"),
        ("lab.toml", '"mine.c"', '"other.c"', "there is no handout/other.c"),
        ("lab.toml", 'sources = ["mine.c"]', 'sources = ["mine.c"]\ngiven = ["driver.c"]', r"\[build\]: there is no handout/driver.c"),
        ("lab.toml", 'sources = ["mine.c"]', 'sources = ["mine.c"]\ngiven = ["mine.c"]', "'mine.c' is handed in or given, not both"),
        ("lab.toml", "[parameters]", '[run]\nallocator = ["grab"]\n[parameters]', r"\[run\]: allocator: .*'grab' does not end with its role"),
        ("checks.toml", "leaks == 0", "leak == 0", "checks.toml, check 'nothing left': that: there is no fact or parameter 'leak'"),
        ("checks.toml", "leaks == 0", "leaks ==", "check 'nothing left': that: 'leaks ==' cannot be read"),
        ("checks.toml", "points = 2", 'points = "2"', "check 'nothing left': points is '2', and must be a whole number"),
        ("checks.toml", 'needs = ["asks"]', 'needs = ["askes"]', "check 'nothing left': it needs 'askes'"),
        ("checks.toml", '"asks"\n', '"nothing left"\n', "two are called 'nothing left'|it needs"),
        ("checks.toml", 'answer = "word"', 'answer = "text"', "question 'steps': answer is 'text'"),
        ("checks.toml", ', ko = "조각을 돌려주십시오."', "", "check 'nothing left' hint: ko is missing"),
        ("checks.toml", "prediction.steps", "prediction.step", "check 'predicted the steps': that: there is no question 'step'"),
    ],
)  # fmt: skip
def test_an_error_names_file_place_and_what_is_wrong(lab: Path, name: str, old: str, new: str, says: str) -> None:
    with pytest.raises(BadLab, match=says):
        read_lab(changed(lab, name, old, new))


def test_an_allocator_of_the_programs_own_has_roles(lab: Path) -> None:
    run = '[run]\nallocator = ["my_malloc", "drop=free"]\n[parameters]'
    assert read_lab(changed(lab, "lab.toml", "[parameters]", run)).allocator == {"my_malloc": "malloc", "drop": "free"}
    assert not read_lab(changed(lab, "lab.toml", run, "[parameters]")).allocator


def test_a_question_is_needed_in_both_languages(lab: Path) -> None:
    (lab / "question.ko.md").unlink()
    with pytest.raises(BadLab, match=r"question\.ko\.md is missing"):
        read_lab(lab)


@pytest.mark.parametrize("name", ["question.md", "question.ko.md", "lab.toml", "checks.toml"])
def test_what_is_no_text_is_said_and_not_waited_for(lab: Path, name: str) -> None:
    before = (lab / name).read_bytes()
    (lab / name).write_bytes(before + b"\xff")
    with pytest.raises(BadLab, match=f"{name} is no"):
        read_lab(lab)
    (lab / name).unlink()
    os.mkfifo(lab / name)
    with pytest.raises(BadLab, match=f"cannot read .*{name}|{name} is missing"):
        read_lab(lab)


@pytest.mark.parametrize("content", [b"x = " + b"[" * 100_000, b"x = 1\n" * (1 << 18)])
def test_a_table_without_end_is_none(lab: Path, content: bytes) -> None:
    (lab / "lab.toml").write_bytes(content)
    with pytest.raises(BadLab, match=r"lab\.toml"):
        read_lab(lab)


def test_a_seed_chooses_the_same_sizes_always_and_others_for_others() -> None:
    lab = find_lab("first_malloc")
    assert lab.values("20261234") == {"SIZE": 25000}
    assert len({lab.values(str(seed))["SIZE"] for seed in range(100)}) == 9


@pytest.mark.parametrize("by", ["", "a", "한", "x" * 10_000])
def test_a_chosen_value_is_one_of_the_range(by: str) -> None:
    assert Range(7, 31, 6).chosen(by) in (7, 13, 19, 25, 31)


@pytest.mark.parametrize("word", ["nothing", "", "..", "../runs", "/nowhere/at all"])
def test_a_lab_that_is_not_there_is_answered_with_those_that_are(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_lab(word)
    assert "first_malloc" in caught.value.remedy


@pytest.mark.parametrize("name", ["Mine", "a-b", "1st", "a b"])
def test_a_lab_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a lab"):
        make_lab(tmp_path / name)


def test_what_is_there_is_not_replaced(lab: Path) -> None:
    with pytest.raises(BadLab, match="File exists"):
        make_lab(lab)


def run_table(lab: Path, trace: str) -> Path:
    with (lab / "lab.toml").open("a") as file:
        file.write(f'\n[run]\ntrace = "{trace}"\n')
    return lab


def test_a_lab_records_memory_calls_and_what_it_names_beside_them(lab: Path) -> None:
    assert read_lab(lab).expression == "trace=memory"
    assert read_lab(run_table(lab, "memory,read,%file")).expression == "trace=memory,read,%file"


@pytest.mark.parametrize(
    ("trace", "says"),
    [
        ("memory,raed", r"lab.toml, \[run\]: trace: .*'raed' is neither a system call"),
        ("read,write", "trace must hold memory, and name no instrument"),
        ("!memory", "trace must hold memory"),
        ("memory,calls", "name no instrument"),
        ("", "names nothing"),
    ],
)
def test_what_is_recorded_must_exist_and_hold_what_facts_rely_on(lab: Path, trace: str, says: str) -> None:
    with pytest.raises(BadLab, match=says):
        read_lab(run_table(lab, trace))
