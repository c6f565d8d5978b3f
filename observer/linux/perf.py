"""perf_event_open(2): page faults as software events, and tracepoints, one ring a processor, period 1.

PAGE_FAULTS_MIN and PAGE_FAULTS_MAJ together are what the kernel adds to a task's minflt and majflt;
PAGE_FAULTS also counts faults that end in SIGSEGV or EFAULT, so it is opened as a counter only. One event per
processor with `inherit` follows threads and children from their first instruction, at constant cost.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from observer.arch.known import NATIVE
from observer.files import NewFile
from observer.linux.libc import libc

__all__ = [
    "BYTES_OF_HEAD", "FAULT_FIELDS", "PERF_RECORD_SAMPLE", "RAW_FIELDS", "Counter", "Ring", "SampleLayout",
    "open_counter", "open_fault_head", "open_fault_pacer", "open_faults", "open_tracepoint",
]  # fmt: skip

[_SYS_PERF_EVENT_OPEN] = NATIVE.numbers("perf_event_open")
_TYPE_SOFTWARE: Final = 1
_TYPE_TRACEPOINT: Final = 2
PAGE_FAULTS: Final = 2
PAGE_FAULTS_MIN: Final = 5
PAGE_FAULTS_MAJ: Final = 6
_DUMMY: Final = 9  # happens never, but may have a ring

_SAMPLE_IP: Final = 1 << 0
_SAMPLE_TID: Final = 1 << 1
_SAMPLE_TIME: Final = 1 << 2
_SAMPLE_ADDR: Final = 1 << 3
_SAMPLE_RAW: Final = 1 << 10
_SAMPLE_REGS_USER: Final = 1 << 12
_SAMPLE_STACK_USER: Final = 1 << 13
_SAMPLE_IDENTIFIER: Final = 1 << 16
_FORMAT_ID: Final = 1 << 2
_FORMAT_LOST: Final = 1 << 4

_BIT_INHERIT: Final = 1 << 1
_BIT_EXCLUDE_KERNEL: Final = 1 << 5
_BIT_EXCLUDE_HV: Final = 1 << 6
_BIT_WATERMARK: Final = 1 << 14
_BIT_SAMPLE_ID_ALL: Final = 1 << 18
_BIT_USE_CLOCKID: Final = 1 << 25
_CLOCK_MONOTONIC: Final = 1

_REGS_MASK: Final = sum(1 << number for _name, number in NATIVE.perf_registers)

_IOC_ID: Final = 0x80082407
_IOC_SET_OUTPUT: Final = 0x2405
_IOC_ENABLE: Final = 0x2400
_IOC_DISABLE: Final = 0x2401
_IOC_SET_FILTER: Final = 0x40082406
_ATTR_SIZE: Final = 112
_F_SETOWN_EX: Final = 15
_F_OWNER_TID: Final = 0

FAULT_FIELDS: Final = [
    ("type", "<u4"), ("misc", "<u2"), ("size", "<u2"), ("id", "<u8"), ("ip", "<u8"), ("pid", "<u4"),
    ("tid", "<u4"), ("time", "<u8"), ("address", "<u8"), ("abi", "<u8"),
    *((f"user_{name}", "<u8") for name, _number in NATIVE.perf_registers), ("stack_size", "<u8"),
]  # fmt: skip
"""The fixed part of a sample, as a numpy record; the copied stack and its true length (u64) follow it.

Of the user side's registers it has those of `NATIVE.perf_registers`, in the kernel's order: `user_ip`, `user_sp` ….
"""

RAW_FIELDS: Final = [
    ("type", "<u4"), ("misc", "<u2"), ("size", "<u2"), ("id", "<u8"), ("pid", "<u4"), ("tid", "<u4"), ("time", "<u8"),
    ("raw_size", "<u4"),
]  # fmt: skip
"""The fixed part of a tracepoint's sample; the tracepoint's record follows it at once, `raw_size` bytes long."""

PERF_RECORD_SAMPLE: Final = 9
BYTES_OF_HEAD: Final = 2 * mmap.PAGESIZE
"""What is mapped of the event that `open_fault_head` opens."""
_HEADER: Final = struct.Struct("=IHH")  # struct perf_event_header: type, misc, size

_syscall = libc.syscall
_syscall.restype = ctypes.c_long


class SampleLayout:
    """How long a sample is when *stack_bytes* of the user stack are copied with it."""

    FIXED: Final = sum(int(kind.removeprefix("<u")) for _name, kind in FAULT_FIELDS)

    def __init__(self, stack_bytes: int) -> None:
        self.stack_bytes = (stack_bytes + 7) & ~7
        self.record_bytes = self.FIXED + self.stack_bytes + (8 if self.stack_bytes else 0)


def _attributes(
    config: int, *, period: int, sample_type: int, flags: int, read_format: int, stack: int, wakeup: int,
    kind: int = _TYPE_SOFTWARE,
) -> bytes:  # fmt: skip
    """Pack struct perf_event_attr, version 5 (112 bytes, Linux 4.1)."""
    return struct.pack(
        "=IIQQQQQIIQQQQIiQI4x",
        kind, _ATTR_SIZE, config, period, sample_type, read_format, flags, wakeup, 0,
        0, 0, 0, _REGS_MASK if sample_type & _SAMPLE_REGS_USER else 0, stack, _CLOCK_MONOTONIC, 0, 0,
    )  # fmt: skip


def _open(attributes: bytes, tid: int, cpu: int) -> int:
    buffer = ctypes.create_string_buffer(attributes, _ATTR_SIZE)
    no_group = ctypes.c_long(-1)
    close_on_exec = ctypes.c_ulong(8)
    fd: int = _syscall(
        ctypes.c_long(_SYS_PERF_EVENT_OPEN),
        buffer,
        ctypes.c_long(tid),
        ctypes.c_long(cpu),
        no_group,
        close_on_exec,
    )
    if fd == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


class Counter:
    """A counting event: how many times it happened, and how many samples did not fit into its ring."""

    def __init__(self, fd: int, *, counts_losses: bool) -> None:
        self.fd = fd
        self.counts_losses = counts_losses
        buffer = bytearray(8)
        fcntl.ioctl(fd, _IOC_ID, buffer)
        self.id: int = struct.unpack("=Q", buffer)[0]

    def read(self) -> tuple[int, int]:
        """Return (count, lost); lost is 0 where the kernel does not tell (before Linux 6.0)."""
        raw = os.read(self.fd, 24)
        words = struct.unpack(f"={len(raw) // 8}Q", raw)
        return words[0], words[2] if self.counts_losses else 0

    def pause(self) -> None:
        """Count nothing for now, in children neither."""
        fcntl.ioctl(self.fd, _IOC_DISABLE, 0)

    def go_on(self) -> None:
        """Count again."""
        fcntl.ioctl(self.fd, _IOC_ENABLE, 0)

    def sample(self, places: tuple[bytearray]) -> None:
        """Put the count into the first eight bytes of *places*, 24 bytes, without allocating."""
        os.readv(self.fd, places)

    def close(self) -> None:
        """Close the event."""
        os.close(self.fd)


def open_counter(
    config: int,
    tid: int,
    cpu: int,
    *,
    kernel: bool,
    period: int = 0,
    stack_bytes: int = 0,
    wakeup_bytes: int = 0,
    inherit: bool = True,
) -> Counter:
    """Open a software event on *tid* and all its future children while on processor *cpu* (-1: any).

    Args:
        kernel: count what happens inside the kernel on the task's behalf, too (needs perf_event_paranoid <= 1
            or CAP_PERFMON).
        period: 1 samples every event; 0 only counts.

    Raises:
        OSError: EACCES or EPERM when perf_event_paranoid or a container's seccomp profile forbids it.
    """
    sample_type = 0
    if period:
        sample_type = _SAMPLE_IDENTIFIER | _SAMPLE_IP | _SAMPLE_TID | _SAMPLE_TIME | _SAMPLE_ADDR | _SAMPLE_REGS_USER
        if stack_bytes:
            sample_type |= _SAMPLE_STACK_USER
    flags = _BIT_USE_CLOCKID | _BIT_EXCLUDE_HV
    flags |= _BIT_INHERIT if inherit else 0
    flags |= 0 if kernel else _BIT_EXCLUDE_KERNEL
    flags |= (_BIT_WATERMARK | _BIT_SAMPLE_ID_ALL) if period else 0
    return _opened(
        partial(_attributes, config, period=period, sample_type=sample_type, flags=flags, stack=stack_bytes,
                wakeup=wakeup_bytes),
        tid, cpu,
    )  # fmt: skip


def open_tracepoint(number: int, tid: int, cpu: int, *, only: str = "") -> Counter:
    """Open the tracepoint with this *number* (`tracefs.Format`) on *tid* and all its future children on *cpu*.

    Each time it is passed is a sample of RAW_FIELDS and the tracepoint's record. *only* is a filter in the language of
    Documentation/trace/events.rst.

    Raises:
        OSError: EACCES or EPERM without CAP_PERFMON, in whatever mode of perf_event_paranoid above -1; EINVAL for a
            filter that the kernel does not understand.
    """
    sample_type = _SAMPLE_IDENTIFIER | _SAMPLE_TID | _SAMPLE_TIME | _SAMPLE_RAW
    flags = _BIT_USE_CLOCKID | _BIT_INHERIT | _BIT_WATERMARK | _BIT_SAMPLE_ID_ALL
    attributes = partial(
        _attributes, number, period=1, sample_type=sample_type, flags=flags, stack=0, wakeup=0, kind=_TYPE_TRACEPOINT,
    )  # fmt: skip
    counter = _opened(attributes, tid, cpu)
    if only:
        try:
            fcntl.ioctl(counter.fd, _IOC_SET_FILTER, only.encode("ascii") + b"\0")
        except OSError:
            counter.close()
            raise
    return counter


def open_fault_pacer(tid: int, period: int, number: int) -> int:
    """Have the kernel send the task *tid* the signal *number* after each *period* of its own page faults in user mode.

    The signal's code is POLL_IN. It comes before the faulting instruction is begun again, so that no system call is
    ever interrupted by it; threads and children have none of it. Major faults are not among those counted. Return the
    event's descriptor: closing it ends this.

    Raises:
        OSError: as for `open_counter`; EMFILE.
    """
    # PAGE_FAULTS is counted before a fault is handled, which a pending signal then may put off, for ever with period 1.
    counter = open_counter(PAGE_FAULTS_MIN, tid, -1, kernel=False, period=period, inherit=False)
    try:
        fcntl.fcntl(counter.fd, fcntl.F_SETSIG, number)
        fcntl.fcntl(counter.fd, _F_SETOWN_EX, struct.pack("=ii", _F_OWNER_TID, tid))
        fcntl.fcntl(counter.fd, fcntl.F_SETFL, os.O_ASYNC)
    except OSError:
        counter.close()
        raise
    return counter.fd


def open_fault_head(tid: int, *, kernel: bool) -> int:
    """Return the descriptor of an event by which a task sees that it has had a page fault.

    Who maps it (BYTES_OF_HEAD, to read) sees `data_head` grow as a fault of the task *tid* begins, those of *kernel*
    mode, too, if they are asked for. Threads and children are not meant.

    Raises:
        OSError: as for `open_counter`; EMFILE.
    """
    flags = _BIT_EXCLUDE_HV | (0 if kernel else _BIT_EXCLUDE_KERNEL)
    return _open(
        _attributes(PAGE_FAULTS, period=1, sample_type=0, flags=flags, read_format=0, stack=0, wakeup=0), tid, -1
    )  # fmt: skip


def _opened(attributes: Callable[..., bytes], tid: int, cpu: int) -> Counter:
    """Open an event that counts its losses, where the kernel can (Linux 6.0)."""
    for losses in (True, False):
        read_format = _FORMAT_ID | (_FORMAT_LOST if losses else 0)
        try:
            return Counter(_open(attributes(read_format=read_format), tid, cpu), counts_losses=losses)
        except OSError as error:
            if error.errno != errno.EINVAL or not losses:
                raise
    raise AssertionError("unreachable")


class Ring:
    """The memory of so many *pages* (a power of two) that the kernel writes samples of one *processor* into.

    It is that of an event which never happens, on our own task *tid*: made before there is whom to observe. The
    `counters` are the events whose samples come into it.

    Raises:
        OSError: as `open_counter`; EPERM also when the ring exceeds what may be locked (perf_event_mlock_kb,
            RLIMIT_MEMLOCK).
    """

    _HEAD: Final = 1024
    _TAIL: Final = 1032

    def __init__(self, tid: int, processor: int, pages: int) -> None:
        self.processor = processor
        self.size = pages * mmap.PAGESIZE
        self.counters: tuple[Counter, ...] = ()
        self._owner = open_counter(
            _DUMMY, tid, processor, kernel=False, period=1, wakeup_bytes=self.size // 4, inherit=False
        )  # fmt: skip
        try:
            self._map = mmap.mmap(self._owner.fd, mmap.PAGESIZE + self.size)
        except OSError:
            self._owner.close()
            raise
        view = memoryview(self._map)
        self._head = view[self._HEAD : self._HEAD + 8].cast("Q")
        self._tail = view[self._TAIL : self._TAIL + 8].cast("Q")
        self._data = view[mmap.PAGESIZE :]

    @property
    def descriptor(self) -> int:
        """That which poll(2) says of that it fills."""
        return self._owner.fd

    def take_in(self, openers: Sequence[Callable[[], Counter]]) -> None:
        """Open an event with each of the *openers*, whose samples come in from now on; raises OSError as they do."""
        counters: list[Counter] = []
        try:
            for opener in openers:
                counters.append(opener())
                fcntl.ioctl(counters[-1].fd, _IOC_SET_OUTPUT, self._owner.fd)
        except OSError:
            for counter in counters:
                counter.close()
            raise
        self.counters += tuple(counters)

    def let_go(self) -> None:
        """Close all its events: no more samples come in."""
        for counter in self.counters:
            counter.close()
        self.counters = ()

    @property
    def used(self) -> int:
        """Return how many bytes wait to be taken out."""
        return self._head[0] - self._tail[0]

    def drain(self, file: NewFile) -> None:
        """Append all that is in the ring to *file*; raises OSError, and takes nothing, when there is no room."""
        head, tail, before = self._head[0], self._tail[0], file.size
        if head == tail:
            return
        start, amount = tail % self.size, head - tail
        beyond = max(start + amount - self.size, 0)
        try:
            # Released at once: a slice that an exception keeps alive would keep the ring from being closed.
            with self._data[start : start + amount - beyond] as first, self._data[:beyond] as second:
                file.append(first)
                file.append(second)
        except OSError:
            file.cut(before)
            raise
        self._tail[0] = head

    def discard(self) -> int:
        """Forget what is in the ring, so that the kernel can go on writing; return how many samples that were."""
        head, at, samples = self._head[0], self._tail[0], 0
        while at < head:
            # Records are multiples of 8 bytes, as the ring is, so no header is cut by its end (perf_event.h).
            kind, _misc, length = _HEADER.unpack_from(self._data, at % self.size)
            samples += kind == PERF_RECORD_SAMPLE
            at += length
        self._tail[0] = head
        return samples

    def close(self) -> None:
        """Unmap and close."""
        for view in (self._head, self._tail, self._data):
            view.release()
        self._map.close()
        self.let_go()
        self._owner.close()


def open_faults(tid: int, cpu: int, *, kernel: bool, stack_bytes: int) -> list[Callable[[], Counter]]:
    """Return what opens both fault events of *tid*'s tree on *cpu*, for a ring to take in."""
    stack = SampleLayout(stack_bytes).stack_bytes
    return [
        partial(open_counter, config, tid, cpu, kernel=kernel, period=1, stack_bytes=stack)
        for config in (PAGE_FAULTS_MIN, PAGE_FAULTS_MAJ)
    ]
