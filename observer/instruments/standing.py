"""Do the breakpoints still stand? A second witness for calls: what was planted may be dropped, rewritten, mapped over.

A program may discard the pages of its text (MADV_DONTNEED), write the file's bytes back, patch a function with a
jump, or map something else over it. Where it did so by a system call that we follow, what the file has is planted
upon again; what was changed otherwise is found at the end, and told.
"""

from __future__ import annotations

import errno
from collections import Counter

from observer.instruments.observed import ObserversPages
from observer.model.operations import FAMILY
from observer.tracee.breakpoints import NO_CALL, Breakpoint
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["Standing"]


class Standing:
    """Looks after what was planted for *listener*, and counts it at the ends of processes."""

    def __init__(self, pages: ObserversPages, listener: int) -> None:
        self._pages = pages
        self._listener = listener
        self.expected = 0
        self.found = 0
        self.moved = 0
        self.planted_again = 0
        self.altered: Counter[str] = Counter()

    def check(self, task: Task, start: int, end: int) -> None:
        """Plant again in [start, end) where the program, by a call that just returned, put the file's bytes back."""
        memory = task.memory
        if memory is None:
            return
        here = [point for point in self._planted(memory) if start <= point.address < end and not point.is_copy]
        with self._pages.excluded():
            for point in here:
                if _bytes_at(memory, point) == point.code[: len(point.planted)]:
                    memory.put(task.tid, point)
                    self.planted_again += 1

    def settle(self, task: Task) -> None:
        """Count what stands at the end of a process, or before its exec."""
        memory = task.memory
        if memory is None or memory.fd < 0:
            return
        memory.tid = task.tid
        points = self._planted(memory)
        with self._pages.excluded():
            there = {point: _bytes_at(memory, point) for point in points if not point.is_copy}
        copied = {point.number for point in points if point.is_copy} | memory.inline.still_seen
        for point, code in there.items():
            self.expected += 1
            if code == point.planted:
                self.found += 1
            elif point.number in copied and point.number != NO_CALL:
                self.moved += 1
            else:
                self.altered[FAMILY[point.number].name if point.number != NO_CALL else "a return"] += 1

    def _planted(self, memory: Memory) -> list[Breakpoint]:
        points = (*memory.breakpoints.values(), *memory.inline.hooks.values())
        return [point for point in points if point.listener == self._listener]


def _bytes_at(memory: Memory, point: Breakpoint) -> bytes:
    try:
        return memory.read(point.address, len(point.planted))
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise
        return b""
