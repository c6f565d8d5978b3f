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
from typing import Final

from observer.linux.perf import PAGE_FAULTS_MAJ, PAGE_FAULTS_MIN, Counter, open_counter
from observer.linux.procfs import OwnCounters

__all__ = ["ObserversPages"]

_ATTEMPTS: Final = 20


class ObserversPages:
    """Counts the pages that the calling thread brings in elsewhere; not `exact` where perf hides kernel faults."""

    def __init__(self) -> None:
        self._counters: list[Counter] = []
        self._task: OwnCounters | None = None
        self._early = [(bytearray(24),), (bytearray(24),)]
        self._late = [(bytearray(24),), (bytearray(24),)]
        self._planting = 0
        self.pushed = 0
        try:
            for config in (PAGE_FAULTS_MIN, PAGE_FAULTS_MAJ):
                self._counters.append(open_counter(config, 0, -1, kernel=True, inherit=False))
            self._task = OwnCounters(os.getpid(), threading.get_native_id())
        except OSError:
            self._task = None
        self._start = self._now()

    def _now(self) -> int:
        """Return minflt + majflt minus fault events of our thread.

        A fault of our own between the readings would look like a page of the tracee's, so the readings allocate
        nothing, the events are read on both sides of the task's counters, and the clean one of a few attempts counts.
        """
        if self._task is None:
            return 0
        least: int | None = None
        for _ in range(_ATTEMPTS):
            before, total, after = self._attempt(self._task)
            if before == after:
                return total - before
            least = total - before if least is None else min(least, total - before)
        assert least is not None
        return least

    def _attempt(self, task: OwnCounters) -> tuple[int, int, int]:
        early, late = self._early, self._late
        for counter, places in zip(self._counters, early, strict=True):
            counter.sample(places)
        task.sample()
        for counter, places in zip(self._counters, late, strict=True):
            counter.sample(places)
        return _sum(early), task.value().total, _sum(late)

    @property
    def exact(self) -> bool:
        """Whether they can be counted here."""
        return self._task is not None

    @contextlib.contextmanager
    def excluded(self) -> Iterator[None]:
        """Count what happens inside as planting breakpoints, which makes text pages private."""
        before = self._now()
        try:
            yield
        finally:  # whoever is killed meanwhile may have been given pages all the same
            self._planting += self._now() - before

    @contextlib.contextmanager
    def pushing(self) -> Iterator[None]:
        """Count what happens inside as stack pages that a push of the program reached first."""
        before = self._now()
        try:
            yield
        finally:  # a push that finds no stack left fails, and may have brought a page in all the same
            self.pushed += self._now() - before

    def result(self) -> tuple[int, int]:
        """Return (pages brought in by planting, pages brought in otherwise)."""
        return self._planting, self._now() - self._start - self._planting

    def close(self) -> None:
        """Close the counters."""
        for counter in self._counters:
            counter.close()
        if self._task is not None:
            self._task.close()


def _sum(places: list[tuple[bytearray]]) -> int:
    return sum(int.from_bytes(place[:8], "little") for (place,) in places)
