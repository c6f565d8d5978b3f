"""A lab packed for a grader's site: what is in it, and what must not be."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from observer.errors import BadLab
from observer.labs.catalogue import find_lab, packaged_labs
from observer.labs.packaging import SITES, make_package


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    made = make_package(find_lab("leak_hunt"), "gradescope", tmp_path / "it")
    assert made == tmp_path / "it.zip"
    return tmp_path / "it"


def test_what_gradescope_asks_for_lies_at_the_root_of_the_archive(packed: Path) -> None:
    with zipfile.ZipFile(packed.with_suffix(".zip")) as archive:
        names = set(archive.namelist())
    assert {"setup.sh", "run_autograder", "requirements.txt", "labs/leak_hunt/checks.toml"} <= names
    assert "package/observer/labs/grading.py" in names


def test_no_answer_is_shipped(packed: Path) -> None:
    paths = [path.relative_to(packed) for path in packed.rglob("*")]
    assert not [path for path in paths if {"solution", "mistakes", "assignments"} & set(path.parts)]
    assert (packed / "labs" / "leak_hunt" / "handout" / "leak_hunt.c").is_file()


def test_what_is_installed_is_what_this_package_needs(packed: Path) -> None:
    lines = (packed / "requirements.txt").read_text().splitlines()
    assert any(line.startswith("duckdb") for line in lines)
    assert not [line for line in lines if "extra" in line or "pytest" in line]


@pytest.mark.parametrize("site", SITES)
def test_its_scripts_are_good_ones(tmp_path: Path, site: str) -> None:
    make_package(find_lab("leak_hunt"), site, tmp_path / "it")
    if site == "autolab":
        with tarfile.open(tmp_path / "it" / "autograde.tar") as tar:
            tar.extractall(tmp_path / "it", filter="data")
        makefile = (tmp_path / "it" / "autograde-Makefile").read_text()
        assert "cp leak_hunt.handin autograde/" in makefile
        assert "#   no name is left: 3\n" in makefile
    scripts = [path for path in (tmp_path / "it").rglob("*") if path.suffix == ".sh" or path.name == "run_autograder"]
    assert len(scripts) == 2
    for path in scripts:
        text = path.read_text()
        assert "${lab}" not in text
        assert "$lab" not in text
        assert "$$" not in text
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_a_folder_that_exists_is_refused(packed: Path) -> None:
    with pytest.raises(BadLab, match="File exists"):
        make_package(find_lab("leak_hunt"), "gradescope", packed)


def test_no_lab_of_the_package_is_called_as_something_else_in_its_scripts() -> None:
    assert all(lab.name.isidentifier() for lab in packaged_labs())
