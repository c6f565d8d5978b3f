"""How one fault is resolved: what handle_mm_fault of mm/memory.c does with each kind of mapping.

- Private memory (do_anonymous_page): a write makes a zeroed page; a read maps the zero page, and a later write is a
  fault again (wp_page_copy).
- After fork a private page belongs to both; a write copies it unless the writer is the last who has it, and is a fault
  either way. A part of a huge page is one's own only if nobody else has any part of it (wp_can_reuse_anon_folio).
- A file (do_read_fault, do_cow_fault): a read maps up to 16 pages of the page cache, those of its aligned 64 KiB that
  lie in the mapping and in one table, beginning with the first and with no entry yet (do_fault_around). A write
  copies the one page from the page cache.
- Shared memory (do_shared_fault): a page made or found by one access may be written at once, since nothing needs to
  hear of writes (vma_wants_writenotify); reads map what is there around, and never make more than one page.
- Huge pages (create_huge_pmd, wp_huge_pmd) where the mapping holds the whole 2 MiB, was asked for them, and no table is
  there: a write makes all of it, a read maps the huge zero page, which a write replaces as a whole; after fork, a
  write by the last owner takes the whole page back, any other splits the entry and copies one small page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.simulator.frames import Frames
from observer.simulator.page_table import ANON, EXCLUSIVE, SHIFT, PageTable
from observer.simulator.regions import ANONYMOUS, Region

__all__ = ["FaultHandler", "PageFault"]

_OWN: Final = ANON | EXCLUSIVE


@dataclass(frozen=True, slots=True)
class PageFault:
    """One fault that the kernel resolved: the page's address, why, and the frame it has now (0: the zero page).

    `kind`, for private memory: first write, first read (zero page), write after read, copy on write, last owner, and
    the same with "huge" before it (huge first write, huge zero page, huge write after read, huge last owner); for
    files: file read, file write; for shared memory: shared first write, shared first read, shared page (it was there
    already). Behind limited frames: swapped in, and swap cache (another process had it brought back). "stack growth" is
    the first access below a stack. `major`: it had to be read from a disk. `pages`: how many it brought.
    """

    address: int
    kind: str
    frame: int
    major: bool = False
    pages: int = 1


class FaultHandler:
    """Resolves faults in one page table. The access was found to be allowed before it comes here."""

    __slots__ = ("_around", "_frames", "_shift", "_table", "_thp")

    def __init__(self, table: PageTable, thp: str, around: int) -> None:
        self._table = table
        self._frames: Frames = table.frames
        self._thp = thp
        self._around = around
        self._shift = table.frames.sizes.shift

    def bring(self, page: int, region: Region, is_write: bool) -> PageFault:
        """*page* has no entry: make one.

        Raises:
            OutOfFrames: no frame could be had; nothing has changed.
        """
        if page in self._table.swapped:
            return self._swap_in(page, is_write)
        if region.kind in ANONYMOUS:
            return self._huge(page, region, is_write) or self._anonymous(page, region, is_write)
        if region.kind == "shared":
            return self._shared(page, region, is_write)
        return self._file_write(page, region) if is_write else self._file_read(page, region)

    def own(self, page: int, entry: int, region: Region) -> PageFault:
        """*page* of private memory is written and its entry does not allow that: let it be this process's alone.

        Raises:
            OutOfFrames: no frame could be had for a copy; nothing has changed.
        """
        table, frame = self._table, entry >> SHIFT
        block = page >> self._table.block_shift
        if block in table.huge:
            fault = self._own_huge(page, block, frame)
            if fault is not None:
                return fault
        if entry & ANON and self._frames.users[frame] == 1 and not table.others_have_part(page):
            table.entries[page] = entry | EXCLUSIVE
            self._frames.touch(frame)
            return PageFault(page << self._shift, "last owner", frame)
        self._prepare(region)
        copy = self._copy(page, frame)
        return PageFault(page << self._shift, "copy on write" if frame else "write after read", copy)

    # ---- private memory -------------------------------------------------------------------------------------

    def _prepare(self, region: Region) -> None:
        if not region.group:
            self._table.regions.join_group(region)

    def _anonymous(self, page: int, region: Region, is_write: bool) -> PageFault:
        if not is_write:
            self._table.place(page, 0, 0)
            return PageFault(page << self._shift, "first read", 0)
        frame = self._frames.take()
        self._prepare(region)
        self._table.place(page, frame, _OWN)
        return PageFault(page << self._shift, "first write", frame)

    def _copy(self, page: int, source: int) -> int:
        self._frames.pinned = source  # it must not give way to its own copy
        try:
            frame = self._frames.take()
        finally:
            self._frames.pinned = 0
        self._table.replace(page, frame, _OWN)
        return frame

    # ---- huge pages -----------------------------------------------------------------------------------------

    def _huge(self, page: int, region: Region, is_write: bool) -> PageFault | None:
        wanted = region.huge if region.huge is not None else self._thp == "always"
        block = page >> self._table.block_shift
        low = block << self._table.block_shift
        if not wanted or self._thp == "never" or region.first > low or region.end < low + self._table.block:
            return None
        if block in self._table.tables:
            return None
        head = self._frames.take_huge() if is_write else 0
        if head is None:
            return None
        self._prepare(region)
        return self._place_huge(page, head, "huge first write" if is_write else "huge zero page")

    def _place_huge(self, page: int, head: int, kind: str) -> PageFault:
        self._table.place_huge(page >> self._table.block_shift, head, _OWN if head else 0)
        frame = head and head + page % self._table.block
        self._frames.blank.discard(frame)
        return PageFault(page << self._shift, kind, frame, pages=self._table.block)

    def _own_huge(self, page: int, block: int, frame: int) -> PageFault | None:
        table, low = self._table, block << self._table.block_shift
        if not frame:
            head = self._frames.take_huge()
            if head is not None:
                table.zap(low, low + self._table.block)
                return self._place_huge(page, head, "huge write after read")
        elif all(self._frames.users[table.entries[one] >> SHIFT] == 1 for one in range(low, low + self._table.block)):
            for one in range(low, low + self._table.block):
                table.entries[one] |= EXCLUSIVE
            self._frames.blank.discard(frame)
            return PageFault(page << self._shift, "huge last owner", frame)
        table.split(block)
        return None

    # ---- files and shared memory ----------------------------------------------------------------------------

    def _file_write(self, page: int, region: Region) -> PageFault:
        assert region.backing is not None
        was_away = page + region.shift in region.backing.away
        frame = self._frames.take()
        self._prepare(region)
        self._table.place(page, frame, _OWN)
        return PageFault(page << self._shift, "file write", frame, major=was_away)

    def _file_read(self, page: int, region: Region) -> PageFault:
        assert region.backing is not None
        frame, was_away = self._frames.fetch(region.backing, page + region.shift)
        self._table.place(page, frame, 0)
        pages = 1 + self._map_around(page, region)
        return PageFault(page << self._shift, "file read", frame, major=was_away, pages=pages)

    def _shared(self, page: int, region: Region, is_write: bool) -> PageFault:
        backing = region.backing
        assert backing is not None
        known = page + region.shift in backing.frames
        frame, was_away = self._frames.fetch(backing, page + region.shift)
        self._table.place(page, frame, 0)
        pages = 1 if is_write else 1 + self._map_around(page, region)
        made = "shared first write" if is_write else "shared first read"
        kind = "swapped in" if was_away else "shared page" if known else made
        return PageFault(page << self._shift, kind, frame, major=was_away, pages=pages)

    def _map_around(self, page: int, region: Region) -> int:
        """Map the pages around *page* that are in memory already; return how many."""
        block = page & -self._table.block
        first = max(page & -self._around, region.first, block)
        mapped = 0
        for near in range(first, min(first + self._around, region.end, block + self._table.block)):
            if near in self._table.entries or near in self._table.swapped:
                continue
            frame = self._found(region, near + region.shift)
            if frame:
                self._table.place(near, frame, 0)
                mapped += 1
        return mapped

    def _found(self, region: Region, offset: int) -> int:
        backing = region.backing
        assert backing is not None
        frame = backing.frames.get(offset, 0)
        if not frame and backing.is_file and offset not in backing.away and self._frames.has_room:
            return self._frames.fetch(backing, offset)[0]
        return frame

    # ---- swap -----------------------------------------------------------------------------------------------

    def _swap_in(self, page: int, is_write: bool) -> PageFault:
        """Bring a private page back (do_swap_page); one that others wait for, or have, is copied by the same fault."""
        table, slot = self._table, self._table.swapped[page]
        frame, must_read = self._frames.swap_in(slot)
        del table.swapped[page]
        is_own = not slot.waiting and not self._frames.users[frame]
        table.place(page, frame, _OWN if is_own else ANON)
        if is_write and not is_own:
            frame = self._copy(page, frame)
        return PageFault(page << self._shift, "swapped in" if must_read else "swap cache", frame, major=must_read)
