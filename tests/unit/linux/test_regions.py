"""Single mappings by the kernel's query and, where it has none, out of the text of maps: both as psutil has them."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from observer.linux import regions
from observer.linux.procfs import read_mappings
from observer.linux.regions import Region, region_at, regions_within
from tests.unit.code.compiled import address_in, libc_path


def _refuse(fd: int, start: int, end: int) -> Iterator[Region]:
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
    yield


@pytest.fixture(params=["as the kernel answers", "as older kernels answer"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "as older kernels answer":
        monkeypatch.setattr(regions, "_queried", _refuse)
    return str(request.param)


@pytest.fixture
def view(tmp_path: Path) -> Iterator[tuple[mmap.mmap, int, Path]]:
    """Three pages of a file with a name that is hard to read, its first page skipped."""
    path = tmp_path / "two\nlines (deleted)"
    path.write_bytes(bytes(4 * mmap.PAGESIZE))
    with (
        open(path, "r+b") as file,
        mmap.mmap(file.fileno(), 3 * mmap.PAGESIZE, mmap.MAP_SHARED, offset=mmap.PAGESIZE) as view,
    ):
        yield view, address_in(view), path


def test_a_file_is_told_by_its_name_its_device_and_its_inode(way: str, view: tuple[mmap.mmap, int, Path]) -> None:
    _view, address, path = view
    found = region_at(os.getpid(), address + mmap.PAGESIZE)
    assert found is not None
    status = path.stat()
    assert (found.device, found.mapping.inode) == (status.st_dev, status.st_ino)
    assert (found.mapping.start, found.mapping.size, found.mapping.offset) == (
        address,
        3 * mmap.PAGESIZE,
        mmap.PAGESIZE,
    )
    assert (found.mapping.path, found.mapping.protection, found.mapping.shared) == (str(path), "rw-", True)


def test_where_nothing_is_mapped_nothing_is_found(way: str) -> None:
    assert region_at(os.getpid(), 0) is None
    assert region_at(os.getpid(), 1 << 46) is None or any(
        m.start <= 1 << 46 < m.end for m in read_mappings(os.getpid())
    )


def test_memory_of_no_file_has_no_device(way: str) -> None:
    with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE) as memory:
        found = region_at(os.getpid(), address_in(memory))
        assert found is not None
        assert (found.device, found.mapping.inode, found.mapping.path) == (0, 0, "")


def test_a_range_has_all_that_lies_in_it_also_in_part(way: str) -> None:
    code = [m for m in read_mappings(os.getpid()) if m.path == libc_path()]
    low, high = code[0].start, code[-1].end
    found = [each.mapping for each in regions_within(os.getpid(), low + 1, high - 1)]
    assert [m for m in found if m.path == libc_path()] == code
    assert found == [m for m in read_mappings(os.getpid()) if m.start < high and m.end > low]
    assert {m.path for m in code} <= {each.path for each in psutil.Process().memory_maps(grouped=False)}


def test_a_process_that_is_gone_is_an_error(way: str) -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    with pytest.raises(OSError, match="No such"):
        region_at(child, 0x1000)
