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

__all__ = ["FaultIntervals"]

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
        """Count from now on (a new program)."""
        self._last[task.tid] = procfs.task_counters(task.pid, task.tid).total
        self._pages[task.pid] = set(_resident_pages(task.tid).tolist())

    def at_stop(self, task: Task) -> None:
        """Note the faults since the last stop of *task*."""
        count = procfs.task_counters(task.pid, task.tid).total
        fresh = count - self._last.get(task.tid, 0)
        if not fresh:
            return
        self._last[task.tid] = count
        self.total += fresh
        present = set(_resident_pages(task.tid).tolist())
        known = self._pages.get(task.pid)
        new = sorted(present - known)[:fresh] if known is not None else []
        self._pages[task.pid] = present
        self.placed += len(new)
        self._sink.notes.append(
            "interval", pid=task.pid, tid=task.tid, t=time.monotonic_ns(), count=fresh - len(new), pages=_runs(new)
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


def _runs(pages: list[int]) -> list[tuple[int, int]]:
    """Return (first, length) of each run of following numbers.

    >>> _runs([3, 4, 5, 9])
    [(3, 3), (9, 1)]
    """
    runs: list[tuple[int, int]] = []
    for page in pages:
        if runs and page == runs[-1][0] + runs[-1][1]:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((page, 1))
    return runs
