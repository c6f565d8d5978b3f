"""What happens on the simulated machine, written down as the event values that the instruments yield.

The clock ticks once an event: a model has no seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from observer.arch.x86_64 import X86_64
from observer.model.events import Call, ChunkRef, Event, Fault, Process, Signal, Site, Syscall
from observer.model.where import Where
from observer.simulator.book import Outcome
from observer.simulator.paging import PageFault, SegmentationFault
from observer.simulator.workload import Operation

__all__ = ["EventLog", "Totals"]

_ENOMEM: Final = 12
_SEGV_CODES: Final = {"SEGV_MAPERR": 1, "SEGV_ACCERR": 2}
_READS: Final = frozenset({"first read", "file read", "shared first read", "huge zero page"})


class Totals(msgspec.Struct):
    """Sums over a run: how often the kernel was asked, how far searches went, what lies inside and between pieces.

    Bytes and pages are those of the first process at its end; `populated` counts what system calls brought in without
    a fault of the program.
    """

    operations: int = 0
    calls: int = 0
    grown: int = 0
    looked: int = 0
    faults_program: int = 0
    faults_allocator: int = 0
    faults_major: int = 0
    populated: int = 0
    bytes_asked: int = 0
    bytes_inside: int = 0
    bytes_between: int = 0
    heap_bytes: int = 0
    resident_pages: int = 0
    evictions: int = 0
    swap_outs: int = 0
    swap_ins: int = 0


class EventLog:
    """Makes events in order. `waiting` are those not yet taken; `pid` is the process that things happen to now."""

    def __init__(self, source: str, pid: int, heap_start: int) -> None:
        self.waiting: list[Event] = []
        self.totals = Totals()
        self.pid = pid
        self._source = source
        self._heap = heap_start
        self._n = 0

    def _next(self) -> int:
        n = self._n
        self._n = n + 1
        return n

    def site(self, operation: Operation) -> Site:
        """Return the operation's line as a place in code."""
        return Site(file=self._source, line=operation.line or None)

    # ---- allocator calls ------------------------------------------------------------------------------------

    def call(self, operation: Operation, outcome: Outcome, pointer: int | None, site: Site) -> ChunkRef:
        """An allocation returned; return the piece that it made."""
        kind, numbers, result = operation.kind, operation.numbers, outcome.result
        size, count = numbers[-1], numbers[0] if kind == "calloc" else None
        n, pid = self._next(), self.pid
        self.waiting.append(
            Call(
                n=n, t_ns=n, pid=pid, tid=pid, op=kind, size=size, count=count,
                alignment=numbers[0] if kind == "memalign" else None, pointer=pointer, result=result,
                where=Where("heap", result - self._heap).text if result else None, end_ns=n + 1,
                errno=None if result else _ENOMEM, site=site, origin="program",
                served_by="brk" if outcome.grew else "free list", steps=outcome.steps if result else "1-2-3-4", inner=0,
            )
        )  # fmt: skip
        self.totals.calls += 1
        self.totals.looked += outcome.looked
        return ChunkRef(call=n, address=result, size=size if count is None else size * count)

    def free(self, pointer: int, site: Site) -> int:
        """A piece was given back; return the call's n."""
        n, pid = self._next(), self.pid
        self.waiting.append(
            Call(
                n=n, t_ns=n, pid=pid, tid=pid, op="free", size=None, count=None, alignment=None, pointer=pointer,
                result=None, where=Where("heap", pointer - self._heap).text if pointer else None, end_ns=n + 1,
                errno=None, site=site, origin="program", served_by=None, steps=None, inner=0,
            )
        )  # fmt: skip
        self.totals.calls += 1
        return n

    # ---- the kernel -----------------------------------------------------------------------------------------

    def syscall(
        self, name: str, args: tuple[int, ...], site: Site, *, cause: int | None = None, result: int = 0,
        errno: int | None = None,
    ) -> None:  # fmt: skip
        """A system call was made and returned."""
        n, pid = self._next(), self.pid
        self.waiting.append(
            Syscall(
                n=n, t_ns=n, pid=pid, tid=pid, name=name, number=X86_64.calls.numbers[name], args=args, result=result,
                errno=errno, gate="syscall", ring_before=3, end_ns=n + 1, cause=cause, site=site,
            )
        )  # fmt: skip

    def faults(
        self, faults: Sequence[PageFault], chunk: ChunkRef | None, place: tuple[str, int], site: Site,
        cause: int | None = None,
    ) -> None:  # fmt: skip
        """Page faults were resolved in *place*, the name of a mapping and where it begins."""
        where, base = place
        mapping = f"[{where}]" if where in ("heap", "stack") else where
        toucher = "program" if cause is None else "allocator"
        totals, pid = self.totals, self.pid
        if cause is None:
            totals.faults_program += len(faults)
        else:
            totals.faults_allocator += len(faults)
        for fault in faults:
            n = self._next()
            totals.faults_major += fault.major
            self.waiting.append(
                Fault(
                    n=n, t_ns=n, pid=pid, tid=pid, address=fault.address, where=Where(where, fault.address - base).text,
                    ip=0, access="read" if fault.kind in _READS else "write", major=fault.major, ring=3,
                    mapping=mapping, chunk=chunk, toucher=toucher, cause=cause, site=site, frame=fault.frame or None,
                )
            )  # fmt: skip

    def segmentation_fault(self, fault: SegmentationFault, site: Site) -> None:
        """A forbidden access ended the process."""
        n, pid = self._next(), self.pid
        self.waiting.append(
            Signal(
                n=n, t_ns=n, pid=pid, tid=pid, signal="SIGSEGV", code=_SEGV_CODES[fault.code], address=fault.address,
                fatal=True, site=site, instruction=None,
            )
        )  # fmt: skip
        self.process("killed")

    def process(self, what: str, *, child: int | None = None, path: str | None = None) -> None:
        """A process started, forked, ended."""
        n, pid = self._next(), self.pid
        status = 0 if what == "exit" else None
        self.waiting.append(Process(n=n, t_ns=n, pid=pid, tid=pid, what=what, child=child, status=status, path=path))
