"""The book's machine: a workload through the allocator and the memory behind it, as events of the usual kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from observer.errors import BadWorkload
from observer.model.events import ChunkRef, Event, Site
from observer.simulator.book import HEADER, BookAllocator, Outcome
from observer.simulator.commit import Commitment
from observer.simulator.event_log import EventLog, Totals
from observer.simulator.frames import Frames
from observer.simulator.paging import Memory, OutOfFrames, PageFault, SegmentationFault
from observer.simulator.process import Piece, SimulatedProcess
from observer.simulator.workload import Operation

__all__ = ["BookMachine"]

_ROOT: Final = 1
_ENOMEM: Final = 12
_ADDRESS_SPACE: Final = 1 << 46
_PROT: Final = {"noaccess": 0, "readonly": 1, "writable": 3}
_ACCESS: Final = {"noaccess": "none", "readonly": "read", "writable": "write"}
_ADVICE: Final = {"dontneed": 4, "lazyfree": 8, "hugepage": 14, "nohugepage": 15}
_MAP_FLAGS: Final = {"map": 0x22, "populate": 0x8022, "shared": 0x21, "file": 0x02}
_KINDS: Final = {"map": "anonymous", "populate": "anonymous", "shared": "shared", "file": "file"}


class BookMachine:
    """Runs operations and yields events; `totals` sums them up. Errors name the workload's line.

    Args:
        fit: how a free piece is chosen: first, best or next.
        source: the workload's name, for the events' sites.
        thp: transparent huge pages: always, madvise or never.
        frames: the machine's physical memory; without limit by default.
        commitment: what the kernel promises (overcommit); None promises everything that has an address.
    """

    def __init__(
        self, *, fit: str = "first", source: str = "workload", thp: str = "madvise", frames: Frames | None = None,
        commitment: Commitment | None = None,
    ) -> None:  # fmt: skip
        self._frames = frames or Frames()
        self._sizes = self._frames.sizes
        self._commitment = commitment
        heap = BookAllocator(fit=fit, limit=_ADDRESS_SPACE, may_grow=self._may_grow, page_size=self._sizes.page)
        self._now = SimulatedProcess(_ROOT, heap, Memory(thp=thp, frames=self._frames))
        self._log = EventLog(source, _ROOT, heap.start)
        self._source = source
        self._pids = _ROOT
        self._parents: list[SimulatedProcess] = []
        self._skipping = 0
        self._dead = False
        self._shared: dict[int, int] = {}
        self._actions = {
            **dict.fromkeys(("malloc", "calloc", "memalign", "realloc"), self._allocate), "free": self._free,
            **dict.fromkeys(("touch", "read"), self._access), **dict.fromkeys(_KINDS, self._map), "stack": self._stack,
            "unmap": self._unmap, **dict.fromkeys(_PROT, self._protect), "lock": self._lock, "unlock": self._lock,
            **dict.fromkeys(_ADVICE, self._advise), "fork": self._fork, "exit": self._exit,
        }  # fmt: skip

    @property
    def totals(self) -> Totals:
        """Sums over what was run so far."""
        return self._log.totals

    def run(self, operations: Iterable[Operation]) -> Iterator[Event]:
        """Yield the events of all *operations* in order.

        Raises:
            BadWorkload: an operation makes no sense: a double free, a piece that is not there, a child that is not.
        """
        waiting = self._log.waiting
        self._log.process("start", path=self._source)
        for operation in operations:
            self._step(operation)
            if waiting:
                yield from waiting
                waiting.clear()
            if self._dead:
                break
        while self._parents:
            self._exit(Operation("exit"))
        if not self._dead:
            self._log.process("exit")
        self._sum_up()
        yield from waiting

    def _step(self, operation: Operation) -> None:
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
            self._go_on_with(self._parents.pop())

    def _go_on_with(self, process: SimulatedProcess) -> None:
        self._now = process
        self._log.pid = process.pid

    # ---- what is promised -----------------------------------------------------------------------------------

    def _may_grow(self, more: int) -> bool:
        """Ask for the promise of *more* bytes to the process that runs now."""
        _first, pages = self._sizes.pages(0, more)
        if self._commitment is not None and not self._commitment.charge(pages):
            return False
        self._now.charged += pages
        return True

    def _release(self, pages: int) -> None:
        self._now.charged -= pages
        if self._commitment is not None:
            self._commitment.release(pages)

    def _drop_shared(self, piece: Piece) -> None:
        """One process less has this shared memory; its promise goes with the last."""
        self._shared[piece.address] -= 1
        if not self._shared[piece.address] and self._commitment is not None:
            self._commitment.release(self._sizes.up(piece.size) >> self._sizes.shift)

    def _end_process(self) -> None:
        """The process that runs now ends: its frames and promises are free again."""
        self._now.memory.end()
        self._release(self._now.charged)
        for piece in self._now.pieces.values():
            if piece.kind == "shared":
                self._drop_shared(piece)

    # ---- allocator calls ------------------------------------------------------------------------------------

    def _allocate(self, operation: Operation) -> None:
        numbers, kind = operation.numbers, operation.kind
        heap, size, old = self._now.heap, numbers[-1], None
        if kind == "realloc":
            old = self._heap_piece(operation)
            if not size:
                raise BadWorkload("realloc to 0 bytes has no one meaning", "C23 leaves it undefined", "free instead")
            outcome = heap.realloc(old.address, size)
        else:
            self._must_be_new(operation.name)
            if kind == "memalign":
                outcome = heap.memalign(numbers[0], size)
            else:
                outcome = heap.malloc(size * numbers[0] if kind == "calloc" else size)
        site = self._log.site(operation)
        piece = self._log.call(operation, outcome, old.address if old else None, site)
        if outcome.grew:
            self._brk(outcome, piece.call, site)
        if outcome.result or old is None:
            self._now.pieces[operation.name] = Piece(outcome.result, piece.size, "heap", "heap", piece)
        if outcome.result:
            self._fill(kind, outcome, piece, old, site)

    def _must_be_new(self, name: str) -> None:
        held = self._now.pieces.get(name)
        if held is not None and held.kind != "gone":
            raise BadWorkload(f"{name} is in use", "its piece would be lost", f"free {name} before it, or another name")

    def _heap_piece(self, operation: Operation) -> Piece:
        piece = self._now.piece(operation.kind, operation.name)
        if piece.kind != "heap":
            raise BadWorkload(f"{operation.kind} {operation.name}: it did not come from malloc")
        return piece

    def _brk(self, outcome: Outcome, cause: int, site: Site) -> None:
        process, before, after = self._now, outcome.break_before, outcome.break_after
        self.totals.grown += 1
        process.memory.map(before, after - before, "heap")
        if not process.knows_break:  # the first call asks where the break is
            process.knows_break = True
            self._log.syscall("brk", (0,), site, cause=cause, result=before)
        self._log.syscall("brk", (after,), site, cause=cause, result=after)

    def _fill(self, kind: str, outcome: Outcome, piece: ChunkRef, old: Piece | None, site: Site) -> None:
        """What the allocator itself reads and writes: headers, the zeroes of calloc, the copy of realloc."""
        memory = self._now.memory
        for place in outcome.written:
            faults = memory.write(place, HEADER)
            if faults:
                own = piece.address - HEADER <= place < piece.address + piece.size
                self._tell_heap(faults, piece if own else None, site, piece.call)
        if kind == "calloc":
            self._tell_heap(memory.write(piece.address, piece.size), piece, site, piece.call)
        if old is not None and piece.address != old.address:
            moved = min(old.size, piece.size)
            self._tell_heap(memory.read(old.address, moved), old.chunk, site, piece.call)
            self._tell_heap(memory.write(piece.address, moved), piece, site, piece.call)

    def _tell_heap(self, faults: list[PageFault], chunk: ChunkRef | None, site: Site, cause: int) -> None:
        if faults:
            self._log.faults(faults, chunk, ("heap", self._now.heap.start), site, cause)

    def _free(self, operation: Operation) -> None:
        site, held = self._log.site(operation), self._now.pieces.get(operation.name)
        if held is not None and not held.address and held.kind == "heap":
            del self._now.pieces[operation.name]
            self._log.free(0, site)  # free(NULL): the allocation was refused
            return
        piece = self._heap_piece(operation)
        outcome = self._now.heap.free(piece.address)
        del self._now.pieces[operation.name]
        n = self._log.free(piece.address, site)
        for place in outcome.written:
            self._tell_heap(self._now.memory.write(place, HEADER), None, site, n)

    # ---- touches --------------------------------------------------------------------------------------------

    def _access(self, operation: Operation) -> None:
        piece = self._now.piece(operation.kind, operation.name)
        numbers = operation.numbers
        offset = numbers[0] if numbers else 0
        length = (numbers[1] or 1) if len(numbers) > 1 else 1
        if offset + length > piece.size:
            raise BadWorkload(
                f"{operation.kind} {operation.name}: byte {offset + length - 1} lies outside its {piece.size} bytes"
            )
        memory = self._now.memory
        faults = (memory.write if operation.kind == "touch" else memory.read)(piece.address + offset, length)
        if faults:
            self._log.faults(faults, piece.chunk, self._place(piece), self._log.site(operation))

    def _place(self, piece: Piece) -> tuple[str, int]:
        return piece.where, self._now.heap.start if piece.kind == "heap" else piece.address

    def _segmentation_fault(self, operation: Operation, fault: SegmentationFault) -> None:
        """What may be resolved was; what is forbidden ends the process, and with it the operations up to its exit."""
        site, piece = self._log.site(operation), self._now.pieces[operation.name]
        self._log.faults(fault.faults, piece.chunk, self._place(piece), site)
        self._log.segmentation_fault(fault, site)
        if self._parents:
            self._end_process()
            self._skipping = 1
        else:
            self._dead = True

    # ---- mappings -------------------------------------------------------------------------------------------

    def _map(self, operation: Operation) -> None:
        process, kind, name, size = self._now, operation.kind, operation.name, operation.numbers[0]
        self._must_be_new(name)
        if not size:
            raise BadWorkload(f"{kind} {name}: a mapping of 0 bytes is refused (EINVAL)")
        length, site = self._sizes.up(size), self._log.site(operation)
        args = (0, length, 3, _MAP_FLAGS[kind])
        if length > _ADDRESS_SPACE or not self._may_grow(length):
            process.pieces[name] = Piece(0, size, "gone", "")
            self._log.syscall("mmap", args, site, result=-_ENOMEM, errno=_ENOMEM)
            return
        address = process.place(length)
        process.mappings += 1
        process.pieces[name] = Piece(address, size, kind, f"map#{process.mappings}")
        process.memory.map(address, length, _KINDS[kind])
        if kind == "shared":  # promised to all who will have it
            process.charged -= length >> self._sizes.shift
            self._shared[address] = 1
        self._log.syscall("mmap", args, site, result=address)
        if kind == "populate":
            self.totals.populated += process.memory.populate(address, length)

    def _stack(self, operation: Operation) -> None:
        self._must_be_new(operation.name)
        size = operation.numbers[0]
        self._now.pieces[operation.name] = Piece(self._now.below_stack(size), size, "stack", "stack")

    def _unmap(self, operation: Operation) -> None:
        piece = self._now.piece(operation.kind, operation.name)
        if piece.kind not in _KINDS:
            raise BadWorkload(f"unmap {operation.name}: it is no mapping of its own")
        start, length = piece.whole_pages(self._sizes.page)
        self._now.memory.unmap(start, length)
        if piece.kind == "shared":
            self._drop_shared(piece)
        else:
            self._release(length >> self._sizes.shift)
        self._log.syscall("munmap", (start, length), self._log.site(operation))
        self._now.pieces[operation.name] = Piece(piece.address, piece.size, "gone", piece.where)

    def _protect(self, operation: Operation) -> None:
        start, length = self._now.piece(operation.kind, operation.name).whole_pages(self._sizes.page)
        if length:
            self.totals.populated += self._now.memory.protect(start, length, _ACCESS[operation.kind])
            self._log.syscall("mprotect", (start, length, _PROT[operation.kind]), self._log.site(operation))

    def _lock(self, operation: Operation) -> None:
        start, length = self._now.piece(operation.kind, operation.name).whole_pages(self._sizes.page)
        if not length:
            return
        if operation.kind == "lock":
            self.totals.populated += self._now.memory.lock(start, length)
        else:
            self._now.memory.unlock(start, length)
        self._log.syscall(f"m{operation.kind}", (start, length), self._log.site(operation))

    def _advise(self, operation: Operation) -> None:
        memory, kind = self._now.memory, operation.kind
        start, length = self._now.piece(kind, operation.name).whole_pages(self._sizes.page)
        if not length:
            return
        if kind == "dontneed":
            memory.drop(start, length)
        elif kind == "lazyfree":
            memory.lazy_free(start, length)
        else:
            memory.advise_huge(start, length, kind == "hugepage")
        self._log.syscall("madvise", (start, length, _ADVICE[kind]), self._log.site(operation))

    # ---- processes ------------------------------------------------------------------------------------------

    def _fork(self, _operation: Operation) -> None:
        if self._commitment is not None and not self._commitment.charge(self._now.charged):
            raise BadWorkload("fork is refused (ENOMEM)", "so much memory may not be promised twice")
        for piece in self._now.pieces.values():
            if piece.kind == "shared":
                self._shared[piece.address] += 1
        self._pids += 1
        self._log.process("fork", child=self._pids)
        self._parents.append(self._now)
        self._go_on_with(self._now.fork(self._pids))

    def _exit(self, _operation: Operation) -> None:
        if not self._parents:
            raise BadWorkload("exit without a fork before it", "there is no child to end")
        if not self._skipping:
            self._log.process("exit")
            self._end_process()
        self._skipping = 0
        self._go_on_with(self._parents.pop())

    def _sum_up(self) -> None:
        heap, totals, frames = self._now.heap, self.totals, self._frames
        totals.bytes_asked, totals.heap_bytes = heap.asked, heap.end - heap.start
        totals.bytes_inside, totals.bytes_between = heap.bytes_inside, heap.bytes_between
        totals.resident_pages = self._now.memory.resident_pages
        totals.evictions, totals.swap_outs, totals.swap_ins = frames.evictions, frames.swap_outs, frames.swap_ins
