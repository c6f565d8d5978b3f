"""The file behind a mapping of our own, whatever lies at its path since it was mapped."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.code import mapped
from observer.code.elf import Identity
from observer.code.mapped import held, load_mapped
from observer.linux.regions import Region, region_at
from tests.unit.code.compiled import address_in, address_of, compile_c, needs_compiler

ONE = "int one(void) { return 1; }\nint main(void) { return one(); }\n"
TWO = "int two(void) { return 2; }\nint main(void) { return two(); }\n"


@pytest.fixture(params=["with privilege", "without"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        all_ways = mapped._ways
        monkeypatch.setattr(mapped, "_ways", lambda *args: (way for way in all_ways(*args) if "map_files" not in way))


class _View:
    """A file mapped, and its descriptor."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR)
        self._mapped = mmap.mmap(self.fd, mmap.PAGESIZE, mmap.MAP_PRIVATE)
        found = region_at(os.getpid(), address_in(self._mapped))
        assert found is not None
        self.region: Region = found

    def close(self) -> None:
        self._mapped.close()
        os.close(self.fd)


@pytest.fixture
def view(tmp_path: Path) -> Iterator[_View]:
    view = _View(compile_c(tmp_path, "program", ONE, "-g"))
    yield view
    view.close()


@needs_compiler
def test_a_file_at_its_path_is_found_without_its_descriptor(way: None, view: _View) -> None:
    elf = load_mapped(os.getpid(), view.region)
    assert elf is not None
    assert elf.defines("one")
    assert elf.identity == Identity.of(os.fstat(view.fd))


@needs_compiler
def test_another_file_at_the_path_is_not_taken_for_the_one_that_is_mapped(
    way: None, view: _View, tmp_path: Path
) -> None:
    compile_c(tmp_path, "other", TWO).replace(tmp_path / "program")
    elf = load_mapped(os.getpid(), view.region, view.fd)
    assert elf is not None
    assert [elf.defines("one"), elf.defines("two")] == [True, False]
    assert held(elf.identity) is elf


@needs_compiler
def test_a_file_that_is_held_can_be_read_when_it_is_deleted(way: None, view: _View, tmp_path: Path) -> None:
    elf = load_mapped(os.getpid(), view.region, view.fd)
    (tmp_path / "program").unlink()
    assert elf is not None
    assert elf.read(address_of(elf, "one"), 4) != b""
    again = region_at(os.getpid(), view.region.mapping.start)
    assert again is not None
    assert load_mapped(os.getpid(), again, view.fd) is elf


def test_without_any_way_to_the_file_it_is_said(view: _View, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mapped, "_ways", lambda *args: iter([str(tmp_path), "/dev/null", str(tmp_path / "gone")]))
    with pytest.raises(OSError, match="no path that can be reached"):
        load_mapped(os.getpid(), view.region)


@needs_compiler
@pytest.mark.parametrize("descriptors", [1024, 160])
def test_the_files_held_longest_ago_are_let_go(
    tmp_path: Path, descriptors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "getrlimit", lambda _which: (descriptors, descriptors))
    elves = []
    before = len(os.listdir("/proc/self/fd"))
    for number in range(40):
        view = _View(compile_c(tmp_path, f"program{number}", ONE, "-g", f"-DNUMBER={number}"))
        elves.append(load_mapped(os.getpid(), view.region))
        view.close()
    assert len(os.listdir("/proc/self/fd")) - before <= min(32, descriptors // 16)
    first, last = elves[0], elves[-1]
    assert first is not None
    assert last is not None
    assert held(first.identity) is None
    assert held(last.identity) is last
    assert first.read(address_of(first, "one"), 4) != b""  # its path leads to it


def test_a_file_that_is_no_elf_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(mmap.PAGESIZE))
    view = _View(tmp_path / "data")
    try:
        assert load_mapped(os.getpid(), view.region) is None
    finally:
        view.close()
