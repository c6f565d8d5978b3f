"""The book's machine: a workload through the allocator and the memory behind it, as the events the instruments yield.

Addresses, sizes and steps are the model's; its clock ticks once an event, since a book has no seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from observer.errors import BadWorkload
from observer.model.addresses import page_up
from observer.model.events import Call, ChunkRef, Event, Fault, Process, Signal, Site, Syscall
from observer.simulator.book import HEADER, BookAllocator, Outcome
from observer.simulator.commit import Commitment
from observer.simulator.paging import PAGE, Memory, OutOfFrames, PageFault, SegmentationFault
from observer.simulator.process import Piece, SimulatedProcess
from observer.simulator.workload import Operation

__all__ = ["BookMachine", "Totals"]

_ROOT: Final = 1
_ENOMEM: Final = 12
_ADDRESS_SPACE: Final = 1 << 46
_PROT: Final = {"noaccess": 0, "readonly": 1, "writable": 3}
_ACCESS: Final = {"noaccess": "none", "readonly": "read", "writable": "write"}
_ADVICE: Final = {"dontneed": 4, "lazyfree": 8, "hugepage": 14, "nohugepage": 15}
_NUMBERS: Final = {"mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "madvise": 28, "mlock": 149, "munlock": 150}
_MAP_FLAGS: Final = {"map": 0x22, "populate": 0x8022, "shared": 0x21, "file": 0x02}
_KINDS: Final = {"map": "anonymous", "populate": "anonymous", "shared": "shared", "file": "file"}
_SEGV_CODES: Final = {"SEGV_MAPERR": 1, "SEGV_ACCERR": 2}


class Totals(msgspec.Struct):
    """Sums over a run: how often the kernel was asked, how far searches went, what lies inside and between pieces.

    Bytes and pages are those of the first process at its end; `populated` pages were brought in without a fault.
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


class BookMachine:
    """Runs operations and yields events; `totals` sums them up. Errors name the workload's line.

    Args:
        fit: how a free piece is chosen: first, best or next.
        source: the workload's name, for the events' sites.
        memory: the memory to begin with (finite frames, huge pages by mode); a fresh one by default.
        commitment: what the kernel promises (overcommit); None promises everything that has an address.
    """

    def __init__(
        self, *, fit: str = "first", source: str = "workload", memory: Memory | None = None,
        commitment: Commitment | None = None,
    ) -> None:  # fmt: skip
        self._n = 0
        self._source = source
        self._pids = _ROOT
        self._memory = memory or Memory()
        self._commitment = commitment
        self._now = SimulatedProcess(
            _ROOT, BookAllocator(fit=fit, limit=_ADDRESS_SPACE, may_grow=self._may_grow), self._memory
        )
        self._parents: list[SimulatedProcess] = []
        self._skipping = 0
        self._dead = False
        self._out: list[Event] = []
        self.totals = Totals()
        self._actions = {
            **dict.fromkeys(("malloc", "calloc", "memalign", "realloc"), self._allocate), "free": self._free,
            **dict.fromkeys(("touch", "read"), self._access), **dict.fromkeys(_KINDS, self._map), "stack": self._stack,
            "unmap": self._unmap, **dict.fromkeys(_PROT, self._protect), "lock": self._lock, "unlock": self._lock,
            **dict.fromkeys(_ADVICE, self._advise), "fork": self._fork, "exit": self._exit,
        }  # fmt: skip

    def run(self, operations: Iterable[Operation]) -> Iterator[Event]:
        """Yield the events of all *operations* in order.

        Raises:
            BadWorkload: an operation makes no sense: a double free, a piece that is not there, a child that is not.
        """
        yield Process(**self._common(), what="start", child=None, status=None, path=self._source)
        for operation in operations:
            self.step(operation)
            if self._out:
                yield from self._out
                self._out.clear()
            if self._dead:
                break
        while self._parents:
            self._exit(Operation("exit"))
        yield from self._out
        self._sum_up()
        if not self._dead:
            yield Process(**self._common(), what="exit", child=None, status=0, path=None)

    def step(self, operation: Operation) -> None:
        """Do one operation; its events wait to be taken."""
        self.totals.operations += 1
        if self._skipping:
            self._skip(operation)
            return
        try:
            self._actions[operation.kind](operation)
        except SegmentationFault as fault:
            self._segmentation_fault(operation, fault)
        except OutOfFrames as error:
            raise BadWorkload(str(error), line=operation.line) from error
        except BadWorkload as error:
            if error.line:
                raise
            raise BadWorkload(error.what, error.why, error.remedy, line=operation.line) from error

    def _skip(self, operation: Operation) -> None:
        """Pass over what a process that was killed can no longer do."""
        self._skipping += (operation.kind == "fork") - (operation.kind == "exit")
        if not self._skipping:
            self._now = self._parents.pop()

    def _may_grow(self, more: int) -> bool:
        return self._commitment is None or self._commitment.charge(-(-more // PAGE))

    def _common(self) -> dict[str, int]:
        n = self._n
        self._n = n + 1
        pid = self._now.pid
        return {"n": n, "t_ns": n, "pid": pid, "tid": pid}

    def _site(self, operation: Operation) -> Site:
        return Site(file=self._source, line=operation.line or None)

    def _where(self, address: int) -> str | None:
        return f"heap+{address - self._now.heap.start:#x}" if address else None

    # ---- allocator calls ------------------------------------------------------------------------------------

    def _allocate(self, operation: Operation) -> None:
        process, numbers, kind, name = self._now, operation.numbers, operation.kind, operation.name
        heap, size = process.heap, numbers[-1]
        old = None
        if kind == "realloc":
            old = self._heap_piece(operation)
            if not size:
                raise BadWorkload("realloc to 0 bytes has no one meaning", "C23 leaves it undefined", "free instead")
            outcome = heap.realloc(old.address, size)
        elif (held := process.pieces.get(name)) is not None and held.kind != "gone":
            raise BadWorkload(f"{name} is in use", "its piece would be lost", f"free {name} before it")
        elif kind == "memalign":
            outcome = heap.memalign(numbers[0], size)
        else:
            outcome = heap.malloc(size * numbers[0] if kind == "calloc" else size)
        self._call(operation, outcome, old)

    def _call(self, operation: Operation, outcome: Outcome, old: Piece | None) -> None:
        kind, numbers, result = operation.kind, operation.numbers, outcome.result
        size, site = numbers[-1], self._site(operation)
        count = numbers[0] if kind == "calloc" else None
        n, pid = self._n, self._now.pid
        self._n = n + 1
        whole = size if count is None else size * count
        piece = ChunkRef(call=n, address=result, size=whole)
        where = f"heap+{result - self._now.heap.start:#x}" if result else None
        self._out.append(
            Call(
                n=n, t_ns=n, pid=pid, tid=pid, op=kind, size=size, count=count,
                alignment=numbers[0] if kind == "memalign" else None, pointer=old.address if old else None,
                result=result, where=where, end_ns=n + 1, errno=None if result else _ENOMEM, site=site,
                origin="program", served_by="brk" if outcome.grew else "free list",
                steps=outcome.steps if result else "1-2-3-4", inner=0,
            )
        )  # fmt: skip
        self.totals.calls += 1
        self.totals.looked += outcome.looked
        if outcome.grew:
            self._brk(outcome, n, site)
        if result or old is None:
            self._now.pieces[operation.name] = Piece(result, whole, "heap", "heap", piece)
        if result:
            self._fill(operation, outcome, piece, old, site)

    def _brk(self, outcome: Outcome, cause: int, site: Site) -> None:
        process = self._now
        self.totals.grown += 1
        process.memory.map(outcome.break_before, outcome.break_after - outcome.break_before, "heap")
        asks = [outcome.break_after] if process.knows_break else [0, outcome.break_after]
        process.knows_break = True  # the first call asks where the break is
        for argument in asks:
            self._syscall("brk", (argument,), site, cause, result=argument or outcome.break_before)

    def _syscall(
        self, name: str, args: tuple[int, ...], site: Site, cause: int | None = None, *, result: int = 0,
        errno: int | None = None,
    ) -> None:  # fmt: skip
        n, pid = self._n, self._now.pid
        self._n = n + 1
        self._out.append(
            Syscall(
                n=n, t_ns=n, pid=pid, tid=pid, name=name, number=_NUMBERS[name], args=args, result=result, errno=errno,
                gate="syscall", ring_before=3, end_ns=n + 1, cause=cause, site=site,
            )
        )  # fmt: skip

    def _fill(self, operation: Operation, outcome: Outcome, piece: ChunkRef, old: Piece | None, site: Site) -> None:
        """What the allocator itself reads and writes: headers, the zeroes of calloc, the copy of realloc."""
        memory = self._now.memory
        for place in outcome.written:
            faults = memory.write(place, HEADER)
            if faults:
                own = piece.address - HEADER <= place < piece.address + piece.size
                self._tell(faults, piece if own else None, "heap", site, piece.call)
        if operation.kind == "calloc":
            self._tell(memory.write(piece.address, piece.size), piece, "heap", site, piece.call)
        if old is not None and piece.address != old.address:
            moved = min(old.size, piece.size)
            self._tell(memory.read(old.address, moved), old.chunk, "heap", site, piece.call)
            self._tell(memory.write(piece.address, moved), piece, "heap", site, piece.call)

    def _heap_piece(self, operation: Operation) -> Piece:
        piece = self._now.piece(operation.kind, operation.name)
        if piece.kind != "heap":
            raise BadWorkload(f"{operation.kind} {operation.name}: it did not come from malloc")
        return piece

    def _free(self, operation: Operation) -> None:
        held = self._now.pieces.get(operation.name)
        if held is not None and not held.address:
            piece, written = held, Outcome(0, 0, 0, 0).written  # free(NULL)
        else:
            piece = self._heap_piece(operation)
            written = self._now.heap.free(piece.address).written
        del self._now.pieces[operation.name]
        self.totals.calls += 1
        site = self._site(operation)
        n, pid = self._n, self._now.pid
        self._n = n + 1
        self._out.append(
            Call(
                n=n, t_ns=n, pid=pid, tid=pid, op="free", size=None, count=None, alignment=None, pointer=piece.address,
                result=None, where=self._where(piece.address), end_ns=n + 1, errno=None, site=site, origin="program",
                served_by=None, steps=None, inner=0,
            )
        )  # fmt: skip
        for place in written:
            self._tell(self._now.memory.write(place, HEADER), None, "heap", site, n)

    # ---- touches --------------------------------------------------------------------------------------------

    def _access(self, operation: Operation) -> None:
        piece = self._now.piece(operation.kind, operation.name)
        numbers = operation.numbers
        offset = numbers[0] if numbers else 0
        length = max(numbers[1], 1) if len(numbers) > 1 else 1
        if offset + length > piece.size:
            raise BadWorkload(
                f"{operation.kind} {operation.name}: byte {offset + length - 1} lies outside its {piece.size} bytes"
            )
        memory = self._now.memory
        access = memory.write if operation.kind == "touch" else memory.read
        faults = access(piece.address + offset, length)
        if faults:
            self._tell(faults, piece.chunk, piece.where, self._site(operation), None, piece)

    def _tell(
        self, faults: Sequence[PageFault], chunk: ChunkRef | None, where: str, site: Site, cause: int | None,
        piece: Piece | None = None,
    ) -> None:  # fmt: skip
        """Turn what the memory resolved into events."""
        pid, totals, out = self._now.pid, self.totals, self._out
        base = self._now.heap.start if where == "heap" else piece.address if piece is not None else 0
        mapping = "[heap]" if where == "heap" else "[stack]" if where == "stack" else where
        toucher = "program" if cause is None else "allocator"
        for fault in faults:
            n = self._n
            self._n = n + 1
            if cause is None:
                totals.faults_program += 1
            else:
                totals.faults_allocator += 1
            totals.faults_major += fault.major
            out.append(
                Fault(
                    n=n, t_ns=n, pid=pid, tid=pid, address=fault.address, where=f"{where}+{fault.address - base:#x}",
                    ip=0, access="read" if "read" in fault.kind and "write" not in fault.kind else "write",
                    major=fault.major, ring=3, mapping=mapping, chunk=chunk, toucher=toucher, cause=cause, site=site,
                    frame=fault.frame or None,
                )
            )  # fmt: skip

    def _segmentation_fault(self, operation: Operation, fault: SegmentationFault) -> None:
        """The kernel resolves what it can; what is forbidden ends the process."""
        piece, site = self._now.pieces.get(operation.name), self._site(operation)
        if piece is not None:
            self._tell(fault.faults, piece.chunk, piece.where, site, None, piece)
        self._out.append(
            Signal(
                **self._common(), signal="SIGSEGV", code=_SEGV_CODES[fault.code], address=fault.address, fatal=True,
                site=site, instruction=None,
            )
        )  # fmt: skip
        self._out.append(Process(**self._common(), what="killed", child=None, status=None, path=None))
        if self._parents:
            self._now.memory.end()
            self._skipping = 1
        else:
            self._dead = True

    # ---- mappings -------------------------------------------------------------------------------------------

    def _map(self, operation: Operation) -> None:
        process, kind, name, size = self._now, operation.kind, operation.name, operation.numbers[0]
        self._must_be_new(name)
        if not size:
            raise BadWorkload(f"{kind} {name}: a mapping of 0 bytes is refused (EINVAL)")
        length, site = page_up(size), self._site(operation)
        args = (0, length, 3, _MAP_FLAGS[kind])
        if length > _ADDRESS_SPACE or not self._may_grow(length):
            process.pieces[name] = Piece(0, size, "gone", "")
            self._syscall("mmap", args, site, result=-_ENOMEM, errno=_ENOMEM)
            return
        address = process.place(length)
        process.mappings += 1
        process.pieces[name] = Piece(address, size, kind, f"map#{process.mappings}")
        process.memory.map(address, length, _KINDS[kind])
        self._syscall("mmap", args, site, result=address)
        if kind == "populate":
            self.totals.populated += process.memory.populate(address, length)

    def _must_be_new(self, name: str) -> None:
        held = self._now.pieces.get(name)
        if held is not None and held.kind != "gone":
            raise BadWorkload(f"{name} is in use", "it would be lost", "another name")

    def _stack(self, operation: Operation) -> None:
        self._must_be_new(operation.name)
        size = operation.numbers[0]
        address = self._now.below_stack(size)
        self._now.pieces[operation.name] = Piece(address, size, "stack", "stack")

    def _mapping(self, operation: Operation) -> Piece:
        piece = self._now.piece(operation.kind, operation.name)
        if piece.kind not in _KINDS:
            raise BadWorkload(f"{operation.kind} {operation.name}: it is no mapping of its own")
        return piece

    def _unmap(self, operation: Operation) -> None:
        piece = self._mapping(operation)
        start, length = piece.whole_pages
        self._now.memory.unmap(start, length)
        if self._commitment is not None and piece.kind not in ("file", "shared"):
            self._commitment.release(length // PAGE)
        self._syscall("munmap", (start, length), self._site(operation))
        self._now.pieces[operation.name] = Piece(piece.address, piece.size, "gone", piece.where)

    def _protect(self, operation: Operation) -> None:
        start, length = self._now.piece(operation.kind, operation.name).whole_pages
        if length:
            self._now.memory.protect(start, length, _ACCESS[operation.kind])
            self._syscall("mprotect", (start, length, _PROT[operation.kind]), self._site(operation))

    def _lock(self, operation: Operation) -> None:
        start, length = self._now.piece(operation.kind, operation.name).whole_pages
        if not length:
            return
        if operation.kind == "lock":
            self.totals.populated += self._now.memory.lock(start, length)
        else:
            self._now.memory.unlock(start, length)
        self._syscall("mlock" if operation.kind == "lock" else "munlock", (start, length), self._site(operation))

    def _advise(self, operation: Operation) -> None:
        memory, kind = self._now.memory, operation.kind
        start, length = self._now.piece(kind, operation.name).whole_pages
        if not length:
            return
        if kind == "dontneed":
            memory.drop(start, length)
        elif kind == "lazyfree":
            memory.lazy_free(start, length)
        else:
            memory.advise_huge(start, length, kind == "hugepage")
        self._syscall("madvise", (start, length, _ADVICE[kind]), self._site(operation))

    # ---- processes ------------------------------------------------------------------------------------------

    def _fork(self, _operation: Operation) -> None:
        self._pids += 1
        self._out.append(Process(**self._common(), what="fork", child=self._pids, status=None, path=None))
        self._parents.append(self._now)
        self._now = self._now.fork(self._pids)

    def _exit(self, _operation: Operation) -> None:
        if not self._parents:
            raise BadWorkload("exit without a fork before it", "there is no child to end")
        if not self._skipping:
            self._out.append(Process(**self._common(), what="exit", child=None, status=0, path=None))
            self._now.memory.end()
        self._skipping = 0
        self._now = self._parents.pop()

    def _sum_up(self) -> None:
        heap, totals = self._now.heap, self.totals
        totals.bytes_asked, totals.heap_bytes = heap.asked, heap.end - heap.start
        totals.bytes_inside, totals.bytes_between = heap.bytes_inside, heap.bytes_between
        totals.resident_pages = self._now.memory.resident_pages
