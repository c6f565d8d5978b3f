"""The model of glibc beside real ones: the same random programs, every pointer, system call and touched page the same.

Programs are drawn by seeds that are the same in every run. This machine's C library is asked, and those in the root
folders that `scripts/roots` made; a much longer run is `scripts/soak`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.glibc.versions import VERSIONS
from tests.properties.glibc_driver import (
    ROOTS,
    SETTINGS,
    UNUSUAL,
    CannotRun,
    Command,
    Library,
    compare,
    large_heaps,
    library_here,
    library_of,
    many_free,
    program_of,
    record,
    replay,
)

HERE = "here"
SUITES = ("bullseye", "trixie", "sid")
LENGTH = 1009
"""Commands of a program."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("glibc")


@pytest.fixture(scope="module", params=[HERE, *SUITES])
def library(request: pytest.FixtureRequest, folder: Path) -> Library:
    try:
        return find(request.param, folder)
    except CannotRun as reason:
        pytest.skip(f"glibc of {request.param}: {reason}")


def find(name: str, folder: Path) -> Library:
    """Return a library that can really be run with."""
    if name != HERE and not (ROOTS / name).is_dir():
        raise CannotRun(f"no root at {ROOTS / name}; scripts/roots makes it")
    library = library_here(folder) if name == HERE else library_of(ROOTS / name, folder)
    record(library, [], {}, folder)
    return library


def check(library: Library, commands: list[Command], environment: dict[str, str], folder: Path) -> None:
    done = compare(library, commands, environment, folder)
    assert done.difference == ""
    assert done.compared == len(commands)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_main_arena_is_exact(library: Library, folder: Path, name: str) -> None:
    for seed in range(6 if name == "default" else 2):
        check(library, program_of(seed, LENGTH), SETTINGS[name], folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_arenas_of_threads_are_exact(library: Library, folder: Path, name: str) -> None:
    for seed in range(100, 106 if name == "default" else 102):
        check(library, program_of(seed, LENGTH, thread=True), SETTINGS[name], folder)


@pytest.mark.parametrize("name", UNUSUAL)
def test_strange_settings_are_read_as_the_loader_reads_them(library: Library, folder: Path, name: str) -> None:
    check(library, program_of(7, LENGTH), UNUSUAL[name], folder)


def test_heaps_of_threads_fill_and_are_given_back(library: Library, folder: Path) -> None:
    for seed in range(8):
        check(library, large_heaps(seed, 199), {}, folder)


def test_a_search_sorts_ten_thousand_chunks_at_most(library: Library, folder: Path) -> None:
    check(library, many_free(24_007), {}, folder)


@pytest.mark.parametrize("other", ["2.38", "2.39", "2.41", "2.42", "2.43"])
def test_another_release_is_told_apart(folder: Path, other: str) -> None:
    try:
        library = find(HERE, folder)
    except CannotRun as reason:
        pytest.skip(f"glibc of this machine: {reason}")
    if library.version.name not in ("2.35", "2.36"):
        pytest.skip(f"this machine has glibc {library.version.name}; the releases are told apart from 2.36")
    program = program_of(3, LENGTH)
    assert replay(VERSIONS[other], program, {}, record(library, program, {}, folder)).difference
