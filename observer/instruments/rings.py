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
from observer.linux.perf import Counter, Ring

__all__ = ["Openers", "Rings"]

Openers = Callable[[int], Sequence[Callable[[], Counter]]]
"""What opens a ring's events, by its processor."""

_STOP, _MORE = b"s", b"m"
"""What the thread is told."""
_SMALLER_MAY_DO: Final = (errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EMFILE)


class Rings:
    """The rings of one kind of samples, their files NAME.NUMBER.bin in *folder*, and the thread between them.

    The first are one a processor, and have its number; `take_in_more` adds others.
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
        self._processors: list[int] = []

    def begin(self) -> None:
        """Make the files, and the thread; raises OSError or RuntimeError (no further thread)."""
        self._processors = sorted(_online_processors())
        self._next = self._processors[-1] + 1
        self.files = [NewFile(self._folder, f"{self._name}.{processor}.bin") for processor in self._processors]
        thread = threading.Thread(target=self._empty, name=f"{self._name} rings", daemon=True)
        thread.start()
        self._thread = thread

    def make(self, sizes: Sequence[int]) -> None:
        """Make a ring for every processor, as large as is allowed of *sizes* in pages; raises OSError: there is none of
        the smallest."""
        rings: list[Ring] = []
        for pages in sizes:
            try:
                for processor in self._processors:
                    rings.append(self._ring(processor, pages))
                break
            except OSError as error:
                _close(rings)
                rings.clear()
                if error.errno not in _SMALLER_MAY_DO or pages == sizes[-1]:
                    raise
        self._add(rings, ())

    def _ring(self, processor: int, pages: int) -> Ring:
        # The thread's: a task with events takes longer to be put on a processor and off, and ours that waits for the
        # program's stops is, at each of them.
        native = self._thread.native_id if self._thread is not None else None
        return Ring(native or 0, processor, pages)

    def take_in(self, openers: Openers) -> None:
        """Have the events that the *openers* for each processor open come in; raises OSError, and has none."""
        with self._lock:
            _take_in(self._rings, openers)

    def take_in_more(self, openers: Openers, pages: int) -> None:
        """Have further events come in, into rings of so many *pages* of their own.

        Raises:
            OSError: none does.
        """
        opened: list[Ring] = []
        try:
            for processor in self._processors:
                opened.append(self._ring(processor, pages))
            _take_in(opened, openers)
            numbers = range(self._next, self._next + len(opened))
            files = [NewFile(self._folder, f"{self._name}.{number}.bin") for number in numbers]
        except OSError:
            _close(opened)
            raise
        self._next += len(opened)
        self._add(opened, files)

    def _add(self, rings: Sequence[Ring], files: Sequence[NewFile]) -> None:
        with self._lock:
            self._rings += rings
            self.files += files
        os.write(self._stop_write, _MORE)

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
            if any(fd == self._stop_read for fd, _event in poller.poll()):
                if os.read(self._stop_read, 1) != _MORE:
                    return  # who stops us takes out the rest, if there are rings at all
                self._watch(poller)
            self.catch_up()

    def _watch(self, poller: select.poll) -> None:
        with self._lock:
            for ring in self._rings:
                poller.register(ring.descriptor, select.POLLIN)

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
        self._end_thread()
        self.catch_up()
        read = [[counter.read() for counter in ring.counters] for ring in self._rings]
        counts = [sum(count for count, _lost in of_event) for of_event in zip(*read, strict=True)]
        lost = self._discarded + sum(missing for counters in read for _count, missing in counters)
        self._close()
        os.close(self._stop_read)
        os.close(self._stop_write)
        return counts, lost

    def counted(self, place: int) -> int:
        """Return how often each ring's event at *place* has happened by now, from any thread.

        It is 0 before there are events, and once all is closed.
        """
        with self._lock:
            return sum(ring.counters[place].read()[0] for ring in self._rings if ring.counters)

    def _end_thread(self) -> None:
        if self._thread is not None:
            os.write(self._stop_write, _STOP)
            self._thread.join()
            self._thread = None

    def give_up(self) -> None:
        """Close all: nothing will come in."""
        self._end_thread()
        self._close()
        for file in self.files:
            file.close()
        self.files.clear()

    def _close(self) -> None:
        with self._lock:
            _close(self._rings)
            self._rings.clear()


def _take_in(rings: Sequence[Ring], openers: Openers) -> None:
    try:
        for ring in rings:
            ring.take_in(openers(ring.processor))
    except OSError:
        for ring in rings:
            ring.let_go()
        raise


def _close(rings: Sequence[Ring]) -> None:
    for ring in rings:
        ring.close()


def _online_processors() -> set[int]:
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        found: set[int] = set()
        for part in file.read().strip().split(","):
            first, _dash, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
        return found
