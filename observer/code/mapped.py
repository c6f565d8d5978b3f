"""The file that a process has mapped, whatever path it is known by and in whatever root: proc(5), namespaces(7).

A path is what the process was told; in our root another file may lie there, or none: containers, chroots, deleted and
replaced files, memfds. The kernel names a mapping's file by device and inode, and so it is looked for by these.
"""

from __future__ import annotations

import functools
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from errno import ENOENT
from resource import RLIMIT_NOFILE, getrlimit
from typing import Final

from observer.code.elf import Elf, Identity, load
from observer.code.fetching import copied, fetched, is_served_by_a_program
from observer.linux.regions import Region, as_mapped

__all__ = ["held", "load_mapped"]

_MOST_HELD: Final = 32
_MOST_COPIED: Final = 16 << 20
_SHARE: Final = 16
"""Which part of the descriptors that we may have is given to held files."""
_held: OrderedDict[Identity, Elf] = OrderedDict()


def load_mapped(tid: int, region: Region, descriptor: int | None = None) -> Elf | None:
    """Return the parsed file behind *region* of the stopped task *tid*, None when it is no ELF file of ours.

    Files with source lines are held open, and those that no path of ours leads to: a program may delete or replace
    them while it runs. They are 32 at most, fewer where few descriptors are allowed; then the one used longest ago is
    let go. Of what lies on another mount than the root's a copy is held, up to 16 MiB: a mount may be taken away.

    Args:
        descriptor: the task's own one, by which it mapped the file.

    Raises:
        OSError: the file cannot be reached by any way, or the process is gone.
    """
    if is_served_by_a_program(tid, region.device):
        return _load_copy(tid, region, descriptor)
    fd, is_kept = _open(tid, region, descriptor), False
    try:
        identity = Identity.of(os.fstat(fd))
        elf = held(identity)
        if elf is None:
            leads_there = _is_at(region.mapping.path, identity)
            elf = load(region.mapping.path) if leads_there else _parse(region.mapping.path, fd)
            if elf is not None and (elf.has_debug_lines or not leads_there):
                is_kept = _mount_of(fd) == _mount_of_root() or identity.size > _MOST_COPIED
                _hold(elf, fd if is_kept else copied(fd), is_copy=not is_kept)
        return elf
    finally:
        if not is_kept:
            os.close(fd)


def _load_copy(tid: int, region: Region, descriptor: int | None) -> Elf | None:
    status, copy = fetched(
        lambda: _open(tid, region, descriptor), is_here=lambda status: Identity.of(status) in _held
    )  # fmt: skip
    identity = Identity.of(status)
    if copy < 0:
        return held(identity)
    elf = _parse(region.mapping.path, copy, identity)
    if elf is not None:
        _hold(elf, copy, is_copy=True)
    else:
        os.close(copy)
    return elf


def held(identity: Identity) -> Elf | None:
    """Return a file that is held open since it was mapped, None if there is no such."""
    elf = _held.get(identity)
    if elf is not None:
        _held.move_to_end(identity)
    return elf


def _is_at(path: str, identity: Identity) -> bool:
    try:
        return Identity.of(os.stat(path)) == identity
    except (OSError, ValueError):
        return False


def _parse(path: str, fd: int, identity: Identity | None = None) -> Elf | None:
    try:
        return Elf(path, source=f"/proc/self/fd/{fd}", identity=identity)
    except ValueError:
        return None


def _mount_of(fd: int) -> bytes:
    """Return the number of the mount on which the file was opened, as the kernel writes it (proc(5), fdinfo)."""
    with open(f"/proc/self/fdinfo/{fd}", "rb", buffering=0) as file:
        return next((line for line in file.readall().splitlines() if line.startswith(b"mnt_id:")), b"")


@functools.cache
def _mount_of_root() -> bytes:
    fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return _mount_of(fd)
    finally:
        os.close(fd)


def _hold(elf: Elf, fd: int, *, is_copy: bool) -> None:
    elf.hold(fd, is_copy=is_copy)
    _held[elf.identity] = elf
    may_have = max(getrlimit(RLIMIT_NOFILE)[0] // _SHARE, 1)
    while len(_held) > min(_MOST_HELD, may_have):
        _held.popitem(last=False)[1].release()


def _open(tid: int, region: Region, descriptor: int | None) -> int:
    refused = OSError(ENOENT, "it lies at no path that can be reached")
    for way in _ways(tid, region, descriptor):
        try:
            if not stat.S_ISREG(os.stat(way).st_mode):
                continue  # a FIFO would keep us waiting, a device act
            fd = os.open(way, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            refused = error if isinstance(error, PermissionError) else refused
            continue
        if _is_file_of(fd, region):
            return fd
        os.close(fd)
    raise refused


def _ways(tid: int, region: Region, descriptor: int | None) -> Iterator[str]:
    """Yield the names by which the kernel or a root may lead to the file."""
    mapping = region.mapping
    yield f"/proc/{tid}/map_files/{mapping.start:x}-{mapping.end:x}"  # CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE
    if descriptor is not None:
        yield f"/proc/{tid}/fd/{descriptor}"
    yield mapping.path
    yield f"/proc/{tid}/root{mapping.path}"
    yield f"/proc/{tid}/exe"


def _is_file_of(fd: int, region: Region) -> bool:
    status, meant = os.fstat(fd), (region.device, region.mapping.inode)
    return (status.st_dev, status.st_ino) == meant or as_mapped(fd, status.st_size) == meant
