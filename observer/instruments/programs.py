"""A program taken over: noted with all that it has, and planted in. At its exec, or in the midst of its life."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from observer.instruments.births import heap_pages
from observer.instruments.images import Images, program_of
from observer.instruments.observed import ObserversPages
from observer.instruments.probes import LibraryCalls
from observer.linux import procfs
from observer.model.addresses import STACK, Mapping
from observer.recording.notes import Exec
from observer.recording.sink import Sink
from observer.tracee.task import Task

__all__ = ["Programs"]

_HEEDED: Final = ("GLIBC_TUNABLES", "MALLOC_", "LD_PRELOAD", "LD_LIBRARY_PATH")
"""What of its environment a program's allocator and loader heed."""


class Programs:
    """Takes programs over. `faults_before` are the faults of the first by then; *unreadable* takes what is refused."""

    def __init__(
        self, sink: Sink, images: Images, library: LibraryCalls, pages: ObserversPages, unreadable: set[str]
    ) -> None:
        self._sink = sink
        self._images = images
        self._library = library
        self._pages = pages
        self._unreadable = unreadable
        self.faults_before = 0

    def begin(
        self, task: Task, former_tid: int, threads: Collection[Task] = (), *, first: bool, joins: bool,
        is_exec: bool = True,
    ) -> None:  # fmt: skip
        """Take the program of *task* and of the other *threads* over, all of which stand still; see `notes.Exec`."""
        now = time.monotonic_ns()
        counters = [procfs.task_counters(task.pid, each.tid) for each in (task, *threads)]
        if first:
            self.faults_before = sum(each.total for each in counters)
        mappings = self.readable_mappings(task)
        self._sink.notes.append(
            Exec(
                pid=task.pid, tid=task.tid, t=now, path=program_of(task.tid), former=former_tid, first=first,
                minor=sum(each.minor for each in counters), major=sum(each.major for each in counters),
                break_start=procfs.heap_start(task.tid) if mappings else 0, mappings=tuple(mappings),
                environment=procfs.heeded_environment(task.tid, _HEEDED), joined=joins,
                threads=tuple(each.tid for each in threads),
                heap_pages=None if is_exec else _heap_pages(task, mappings),
            )
        )  # fmt: skip
        if task.memory is not None:
            task.memory.growing = {mapping.end for mapping in mappings if mapping.path == STACK}
            task.memory.reads_execute = procfs.reads_execute(task.tid)
        self._images.executed(task, mappings, now)
        with self._pages.excluded():
            self._library.plant_vdso(task, mappings)

    def readable_mappings(self, task: Task) -> list[Mapping]:
        """Return the mappings, or none for a program that its user may run but not read (mode 0711)."""
        try:
            return procfs.read_mappings(task.tid)
        except PermissionError:
            self._unreadable.add(
                f"{program_of(task.tid) or 'a program'} may be run but not read: its calls are not seen"
            )
            return []


def _heap_pages(task: Task, mappings: list[Mapping]) -> tuple[tuple[int, int], ...]:
    try:
        return tuple(heap_pages(task.tid, mappings))
    except PermissionError:
        return ()
