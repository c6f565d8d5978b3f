"""Every example of the README and of each verb's --help does what it says: typed as it stands, it succeeds."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from observer.cli.main import VERBS
from tests.ordinary import PREFIX, PYTHON, ROOT, open_to_everyone
from tests.recordings import OBSERVER

EXAMPLE = re.compile(r"^ +((?:observer|printf) .*?)(?: {2,}.*)?$", re.MULTILINE)
"""A line of a list of examples; two spaces end what is typed."""

pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")


def in_help(verb: str) -> list[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"observer.cli.{verb}").configure(parser)
    assert parser.epilog
    return EXAMPLE.findall(re.split("(?i)examples:", parser.epilog)[1])


def in_the_overview() -> list[str]:
    done = subprocess.run([*OBSERVER, "--help"], capture_output=True, text=True, check=True)
    return EXAMPLE.findall(done.stdout.partition("examples:")[2])


def in_readme() -> list[str]:
    commands = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Commands")[2].partition("\n## ")[0]
    return EXAMPLE.findall(commands)


HELP = [(verb, example) for verb in VERBS for example in in_help(verb)]
OVERVIEW = [("", example) for example in in_the_overview()]


@dataclass(frozen=True)
class Desk:
    """A folder that holds what the examples speak of, and a user who types in it."""

    folder: Path
    prefix: Sequence[str]

    def type_in(self, line: str) -> subprocess.CompletedProcess[str]:
        """Have the shell run *line*; a `run` finds no trace that another example has left."""
        if line.startswith("observer run") and "--force" not in line:
            for name in ("prog.trace", "ls.trace"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder)}
        return subprocess.run(
            [*self.prefix, "bash", "-o", "pipefail", "-c", _with_number(line, self.folder)], cwd=self.folder,
            env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip


def _desk(folder: Path, prefix: Sequence[str]) -> Desk:
    open_to_everyone(folder)
    _command(folder / "bin")
    shutil.copytree(ROOT / "c_samples", folder / "c_samples", ignore=shutil.ignore_patterns("build"))
    (folder / "include").mkdir()
    shutil.copy(Path(__file__).parent / "trials" / "example.c", folder / "prog.c")
    shutil.copy(ROOT / "c_samples" / "story.c", folder)
    desk = Desk(folder, prefix)
    for name in ("story", "prog"):
        flags = ["-g", "-O0", "-fno-builtin", "-Ic_samples", "-o", name, f"{name}.c"]
        subprocess.run(["gcc", *flags], cwd=folder, check=True)
        done = desk.type_in(f"observer run -q -o {name}.trace -- ./{name}")
        assert done.returncode == 0, done.stderr
    return desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return _desk(tmp_path_factory.mktemp("desk"), [])


@pytest.fixture(scope="module")
def ordinary_desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return _desk(tmp_path_factory.mktemp("ordinary"), PREFIX)


def _command(place: Path) -> None:
    """Make the command `observer`, of this checkout, one that everyone may run."""
    assert PYTHON is not None
    place.mkdir()
    command = place / "observer"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{PYTHON[1]}" exec "{PYTHON[0]}" -m observer "$@"\n')
    command.chmod(0o755)


def _with_number(line: str, folder: Path) -> str:
    """Return *line* with the number of a malloc of its trace for N."""
    found = re.search(r" (\w+\.trace) --call N", line)
    if found is None:
        return line
    shown = subprocess.run(
        [folder / "bin" / "observer", "show", found[1], "--kind", "call", "--json"], cwd=folder, capture_output=True,
        check=True,
    )  # fmt: skip
    calls = [json.loads(row) for row in shown.stdout.splitlines()]
    n = next(call["n"] for call in calls if call["op"] == "malloc" and call["origin"] == "program")
    return line.replace("--call N", f"--call {n}")


def assert_good(desk: Desk, line: str) -> None:
    done = desk.type_in(line)
    assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("verb", "line"), HELP + OVERVIEW, ids=[line for _verb, line in HELP + OVERVIEW])
def test_an_example_of_help_works(verb: str, line: str, desk: Desk) -> None:
    if "| jq" in line and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    assert f"observer {verb}" in line
    assert_good(desk, line)


@pytest.mark.parametrize("line", in_readme())
def test_an_example_of_the_readme_works(line: str, desk: Desk) -> None:
    assert_good(desk, line)


@pytest.mark.parametrize("line", in_readme())
def test_an_example_of_the_readme_works_for_an_ordinary_user(line: str, ordinary_desk: Desk) -> None:
    assert_good(ordinary_desk, line)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_80_columns(verb: str) -> None:
    words = [*OBSERVER, *filter(None, [verb]), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"})
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_every_verb_gives_examples_and_is_in_the_readme() -> None:
    assert {verb for verb, _line in HELP} == set(VERBS)
    assert len(OVERVIEW) == 3
    assert {line.split()[1] for line in in_readme()} == set(VERBS)
