"""Page faults of a whole process tree, each with address, instruction, user registers and a piece of stack.

The kernel writes samples into one ring a processor; a thread of ours empties them into files as they fill, so
that a program which touches memory for seconds without any stop loses nothing. Samples are not looked at here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from dataclasses import dataclass
from typing import Final

from observer.errors import CannotObserve
from observer.files import Folder, NewFile
from observer.linux.perf import (
    FAULT_FIELDS,
    PAGE_FAULTS,
    PERF_RECORD_SAMPLE,
    Counter,
    Ring,
    SampleLayout,
    open_counter,
    open_fault_ring,
)
from observer.linux.procfs import PAGE

__all__ = ["FAULT_FIELDS", "PAGE_SHIFT", "PERF_RECORD_SAMPLE", "FaultInstrument", "FaultTotals", "SampleLayout"]

PAGE_SHIFT: Final = PAGE.bit_length() - 1
_RING_PAGES: Final = (4096, 2048, 1024, 512, 256, 128, 64, 32)


@dataclass(frozen=True, slots=True)
class FaultTotals:
    """What the kernel counted: events, those without room in a ring, and all faults with the failed ones."""

    counted: int
    lost: int
    with_failed: int | None


class FaultInstrument:
    """Rings, the thread that empties them, and the counters that prove nothing was lost.

    Raises:
        CannotObserve: the kernel refuses page-fault events to this user.
    """

    def __init__(self, folder: Folder, stack_bytes: int) -> None:
        self.layout = SampleLayout(stack_bytes)
        self.files: list[NewFile] = []
        self._folder = folder
        self._rings: list[Ring] = []
        self._failed: Counter | None = None
        self._stop_read, self._stop_write = os.pipe()
        self._thread: threading.Thread | None = None
        self.sees_kernel = True
        self.error: OSError | None = None
        self._discarded = 0

    def start(self, tid: int) -> None:
        """Open the events on the stopped task *tid*; its future threads and children are included."""
        processors = sorted(_online_processors())
        for pages in _RING_PAGES:
            try:
                self._open(tid, processors, pages)
                break
            except OSError as error:
                self._close_rings()
                if (
                    error.errno not in (errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EMFILE)
                    or pages == _RING_PAGES[-1]
                ):
                    raise self._refusal(error) from error
        with contextlib.suppress(OSError):
            self._failed = open_counter(PAGE_FAULTS, tid, -1, kernel=self.sees_kernel)
        try:
            self.files = [NewFile(self._folder, f"faults.{processor}.bin") for processor in processors]
            self._thread = threading.Thread(target=self._empty, name="fault rings", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError) as error:  # RuntimeError: no further thread
            self._thread = None
            self._close_rings()
            raise CannotObserve(
                "cannot see page faults", f"no file or thread for their samples: {error}", "raise ulimit -n, -u and -v"
            ) from error

    def _open(self, tid: int, processors: list[int], pages: int) -> None:
        for kernel in (True, False) if self.sees_kernel else (False,):
            try:
                self._rings.append(
                    open_fault_ring(tid, processors[0], kernel=kernel, stack_bytes=self.layout.stack_bytes, pages=pages)
                )
                self.sees_kernel = kernel
                break
            except OSError as error:
                if error.errno != errno.EACCES or not kernel:
                    raise
        for processor in processors[1:]:
            self._rings.append(
                open_fault_ring(
                    tid, processor, kernel=self.sees_kernel, stack_bytes=self.layout.stack_bytes, pages=pages
                )
            )

    @property
    def major_ids(self) -> list[int]:
        """Return the event ids that samples of major faults carry."""
        return [ring.major.id for ring in self._rings]

    def _refusal(self, error: OSError) -> CannotObserve:
        return CannotObserve(
            "cannot see page faults",
            f"perf_event_open: {os.strerror(error.errno or 0)}; kernel.perf_event_paranoid is {_paranoid()}",
            "sudo sysctl kernel.perf_event_paranoid=1",
        )

    def _empty(self) -> None:
        # Away from the shared processor: this thread works while the tracee runs.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        poller = select.poll()
        poller.register(self._stop_read, select.POLLIN)
        for ring in self._rings:
            poller.register(ring.minor.fd, select.POLLIN)
            poller.register(ring.major.fd, select.POLLIN)
        while True:
            ready = poller.poll()
            self._drain()
            for fd, event in ready:
                if fd == self._stop_read:
                    return
                if not event & select.POLLIN:
                    poller.unregister(fd)  # the traced tree has ended: POLLHUP for ever

    def _drain(self) -> None:
        for ring, file in zip(self._rings, self.files, strict=True):
            if self.error is None:
                try:
                    ring.drain(file)
                    continue
                except OSError as error:
                    self.error = error
            self._discarded += ring.discard()

    def stop(self) -> FaultTotals:
        """Empty the rings for the last time, close everything, return the kernel's counts."""
        if self._thread is not None:
            os.write(self._stop_write, b"s")
            self._thread.join()
            self._drain()
        counted, lost = 0, self._discarded
        for ring in self._rings:
            for counter in (ring.minor, ring.major):
                count, missing = counter.read()
                counted += count
                lost += missing
        failed = self._failed.read()[0] if self._failed is not None else None
        self._close_rings()
        if self._failed is not None:
            self._failed.close()
        os.close(self._stop_read)
        os.close(self._stop_write)
        return FaultTotals(counted, lost, failed)

    def _close_rings(self) -> None:
        for ring in self._rings:
            ring.close()
        self._rings.clear()


def _online_processors() -> set[int]:
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        found: set[int] = set()
        for part in file.read().strip().split(","):
            first, _dash, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
        return found


def _paranoid() -> str:
    try:
        with open("/proc/sys/kernel/perf_event_paranoid", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unreadable"
