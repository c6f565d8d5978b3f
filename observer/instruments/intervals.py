"""Page faults where perf is refused: counted between two stops of a task, and placed by the pages that came in.

At each stop the task's own counters say whether there were faults since its last stop. If so, the pagemap of its
writable private mappings tells which pages are there that were not before. The instruction stays unknown, and faults
on file pages, second faults on a page (copy on write) and pages that came and went are counted only.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from observer.arch.known import NATIVE
from observer.linux import procfs
from observer.linux.pagemap import present_runs
from observer.recording.notes import Interval
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["FaultIntervals", "page_runs"]

_LARGEST: Final = 1 << 28
"""Bytes of a mapping that is searched at every interval, whatever is in it; a larger one has to hold less than that."""
_BRK, _MMAP, _MUNMAP, _MREMAP, _MADVISE = NATIVE.numbers("brk", "mmap", "munmap", "mremap", "madvise")
_HUGE: Final = (2 << 20) // procfs.PAGE  # pages
_GIVING_UP: Final = frozenset({4, 9, 24})  # MADV_DONTNEED, MADV_REMOVE, MADV_DONTNEED_LOCKED


class FaultIntervals:
    """Reads minflt + majflt at stops and notes what has come since the task's last stop."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._last: dict[int, int] = {}
        self._pages: WeakKeyDictionary[Memory, set[int]] = WeakKeyDictionary()
        self._breaks: WeakKeyDictionary[Memory, int] = WeakKeyDictionary()
        self._full: WeakSet[Memory] = WeakSet()
        self.total = 0
        self.placed = 0

    def begin(self, task: Task) -> None:
        """Count from now on: the first program of the run."""
        self._last[task.tid] = procfs.task_counters(task.pid, task.tid).total
        self._look(task)

    def executed(self, task: Task, former_tid: int) -> None:
        """Note the faults of an exec; none has a page, as those of the new address space are all new.

        The thread that called exec goes on under the number of its process, with its own counters.
        """
        self._last[task.tid] = self._last.pop(former_tid, 0)
        fresh = self._fresh(task)
        self._look(task)
        if fresh:
            self._note(task, fresh, [])

    def born(self, parent: Task, child: Task) -> None:
        """Forget who had the number of *child* before: the counters of a new task begin at nothing.

        A fork's child begins with the pages that were copied for it.
        """
        self._last.pop(child.tid, None)
        if parent.memory is None or child.memory is None or parent.memory is child.memory:
            return
        if parent.memory in self._breaks:
            self._breaks[child.memory] = self._breaks[parent.memory]
        self._look(child)

    def changed(self, task: Task, number: int, args: tuple[int, ...], result: int) -> None:
        """Forget the pages that a successful system call gave back: what comes in there is new."""
        if task.memory is None:
            return
        if number == _BRK:
            before = self._breaks.get(task.memory, result)
            self._breaks[task.memory] = result
            self._forget(task.memory, min(before, result) + procfs.PAGE - 1, max(before, result))
        elif number == _MUNMAP or (number == _MADVISE and args[2] in _GIVING_UP):
            self._forget(task.memory, args[0], args[0] + args[1])
        elif number == _MMAP:
            self._forget(task.memory, result, result + args[1])
        elif number == _MREMAP:
            self._forget(task.memory, args[0] + args[2] if result == args[0] else args[0], args[0] + args[1])
            if result != args[0]:
                self._forget(task.memory, result, result + args[2])

    def _forget(self, memory: Memory, start: int, end: int) -> None:
        if end - start > _LARGEST:
            self._full.discard(memory)  # perhaps it was this that was full
        known = self._pages.get(memory)
        pages = range(start // procfs.PAGE, -(-end // procfs.PAGE))
        if known is not None:
            known.difference_update(pages if len(pages) < len(known) else [page for page in known if page in pages])

    def _look(self, task: Task) -> set[int]:
        present, large = _resident_pages(task.tid, task.memory not in self._full)
        if task.memory is not None:
            self._pages[task.memory] = present
            if large * procfs.PAGE > _LARGEST:
                self._full.add(task.memory)
        return present

    def at_stop(self, task: Task) -> None:
        """Note the faults since the last stop of *task*."""
        fresh = self._fresh(task)
        if not fresh:
            return
        known = self._pages.get(task.memory) if task.memory is not None else None
        present = self._look(task)
        new = _faulted(sorted(present - known), fresh) if known is not None else []
        self._note(task, fresh, new)

    def _fresh(self, task: Task) -> int:
        count = procfs.task_counters(task.pid, task.tid).total
        fresh = count - self._last.get(task.tid, 0)
        self._last[task.tid] = count
        return fresh

    def _note(self, task: Task, fresh: int, new: list[int]) -> None:
        self.total += fresh
        self.placed += len(new)
        pages = tuple(page_runs(new))
        self._sink.notes.append(
            Interval(pid=task.pid, tid=task.tid, t=time.monotonic_ns(), count=fresh - len(new), pages=pages)
        )

    def ended(self, task: Task) -> None:
        """Note the last interval of *task*."""
        self.at_stop(task)
        self._last.pop(task.tid, None)


def _resident_pages(tid: int, with_large: bool) -> tuple[set[int], int]:
    """Return the numbers of the pages that are there in writable private mappings; how many are in large ones."""
    found: set[int] = set()
    large = 0
    with contextlib.suppress(OSError):
        pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for mapping in procfs.read_mappings(tid):
                is_large = mapping.size > _LARGEST
                if "w" in mapping.protection and not mapping.shared and (with_large or not is_large):
                    # A kernel before 6.7 would have to be asked for an entry a page.
                    most = 0 if is_large else mapping.size
                    for first, last in present_runs(pagemap, mapping.start, mapping.end, most):
                        found.update(range(first // procfs.PAGE, last // procfs.PAGE))
                        large += (last - first) // procfs.PAGE * is_large
        finally:
            os.close(pagemap)
    return found, large


def _faulted(new: list[int], faults: int) -> list[int]:
    """Return which of the *new* pages the faults were for: where they are too few for all, the first of a huge page.

    >>> _faulted([*range(512, 1024), 2000, 2001], 3)
    [512, 2000, 2001]
    """
    if len(new) <= faults:
        return new
    whole = {block for block, count in Counter(page // _HUGE for page in new).items() if count == _HUGE}
    return [page for page in new if page // _HUGE not in whole or page % _HUGE == 0][:faults]


def page_runs(pages: list[int]) -> list[tuple[int, int]]:
    """Return (first, length) of each run of following numbers.

    >>> page_runs([3, 4, 5, 9])
    [(3, 3), (9, 1)]
    """
    runs: list[tuple[int, int]] = []
    for page in pages:
        if runs and page == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((page, 1))
    return runs
