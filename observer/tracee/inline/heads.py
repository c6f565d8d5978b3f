"""How far the kernel has come with its samples of page faults, for programs to see: our rings, mapped there, too.

A word in a ring's first page grows with each sample (`data_head`, perf_event_open(2)). As long as none of them has
grown, the program's thread has had no page fault, and the stub needs no clock to tell its calls from those. The
program is sent the rings' descriptors (SCM_RIGHTS, unix(7)), maps them to read, and closes them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from observer.arch.known import NATIVE
from observer.linux.process import descriptor_of
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.memory import Memory

__all__ = ["SampleRing", "map_heads"]

_SOCKETPAIR, _RECVMSG, _MMAP, _CLOSE = NATIVE.numbers("socketpair", "recvmsg", "mmap", "close")
_DATA_HEAD: Final = 1024  # struct perf_event_mmap_page
_READ, _SHARED, _NO_REPLACE = 1, 1, 0x100000
_CLOSE_ON_EXEC: Final = 0x40000000  # MSG_CMSG_CLOEXEC

_PAIR: Final = struct.Struct("=ii")
_MESSAGE: Final = struct.Struct("=QI4xQQQQi4xQQ")  # struct msghdr, and behind it its only struct iovec
_CONTROL: Final = struct.Struct("=Qii4i")  # struct cmsghdr with descriptors
_AT_IOVEC: Final = 56
_AT_MESSAGE, _AT_BYTE, _AT_CONTROL = 16, 96, 104


class SampleRing(NamedTuple):
    """A ring of ours: a descriptor by which it is mapped, and how many bytes that takes."""

    descriptor: int
    size: int


def map_heads(
    pid: int, memory: Memory, call: Callable[..., int], scratch: int, rings: Sequence[SampleRing], place: int
) -> tuple[int, ...]:
    """Have the stopped process *pid* map up to four *rings* at *place*; return the addresses of their words.

    Args:
        call: makes a system call in its place and returns the result, or raises.
        scratch: where it has `shapes.SCRATCH` bytes that nobody uses, and that are there.

    Raises:
        OSError: the descriptors cannot be sent, or not taken.
        EndedMeanwhile: it was killed.
    """
    call(_SOCKETPAIR, socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0, scratch)
    opened = list(_PAIR.unpack(memory.read(scratch, _PAIR.size)))
    heads = []
    try:
        with socket.socket(fileno=descriptor_of(pid, opened[0])) as ours:
            socket.send_fds(ours, [b"\0"], [ring.descriptor for ring in rings], socket.MSG_DONTWAIT)
        received = _receive(memory, call, scratch, opened[1])
        opened += received
        if len(received) < len(rings):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        for descriptor, ring in zip(received, rings, strict=True):
            call(_MMAP, place, ring.size, _READ, _SHARED | _NO_REPLACE, descriptor, 0)
            heads.append(place + _DATA_HEAD)
            place += ring.size
    except EndedMeanwhile:
        opened.clear()
        raise
    finally:
        for descriptor in opened:
            call(_CLOSE, descriptor)
    return tuple(heads)


def _receive(memory: Memory, call: Callable[..., int], scratch: int, descriptor: int) -> list[int]:
    """Return the descriptors that the task has of what it receives."""
    message = scratch + _AT_MESSAGE
    control = scratch + _AT_CONTROL
    packed = _MESSAGE.pack(0, 0, message + _AT_IOVEC, 1, control, _CONTROL.size, 0, scratch + _AT_BYTE, 1)
    memory.pwrite(packed, message)
    call(_RECVMSG, descriptor, message, socket.MSG_DONTWAIT | _CLOSE_ON_EXEC)
    length, _level, _type, *descriptors = _CONTROL.unpack(memory.read(control, _CONTROL.size))
    return descriptors[: (length - (_CONTROL.size - 16)) // 4]
