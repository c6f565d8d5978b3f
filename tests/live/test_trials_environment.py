"""The program finds the environment that the user has, byte for byte and in order, whatever the interpreter did to its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.ordinary import PREFIX, PYTHON, open_to_everyone

pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")
SOURCE = Path(__file__).parent / "trials" / "given.c"
USERS = pytest.mark.parametrize("user", [[], PREFIX], ids=["root", "ordinary"])
LOCALES: list[dict[str, str]] = [
    {}, {"LANG": "C"}, {"LANG": "POSIX", "OTHER": "1"}, {"LC_CTYPE": "C", "LANG": "en_US.UTF-8"}, {"LC_CTYPE": ""},
    {"LC_CTYPE": "POSIX"}, {"LC_ALL": "", "LANG": "C"}, {"LC_ALL": "C"}, {"LANG": "C.UTF-8"},
    {"LC_CTYPE": "C.UTF-8", "LANG": "C"},
]  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    open_to_everyone(folder)
    subprocess.run(["gcc", "-w", "-o", folder / "given", SOURCE], check=True)
    return folder / "given"


def observer(*words: str) -> list[str]:
    """Return the command that needs no variable to find its packages."""
    assert PYTHON is not None
    paths = PYTHON[1].split(os.pathsep)
    code = f"import sys; sys.path[:0] = {paths!r}; from observer.cli.main import main; sys.exit(main())"
    return [PYTHON[0], "-c", code, *words]


def output_of(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> bytes:
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


@USERS
@pytest.mark.parametrize("locale", LOCALES, ids=str)
def test_no_locale_is_added_or_changed(locale: dict[str, str], user: list[str], given: Path, tmp_path: Path) -> None:
    open_to_everyone(tmp_path)
    environment = {"PATH": os.environ["PATH"], **locale}
    bare = output_of([*user, str(given)], tmp_path, environment)
    run = observer("run", "-q", "-o", "trace", "--", str(given))
    assert output_of([*user, *run], tmp_path, environment) == bare


@USERS
def test_strings_that_no_shell_makes_are_found_as_they_were(user: list[str], given: Path, tmp_path: Path) -> None:
    open_to_everyone(tmp_path)
    bare = output_of([*user, str(given), str(given)], tmp_path, os.environ)
    run = observer("run", "-q", "-o", "trace", "--", str(given))
    assert output_of([*user, str(given), *run], tmp_path, os.environ) == bare
    assert bare.count(b"TWICE=") == 2
    assert b"\nalone\n=nameless\n" in bare


@USERS
def test_other_verbs_that_run_a_program_give_it_the_same(user: list[str], given: Path, tmp_path: Path) -> None:
    open_to_everyone(tmp_path)
    environment = {"PATH": os.environ["PATH"], "LANG": "C"}
    bare = output_of([*user, str(given)], tmp_path, environment)
    compared = subprocess.run(
        [*user, *observer("compare", "--json", "--", str(given))], env=environment, cwd=tmp_path, capture_output=True,
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert compared.stderr == bare
    only = observer("allocators", "--only", "glibc", "--runs", "1", "--json", "--", str(given))
    measured = subprocess.run(
        [*user, *only], env=environment, cwd=tmp_path, capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    assert measured.stderr == bare
