"""Single mappings of a process, without reading all the others: PROCMAP_QUERY (Linux 6.11, include/uapi/linux/fs.h).

Older kernels give the whole of /proc/PID/maps, of which only the lines that are asked for are looked at.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from errno import ENOENT, ENOTTY
from fcntl import ioctl
from struct import Struct
from typing import Final, NamedTuple

from observer.linux.procfs import parse_maps_line
from observer.model.addresses import Mapping

__all__ = ["Region", "as_mapped", "region_at", "regions_within"]

# size, flags, address; then start, end, flags, page size, offset, inode; device; sizes and places of name, build id
_QUERY: Final = Struct("<9Q4I2Q")
_PROCMAP_QUERY: Final = 3 << 30 | _QUERY.size << 16 | ord("f") << 8 | 17
_OR_NEXT: Final = 0x10
_READ, _WRITE, _EXEC, _SHARED = 1, 2, 4, 8
_LONGEST: Final = 4096  # PATH_MAX: longer names are refused


class Region(NamedTuple):
    """A mapping, and the device (st_dev) on which its file lies: 0 for memory of no file."""

    mapping: Mapping
    device: int


def region_at(tid: int, address: int) -> Region | None:
    """Return what the process of *tid* has mapped at *address*, None if nothing; raises OSError when it is gone."""
    found = next(regions_within(tid, address, address + 1), None)
    return found if found is not None and found.mapping.start <= address else None


def regions_within(tid: int, start: int, end: int) -> Iterator[Region]:
    """Yield the mappings of which some part lies in [start, end), in order of address; raises OSError as above."""
    fd = os.open(f"/proc/{tid}/maps", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield from _queried(fd, start, end)
    except OSError as error:
        if error.errno != ENOTTY:
            raise
        yield from _searched(fd, start, end)
    finally:
        os.close(fd)


def as_mapped(fd: int, size: int) -> tuple[int, int] | None:
    """Return device and inode as mappings of the file show them: on btrfs and overlayfs others than stat(2) tells.

    So the file is mapped here, too, and that mapping looked at; its bytes are not.
    """
    try:
        with mmap.mmap(fd, min(size, mmap.PAGESIZE), mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as view:
            first = ctypes.c_char.from_buffer(view)
            region = region_at(os.getpid(), ctypes.addressof(first))
            del first
    except (OSError, ValueError):
        return None
    return (region.device, region.mapping.inode) if region is not None else None


def _queried(fd: int, start: int, end: int) -> Iterator[Region]:
    name = array("b", bytes(_LONGEST))
    while start < end:
        query = bytearray(_QUERY.size)
        _QUERY.pack_into(query, 0, _QUERY.size, _OR_NEXT, start, *[0] * 8, _LONGEST, 0, name.buffer_info()[0], 0)
        try:
            ioctl(fd, _PROCMAP_QUERY, query)
        except OSError as error:
            if error.errno == ENOENT:
                return
            raise
        found = _region(query, name)
        if found.mapping.start >= end:
            return
        yield found
        start = found.mapping.end


def _region(query: bytearray, name: array[int]) -> Region:
    _size, _flags, _at, start, end, flags, _page, offset, inode, major, minor, length, *_rest = _QUERY.unpack(query)
    path = name.tobytes()[: max(length - 1, 0)].decode("utf-8", "surrogateescape")
    letters = "".join(letter if flags & bit else "-" for letter, bit in (("r", _READ), ("w", _WRITE), ("x", _EXEC)))
    is_told = inode or path.startswith("[")
    mapping = Mapping(start, end, letters, path if is_told else "", offset, bool(flags & _SHARED), inode)
    return Region(mapping, os.makedev(major, minor))


def _searched(fd: int, start: int, end: int) -> Iterator[Region]:
    with open(fd, "rb", closefd=False, buffering=0) as file:
        lines = [line for line in file.readall().split(b"\n") if line]
    first = max(bisect_right(lines, start, key=lambda line: int(line.split(b"-", 1)[0], 16)) - 1, 0)
    for line in lines[first:]:
        mapping = parse_maps_line(line)
        if mapping.start >= end:
            return
        if mapping.end > start:
            major, minor = (int(number, 16) for number in line.split(b" ", 4)[3].split(b":"))
            yield Region(mapping, os.makedev(major, minor))
