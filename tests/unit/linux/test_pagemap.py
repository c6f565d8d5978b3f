"""Which pages are there: the kernel's scan beside its table of pages, for memory touched here and there."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator

import pytest

from observer.linux import pagemap
from observer.linux.pagemap import present_runs
from observer.linux.procfs import PAGE
from tests.unit.code.compiled import address_in

MAP_NORESERVE = 0x4000
GIB = 1 << 30
LARGE = 8 * GIB


def _refuse(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
    yield


@pytest.fixture(params=["as the kernel answers", "as older kernels answer"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "as older kernels answer":
        monkeypatch.setattr(pagemap, "_scanned", _refuse)
    return str(request.param)


@pytest.fixture
def reserved() -> Iterator[mmap.mmap]:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    with mmap.mmap(-1, LARGE, flags) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        yield memory


def runs_of(memory: mmap.mmap, pages: int) -> list[tuple[int, int]]:
    """The runs in page numbers from the beginning of *memory*."""
    start = address_in(memory)
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        found = list(present_runs(fd, start, start + len(memory), pages * PAGE))
    finally:
        os.close(fd)
    return [((first - start) // PAGE, (last - start) // PAGE) for first, last in found]


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(0, 1)],
        [(LARGE // PAGE - 1, LARGE // PAGE)],
        [(5, 9), (10, 11), (65_535, 65_536)],
        [(GIB // PAGE - 3, GIB // PAGE - 1), (2 * GIB // PAGE, 2 * GIB // PAGE + 40)],
        [(n, n + 1) for n in range(0, 6000, 2)],
    ],
)
def test_the_pages_that_were_touched_are_there_and_no_others(
    way: str, reserved: mmap.mmap, runs: list[tuple[int, int]]
) -> None:
    for first, last in runs:
        for page in range(first, last):
            reserved[page * PAGE] = 1
    assert runs_of(reserved, sum(last - first for first, last in runs)) == runs


def test_pages_that_meet_at_the_border_of_two_pieces_may_be_two_runs(way: str, reserved: mmap.mmap) -> None:
    border = pagemap.PIECE // PAGE
    reserved[border * PAGE - 1] = reserved[border * PAGE] = 1
    assert {page for first, last in runs_of(reserved, 2) for page in range(first, last)} == {border - 1, border}
