"""Linux's paging for one process tree: frames come at first touch, and are shared and copied behind the program's back.

Rules (mm/memory.c of any Linux 6 kernel):

- Private anonymous memory has no frame until it is touched. A first *write* brings a zeroed frame: one fault.
- A first *read* maps the shared zero page: one fault, and no frame; the first write to that page is a second fault.
- fork copies the page table, not the frames: a frame is shared until somebody writes. A write to a shared page is a
  fault and a copy; the last who has it writes without a copy, but with a fault, since its entry was made read-only.
- madvise(MADV_DONTNEED) and munmap drop pages; the next touch is a first touch again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ["PAGE", "Memory", "PageFault"]

PAGE: Final = 4096


@dataclass(frozen=True, slots=True)
class PageFault:
    """One fault that the kernel resolved: the page's address, why, and the frame it has now (0: the zero page).

    `kind` is first write, first read (zero page), write after read, copy on write, or last owner (after a fork).
    """

    address: int
    kind: str
    frame: int


@dataclass(slots=True)
class _Entry:
    """A page-table entry: the frame (0: the zero page) and whether it may be written without a fault."""

    frame: int
    writable: bool


@dataclass(slots=True)
class _Frames:
    """Physical frames: how many entries map each."""

    users: dict[int, int] = field(default_factory=dict)
    next_number: int = 1

    def take(self) -> int:
        number = self.next_number
        self.next_number += 1
        self.users[number] = 1
        return number

    def share(self, frame: int) -> None:
        self.users[frame] += 1

    def release(self, frame: int) -> None:
        self.users[frame] -= 1
        if not self.users[frame]:
            del self.users[frame]


class Memory:
    """The page table of one process; children made by `fork` share its frames."""

    def __init__(self, frames: _Frames | None = None) -> None:
        self._frames = frames or _Frames()
        self._table: dict[int, _Entry] = {}

    def write(self, address: int, length: int = 1) -> list[PageFault]:
        """Write [address, address+length); return the faults this took, in address order."""
        return [fault for page in _pages(address, length) if (fault := self._write_page(page)) is not None]

    def read(self, address: int, length: int = 1) -> list[PageFault]:
        """Read [address, address+length); return the faults this took, in address order."""
        return [fault for page in _pages(address, length) if (fault := self._read_page(page)) is not None]

    def _write_page(self, page: int) -> PageFault | None:
        entry = self._table.get(page)
        if entry is None:
            self._table[page] = entry = _Entry(self._frames.take(), writable=True)
            return PageFault(page * PAGE, "first write", entry.frame)
        if entry.writable:
            return None
        entry.writable = True
        if entry.frame == 0:
            entry.frame = self._frames.take()
            return PageFault(page * PAGE, "write after read", entry.frame)
        if self._frames.users[entry.frame] == 1:
            return PageFault(page * PAGE, "last owner", entry.frame)
        self._frames.release(entry.frame)
        entry.frame = self._frames.take()
        return PageFault(page * PAGE, "copy on write", entry.frame)

    def _read_page(self, page: int) -> PageFault | None:
        if page in self._table:
            return None
        self._table[page] = _Entry(0, writable=False)
        return PageFault(page * PAGE, "first read", 0)

    def drop(self, address: int, length: int) -> int:
        """Forget the whole pages inside [address, address+length); return how many were there."""
        dropped = 0
        for page in range(-(-address // PAGE), (address + length) // PAGE):
            entry = self._table.pop(page, None)
            if entry is not None:
                dropped += 1
                if entry.frame:
                    self._frames.release(entry.frame)
        return dropped

    def fork(self) -> Memory:
        """Return the child's memory: the same frames, and neither side may write any of them without a fault."""
        child = Memory(self._frames)
        for page, entry in self._table.items():
            entry.writable = False
            child._table[page] = _Entry(entry.frame, writable=False)
            if entry.frame:
                self._frames.share(entry.frame)
        return child

    def end(self) -> None:
        """The process ends: its frames are released."""
        for entry in self._table.values():
            if entry.frame:
                self._frames.release(entry.frame)
        self._table.clear()

    def is_resident(self, address: int) -> bool:
        """Whether the page of *address* has a frame of memory (the zero page is none)."""
        entry = self._table.get(address // PAGE)
        return entry is not None and entry.frame != 0

    @property
    def resident_pages(self) -> int:
        """Pages with frames, the zero page not counted (as Rss counts)."""
        return sum(entry.frame != 0 for entry in self._table.values())

    @property
    def frames_in_use(self) -> int:
        """Frames in use by all processes that share this memory."""
        return len(self._frames.users)


def _pages(address: int, length: int) -> range:
    return range(address // PAGE, (address + max(length, 1) - 1) // PAGE + 1)
