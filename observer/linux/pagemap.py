"""Which pages of a process are there, at the cost of those that are: PAGEMAP_SCAN (Linux 6.7, include/uapi/linux/fs.h).

Older kernels are asked for an entry a page, in pieces; the pieces with nothing in them are left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from errno import EINVAL, ENOTTY
from fcntl import ioctl
from struct import Struct
from typing import Final

from observer.linux.procfs import PAGE, read_pagemap

__all__ = ["PIECE", "present_runs"]

# size, flags, start, end, walk_end, vec, vec_len, max_pages, then masks: inverted, all of, any of, returned
_SCAN: Final = Struct("<12Q")
_PAGEMAP_SCAN: Final = 3 << 30 | _SCAN.size << 16 | ord("f") << 8 | 16
_WALK_END: Final = 4 * 8
_IS_PRESENT: Final = 1 << 3
_REGIONS: Final = 512
"""Regions asked for at once. The kernel walks so many, and after a second walk its walk_end may be the first one's."""
PIECE: Final = 1 << 28
"""Bytes of address space whose entries are read at once: 512 KiB of them."""


def present_runs(fd: int, start: int, end: int, resident: int) -> Iterator[tuple[int, int]]:
    """Yield the runs [first, last) of present pages in [start, end), from an open pagemap.

    Args:
        resident: how many bytes are there at the most, as smaps tells: an older kernel is not asked for what is
            behind the last of them.
    """
    try:
        yield from _scanned(fd, start, end)
    except OSError as error:
        if error.errno not in (ENOTTY, EINVAL):
            raise
        yield from _read(fd, start, end, resident)


def _scanned(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    found = array("Q", bytes(_REGIONS * 24))  # start, end, categories of each region
    place, count = found.buffer_info()[0], _REGIONS
    while count == _REGIONS and start < end:
        scan = bytearray(_SCAN.size)
        _SCAN.pack_into(scan, 0, _SCAN.size, 0, start, end, 0, place, _REGIONS, 0, 0, _IS_PRESENT, 0, _IS_PRESENT)
        count = ioctl(fd, _PAGEMAP_SCAN, scan)
        yield from zip(found[: 3 * count : 3], found[1 : 3 * count : 3], strict=True)
        start = int.from_bytes(scan[_WALK_END : _WALK_END + 8], "little")


def _read(fd: int, start: int, end: int, resident: int) -> Iterator[tuple[int, int]]:
    nothing = bytes(PIECE // PAGE * 8)
    for piece in range(start, end, PIECE):
        if resident <= 0:
            return
        entries = read_pagemap(fd, piece, min(piece + PIECE, end))
        if entries == nothing[: len(entries)]:
            continue
        for first, last in _runs(entries):
            resident -= (last - first) * PAGE
            yield piece + first * PAGE, piece + last * PAGE


def _runs(entries: bytes) -> Iterator[tuple[int, int]]:
    """Yield the runs [first, last) of pages whose entries have the bit of presence."""
    there = bytes(byte >> 7 for byte in entries[7::8])
    first = there.find(1)
    while first >= 0:
        last = there.find(0, first)
        last = len(there) if last < 0 else last
        yield first, last
        first = there.find(1, last)
