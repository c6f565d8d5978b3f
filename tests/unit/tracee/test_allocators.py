"""Finding allocators' libraries: versions, folders, names, and what to type where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from observer.model.machine import Image
from observer.tracee import allocators
from observer.tracee.allocators import Library, Missing, definers_of_malloc, find, known, lacking, preload

JEMALLOC = 'const char v[] = "\\0" "5.3.1-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c";'
TCMALLOC = 'const char v[] = "\\0" "gperftools 2.17";'
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def library(path: Path, source: str = "") -> str:
    """Compile a library that defines malloc."""
    text = f"void *malloc(unsigned long n) {{ (void)n; return 0; }}\n{source}\n"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-fno-builtin", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=text, text=True, check=True)
    return str(path)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment in which libraries are looked for in the test's own folder alone."""
    monkeypatch.setattr(allocators, "_FOLDERS", ())
    return {"LD_LIBRARY_PATH": f":{tmp_path}"}


@needs_gcc
@pytest.mark.parametrize(
    ("allocator", "file", "source", "version", "origin"),
    [
        ("jemalloc", "libjemalloc.so.2", JEMALLOC, "5.3.1", "the version string in the library"),
        ("mimalloc", "libmimalloc.so.2.0", "int mi_version(void) { return 212; }", "2.1.2", "its function mi_version"),
        ("mimalloc", "libmimalloc.so.3", "int mi_version(void) { return 30112; }", "3.1.12", "its function mi_version"),
        ("tcmalloc", "libtcmalloc_minimal.so.4", TCMALLOC, "2.17", "the version string in the library"),
        ("tcmalloc", "libtcmalloc.so.4.5.10", "", "4.5.10", "the file's name (the interface's version, not the release's)"),
        ("jemalloc", "libjemalloc.so.2", "", "unknown", ""),
    ],
)  # fmt: skip
def test_the_version_is_read_from_the_library(
    allocator: str, file: str, source: str, version: str, origin: str, only: dict[str, str], tmp_path: Path
) -> None:
    path = library(tmp_path / file, source)
    assert find(allocator, only) == Library(allocator, path, version, origin)


@needs_gcc
def test_the_newest_interface_is_taken_whatever_its_number(only: dict[str, str], tmp_path: Path) -> None:
    for number in ("2.0", "10", "9.9"):
        library(tmp_path / f"libmimalloc.so.{number}")
    found = find("mimalloc", only)
    assert isinstance(found, Library)
    assert found.path.endswith("libmimalloc.so.10")


@needs_gcc
def test_a_link_leads_to_the_file(only: dict[str, str], tmp_path: Path) -> None:
    path = library(tmp_path / "libtcmalloc_minimal.so.4.5.16")
    (tmp_path / "libtcmalloc_minimal.so.4").symlink_to("libtcmalloc_minimal.so.4.5.16")
    found = find("tcmalloc", only)
    assert isinstance(found, Library)
    assert found.path == path


def test_what_is_no_library_is_not_found(only: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "libjemalloc.so.2").write_text("GROUP ( libjemalloc.so.2 )")
    found = find("jemalloc", only)
    assert isinstance(found, Missing)
    assert found.why == "it is not installed"
    assert "apt-get install libjemalloc" in found.remedy


@pytest.mark.parametrize(
    ("offered", "package"),
    [
        (["libmimalloc2.0", "libmimalloc-dev"], "libmimalloc2.0"),
        (["libmimalloc3", "libmimalloc-dev", "libmimalloc2"], "libmimalloc3"),
        ([], "libmimalloc2.0"),
    ],
)
def test_the_package_is_named_as_this_release_does(
    offered: list[str], package: str, only: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocators, "_offered", lambda default: offered)
    found = find("mimalloc", only)
    assert isinstance(found, Missing)
    assert found.remedy.endswith(f"apt-get install {package}")


@needs_gcc
def test_only_an_allocators_own_library_is_known(tmp_path: Path) -> None:
    assert known(library(tmp_path / "libmine.so.1")) is None
    assert known(str(tmp_path / "libjemalloc.so.2")) is None


@needs_gcc
def test_those_that_define_malloc_come_in_the_order_of_the_images(tmp_path: Path) -> None:
    first, second = library(tmp_path / "libb.so"), library(tmp_path / "liba.so")
    images = [Image(path, 0, 0, 4096) for path in (first, "/etc/passwd", second, first)]
    assert definers_of_malloc(images) == [first, second]


@needs_gcc
def test_what_a_library_leaves_to_the_c_library_is_named(tmp_path: Path) -> None:
    path = library(tmp_path / "liba.so")
    assert lacking(path, ["malloc", "free", "pvalloc", "reallocarray", "operator new"]) == ["pvalloc"]


@pytest.mark.parametrize(("given", "result"), [({}, "/a.so"), ({"LD_PRELOAD": ""}, "/a.so"), ({"LD_PRELOAD": "b c"}, "b c:/a.so")])  # fmt: skip
def test_what_the_user_preloads_comes_first(given: dict[str, str], result: str) -> None:
    assert preload({"HOME": "/", **given}, "/a.so") == {"HOME": "/", "LD_PRELOAD": result}


def test_behind_a_script_is_its_interpreter(tmp_path: Path) -> None:
    inner, outer, empty = tmp_path / "inner", tmp_path / "outer", tmp_path / "empty"
    inner.write_text("#! /bin/sh -e\n")
    outer.write_text(f"#!{inner} x\n")
    empty.write_text("#!\n")
    assert allocators.program_behind(str(outer)) == "/bin/sh"
    assert allocators.program_behind(str(empty)) == str(empty)
    assert allocators.program_behind(str(tmp_path / "missing")) == str(tmp_path / "missing")
