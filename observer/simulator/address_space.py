"""The system calls that change what one process has mapped: mmap, munmap, mremap, mprotect, mlock, madvise, brk.

Each goes mapping by mapping from low to high addresses, as the kernel does, and stops where the kernel stops. Several
bring pages in themselves; getrusage(2) counts each fault that this takes in ru_minflt (mm_account_fault in
mm/memory.c), though the program took none and perf sees none. They return that number; with fault-around and huge pages
it is less than the number of pages.
"""

from __future__ import annotations

from collections.abc import Callable

from observer.simulator.backing import Backing
from observer.simulator.faulting import FaultHandler
from observer.simulator.frames import Frames
from observer.simulator.page_table import EXCLUSIVE, SHIFT, PageTable
from observer.simulator.regions import ACCESSES, ANONYMOUS, KINDS, Region, Regions

__all__ = ["AddressSpace"]


class AddressSpace:
    """Mappings and page table of one process. Addresses and lengths are bytes.

    Ranges are widened to whole pages, except where whole pages are asked for; `sizes` is how large these are.
    """

    __slots__ = ("_frames", "_handler", "_regions", "_shift", "_table", "sizes")

    def __init__(self, frames: Frames, regions: Regions, thp: str, around: int) -> None:
        self._frames = frames
        self.sizes, self._shift = frames.sizes, frames.sizes.shift
        self._regions = regions
        self._table = PageTable(frames, regions)
        self._handler = FaultHandler(self._table, thp, around)

    def _flush(self) -> None:
        """Entries or rights have changed: what is remembered of them elsewhere is void."""

    # ---- mmap, munmap, mremap -------------------------------------------------------------------------------

    def map(
        self, start: int, length: int, kind: str, *, access: str = "write", object: int | None = None, offset: int = 0
    ) -> None:
        """Map [start, start+length); what was mapped there goes (mmap with MAP_FIXED; brk for a heap).

        *kind* is anonymous, shared (anonymous too), file (private; in the page cache as a whole), heap or stack (grows
        down from here). *access* is write (which includes reading), read or none. Mappings with the same number
        *object* have the same file or shared memory behind them, at *offset* bytes from its start.

        Raises:
            ValueError: for an unknown word, a length of 0 or a start inside a page.
        """
        if kind not in KINDS or access not in ACCESSES or length < 1 or (start | offset) % self.sizes.page:
            raise ValueError(f"cannot map {length} bytes at {start:#x} as {kind}, {access}")
        first, end = self.sizes.pages(start, length)
        backing = None if kind in ANONYMOUS else self._backing(kind == "file", object)
        region = Region(first, end, kind, access, backing, accounted=access == "write" and kind != "shared")
        if backing is not None:
            backing.pages_mapped += end - first  # before the old mapping goes: it may be the object's only one
            region.shift = (offset >> self._shift) - first
        self._take_out(first, end)
        self._regions.add(region)

    def _backing(self, is_file: bool, number: int | None) -> Backing:
        if number is None:
            return Backing(is_file)
        backing = self._frames.backings.setdefault(number, Backing(is_file))
        if backing.is_file != is_file:
            raise ValueError(f"object {number} is a file for one mapping and shared memory for another")
        return backing

    def unmap(self, start: int, length: int) -> None:
        """Unmap the pages of [start, start+length), mapped or not (munmap)."""
        self._take_out(*self.sizes.pages(start, length))

    def _take_out(self, first: int, end: int) -> None:
        gone = self._regions.remove(first, end)
        if not gone:
            return
        self._flush()
        self._table.zap(first, end)
        self._table.free_tables(first, end, keep_mapped=True)
        for region in gone:
            if region.backing is not None:
                self._frames.close(region.backing, region.end - region.first)

    def move(self, old_start: int, old_length: int, new_start: int, new_length: int) -> int:
        """Move a mapping (mremap): its pages keep their frames. What was at the new place goes, as with MREMAP_FIXED.

        A shorter new length cuts the end off; a longer one adds to it, as memory not yet touched. With the old start as
        the new one it only does that. Return the faults taken to bring in what was added to a locked mapping, else 0.

        Raises:
            ValueError: the places overlap, or nothing is mapped at the old one.
        """
        first, end = self.sizes.pages(old_start, old_length)
        place, place_end = self.sizes.pages(new_start, new_length)
        if self._regions.find(first) is None:
            raise ValueError(f"nothing is mapped at {old_start:#x}")
        if first != place and first < place_end and place < end:
            raise ValueError("a mapping cannot be moved onto itself")
        kept = min(end, first + place_end - place)
        self._take_out(kept, end)
        if first != place:
            self._take_out(place, place_end)
            self._transplant(first, kept, place - first)
        return self._lengthen(place + kept - first, place_end)

    def _transplant(self, first: int, end: int, distance: int) -> None:
        self._flush()
        self._table.move(first, end, distance)
        for piece in self._regions.remove(first, end):
            if piece.kind not in ANONYMOUS or piece.group:
                piece.shift -= distance
            piece.first += distance
            piece.end += distance
            self._regions.add(piece)
        self._table.free_tables(first, end, keep_mapped=True)

    def _lengthen(self, first: int, end: int) -> int:
        region = self._regions.find(first - 1)
        if first >= end or region is None:
            return 0
        self._take_out(first, end)
        if region.backing is not None:
            region.backing.pages_mapped += end - first
        self._regions.add(region.part(first, end))
        return self._populate(first, end) if region.locked else 0

    # ---- mprotect, mlock, MAP_POPULATE ----------------------------------------------------------------------

    def protect(self, start: int, length: int, access: str) -> int:
        """Allow *access* (write, read or none) in [start, start+length), up to the first hole (mprotect).

        Pages stay: one that is this process's alone may be written without a fault once writing is allowed again.
        Return the faults taken to bring pages in: locked private memory that may now be written is (mprotect_fixup).
        """
        if access not in ACCESSES:
            raise ValueError(f"{access!r} is no access")
        self._flush()
        count = 0
        for region, first, end in self._regions.pieces(*self.sizes.pages(start, length), over_holes=False):
            if region.access != access:
                must_come = region.locked and region.private and access == "write"
                self._change(first, end, lambda piece: piece.allow(access))
                count += self._populate(first, end) if must_come else 0
        return count

    def _change(self, first: int, end: int, apply: Callable[[Region], None]) -> None:
        self._table.split_edges(first, end)
        self._regions.change(first, end, apply)

    def lock(self, start: int, length: int) -> int:
        """Lock [start, start+length) into memory and bring it in (mlock); return the faults this took.

        Private pages that may be written are brought in as if written, others as if read. A hole ends it before
        anything is brought in, memory that may not be read ends the bringing in; mlock fails with ENOMEM then, but what
        was locked stays so.
        """
        first, end = self.sizes.pages(start, length)
        self._set_locked(first, end, True)
        mapped = sum(last - low for _, low, last in self._regions.pieces(first, end, over_holes=False))
        return self._populate(first, end) if mapped == end - first else 0

    def unlock(self, start: int, length: int) -> None:
        """Unlock [start, start+length) up to the first hole (munlock); nothing leaves memory by that."""
        self._set_locked(*self.sizes.pages(start, length), False)

    def _set_locked(self, first: int, end: int, on: bool) -> None:
        for region, low, last in self._regions.pieces(first, end, over_holes=False):
            if region.locked != on:
                self._change(low, last, lambda piece: piece.set_locked(on))

    def populate(self, start: int, length: int) -> int:
        """Bring [start, start+length) in, as MAP_POPULATE does after mapping it; return the faults this took.

        Private pages that may be written are brought in as if written, others as if read; what may not be read is
        left out.
        """
        first, end = self.sizes.pages(start, length)
        pieces = list(self._regions.pieces(first, end))
        return sum(self._populate(low, last) for _, low, last in pieces)

    def _populate(self, first: int, end: int) -> int:
        """populate_vma_page_range in mm/gup.c, for one mapping after the other up to one that may not be read."""
        count = 0
        for region, low, last in self._regions.pieces(first, end):
            if region.access == "none":
                break
            is_write = region.private and region.access == "write"
            count += sum(self._resolve(page, region, is_write) for page in range(low, last))
        return count

    def _resolve(self, page: int, region: Region, is_write: bool) -> bool:
        """Whether the kernel's own access to *page* was a fault."""
        entry = self._table.entries.get(page)
        if entry is None:
            self._handler.bring(page, region, is_write)
        elif is_write and not entry & EXCLUSIVE:
            self._handler.own(page, entry, region)
        else:
            return False
        return True

    # ---- madvise --------------------------------------------------------------------------------------------

    def advise_huge(self, start: int, length: int, on: bool) -> None:
        """Let future faults in [start, start+length) make huge pages, or none (MADV_HUGEPAGE, MADV_NOHUGEPAGE)."""
        for region, first, end in self._regions.pieces(*self.sizes.pages(start, length)):
            if region.huge is not on:
                self._change(first, end, lambda piece: piece.set_huge(on))

    def drop(self, start: int, length: int) -> int:
        """Forget the whole pages inside [start, start+length) (MADV_DONTNEED); return how many had something.

        Private pages are lost; shared memory and files stay behind the mapping, only the entries go. A locked mapping
        ends it, with EINVAL.
        """
        self._flush()
        dropped = 0
        for region, first, end in self._regions.pieces(*self.sizes.whole_pages(start, length)):
            if region.locked:
                break
            dropped += self._table.zap(first, end)
            self._table.free_tables(first, end, keep_mapped=False)
        return dropped

    def lazy_free(self, start: int, length: int) -> None:
        """Let the whole pages inside [start, start+length) go when memory is needed, unless written before (MADV_FREE).

        No access is a fault because of it: the processor marks a written page dirty by itself. But a huge page freed in
        part is split, and those of its pages in which nothing was ever written give way to the zero page
        (try_to_map_unused_to_zeropage, since Linux 6.12; the model holds that whatever is written is not zero). Pages
        shared after a fork are left alone. Locked mappings, files and shared memory end it, with EINVAL.
        """
        self._flush()
        for region, first, end in self._regions.pieces(*self.sizes.whole_pages(start, length)):
            if region.locked or region.kind not in ANONYMOUS:
                break
            self._table.free_lazily(first, end)

    # ---- what there is --------------------------------------------------------------------------------------

    def mapped(self) -> list[tuple[int, int]]:
        """Return (start, length) of every mapping."""
        return [(region.first << self._shift, region.end - region.first << self._shift) for region in self._regions]

    def is_mapped(self, address: int) -> bool:
        """Whether any mapping holds *address*."""
        return self._regions.find(address >> self._shift) is not None

    def is_present(self, address: int) -> bool:
        """Whether the page of *address* has an entry: a frame, or the zero page."""
        return address >> self._shift in self._table.entries

    def would_fault(self, address: int, *, write: bool) -> bool:
        """Whether an access to the page of *address* that its mapping allows would be a fault."""
        entry = self._table.entries.get(address >> self._shift)
        if entry is None or not write or entry & EXCLUSIVE:
            return entry is None
        region = self._regions.find(address >> self._shift)
        return region is None or region.private

    def is_resident(self, address: int) -> bool:
        """Whether the page of *address* has a frame of memory (the zero page is none)."""
        return self._table.entries.get(address >> self._shift, 0) >> SHIFT != 0

    @property
    def resident_pages(self) -> int:
        """Pages with frames, the zero page not counted (as Rss counts)."""
        return self._table.resident

    @property
    def frames_in_use(self) -> int:
        """Frames in use by all processes that share this memory."""
        return len(self._frames.users)
