"""Rings that the kernel writes samples into, one a processor, emptied into files while the program runs.

A thread of ours empties them as they fill, so that a program which works for seconds without any stop loses nothing.
Samples are not looked at here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from collections.abc import Callable, Sequence
from typing import Final

from observer.files import Folder, NewFile
from observer.linux.perf import Ring
from observer.linux.procfs import PAGE
from observer.tracee.inline.heads import SampleRing

__all__ = ["Rings"]

_STOP, _MORE = b"s", b"m"
"""What the thread is told."""
_SMALLER_MAY_DO: Final = (errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EMFILE)


class Rings:
    """The rings of one kind of samples, their files NAME.NUMBER.bin in *folder*, and the thread between them.

    The first are one a processor, and have its number; `open_more` adds others.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self.files: list[NewFile] = []
        self.error: OSError | None = None
        self._folder = folder
        self._name = name
        self._rings: list[Ring] = []
        self._stop_read, self._stop_write = os.pipe()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._discarded = self._next = 0
        self._has_further = False

    def open(self, ring: Callable[[int, int], Ring], sizes: Sequence[int]) -> None:
        """Open a *ring* (of a processor and a number of pages) on every processor, as large as is allowed of *sizes*.

        Raises:
            OSError: that of the smallest size.
        """
        for pages in sizes:
            try:
                for processor in sorted(_online_processors()):
                    self._rings.append(ring(processor, pages))
                return
            except OSError as error:
                self.close()
                if error.errno not in _SMALLER_MAY_DO or pages == sizes[-1]:
                    raise

    def open_more(self, ring: Callable[[int, int], Ring], pages: int) -> None:
        """Open a further *ring* of so many pages on every processor, emptied like the others from now on.

        Raises:
            OSError: none was opened.
        """
        opened: list[Ring] = []
        try:
            for processor in sorted(_online_processors()):
                opened.append(ring(processor, pages))
            numbers = range(self._next, self._next + len(opened))
            files = [NewFile(self._folder, f"{self._name}.{number}.bin") for number in numbers]
        except OSError:
            for each in opened:
                each.close()
            raise
        self._next += len(opened)
        self._has_further = True
        with self._lock:
            self._rings += opened
            self.files += files
        os.write(self._stop_write, _MORE)

    def start(self) -> None:
        """Begin to empty them; raises OSError or RuntimeError (no further thread), and closes the rings then."""
        try:
            processors = sorted(_online_processors())
            self.files = [NewFile(self._folder, f"{self._name}.{processor}.bin") for processor in processors]
            self._next = processors[-1] + 1
            self._thread = threading.Thread(target=self._empty, name=f"{self._name} rings", daemon=True)
            self._thread.start()
        except (OSError, RuntimeError):
            self._thread = None
            self.close()
            raise

    @property
    def shared(self) -> list[SampleRing] | None:
        """The rings, one a processor; None where some tasks may have others."""
        if self._has_further or not self._rings:
            return None
        return [SampleRing(ring.counters[0].fd, PAGE + ring.size) for ring in self._rings]

    @property
    def ring_bytes(self) -> int:
        """Return how many bytes the smallest ring has; 0 if none is open."""
        return min((ring.size for ring in self._rings), default=0)

    def pause(self) -> None:
        """Have nothing more come in for now."""
        for ring in self._rings:
            for counter in ring.counters:
                counter.pause()

    def go_on(self) -> None:
        """Have samples come in again, those of tasks that were born meanwhile, too."""
        for ring in self._rings:
            for counter in ring.counters:
                counter.go_on()

    def ids(self, place: int) -> tuple[int, ...]:
        """Return the identities that samples of each ring's event at *place* carry."""
        return tuple(ring.counters[place].id for ring in self._rings)

    def _empty(self) -> None:
        # Away from the shared processor: this thread works while the tracee runs.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        poller = select.poll()
        poller.register(self._stop_read, select.POLLIN)
        self._watch(poller)
        while True:
            ready = poller.poll()
            self.catch_up()
            for fd, event in ready:
                if fd == self._stop_read:
                    if os.read(fd, 1) != _MORE:
                        return
                    self._watch(poller)
                elif not event & select.POLLIN:
                    poller.unregister(fd)  # the traced tree has ended: POLLHUP for ever

    def _watch(self, poller: select.poll) -> None:
        with self._lock:
            for ring in self._rings:
                for counter in ring.counters:
                    poller.register(counter.fd, select.POLLIN)

    def catch_up(self) -> None:
        """Take out all that is in the rings, on whatever thread."""
        with self._lock:
            for ring, file in zip(self._rings, self.files, strict=True):
                if self.error is None:
                    try:
                        ring.drain(file)
                        continue
                    except OSError as error:
                        self.error = error
                self._discarded += ring.discard()

    def relieve(self) -> None:
        """Take out what is in the rings where the thread has not kept up: one of them is more than half full.

        Called by the thread that opens and closes rings, it does not wait for ours as long as there is room.
        """
        if any(ring.used > ring.size // 2 for ring in self._rings):
            self.catch_up()

    def stop(self) -> tuple[list[int], int]:
        """Empty the rings for the last time and close them; return the kernel's counts by event, and what was lost.

        A program that goes on may have some of them mapped: then they last as long as it does, and hold no more.
        """
        self.pause()
        if self._thread is not None:
            os.write(self._stop_write, _STOP)
            self._thread.join()
            self.catch_up()
        read = [[counter.read() for counter in ring.counters] for ring in self._rings]
        counts = [sum(count for count, _lost in of_event) for of_event in zip(*read, strict=True)]
        lost = self._discarded + sum(missing for counters in read for _count, missing in counters)
        self.close()
        os.close(self._stop_read)
        os.close(self._stop_write)
        return counts, lost

    def counted(self, place: int) -> int:
        """Return how often each ring's event at *place* has happened by now, from any thread; 0 once all is closed."""
        with self._lock:
            return sum(ring.counters[place].read()[0] for ring in self._rings)

    def close(self) -> None:
        """Close the rings."""
        with self._lock:
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
