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
from observer.simulator.frames import Frames
from observer.simulator.paging import Memory, PageFault, SegmentationFault

__all__ = ["FrameSide"]

_ANONYMOUS: Final = 0x20
_SHARED: Final = 0x01
_POPULATE: Final = 0x8000
_CURRENT: Final = 1
"""MCL_CURRENT of mlockall(2)."""
_LOADERS: Final = ("ld-linux", "ld-musl", "ld.so", "ld-2")
_KINDS: Final = {"map": "anonymous", "populate": "anonymous", "shared": "shared", "file": "file"}
_PROTECTIONS: Final = {"noaccess": "none", "readonly": "read", "writable": "write"}
_ADVICE: Final = {4: "dontneed", 8: "lazyfree", 14: "hugepage", 15: "nohugepage"}


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
        handler = {
            "brk": self._brk, "mmap": self._mmap, "munmap": self._munmap, "mremap": self._mremap,
            "mprotect": self._mprotect, "madvise": self._madvise, "mlock": self._mlock, "mlock2": self._mlock,
            "munlock": self._munlock, "mlockall": self._mlockall, "munlockall": self._munlockall,
        }.get(event.name)  # fmt: skip
        if handler is not None:
            handler(event, event.result)

    def _brk(self, _event: Syscall, result: int) -> None:
        # A static program's break need not lie at a page's edge.
        old, new = self._sizes.up(self._break), self._sizes.up(result)
        if self._break and new > old:
            self.memory.map(old, new - old, "heap")
        elif self._break and new < old:
            self._forget(new, old - new)
            self.memory.unmap(new, old - new)
        self._heap = self._heap or new
        self._break = result

    def _mmap(self, event: Syscall, result: int) -> None:
        length, flags = self._sizes.up(event.args[1]), event.args[3]
        self._forget(result, length)
        if not flags & _ANONYMOUS or flags & _SHARED or _is_loader(event):
            self.memory.unmap(result, length)  # what it replaces is gone; the new one is not modelled
            return
        self.memory.map(result, length, "anonymous", access=_access(event.args[2]))
        if flags & _POPULATE:
            self.memory.populate(result, length)

    def _munmap(self, event: Syscall, _result: int) -> None:
        self._forget(event.args[0], event.args[1])
        self.memory.unmap(event.args[0], self._sizes.up(event.args[1]))

    def _mremap(self, event: Syscall, result: int) -> None:
        if self.covers(event.args[0]):
            self._forget(event.args[0], event.args[1])
            self.memory.move(event.args[0], self._sizes.up(event.args[1]), result, self._sizes.up(event.args[2]))

    def _mprotect(self, event: Syscall, _result: int) -> None:
        self.memory.protect(event.args[0], self._sizes.up(event.args[1]), _access(event.args[2]))

    def _madvise(self, event: Syscall, _result: int) -> None:
        start, length, advice = event.args[0], self._sizes.up(event.args[1]), _ADVICE.get(event.args[2])
        if advice == "dontneed":
            self._forget(start, length)
            self.memory.drop(start, length)
        elif advice == "lazyfree":
            self.memory.lazy_free(start, length)
        elif advice in ("hugepage", "nohugepage"):
            self.memory.advise_huge(start, length, advice == "hugepage")

    def _mlock(self, event: Syscall, _result: int) -> None:
        self.memory.lock(event.args[0], event.args[1])

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

    def _munlock(self, event: Syscall, _result: int) -> None:
        self.memory.unlock(event.args[0], event.args[1])

    def _mlockall(self, event: Syscall, _result: int) -> None:
        if event.args[0] & _CURRENT:
            for start, length in self.memory.mapped():
                self.memory.lock(start, length)

    def _munlockall(self, _event: Syscall, _result: int) -> None:
        for start, length in self.memory.mapped():
            self.memory.unlock(start, length)

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


def _access(protection: int) -> str:
    return "write" if protection & 2 else "read" if protection & 5 else "none"
