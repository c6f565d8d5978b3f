"""Samples of tracepoints as perf writes them, and the notes that say how they are laid out."""

from __future__ import annotations

import struct
from typing import Any, Final

from observer.recording.notes import Tracepoint
from observer.recording.records import KERNEL_EVENT, WITNESS
from tests.builders import PID

SAMPLE: Final = 9
ZERO, HARDWALL = 0x100, 0x100000
FAULT, KERNEL_FAULT, ALLOC, ENTER, EXIT = 31, 37, 41, 43, 47
"""The identity of each tracepoint's event."""
HARD_INTERRUPT, SOFT_INTERRUPT = 0x08, 0x10
USER_PAGE, USER_COPY, TABLE = ZERO | HARDWALL, HARDWALL, ZERO

_COMMON: Final = {"common_type": (0, 2), "common_flags": (2, 1), "common_preempt_count": (3, 1), "common_pid": (4, 4)}
_NAMES: Final[dict[int, tuple[str, dict[str, tuple[int, int]]]]] = {
    FAULT: ("exceptions:page_fault_user", {"address": (8, 8), "ip": (16, 8)}),
    KERNEL_FAULT: ("exceptions:page_fault_kernel", {"address": (8, 8), "ip": (16, 8)}),
    ALLOC: ("kmem:mm_page_alloc", {"pfn": (8, 8), "order": (16, 4), "gfp_flags": (24, 8)}),
    ENTER: ("raw_syscalls:sys_enter", {"id": (8, 8), "args": (16, 48)}),
    EXIT: ("raw_syscalls:sys_exit", {"id": (8, 8), "ret": (16, 8)}),
}


def tracepoints(**moved: tuple[int, int]) -> list[Tracepoint]:
    """The notes of all tracepoints; *moved* are fields of mm_page_alloc that lie elsewhere."""
    found = []
    for number, (name, fields) in _NAMES.items():
        laid = {**_COMMON, **fields, **(moved if number == ALLOC else {})}
        found.append(
            Tracepoint(t=1, name=name, ids=(number, number + 100), fields=laid, flags={"__GFP_ZERO": ZERO, "__GFP_HARDWALL": HARDWALL})
        )  # fmt: skip
    return found


def raw_sample(number: int, time: int, record: bytes, tid: int = PID) -> bytes:
    """A sample of the event *number* with a tracepoint's *record*, filled up as perf does."""
    padded = record + bytes(-(len(record) + 4) % 8)
    body = struct.pack("<QIIQI", number, PID, tid, time, len(padded)) + padded
    return struct.pack("<IHH", SAMPLE, 1, 8 + len(body)) + body


def _record(**values: Any) -> bytes:
    return struct.pack("<HBBi", 7, values.get("context", 0), 0, PID)


def fault_began(time: int, address: int, *, tid: int = PID, number: int = FAULT) -> bytes:
    return raw_sample(number, time, _record() + struct.pack("<QQQ", address, 0x1149, 6), tid)


def allocated(
    time: int, frame: int, *, order: int = 0, asked: int = USER_PAGE, context: int = 0, tid: int = PID
) -> bytes:
    record = _record(context=context) + struct.pack("<QIIQI", frame, order, 0, asked, 1)
    return raw_sample(ALLOC, time, record, tid)


def entered(time: int, number: int, *, tid: int = PID) -> bytes:
    return raw_sample(ENTER, time, _record() + struct.pack("<7Q", number, *range(6)), tid)


def by_bcc(time: int, what: int, value: int, *, order: int = 0, tid: int = PID) -> bytes:
    """A record that bcc told."""
    return KERNEL_EVENT.packed.pack(time, PID, tid, what, WITNESS, order, value)


def left(time: int, number: int, *, tid: int = PID) -> bytes:
    return raw_sample(EXIT, time, _record() + struct.pack("<QQ", number, 0), tid)
