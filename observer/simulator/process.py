"""One simulated process: its heap, its memory, the pieces and mappings that its workload has named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.errors import BadWorkload
from observer.model.addresses import PAGE, page_down, page_up
from observer.model.events import ChunkRef
from observer.simulator.book import BookAllocator
from observer.simulator.paging import Memory

__all__ = ["Piece", "SimulatedProcess"]

_MAPPINGS_END: Final = 0x7F00_0000_0000
_STACK_END: Final = 0x7FFC_0000_0000
_USED_STACK: Final = 128 << 10
"""What a program has of its stack when it begins; it counts against the limit."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a name stands for: memory from malloc (`kind` is `heap`, with its call) or a mapping of another kind."""

    address: int
    size: int
    kind: str
    where: str
    chunk: ChunkRef | None = None

    def whole_pages(self, page: int = PAGE) -> tuple[int, int]:
        """(start, length) of the pages that system calls on this piece are about: for a mapping all of it."""
        if self.kind != "heap":
            return self.address, page_up(self.size, page)
        start = page_up(self.address, page)
        return start, max(page_down(self.address + self.size, page) - start, 0)


class SimulatedProcess:
    """A process whose mappings are laid out as Linux does it: the heap low, mappings top down, the stack above."""

    def __init__(self, pid: int, heap: BookAllocator, memory: Memory) -> None:
        self.pid = pid
        self.heap = heap
        self.memory = memory
        self.pieces: dict[str, Piece] = {}
        self.knows_break = False
        self.mappings = 0
        self.charged = 0
        """Pages promised to this process alone."""
        self._next_mapping = _MAPPINGS_END
        self._stack_low = _STACK_END

    def fork(self, pid: int) -> SimulatedProcess:
        """Return the child: the same pieces at the same addresses, frames shared until somebody writes."""
        child = SimulatedProcess(pid, self.heap.copy(), self.memory.fork())
        child.pieces, child.knows_break, child.mappings = dict(self.pieces), self.knows_break, self.mappings
        child.charged = self.charged
        child._next_mapping, child._stack_low = self._next_mapping, self._stack_low
        return child

    def place(self, size: int) -> int:
        """Return where a new mapping of *size* bytes goes; large ones begin at a huge page, as from Linux 6.7 on."""
        sizes = self.memory.sizes
        start = self._next_mapping - sizes.up(size)
        if size >= sizes.huge_page:
            start &= -sizes.huge_page
        self._next_mapping = start
        return start

    def below_stack(self, size: int) -> int:
        """Return the address of the next *size* bytes below the stack."""
        if self._stack_low == _STACK_END:
            self.memory.map(_STACK_END, _USED_STACK, "stack")
        self._stack_low -= self.memory.sizes.up(size)
        return self._stack_low

    def piece(self, kind: str, name: str) -> Piece:
        """Return what *name* stands for; raises BadWorkload when it stands for nothing."""
        found = self.pieces.get(name)
        if found is None:
            raise BadWorkload(f"{kind} {name}: no piece of that name is in use")
        if not found.address:
            raise BadWorkload(f"{kind} {name}: it holds nothing, its allocation was refused")
        return found
