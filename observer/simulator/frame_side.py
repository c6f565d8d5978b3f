"""Level two, predicted: the pieces where they really lay, through the paging model.

What is modelled: the heap and the private anonymous mappings of the program and its libraries; not the loader's, files,
stacks. The model is moved by the run's own memory system calls, so both levels can be judged apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from observer.model.account import Reach
from observer.model.addresses import PAGE
from observer.model.events import Fault, Syscall
from observer.model.memory_calls import (
    Advise,
    Break,
    Lock,
    LockAll,
    Map,
    Move,
    Protect,
    Unlock,
    UnlockAll,
    Unmap,
    memory_call,
)
from observer.simulator.frames import Frames
from observer.simulator.paging import Memory, PageFault, SegmentationFault

__all__ = ["FrameSide"]

_LOADERS: Final = ("ld-linux", "ld-musl", "ld.so", "ld-2")
_KINDS: Final = {"map": "anonymous", "populate": "anonymous", "shared": "shared", "file": "file"}
_PROTECTIONS: Final = {"noaccess": "none", "readonly": "read", "writable": "write"}


class FrameSide:
    """The paging model of one real process, whose transparent huge pages are as *thp* says."""

    def __init__(self, thp: str, page_size: int = PAGE) -> None:
        self._thp = thp
        self.memory = Memory(thp=thp, frames=Frames(page_size=page_size))
        self._sizes = self.memory.sizes
        self._break = self._heap = 0
        self._guessed: set[int] = set()

    def copy(self) -> FrameSide:
        """Return the memory of a forked child."""
        twin = FrameSide(self._thp, self._sizes.page)
        twin.memory = self.memory.fork()
        twin._break, twin._heap, twin._guessed = self._break, self._heap, set(self._guessed)
        return twin

    def covers(self, address: int) -> bool:
        """Whether *address* is modelled."""
        return self.memory.is_mapped(address)

    # ---- mappings -------------------------------------------------------------------------------------------

    def apply(self, event: Syscall) -> None:
        """Do what a memory system call of the process did."""
        if event.errno is not None or event.result is None:
            return
        call = memory_call(event)
        if isinstance(call, Break):
            self._move_break(event.result)
        elif isinstance(call, Map):
            self._map(call, event.result, is_loader=_is_loader(event))
        elif isinstance(call, Unmap):
            self._forget(call.start, call.length)
            self.memory.unmap(call.start, call.size(self._sizes.page))
        elif isinstance(call, Move):
            self._move(call, event.result)
        elif isinstance(call, Protect):
            self.memory.protect(call.start, call.size(self._sizes.page), _access(call.protection))
        elif isinstance(call, Advise):
            self._advise(call)
        else:
            self._lock(call)

    def _move_break(self, result: int) -> None:
        # A static program's break need not lie at a page's edge.
        old, new = self._sizes.up(self._break), self._sizes.up(result)
        if self._break and new > old:
            self.memory.map(old, new - old, "heap")
        elif self._break and new < old:
            self._forget(new, old - new)
            self.memory.unmap(new, old - new)
        self._heap = self._heap or new
        self._break = result

    def _map(self, call: Map, start: int, *, is_loader: bool) -> None:
        size = call.size(self._sizes.page)
        self._forget(start, size)
        if "anonymous" not in call.flags or "shared" in call.flags or is_loader:
            self.memory.unmap(start, size)  # what it replaces is gone; the new one is not modelled
            return
        self.memory.map(start, size, "anonymous", access=_access(call.protection))
        if "populate" in call.flags:
            self.memory.populate(start, size)

    def _move(self, call: Move, new_start: int) -> None:
        if self.covers(call.start):
            self._forget(call.start, call.length)
            page = self._sizes.page
            self.memory.move(call.start, call.size(page), new_start, call.new_size(page))

    def _advise(self, call: Advise) -> None:
        size = call.size(self._sizes.page)
        if call.advice == "dontneed":
            self._forget(call.start, size)
            self.memory.drop(call.start, size)
        elif call.advice == "free":
            self.memory.lazy_free(call.start, size)
        elif call.advice in ("hugepage", "nohugepage"):
            self.memory.advise_huge(call.start, size, call.advice == "hugepage")

    def _lock(self, call: Lock | Unlock | LockAll | UnlockAll | None) -> None:
        if isinstance(call, Lock):
            self.memory.lock(*call.pages(self._sizes.page))
        elif isinstance(call, Unlock):
            self.memory.unlock(*call.pages(self._sizes.page))
        elif isinstance(call, UnlockAll) or (isinstance(call, LockAll) and call.current):
            act = self.memory.unlock if isinstance(call, UnlockAll) else self.memory.lock
            for start, length in self.memory.mapped():
                act(start, length)

    def do(self, kind: str, start: int, length: int) -> int:
        """Do what a workload's operation of this *kind* does to [start, start+length).

        Return what it adds to ru_minflt: pages that the system call itself brings in.
        """
        memory = self.memory
        if kind in _KINDS:
            memory.map(start, length, _KINDS[kind])
            return memory.populate(start, length) if kind == "populate" else 0
        if kind == "lock":
            return memory.lock(start, length)
        if kind in _PROTECTIONS:
            return memory.protect(start, length, _PROTECTIONS[kind])
        if kind == "stack":
            self._stack(start, length)
        elif kind in ("hugepage", "nohugepage"):
            memory.advise_huge(start, length, kind == "hugepage")
        else:
            {"unmap": memory.unmap, "unlock": memory.unlock, "dontneed": memory.drop, "lazyfree": memory.lazy_free}[
                kind
            ](start, length)
        return 0

    def access(self, start: int, length: int, *, write: bool) -> tuple[Sequence[PageFault], str | None]:
        """Access [start, start+length); return the faults, and the si_code of the signal if it is forbidden."""
        try:
            return (self.memory.write if write else self.memory.read)(start, length), None
        except SegmentationFault as refused:
            return refused.faults, refused.code

    def absent(self, start: int, length: int) -> int:
        """Return how many pages of [start, start+length) this process has nothing for."""
        pages = range(self._sizes.down(start), start + length, self._sizes.page)
        return sum(not self.memory.is_present(page) for page in pages)

    def end(self) -> None:
        """The process ends."""
        self.memory.end()

    def _stack(self, start: int, size: int) -> None:
        """Let the program use [start, start+size) below its stack; what is above is in memory already."""
        top = start + size
        if not self.covers(top):
            self.memory.map(top, self._sizes.page, "stack")

    def resident_in_heap(self) -> int:
        """Return the pages of the heap that have frames."""
        pages = range(self._heap, self._sizes.up(self._break), self._sizes.page)
        return sum(self.memory.is_resident(page) for page in pages)

    def _forget(self, start: int, length: int) -> None:
        """What was guessed of pages that are no longer there is void."""
        if self._guessed:
            self._guessed = {page for page in self._guessed if not start <= page < start + length}

    # ---- faults ---------------------------------------------------------------------------------------------

    def predicted(self, reaches: list[Reach]) -> dict[int, Reach]:
        """Return the pages (addresses) that *reaches* would fault on, each with the first reach that does."""
        found: dict[int, Reach] = {}
        for reach in reaches:
            for page in range(self._sizes.down(reach.start), reach.start + max(reach.length, 1), self._sizes.page):
                if page not in found and self.covers(page) and self.memory.would_fault(page, write=reach.write):
                    found[page] = reach
        return found

    def expects(self, fault: Fault) -> bool:
        """Whether the model, too, faults where *fault* was taken."""
        page = self._sizes.down(fault.address)
        write = fault.access != "read"
        return self.memory.would_fault(page, write=write) or page in self._guessed

    def take(self, fault: Fault, *, write: bool | None = None) -> Sequence[PageFault]:
        """Bring in what *fault* brought in; return what the model says it was.

        *write* tells what is known of an access that the faulting instruction does not tell.
        """
        page = self._sizes.down(fault.address)
        if fault.access is not None:
            write = fault.access != "read"
        is_guess = write is None and page not in self._guessed
        self._guessed.discard(page)
        if is_guess:
            self._guessed.add(page)  # a write, most likely; if it was a read, the first write faults once more
        faults, refused = self.access(fault.address, 1, write=write is not False)
        if refused is not None and write is None:
            faults, refused = self.access(fault.address, 1, write=False)
        return faults


def _is_loader(event: Syscall) -> bool:
    return event.site is not None and (event.site.module or "").startswith(_LOADERS)


def _access(protection: str) -> str:
    return "write" if "w" in protection else "none" if protection == "---" else "read"
