"""The page table of one process: which pages have an entry, the frame of each, and what was swapped out.

An entry is a number: the frame, times four, with two marks. ANON: a private page (else one of a file or of shared
memory, or the zero page). EXCLUSIVE: no other process has it, so writing needs no fault where the mapping may be
written (PageAnonExclusive of mm/rmap.c); fork takes it away from both sides.

What one table maps is a *block* here: with pages of 4 KiB 512 of them, 2 MiB of addresses. A block has either a table
or one huge entry. A table comes with the first small page and stays though it may be empty, and where it is no huge
page can come (pmd_none in __handle_mm_fault). It goes when no mapping is left in the block (free_pgtables), or when one
MADV_DONTNEED covers the whole block (zap_pte_range with CONFIG_PT_RECLAIM, since Linux 6.14). Huge entries are kept as
an entry for each page and a mark.
"""

from __future__ import annotations

from typing import Final

from observer.simulator.frames import Frames, Slot
from observer.simulator.regions import Region, Regions

__all__ = ["ANON", "EXCLUSIVE", "SHIFT", "PageTable"]

SHIFT: Final = 2
ANON: Final = 1
EXCLUSIVE: Final = 2


class PageTable:
    """Entries by page number, in a process with the mappings *regions*.

    `block` is how many pages a block has, `block_shift` how many bits of a page's number lie inside its block.
    """

    __slots__ = (
        "block", "block_shift", "entries", "frames", "huge", "lazy", "regions", "resident", "swapped", "tables",
    )  # fmt: skip

    def __init__(self, frames: Frames, regions: Regions) -> None:
        self.frames = frames
        self.regions = regions
        self.block, self.block_shift = frames.sizes.huge, frames.sizes.huge_shift
        self.entries: dict[int, int] = {}
        self.swapped: dict[int, Slot] = {}
        self.huge: set[int] = set()
        self.tables: set[int] = set()
        self.lazy: set[int] = set()
        self.resident = 0

    # ---- single entries -------------------------------------------------------------------------------------

    def place(self, page: int, frame: int, marks: int) -> None:
        """Make the entry of *page*, which has none."""
        self.entries[page] = frame << SHIFT | marks
        self.tables.add(page >> self.block_shift)
        if frame:
            self.frames.share(frame, self, page)
            self.resident += 1

    def replace(self, page: int, frame: int, marks: int) -> None:
        """Let the entry of *page* map another frame."""
        self._release(page, self.entries.pop(page))
        self.place(page, frame, marks)

    def remove(self, page: int) -> bool:
        """Forget what *page* has, in memory or swap; return whether it had anything."""
        entry = self.entries.pop(page, None)
        if entry is not None:
            self._release(page, entry)
            return True
        slot = self.swapped.pop(page, None)
        if slot is not None:
            slot.waiting -= 1
        return slot is not None

    def _release(self, page: int, entry: int) -> None:
        self.lazy.discard(page)
        if entry >> SHIFT:
            self.frames.release(entry >> SHIFT, self, page)
            self.resident -= 1

    def pages(self, first: int, end: int) -> list[int]:
        """Return the pages of [first, end) that have something, in memory or swap, in order."""
        entries, swapped = self.entries, self.swapped
        if end - first <= len(entries) + len(swapped):
            return [page for page in range(first, end) if page in entries or page in swapped]
        return sorted(page for table in (entries, swapped) for page in table if first <= page < end)

    # ---- huge entries ---------------------------------------------------------------------------------------

    def place_huge(self, block: int, head: int, marks: int) -> None:
        """Make a huge entry for *block*, which has nothing: frames from *head* on, or zero page throughout (0)."""
        for index in range(self.block):
            self.place(block * self.block + index, head + index if head else 0, marks)
        self.tables.discard(block)
        self.huge.add(block)

    def split(self, block: int) -> None:
        """Turn a huge entry into a table of entries that map the same frames (__split_huge_pmd)."""
        if block in self.huge:
            self.huge.remove(block)
            self.tables.add(block)

    def split_edges(self, first: int, end: int) -> None:
        """Split the huge entries that [first, end) cuts in two (vma_adjust_trans_huge)."""
        for page in (first, end):
            if page % self.block:
                self.split(page >> self.block_shift)

    def head(self, page: int) -> int:
        """Return the first frame of the huge page of which *page* maps the fitting part, or 0."""
        frame = self.entries.get(page, 0) >> SHIFT
        head = frame - frame % self.block
        return head if head in self.frames.heads and frame % self.block == page % self.block else 0

    def others_have_part(self, page: int) -> bool:
        """Whether *page* maps a part of a huge page of which another process has a part."""
        head, low = self.head(page), page - page % self.block
        if not head:
            return False
        own = sum(self.head(one) == head for one in range(low, low + self.block))
        return sum(self.frames.users.get(frame, 0) for frame in range(head, head + self.block)) > own

    # ---- ranges ---------------------------------------------------------------------------------------------

    def zap(self, first: int, end: int) -> int:
        """Remove all of [first, end); return how many pages had something."""
        self.split_edges(first, end)
        self.huge -= {block for block in self.huge if first <= block * self.block < end}
        return sum(self.remove(page) for page in self.pages(first, end))

    def free_tables(self, first: int, end: int, *, keep_mapped: bool) -> None:
        """Free the tables of the blocks in [first, end): all that lie wholly inside, or those without any mapping."""
        for block in self._blocks(first, end):
            low = block * self.block
            inside = first <= low and low + self.block <= end
            if inside if not keep_mapped else not self.regions.within(low, low + self.block):
                self.tables.discard(block)

    def _blocks(self, first: int, end: int) -> list[int]:
        blocks = range(first >> self.block_shift, (end - 1 >> self.block_shift) + 1)
        if len(blocks) <= len(self.tables):
            return [block for block in blocks if block in self.tables]
        return [block for block in self.tables if block in blocks]

    def move(self, first: int, end: int, distance: int) -> None:
        """Let [first, end) be found *distance* pages further on (move_page_tables): the same frames, nothing copied."""
        self.split_edges(first, end)
        for block in [block for block in self.huge if first <= block * self.block < end]:
            if distance % self.block:
                self.split(block)
            else:
                self.huge.remove(block)
                self.huge.add(block + (distance >> self.block_shift))
        for block in self._blocks(first, end):
            low, high = max(first, block * self.block) + distance, min(end, (block + 1) * self.block) + distance
            self.tables.update(range(low >> self.block_shift, (high - 1 >> self.block_shift) + 1))
        moved = [self._lift(page) for page in self.pages(first, end)]
        for page, entry, slot, lazy in moved:
            self._settle(page, page + distance, entry, slot)
            if lazy:
                self.lazy.add(page + distance)

    def _lift(self, page: int) -> tuple[int, int | None, Slot | None, bool]:
        is_lazy = page in self.lazy
        self.lazy.discard(page)
        return page, self.entries.pop(page, None), self.swapped.pop(page, None), is_lazy

    def _settle(self, old_page: int, page: int, entry: int | None, slot: Slot | None) -> None:
        if slot is not None:
            self.swapped[page] = slot
        if entry is not None:
            self.entries[page] = entry
            self.frames.rename(entry >> SHIFT, self, old_page, page)

    def copy_to(self, child: PageTable, region: Region) -> None:
        """Copy what *region* has for a forked child (copy_page_range); private pages are nobody's alone then."""
        for page in self.pages(region.first, region.end):
            entry = self.entries.get(page)
            if entry is not None:
                self.entries[page] = entry = entry & ~EXCLUSIVE
                child.place(page, entry >> SHIFT, entry & ANON)
            else:
                slot = child.swapped[page] = self.swapped[page]
                slot.waiting += 1
        huge = {block for block in self.huge if region.first <= block * self.block < region.end}
        child.tables -= huge
        child.huge |= huge
        child.tables.update(self._blocks(region.first, region.end))

    # ---- MADV_FREE ------------------------------------------------------------------------------------------

    def free_lazily(self, first: int, end: int) -> None:
        """Mark what this process alone has of [first, end); split huge pages reaching out (madvise_free_pte_range)."""
        for low in {page - page % self.block for page in self.pages(first, end) if self.head(page)}:
            if low < first or end < low + self.block:
                self._split_frames(low)
        users = self.frames.users
        self.lazy.update(page for page in self.pages(first, end) if users.get(self.entries.get(page, 0) >> SHIFT) == 1)

    def _split_frames(self, low: int) -> None:
        """Split a huge page itself, unless others have it too; what was never written becomes the zero page."""
        row = [page for page in range(low, low + self.block) if self.head(page)]
        frames = self.frames
        if any(frames.users[self.entries[page] >> SHIFT] > 1 for page in row):
            return
        frames.heads.discard(self.head(row[0]))
        self.split(low >> self.block_shift)
        for page in row:
            if self.entries[page] >> SHIFT in frames.blank:
                self.replace(page, 0, 0)

    # ---- for reclaim ----------------------------------------------------------------------------------------

    def is_locked(self, page: int) -> bool:
        """Whether *page* lies in a locked mapping."""
        region = self.regions.find(page)
        return region is not None and region.locked

    def is_lazily_freed(self, page: int) -> bool:
        """Whether *page* was freed by MADV_FREE and not written since."""
        return page in self.lazy

    def evict(self, page: int, slot: Slot | None) -> None:
        """Remove the entry of *page*; its contents are in *slot* from now on, or lost."""
        self.split(page >> self.block_shift)
        if slot is not None:
            self.swapped[page] = slot
            slot.waiting += 1
        self._release(page, self.entries.pop(page))
