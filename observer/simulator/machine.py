"""The book's machine: a workload through the allocator and the memory behind it, as the events the instruments yield.

Addresses, sizes and steps are the model's; its clock ticks once an event, since a book has no seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from observer.errors import BadWorkload
from observer.model.events import Call, ChunkRef, Event, Fault, Process, Site, Syscall
from observer.simulator.book import HEADER, BookAllocator, Outcome
from observer.simulator.paging import PAGE, Memory, PageFault
from observer.simulator.workload import Operation

__all__ = ["BookMachine", "Totals"]

_ROOT: Final = 1
_BRK: Final = 12
_MADVISE: Final = 28
_DONTNEED: Final = 4
_ENOMEM: Final = 12


class Totals(msgspec.Struct):
    """Sums over a run: how often the kernel was asked, how far searches went, what lies inside and between pieces.

    Bytes and pages are those of the first process at its end.
    """

    operations: int = 0
    calls: int = 0
    grown: int = 0
    looked: int = 0
    faults_program: int = 0
    faults_allocator: int = 0
    bytes_asked: int = 0
    bytes_inside: int = 0
    bytes_between: int = 0
    heap_bytes: int = 0
    resident_pages: int = 0


class _Process:
    """One simulated process: its heap, its memory, its named pieces."""

    def __init__(self, pid: int, heap: BookAllocator, memory: Memory) -> None:
        self.pid = pid
        self.heap = heap
        self.memory = memory
        self.pieces: dict[str, ChunkRef] = {}
        self.knows_break = False

    def fork(self, pid: int) -> _Process:
        child = _Process(pid, self.heap.copy(), self.memory.fork())
        child.pieces = dict(self.pieces)
        child.knows_break = self.knows_break
        return child


class BookMachine:
    """Runs operations and yields events; `totals` sums them up. Errors name the workload's line."""

    def __init__(self, *, fit: str = "first", source: str = "workload", limit: int | None = None) -> None:
        self._n = 0
        self._source = source
        self._pids = _ROOT
        self._stack = [_Process(_ROOT, BookAllocator(fit=fit, limit=limit), Memory())]
        self.totals = Totals()

    def run(self, operations: Iterable[Operation]) -> Iterator[Event]:
        """Yield the events of all *operations* in order.

        Raises:
            BadWorkload: an operation makes no sense: a double free, a piece that is not there, a child that is not.
        """
        yield Process(**self._common(), what="start", child=None, status=None, path=self._source)
        for operation in operations:
            self.totals.operations += 1
            try:
                yield from self._one(operation)
            except BadWorkload as error:
                if error.line:
                    raise
                raise BadWorkload(error.what, error.why, error.remedy, line=operation.line) from error
        while len(self._stack) > 1:
            yield from self._exit()
        self._sum_up()
        yield Process(**self._common(), what="exit", child=None, status=0, path=None)

    def _one(self, operation: Operation) -> Iterator[Event]:
        if operation.kind in ("malloc", "calloc", "memalign", "realloc"):
            return self._allocate(operation)
        if operation.kind in ("touch", "read"):
            return self._access(operation)
        actions = {"free": self._free, "dontneed": self._dontneed}
        if operation.kind in actions:
            return actions[operation.kind](operation)
        return self._fork() if operation.kind == "fork" else self._exit()

    @property
    def _now(self) -> _Process:
        return self._stack[-1]

    def _common(self) -> dict[str, int]:
        n = self._n
        self._n += 1
        return {"n": n, "t_ns": n, "pid": self._now.pid, "tid": self._now.pid}

    def _site(self, operation: Operation) -> Site:
        return Site(file=self._source, line=operation.line or None)

    def _where(self, address: int) -> str | None:
        return f"heap+{address - self._now.heap.start:#x}" if address else None

    def _piece(self, operation: Operation) -> ChunkRef:
        piece = self._now.pieces.get(operation.name)
        if piece is None:
            raise BadWorkload(f"{operation.kind} {operation.name}: no piece of that name is allocated")
        return piece

    # ---- allocator calls ------------------------------------------------------------------------------------

    def _allocate(self, operation: Operation) -> Iterator[Event]:
        heap, numbers, kind = self._now.heap, operation.numbers, operation.kind
        size = numbers[-1]
        old = self._piece(operation) if kind == "realloc" else None
        if old is None and operation.name in self._now.pieces:
            raise BadWorkload(
                f"{operation.name} is in use", "its piece would be lost", f"free {operation.name} before it"
            )
        if old is not None:
            outcome = heap.realloc(old.address, size)
        elif kind == "memalign":
            outcome = heap.memalign(numbers[0], size)
        else:
            outcome = heap.malloc(size * numbers[0] if kind == "calloc" else size)
        yield from self._call(operation, outcome, old)

    def _call(self, operation: Operation, outcome: Outcome, old: ChunkRef | None) -> Iterator[Event]:
        size, site = operation.numbers[-1], self._site(operation)
        count = operation.numbers[0] if operation.kind == "calloc" else None
        common = self._common()
        piece = ChunkRef(call=common["n"], address=outcome.result, size=size * (1 if count is None else count))
        yield Call(
            **common, op=operation.kind, size=size, count=count,
            alignment=operation.numbers[0] if operation.kind == "memalign" else None,
            pointer=old.address if old else None, result=outcome.result, where=self._where(outcome.result),
            end_ns=self._n, errno=None if outcome.result else _ENOMEM, site=site, origin="program",
            served_by="brk" if outcome.grew else "free list", steps=outcome.steps if outcome.result else "1-2-3-4",
            inner=0,
        )  # fmt: skip
        self.totals.calls += 1
        self.totals.looked += outcome.looked
        if outcome.grew:
            yield from self._brk(outcome, piece.call, site)
        if outcome.result:
            self._now.pieces[operation.name] = piece
            yield from self._fill(operation, outcome, piece, old)

    def _brk(self, outcome: Outcome, cause: int, site: Site) -> Iterator[Event]:
        self.totals.grown += 1
        asks = [outcome.break_after] if self._now.knows_break else [0, outcome.break_after]
        self._now.knows_break = True  # the first call asks where the break is
        for argument in asks:
            yield Syscall(
                **self._common(), name="brk", number=_BRK, args=(argument,), result=argument or outcome.break_before,
                errno=None, gate="syscall", ring_before=3, end_ns=self._n, cause=cause, site=site,
            )  # fmt: skip

    def _fill(self, operation: Operation, outcome: Outcome, piece: ChunkRef, old: ChunkRef | None) -> Iterator[Event]:
        """What the allocator itself reads and writes: headers, the zeroes of calloc, the copy of realloc."""
        memory, site = self._now.memory, self._site(operation)
        for place in outcome.written:
            is_own = piece.address - HEADER <= place < piece.address + piece.size
            yield from self._faults(memory.write(place, HEADER), piece if is_own else None, site, piece.call)
        if operation.kind == "calloc":
            yield from self._faults(memory.write(piece.address, piece.size), piece, site, piece.call)
        if old is not None and piece.address != old.address:
            moved = min(old.size, piece.size)
            yield from self._faults(memory.read(old.address, moved), old, site, piece.call)
            yield from self._faults(memory.write(piece.address, moved), piece, site, piece.call)

    def _free(self, operation: Operation) -> Iterator[Event]:
        piece, site = self._piece(operation), self._site(operation)
        outcome = self._now.heap.free(piece.address)
        del self._now.pieces[operation.name]
        self.totals.calls += 1
        common = self._common()
        yield Call(
            **common, op="free", size=None, count=None, alignment=None, pointer=piece.address, result=None,
            where=self._where(piece.address), end_ns=self._n, errno=None, site=site, origin="program", served_by=None,
            steps=None, inner=0,
        )  # fmt: skip
        for place in outcome.written:
            yield from self._faults(self._now.memory.write(place, HEADER), None, site, common["n"])

    # ---- touches --------------------------------------------------------------------------------------------

    def _access(self, operation: Operation) -> Iterator[Event]:
        piece = self._piece(operation)
        offset, length = (*operation.numbers, *(0, 1)[len(operation.numbers) :])[:2]
        if offset + length > piece.size:
            raise BadWorkload(
                f"{operation.kind} {operation.name}: byte {offset + length - 1} lies outside its {piece.size} bytes"
            )
        memory = self._now.memory
        access = memory.write if operation.kind == "touch" else memory.read
        yield from self._faults(access(piece.address + offset, length), piece, self._site(operation), None)

    def _faults(
        self, faults: list[PageFault], piece: ChunkRef | None, site: Site, cause: int | None
    ) -> Iterator[Event]:
        for fault in faults:
            self.totals.faults_program += cause is None
            self.totals.faults_allocator += cause is not None
            yield Fault(
                **self._common(), address=fault.address, where=self._where(fault.address), ip=0,
                access="read" if fault.kind == "first read" else "write", major=False, ring=3, mapping="[heap]",
                chunk=piece, toucher="program" if cause is None else "allocator", cause=cause, site=site,
                frame=fault.frame or None,
            )  # fmt: skip

    def _dontneed(self, operation: Operation) -> Iterator[Event]:
        piece = self._piece(operation)
        first = -(-piece.address // PAGE) * PAGE
        length = max((piece.address + piece.size) // PAGE * PAGE - first, 0)
        self._now.memory.drop(first, length)
        yield Syscall(
            **self._common(), name="madvise", number=_MADVISE, args=(first, length, _DONTNEED), result=0, errno=None,
            gate="syscall", ring_before=3, end_ns=self._n, cause=None, site=self._site(operation),
        )  # fmt: skip

    # ---- processes ------------------------------------------------------------------------------------------

    def _fork(self) -> Iterator[Event]:
        self._pids += 1
        yield Process(**self._common(), what="fork", child=self._pids, status=None, path=None)
        self._stack.append(self._now.fork(self._pids))

    def _exit(self) -> Iterator[Event]:
        if len(self._stack) == 1:
            raise BadWorkload("exit without a fork before it", "there is no child to end")
        yield Process(**self._common(), what="exit", child=None, status=0, path=None)
        self._stack.pop().memory.end()

    def _sum_up(self) -> None:
        heap, totals = self._now.heap, self.totals
        totals.bytes_asked, totals.heap_bytes = heap.asked, heap.end - heap.start
        totals.bytes_inside, totals.bytes_between = heap.bytes_inside, heap.bytes_between
        totals.resident_pages = self._now.memory.resident_pages
