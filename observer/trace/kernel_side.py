"""What the kernel did for each page fault and system call: its own events joined to ours by thread and time.

A thread is in one place at a time. It handles a page fault from the exception until the fault's sample, which is taken
when the page is there (mm_account_fault, mm/memory.c), and a system call from its entry to its exit, with faults in it;
the page frames that are allocated meanwhile are the innermost's. What interrupts allocate is nobody's; the time that
they take, and that other tasks have on the processor, is part of what it interrupts.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from observer.model.events import KernelWork
from observer.recording.notes import Exiting
from observer.recording.records import (
    ENTERED,
    FAULT_BEGAN,
    FOR_PROGRAM,
    FRAMES,
    HANDLED,
    IN_INTERRUPT,
    NO_FRAME,
    WITNESS,
    ZEROED,
)
from observer.trace.findings import KernelTotals
from observer.trace.part import Part
from observer.trace.timeline import Moments

__all__ = ["KernelJoin", "Work"]

Records = npt.NDArray[np.void]

_Call = tuple[int, int, int, Part, int]
"""One of our system calls: when it ended, its thread, when it began, its part and its row there."""
_MOST_IDLE: Final = 1 << 12
_FIELDS: Final = ("time", "tid", "what", "flags", "order", "value")


class Work:
    """A fault or system call under way since `began`: its `key` (the address of a fault), and the frames so far."""

    __slots__ = ("_first", "began", "handling", "key", "others", "pages")

    def __init__(self, began: int, key: int) -> None:
        self.began = began
        self.key = key
        self.pages = self.others = 0
        self.handling: int | None = None
        self._first: tuple[int, int, bool | None] | None = None

    def allocate(self, frame: int, order: int, flags: int) -> None:
        """Take 2^*order* page frames."""
        if not flags & FOR_PROGRAM:
            self.others += 1 << order
            return
        self.pages += 1 << order
        if self._first is None:
            # Frames of a higher order are cleared by who asked for them, page by page (folio_zero_user).
            zeroed = bool(flags & ZEROED) if not order or flags & ZEROED else None
            self._first = frame, order, zeroed

    def until(self, ended: int) -> KernelWork:
        """Return what was done when it *ended*."""
        frame, order, zeroed = self._first or (None, None, None)
        return KernelWork(ended - self.began, self.pages, frame, order, zeroed, self.others, self.handling)


class _Thread:
    """What a thread is in: a system call, a fault; and the system call that it left last."""

    __slots__ = ("call", "fault", "left")

    def __init__(self) -> None:
        self.call: Work | None = None
        self.fault: Work | None = None
        self.left: tuple[int, KernelWork] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something of it is to be joined still."""
        return self.fault is not None or self.call is not None or self.left is not None


class KernelJoin:
    """Joins a recording window by window; what it counts goes into *totals*."""

    def __init__(self, totals: KernelTotals) -> None:
        self._totals = totals
        self._threads: dict[int, _Thread] = {}
        self._open: list[_Call] = []
        self._ends: dict[int, int] = {}

    def join(self, moments: Moments, part: Part) -> None:
        """Give the faults and system calls of a window what the kernel did for them, and those that ended in it."""
        events, faults = moments.kernel.records, moments.faults.records
        if len(self._threads) > _MOST_IDLE:
            self._threads = {tid: thread for tid, thread in self._threads.items() if thread.is_busy}
        self._ends |= {note.tid: note.t for note in moments.notes if isinstance(note, Exiting)}
        calls = self._ended(moments, part)
        times = np.concatenate([events["time"], faults["time"], np.array([call[0] for call in calls], dtype=np.uint64)])
        rows = list(zip(*(events[name].tolist() for name in _FIELDS), strict=True))
        samples = list(zip(*(faults[name].tolist() for name in ("time", "tid", "address")), strict=True))
        # At one time the kernel's own events come first, then samples, then ends.
        for index in np.argsort(times, kind="stable").tolist():
            if index < len(rows):
                self._event(*rows[index])
            elif index < len(rows) + len(samples):
                self._sample(part, index - len(rows), *samples[index - len(rows)])
            else:
                self._returned(*calls[index - len(rows) - len(samples)])

    def _ended(self, moments: Moments, part: Part) -> list[_Call]:
        """Return the system calls that ended in this window; keep those that will end later."""
        records = moments.syscalls.records
        fields = (records[name].tolist() for name in ("ended", "tid", "began"))
        begun = [(*call, part, row) for row, call in enumerate(zip(*fields, strict=True))]
        for ended, _tid, _began, earlier, row in self._open:
            if ended < moments.high:
                earlier.close("syscall", row)
        calls = [*self._open, *begun]
        self._open = [call for call in calls if call[0] >= moments.high]
        part.open += sum(call[3] is part for call in self._open)
        return [call for call in calls if 0 < call[0] < moments.high]

    def _thread(self, tid: int) -> _Thread:
        thread = self._threads.get(tid)
        if thread is None:
            thread = self._threads[tid] = _Thread()
        return thread

    def _event(self, time: int, tid: int, what: int, flags: int, order: int, value: int) -> None:
        if flags & WITNESS or what == FRAMES:
            is_late = time > self._ends.get(tid, time)
            if flags & WITNESS:
                self._witnessed(self._threads.get(tid), what, order, value, is_late=is_late)
            elif value != NO_FRAME:
                self._totals.frames_late += is_late << order
                self._allocated(self._threads.get(tid), flags, order, value)
        elif what == FAULT_BEGAN:
            self._thread(tid).fault = Work(time, value)
        elif what == ENTERED:
            thread = self._thread(tid)
            thread.fault, thread.call, thread.left = None, Work(time, value), None
        elif (known := self._threads.get(tid)) is not None and known.call is not None:
            known.left = known.call.began, known.call.until(time)
            known.fault = known.call = None

    def _witnessed(self, thread: _Thread | None, what: int, order: int, value: int, *, is_late: bool) -> None:
        fault = thread.fault if thread is not None else None
        if what == FRAMES and value != NO_FRAME:
            self._totals.frames_witnessed += 1 << order
            self._totals.frames_witnessed_late += is_late << order
        elif what == HANDLED and fault is not None and fault.key == value:
            fault.handling = (fault.handling or 0) + order  # once more, where it had to wait for the disk

    def _allocated(self, thread: _Thread | None, flags: int, order: int, frame: int) -> None:
        work = None if thread is None else thread.fault or thread.call
        self._totals.frames += 1 << order
        if flags & IN_INTERRUPT:
            self._totals.frames_in_interrupts += 1 << order
        elif work is not None:
            work.allocate(frame, order, flags)

    def _sample(self, part: Part, row: int, time: int, tid: int, address: int) -> None:
        thread = self._threads.get(tid)
        fault = thread.fault if thread is not None else None
        if thread is None or fault is None or fault.key != address:
            self._totals.faults_apart += 1
            return
        part.fault_work[row] = fault.until(time)
        self._totals.faults_joined += 1
        self._totals.frames_in_faults += fault.pages + fault.others
        thread.fault = None

    def _returned(self, _ended: int, tid: int, began: int, part: Part, row: int) -> None:
        thread = self._threads.get(tid)
        if thread is not None and thread.left is not None and thread.left[0] >= began:
            part.syscall_work[row] = work = thread.left[1]
            self._totals.calls_joined += 1
            self._totals.frames_in_calls += work.pages + work.others
            thread.left = None
