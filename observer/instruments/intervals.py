"""Page faults where perf is refused: counted between two stops of a task, and placed by the pages that came in.

At each stop the task's own counters say whether there were faults since its last stop. If so, the pagemap of its
writable private mappings tells which pages are there that were not before. The instruction stays unknown, and faults
on file pages, second faults on a page and pages that came and went are counted only.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.instruments.sink import Sink
from observer.linux import procfs
from observer.tracee.task import Task

__all__ = ["FaultIntervals", "page_runs"]

_LARGEST: Final = 1 << 28  # bytes of a mapping that is still searched at every interval
_PRESENT: Final = np.uint64(63)


class FaultIntervals:
    """Reads minflt + majflt at stops and notes what has come since the task's last stop."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._last: dict[int, int] = {}
        self._pages: dict[int, set[int]] = {}
        self.total = 0
        self.placed = 0

    def begin(self, task: Task) -> None:
        """Count from now on: the first program of the run."""
        self._last[task.tid] = procfs.task_counters(task.pid, task.tid).total
        self._pages[task.pid] = set(_resident_pages(task.tid).tolist())

    def executed(self, task: Task, former_tid: int) -> None:
        """Note the faults of an exec; none has a page, as those of the new address space are all new.

        The thread that called exec goes on under the number of its process, with its own counters.
        """
        self._last[task.tid] = self._last.pop(former_tid, 0)
        fresh = self._fresh(task)
        self._pages[task.pid] = set(_resident_pages(task.tid).tolist())
        if fresh:
            self._note(task, fresh, [])

    def born(self, child: Task) -> None:
        """Forget who had the number of *child* before: the counters of a new task begin at nothing."""
        self._last.pop(child.tid, None)
        if child.tid == child.pid:
            self._pages.pop(child.pid, None)

    def at_stop(self, task: Task) -> None:
        """Note the faults since the last stop of *task*."""
        fresh = self._fresh(task)
        if not fresh:
            return
        present = set(_resident_pages(task.tid).tolist())
        known = self._pages.get(task.pid)
        new = sorted(present - known)[:fresh] if known is not None else []
        self._pages[task.pid] = present
        self._note(task, fresh, new)

    def _fresh(self, task: Task) -> int:
        count = procfs.task_counters(task.pid, task.tid).total
        fresh = count - self._last.get(task.tid, 0)
        self._last[task.tid] = count
        return fresh

    def _note(self, task: Task, fresh: int, new: list[int]) -> None:
        self.total += fresh
        self.placed += len(new)
        self._sink.notes.append(
            "interval", pid=task.pid, tid=task.tid, t=time.monotonic_ns(), count=fresh - len(new), pages=page_runs(new)
        )

    def ended(self, task: Task) -> None:
        """Note the last interval of *task*."""
        self.at_stop(task)
        self._last.pop(task.tid, None)


def _resident_pages(tid: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the pages that are there in writable private mappings."""
    parts: list[npt.NDArray[np.int64]] = []
    with contextlib.suppress(OSError):
        pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for mapping in procfs.read_mappings(tid):
                if "w" in mapping.protection and not mapping.shared and mapping.size <= _LARGEST:
                    raw = procfs.read_pagemap(pagemap, mapping.start, mapping.end)
                    there = np.nonzero(np.frombuffer(raw, dtype="<u8") >> _PRESENT)[0]
                    parts.append(there + mapping.start // procfs.PAGE)
        finally:
            os.close(pagemap)
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


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
