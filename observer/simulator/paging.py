"""Linux's paging for one process tree: frames come at first touch, and are shared and copied behind the program's back.

`Memory` is what one process has: mappings (`regions.py`), a page table (`page_table.py`) and the frames of the machine
(`frames.py`), which it shares with its children. The system calls that change them are in `address_space.py`; here are
accesses and processes, and what a fault does is in `faulting.py`. All of it was measured on Linux 6.18 for x86-64,
getrusage(2) around single accesses; what is younger than Linux 6.0 says so. What a real machine does at its own time is
not in it: khugepaged joining small pages, NUMA balancing, huge folios of file systems, a page cache that gives way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.simulator.address_space import AddressSpace
from observer.simulator.faulting import PageFault
from observer.simulator.frames import Frames
from observer.simulator.page_table import EXCLUSIVE, SHIFT
from observer.simulator.regions import Region, Regions
from observer.simulator.replacement import OutOfFrames

__all__ = ["Frames", "Memory", "OutOfFrames", "PageFault", "SegmentationFault"]

_GUARD: Final = 256
"""Pages a stack keeps clear of an accessible mapping below it (stack_guard_gap in mm/mmap.c)."""
_NONE: Final[list[PageFault]] = []
_THP: Final = ("always", "madvise", "never")
_AROUND: Final = 1 << 16


class SegmentationFault(Exception):
    """An access that the kernel answers with SIGSEGV.

    `code` is the signal's si_code: SEGV_MAPERR (nothing is mapped there) or SEGV_ACCERR (the mapping forbids it).
    `faults` are those that the same access took on pages before.
    """

    def __init__(self, address: int, code: str, faults: list[PageFault]) -> None:
        super().__init__(f"{code} at {address:#x}")
        self.address = address
        self.code = code
        self.faults = faults


class Memory(AddressSpace):
    """The memory of one process; children made by `fork` share its frames. Addresses and lengths are bytes.

    `write` and `read` remember which pages need no fault, as a TLB does, so that an access to such a page is one
    look-up; with limited frames they remember nothing, since the replacement policy has to see every access.
    """

    __slots__ = ("_around", "_reads", "_stack_pages", "_thp", "_writes")

    def __init__(
        self, *, thp: str = "madvise", fault_around: int | None = None, frames: Frames | None = None,
        stack_limit: int = 8 << 20,
    ) -> None:  # fmt: skip
        """*thp* as in /sys/kernel/mm/transparent_hugepage/enabled; *fault_around* in pages, a power of two.

        How large pages are is told by *frames*. The pages around a fault are as many as make 64 KiB, unless it is said
        otherwise (fault_around_bytes in mm/memory.c).

        Raises:
            ValueError: for a mode or a number that Linux does not have.
        """
        frames = frames or Frames()
        if fault_around is None:
            fault_around = max(_AROUND >> frames.sizes.shift, 1)
        if thp not in _THP or not 1 <= fault_around <= frames.sizes.huge or fault_around & fault_around - 1:
            raise ValueError(f"thp {thp!r} with fault_around {fault_around} cannot be")
        self._set_up(thp, fault_around, stack_limit >> frames.sizes.shift, frames, Regions())

    def _set_up(self, thp: str, around: int, stack_pages: int, frames: Frames, regions: Regions) -> None:
        super().__init__(frames, regions, thp, around)
        self._thp, self._around, self._stack_pages = thp, around, stack_pages
        self._writes: set[int] = set()
        self._reads: set[int] = set()

    def _flush(self) -> None:
        self._writes.clear()
        self._reads.clear()

    # ---- accesses -------------------------------------------------------------------------------------------

    def write(self, address: int, length: int = 1) -> list[PageFault]:
        """Write [address, address+length), at least a byte; return the faults this took, in address order.

        Raises:
            SegmentationFault: a page is not mapped or may not be written; those before it are written.
            OutOfFrames: all frames are locked.
        """
        page, last = address >> self._shift, address + length - 1 >> self._shift
        if page < last:
            return self._each(range(page, last + 1), self._writes, self._write_page)
        if page in self._writes:
            return _NONE
        fault = self._write_page(page, _NONE)
        return _NONE if fault is None else [fault]

    def read(self, address: int, length: int = 1) -> list[PageFault]:
        """Read [address, address+length), at least a byte; return and raise as `write` does."""
        page, last = address >> self._shift, address + length - 1 >> self._shift
        if page < last:
            return self._each(range(page, last + 1), self._reads, self._read_page)
        if page in self._reads:
            return _NONE
        fault = self._read_page(page, _NONE)
        return _NONE if fault is None else [fault]

    def _each(
        self, pages: range, known: set[int], access: Callable[[int, list[PageFault]], PageFault | None]
    ) -> list[PageFault]:
        faults: list[PageFault] = []
        for page in pages:
            if page not in known and (fault := access(page, faults)) is not None:
                faults.append(fault)
        return faults

    def _write_page(self, page: int, before: list[PageFault]) -> PageFault | None:
        region = self._regions.find(page)
        if region is None or region.access != "write":
            return self._grow(page, region, self._write_page, before)
        entry = self._table.entries.get(page)
        fault = None
        if entry is None:
            fault = self._handler.bring(page, region, True)
        elif entry & EXCLUSIVE or region.kind == "shared":
            self._frames.blank.discard(entry >> SHIFT)
            self._frames.touch(entry >> SHIFT)
            self._table.lazy.discard(page)
        else:
            fault = self._handler.own(page, entry, region)
        if self._frames.limit is None:
            self._writes.add(page)
            self._reads.add(page)
        return fault

    def _read_page(self, page: int, before: list[PageFault]) -> PageFault | None:
        region = self._regions.find(page)
        if region is None or region.access == "none":
            return self._grow(page, region, self._read_page, before)
        entry = self._table.entries.get(page)
        fault = None
        if entry is None:
            fault = self._handler.bring(page, region, False)
        else:
            self._frames.touch(entry >> SHIFT)
        if self._frames.limit is None:
            self._reads.add(page)
        return fault

    def _grow(
        self, page: int, region: Region | None, access: Callable[[int, list[PageFault]], PageFault | None],
        before: list[PageFault],
    ) -> PageFault:  # fmt: skip
        """An access that no mapping allows: a stack above it may grow (expand_stack), else it is an error."""
        if region is not None:
            raise SegmentationFault(page << self._shift, "SEGV_ACCERR", before)
        below, above = self._regions.around(page)
        if above is None or not self._may_grow(page, below, above):
            raise SegmentationFault(page << self._shift, "SEGV_MAPERR", before)
        self._regions.grow_down(above, page)
        fault = access(page, before)
        assert fault is not None
        return PageFault(fault.address, "stack growth", fault.frame, fault.major, fault.pages)

    def _may_grow(self, page: int, below: Region | None, above: Region) -> bool:
        if above.kind != "stack" or above.end - page > self._stack_pages:
            return False
        if below is None or below.kind == "stack" or below.access == "none":
            return True
        return page - below.end >= _GUARD

    # ---- processes ------------------------------------------------------------------------------------------

    def fork(self) -> Memory:
        """Return the child's memory: the same frames, and neither side may write private ones without a fault.

        Only mappings in which private pages were ever made are copied entry by entry; what others have, the child's own
        faults will find again (vma_needs_copy in mm/memory.c), even where the parent has read zero pages only. Locks
        are not inherited.
        """
        child = Memory.__new__(Memory)
        regions = self._regions.copy_for_child()
        child._set_up(self._thp, self._around, self._stack_pages, self._frames, regions)
        for region in self._regions:
            if region.group:
                self._table.copy_to(child._table, region)
        self._writes.clear()
        return child

    def end(self) -> None:
        """The process ends: all is unmapped, its frames are released."""
        self._take_out(0, 1 << 64 >> self._shift)
