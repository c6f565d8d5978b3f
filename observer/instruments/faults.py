"""Page faults of a whole process tree, each with address, instruction, user registers and a piece of stack."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from dataclasses import dataclass
from functools import partial
from typing import Final

from observer.errors import CannotObserve
from observer.files import Folder, NewFile
from observer.instruments.rings import Openers, Rings
from observer.linux.perf import (
    FAULT_FIELDS,
    PAGE_FAULTS,
    PERF_RECORD_SAMPLE,
    Counter,
    SampleLayout,
    open_counter,
    open_fault_head,
    open_fault_pacer,
    open_faults,
)
from observer.linux.procfs import PAGE
from observer.tracee.waiting import is_halt

__all__ = [
    "FAULT_FIELDS", "FAULT_STACK", "PAGE_SHIFT", "PERF_RECORD_SAMPLE", "FaultInstrument", "FaultTotals", "SampleLayout",
]  # fmt: skip

FAULT_STACK: Final = 512
"""Bytes of stack that are kept with each sample: enough to leave a library's function that touched a page."""
PAGE_SHIFT: Final = PAGE.bit_length() - 1
_RING_PAGES: Final = (2048, 1024, 512, 256, 128, 64, 32)
_FURTHER_PAGES: Final = 256
_PACES: Final = 16
"""A task halts for us after so many page faults that their samples fill this part of a ring: eight may share the half
that is free after a halt."""
_MINOR, _MAJOR = range(2)
"""The places of the events of minor and of major faults in their ring."""


@dataclass(frozen=True, slots=True)
class FaultTotals:
    """What the kernel counted: events, those without room in a ring, and all faults with the failed ones."""

    counted: int
    lost: int
    with_failed: int | None


class FaultInstrument:
    """Fault events of a process tree, and the counters that prove nothing was lost.

    A ring's reader may come late: another program has the processor, or the disk is slow. So each task halts now and
    then, by a signal that only we see, until the rings are empty. Faults inside the kernel make no such halt, for it
    would interrupt system calls.

    Raises:
        CannotObserve: the kernel refuses page-fault events to this user.
    """

    def __init__(self, folder: Folder, stack_bytes: int = FAULT_STACK) -> None:
        self.layout = SampleLayout(stack_bytes)
        self._rings = Rings(folder, "faults")
        self._failed: list[Counter] = []
        self._pacers: dict[int, int] = {}
        # The others are for what processes are followed by.
        self._most_descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self.sees_kernel = True
        self._refused: CannotObserve | None = None

    @property
    def files(self) -> list[NewFile]:
        """What the samples were written to."""
        return self._rings.files

    @property
    def recorded(self) -> int:
        """How many page faults there were by now; 0 once it was stopped."""
        return self._rings.counted(_MINOR) + self._rings.counted(_MAJOR)

    @property
    def error(self) -> OSError | None:
        """Why samples could not be written; None if all were."""
        return self._rings.error

    def prepare(self) -> None:
        """Make the rings before there is whom to observe: that takes milliseconds. `start` says what is refused."""
        try:
            self._rings.begin()
            self._rings.make(_RING_PAGES)
        except RuntimeError as error:
            self._refused = _no_thread(error)
        except OSError as error:
            self._refused = self._refusal(error) if self._rings.files else _no_thread(error)

    def start(self, tid: int) -> None:
        """Open the events on the stopped task *tid*; its future threads and children are included."""
        if self._refused is None:
            try:
                self._take_in(tid)
            except OSError as error:
                self._refused = self._refusal(error)
        if self._refused is not None:
            self._rings.give_up()
            raise self._refused
        self._count_failed(tid)

    def pause(self) -> None:
        """Let nothing be recorded for now."""
        self._rings.pause()
        for counter in self._failed:
            counter.pause()

    def go_on(self) -> None:
        """Let all that follows be recorded."""
        self._rings.go_on()
        for counter in self._failed:
            counter.go_on()

    def reopen(self, tid: int) -> None:
        """Open the events anew on *tid*, which has executed a program with other rights than its user's.

        The kernel has taken them away then (perf_event_exit_task in begin_new_exec, fs/exec.c). Where it refuses new
        ones, that program's faults are counted and not seen.
        """
        with contextlib.suppress(OSError):
            self._rings.take_in_more(self._openers(tid), _FURTHER_PAGES)
            self._count_failed(tid)

    def _take_in(self, tid: int) -> None:
        try:
            self._rings.take_in(self._openers(tid))
        except OSError as error:
            if error.errno != errno.EACCES or not self.sees_kernel:
                raise
            self.sees_kernel = False
            self._rings.take_in(self._openers(tid))

    def _openers(self, tid: int) -> Openers:
        return partial(open_faults, tid, kernel=self.sees_kernel, stack_bytes=self.layout.stack_bytes)

    def _count_failed(self, tid: int) -> None:
        with contextlib.suppress(OSError):
            self._failed.append(open_counter(PAGE_FAULTS, tid, -1, kernel=self.sees_kernel))

    @property
    def major_ids(self) -> tuple[int, ...]:
        """Return the event ids that samples of major faults carry."""
        return self._rings.ids(_MAJOR)

    def _refusal(self, error: OSError) -> CannotObserve:
        return CannotObserve(
            "cannot see page faults",
            f"perf_event_open: {os.strerror(error.errno or 0)}; kernel.perf_event_paranoid is {_paranoid()}",
            "sudo sysctl kernel.perf_event_paranoid=1",
        )

    def pace(self, tid: int) -> None:
        """Have the task *tid* halt before it can fill a ring; it is one that the events follow."""
        self.ended(tid)
        period = max(self._rings.ring_bytes // self.layout.record_bytes // _PACES, 1)
        with contextlib.suppress(OSError):  # no descriptor left: what is lost then is counted
            pacer = open_fault_pacer(tid, period, signal.SIGSTOP)
            if pacer < self._most_descriptors:
                self._pacers[tid] = pacer
            else:
                os.close(pacer)

    def head_of(self, tid: int) -> int:
        """Return the descriptor of an event by which the task *tid* may see that it has had a fault that is recorded.

        Raises:
            OSError: the kernel refuses it, or there is no descriptor left.
        """
        return open_fault_head(tid, kernel=self.sees_kernel)

    def is_halt(self, tid: int, number: int) -> bool:
        """Whether the signal *number*, at whose delivery *tid* stands, is our own; raises OSError: it is gone."""
        return tid in self._pacers and is_halt(tid, number)

    def relieve(self) -> None:
        """Make room in the rings if they are about to be full."""
        self._rings.relieve()

    def ended(self, tid: int) -> None:
        """Forget the task *tid*."""
        pacer = self._pacers.pop(tid, None)
        if pacer is not None:
            os.close(pacer)

    def stop(self) -> FaultTotals:
        """Empty the rings for the last time, close everything, return the kernel's counts."""
        for tid in tuple(self._pacers):
            self.ended(tid)
        counts, lost = self._rings.stop()
        failed = sum(counter.read()[0] for counter in self._failed) if self._failed else None
        for counter in self._failed:
            counter.close()
        return FaultTotals(sum(counts), lost, failed)


def _no_thread(error: OSError | RuntimeError) -> CannotObserve:
    return CannotObserve(
        "cannot see page faults", f"no file or thread for their samples: {error}", "raise ulimit -n, -u and -v"
    )


def _paranoid() -> str:
    try:
        with open("/proc/sys/kernel/perf_event_paranoid", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unreadable"
