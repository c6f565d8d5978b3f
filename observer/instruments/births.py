"""What a fork copied, read from the child before it runs, where it cannot be known otherwise.

The kernel copies the address space at one moment within the call. What other threads map, unmap or touch meanwhile may
be in the copy or not.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Final
from weakref import WeakSet

import numpy as np

from observer.instruments.intervals import page_runs
from observer.linux import procfs
from observer.model.addresses import Mapping
from observer.recording.notes import Copied
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["Births", "heap_pages"]

_PRESENT: Final = np.uint64(63)


class Births:
    """Notes mappings and heap pages of the children that are copied from memory with several tasks."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._shared: WeakSet[Memory] = WeakSet()

    def born(self, parent: Task, child: Task) -> None:
        """Take a birth in; *child* has not run yet."""
        if parent.memory is None:
            return
        if child.memory is parent.memory:
            self._shared.add(parent.memory)
        elif parent.memory in self._shared:
            with contextlib.suppress(OSError):  # killed already, or not to be read
                self._copied(child)

    def _copied(self, child: Task) -> None:
        mappings = procfs.read_mappings(child.tid)
        if child.memory is not None:
            mappings = child.memory.inline.without_ours(mappings)
        pages = heap_pages(child.tid, mappings)
        now = time.monotonic_ns()
        self._sink.notes.append(Copied(pid=child.pid, t=now, mappings=tuple(mappings), pages=tuple(pages)))


def heap_pages(tid: int, mappings: Iterable[Mapping]) -> list[tuple[int, int]]:
    """Return the pages of the heap of *tid* that are there, as runs (number of the first page, pages).

    Raises:
        OSError: they may not be read, or the task is gone.
    """
    pages: list[int] = []
    heap = [mapping for mapping in mappings if mapping.path == "[heap]"]
    pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for mapping in heap:
            entries = np.frombuffer(procfs.read_pagemap(pagemap, mapping.start, mapping.end), dtype="<u8")
            pages += (np.nonzero(entries >> _PRESENT)[0] + mapping.start // procfs.PAGE).tolist()
    finally:
        os.close(pagemap)
    return page_runs(pages)
