"""The pages that the observer itself brings into its tracees, measured: reading or writing a page that is not there
makes it be there.

Such pages are brought in by get_user_pages for the tracing thread: they count as its minor faults but raise no
fault event. So minflt minus fault events of our own thread is their number.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from observer.linux.perf import PAGE_FAULTS_MAJ, PAGE_FAULTS_MIN, Counter, open_counter
from observer.linux.procfs import task_counters

__all__ = ["ObserversPages"]


class ObserversPages:
    """Counts the pages that the calling thread brings in elsewhere; `exact` is False where perf hides kernel faults."""

    def __init__(self) -> None:
        self._tid = threading.get_native_id()
        self._counters: list[Counter] = []
        self.exact = True
        self._planting = 0
        self.pushed = 0
        try:
            for config in (PAGE_FAULTS_MIN, PAGE_FAULTS_MAJ):
                self._counters.append(open_counter(config, 0, -1, kernel=True, inherit=False))
        except OSError:
            self.exact = False
        self._start = self._now()

    def _now(self) -> int:
        if not self.exact:
            return 0
        # A fault of our own between the two readings would look like a page of the tracee's: the least of a few
        # attempts is free of it, since nothing is done to the tracee meanwhile.
        return min(self._attempt() for _ in range(3))

    def _attempt(self) -> int:
        events = sum(counter.read()[0] for counter in self._counters)
        return task_counters(os.getpid(), self._tid).total - events

    @contextlib.contextmanager
    def excluded(self) -> Iterator[None]:
        """Count what happens inside as planting breakpoints, which makes text pages private."""
        before = self._now()
        yield
        self._planting += self._now() - before

    @contextlib.contextmanager
    def pushing(self) -> Iterator[None]:
        """Count what happens inside as stack pages that a push of the program reached first."""
        before = self._now()
        yield
        self.pushed += self._now() - before

    def result(self) -> tuple[int, int]:
        """Return (pages brought in by planting, pages brought in otherwise)."""
        return self._planting, self._now() - self._start - self._planting

    def close(self) -> None:
        """Close the counters."""
        for counter in self._counters:
            counter.close()
