"""A piece of the user stack, kept when code of the C library did something, to find the program's own line later."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.procfs import PAGE, read_pagemap
from observer.linux.ptrace import RegisterSet
from observer.recording.records import STACK_BYTES
from observer.recording.sink import Sink
from observer.tracee.frames import Frame
from observer.tracee.memory import Memory
from observer.tracee.returning import IN_REGISTER

__all__ = ["WRAPPER", "keep_stack", "present_bytes", "put_back"]

WRAPPER: Final = 256
"""Bytes that are enough to leave a memory call's wrapper, which has hardly a frame; stdio's calls lie deeper."""

_BP, _BX = NATIVE.registers.fp, NATIVE.registers.kept


def present_bytes(tid: int, start: int, length: int) -> int:
    """Return how many of the *length* bytes from *start* on lie in pages that are there (in one stretch)."""
    try:
        fd = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 8
    try:
        entries = read_pagemap(fd, start & -PAGE, start + length)
    finally:
        os.close(fd)
    there = 0
    while 8 * there < len(entries) and entries[8 * there + 7] & 0x80:
        there += 1
    return min(max((start & -PAGE) + there * PAGE - start, 0), length)


def keep_stack(
    sink: Sink,
    memory: Memory,
    now: int,
    sp: int,
    registers: RegisterSet,
    length: int = STACK_BYTES,
    frames: Sequence[Frame] = (),
) -> int:
    """Save up to *length* bytes from *sp* up with the registers that frames are found by.

    Returns the record's number, 0 if it cannot be read.

    The return addresses of *frames* are put back, where one on the stack is exchanged for that while.

    Only pages that are there are read, so that none is brought in: above the top of a coroutine's stack none may be.
    """
    with contextlib.suppress(OSError):
        if sp % PAGE + length > PAGE:  # the page of the stack pointer itself is there
            length = min(length, present_bytes(memory.tid, sp, length))
        piece = memory.read(sp, length)
        for frame in frames:
            piece = put_back(piece, sp, frame, memory.word)
        return sink.stacks.append(now, sp, registers.words[_BP], registers.words[_BX], piece)
    return 0


def put_back(piece: bytes, sp: int, frame: Frame, word: int) -> bytes:
    """Return the *piece* of stack from *sp* on with the return address of *frame*, if that was exchanged on it."""
    at = frame.sp - sp
    if not frame.trap or IN_REGISTER is not None or not 0 <= at <= len(piece) - word:
        return piece
    return piece[:at] + frame.return_address.to_bytes(word, "little") + piece[at + word :]
