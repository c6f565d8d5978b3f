"""Frames that huge pages brought beside a touched page, counted before they are given back.

One fault on a huge page makes up to 2 MiB resident (Documentation/admin-guide/mm/transhuge.rst), so faults alone do not
tell how much memory a program has. What is there at the end of a process is read there; this looks at what goes before.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from observer.arch.known import NATIVE
from observer.linux import procfs
from observer.recording.notes import Leaving
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["HugePages"]

_SETTINGS: Final = Path("/sys/kernel/mm/transparent_hugepage")
_BLOCK: Final = 1 << 21
_LARGEST: Final = 1 << 32  # bytes of a range that is still looked at before it goes
_PRESENT: Final = np.uint64(63)
_MMAP, _MUNMAP, _BRK, _MADVISE = NATIVE.numbers("mmap", "munmap", "brk", "madvise")
_MAP_HUGETLB: Final = 0x40000
_ASKING: Final = frozenset({14, 25})  # MADV_HUGEPAGE, MADV_COLLAPSE
_GIVING_UP: Final = frozenset({4, 24})  # MADV_DONTNEED, MADV_DONTNEED_LOCKED


class HugePages:
    """Notes how many pages are there, in each 2 MiB that a program with huge pages is about to give back."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._everywhere = _are_everywhere()
        self._asked: WeakSet[Memory] = WeakSet()
        self._breaks: WeakKeyDictionary[Memory, int] = WeakKeyDictionary()

    def entered(self, task: Task, number: int, args: tuple[int, ...], now: int) -> None:
        """Look at what a call is about to take away."""
        memory = task.memory
        if memory is None or not (self._everywhere or memory in self._asked):
            return
        if number == _MUNMAP or (number == _MADVISE and args[2] in _GIVING_UP):
            self._leaving(task, args[0], args[0] + args[1], now)
        elif number == _BRK and args[0]:
            self._leaving(task, args[0], self._breaks.get(memory, 0), now)

    def _leaving(self, task: Task, start: int, end: int, now: int) -> None:
        first, last = -(-start // _BLOCK), end // _BLOCK
        if first >= last or end - start > _LARGEST:
            return
        with contextlib.suppress(OSError, OverflowError):  # the process is gone; or an address that is none
            counts = _present_by_block(task.tid, first, last)
            self._sink.notes.append(Leaving(pid=task.pid, tid=task.tid, t=now, first=first, counts=tuple(counts)))

    def succeeded(self, task: Task, number: int, args: tuple[int, ...], result: int) -> None:
        """Learn from a call that came back well whether there may be huge pages, and where the break is."""
        if task.memory is None:
            return
        if number == _BRK:
            self._breaks[task.memory] = result
        elif (number == _MADVISE and args[2] in _ASKING) or (number == _MMAP and args[3] & _MAP_HUGETLB):
            self._asked.add(task.memory)

    def born(self, parent: Task, child: Task) -> None:
        """A fork child has its parent's mappings, with what was asked for them."""
        if parent.memory is None or child.memory is None:
            return
        if parent.memory in self._asked:
            self._asked.add(child.memory)
        if parent.memory in self._breaks:
            self._breaks[child.memory] = self._breaks[parent.memory]


def _are_everywhere() -> bool:
    """Whether the kernel makes huge pages, of any size, without being asked to."""
    settings = [_SETTINGS / "enabled", *_SETTINGS.glob("hugepages-*/enabled")]
    with contextlib.suppress(OSError):
        return any("[always]" in path.read_text(encoding="ascii") for path in settings)
    return False


def _present_by_block(tid: int, first: int, last: int) -> list[int]:
    pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        entries = np.frombuffer(procfs.read_pagemap(pagemap, first * _BLOCK, last * _BLOCK), dtype="<u8")
    finally:
        os.close(pagemap)
    there = (entries >> _PRESENT).reshape(-1, _BLOCK // procfs.PAGE)
    counts: list[int] = there.sum(axis=1).tolist()
    return counts
