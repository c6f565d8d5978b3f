"""How many page faults a thread has had, for the stub to see: a word that the kernel makes larger with each of them.

It is the `data_head` (perf_event_open(2)) of an event of its own, whose samples hold nothing, in a ring of one page
that is written over. As long as it has not grown, the thread has had no page fault, and the stub needs no clock to tell
its calls from those. The program is sent the event's descriptor (SCM_RIGHTS, unix(7)), maps the ring to read, and
closes it; nobody else maps it: one that both had mapped would stay counted as locked memory of the program's user
(Linux 6.18).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.perf import BYTES_OF_HEAD
from observer.linux.process import descriptor_of
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.memory import Memory

__all__ = ["map_head"]

_SOCKETPAIR, _RECVMSG, _MMAP, _CLOSE = NATIVE.numbers("socketpair", "recvmsg", "mmap", "close")
_DATA_HEAD: Final = 1024  # struct perf_event_mmap_page
_READ, _SHARED, _NO_REPLACE = 1, 1, 0x100000
_CLOSE_ON_EXEC: Final = 0x40000000  # MSG_CMSG_CLOEXEC

_PAIR: Final = struct.Struct("=ii")
_MESSAGE: Final = struct.Struct("=QI4xQQQQi4xQQ")  # struct msghdr, and behind it its only struct iovec
_CONTROL: Final = struct.Struct("=Qiii4x")  # struct cmsghdr with a descriptor
_AT_IOVEC: Final = 56
_AT_MESSAGE, _AT_BYTE, _AT_CONTROL = 16, 96, 104


def map_head(
    pid: int, memory: Memory, call: Callable[..., int], scratch: int, descriptor: int, place: int
) -> int:  # fmt: skip
    """Have the stopped process *pid* map the ring of the event *descriptor* of ours at *place*; return the address of
    the word.

    Args:
        call: makes a system call in its place and returns the result, or raises.
        scratch: where it has `shapes.SCRATCH` bytes that nobody uses, and that are there.

    Raises:
        OSError: the descriptor cannot be sent, or not taken.
        EndedMeanwhile: it was killed.
    """
    call(_SOCKETPAIR, socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0, scratch)
    opened = list(_PAIR.unpack(memory.read(scratch, _PAIR.size)))
    try:
        with socket.socket(fileno=descriptor_of(pid, opened[0])) as ours:
            socket.send_fds(ours, [b"\0"], [descriptor], socket.MSG_DONTWAIT)
        received = _receive(memory, call, scratch, opened[1])
        if received is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        opened.append(received)
        call(_MMAP, place, BYTES_OF_HEAD, _READ, _SHARED | _NO_REPLACE, received, 0)
    except EndedMeanwhile:
        opened.clear()
        raise
    finally:
        for each in opened:
            call(_CLOSE, each)
    return place + _DATA_HEAD


def _receive(memory: Memory, call: Callable[..., int], scratch: int, descriptor: int) -> int | None:
    """Return the descriptor that the task has of the one that it receives; None if it has none."""
    message = scratch + _AT_MESSAGE
    control = scratch + _AT_CONTROL
    packed = _MESSAGE.pack(0, 0, message + _AT_IOVEC, 1, control, _CONTROL.size, 0, scratch + _AT_BYTE, 1)
    memory.pwrite(packed, message)
    memory.pwrite(bytes(_CONTROL.size), control)
    call(_RECVMSG, descriptor, message, socket.MSG_DONTWAIT | _CLOSE_ON_EXEC)
    length, _level, _type, received = _CONTROL.unpack(memory.read(control, _CONTROL.size))
    return received if length else None
