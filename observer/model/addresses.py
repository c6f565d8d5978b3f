"""An address space as intervals, and its replay from memory system calls.

The kernel merges and splits neighbours as it likes, so two address spaces are compared as intervals of
(address, protection), never as lines.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = ["LONGEST_PIECE", "PAGE", "STACK", "AddressSpace", "Mapping", "is_numbered", "page_down", "page_up"]

PAGE: Final = os.sysconf("SC_PAGESIZE")
"""Bytes of a page of this machine (sysconf(3)): what is recorded here has them, and what is predicted for here.

4 KiB on x86; AArch64's kernels are built for 4, 16 or 64. A trace says those of its own machine (`Machine.page_size`).
"""

LONGEST_PIECE: Final = 1 << 47
"""Bytes that a piece of memory can have: an address space of programs ends there. More can be asked for, and an
allocator of a program's own may even return something then; that it holds so much is no less impossible.
"""

STACK: Final = "[stack]"
"""The name of a program's first stack; what is cut off below is named no longer."""

_NUMBERED: Final = "map#"
_KERNELS_OWN: Final = frozenset({STACK, "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]"})


def page_up(address: int, page: int = PAGE) -> int:
    """Round up to a page of *page* bytes.

    >>> hex(page_up(0x1001))
    '0x2000'
    """
    return (address + page - 1) & -page


def page_down(address: int, page: int = PAGE) -> int:
    """Round down to a page of *page* bytes."""
    return address & -page


def is_numbered(name: str | None) -> bool:
    """Whether *name* is that of anonymous memory which a call mapped, as the replay numbers it: `map#3`."""
    return name is not None and name.startswith(_NUMBERED)


class Mapping(msgspec.Struct, frozen=True):
    """A mapping [start, end) with its protection (`rw-`), and what it maps: a path, `[heap]`, `map#3` or nothing."""

    start: int
    end: int
    protection: str
    path: str = ""
    offset: int = 0
    shared: bool = False
    inode: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    def cut(self, start: int, end: int) -> Mapping:
        """Return the part of this mapping inside [start, end)."""
        low, high = max(start, self.start), min(end, self.end)
        return msgspec.structs.replace(self, start=low, end=high, offset=self.offset + (low - self.start))


class AddressSpace:
    """Mappings in address order, in pages of *page* bytes, changed by the results of system calls.

    Only what a call asked for is replayed; stack growth, `[vdso]` and friends are left to whoever compares.
    """

    def __init__(self, mappings: Iterable[Mapping] = (), page: int = PAGE) -> None:
        self._page = page
        self._mappings = sorted(mappings, key=lambda mapping: mapping.start)
        self._starts = [mapping.start for mapping in self._mappings]
        self.break_end = max((m.end for m in self._mappings if m.path == "[heap]"), default=0)
        self.break_start = min((m.start for m in self._mappings if m.path == "[heap]"), default=0)
        self._anonymous = 0
        self._growing: set[str] = set()

    def copy(self) -> AddressSpace:
        """Return an independent copy (fork)."""
        twin = AddressSpace(self._mappings, self._page)
        twin.break_start, twin.break_end, twin._anonymous = self.break_start, self.break_end, self._anonymous
        twin._growing = set(self._growing)
        return twin

    def become(self, start: int, end: int, mappings: Iterable[Mapping]) -> None:
        """Replace [start, end) by *mappings* as they were read; anonymous ones keep the names that the replay gave."""
        named = []
        for mapping in mappings:
            known = self.find(mapping.start)
            path = mapping.path or (known.path if known else "")
            named.append(msgspec.structs.replace(mapping, path=path))
        self._replace(start, end, named)

    def detach(self, address: int) -> None:
        """Replay shmdt, and io_destroy: what was attached at *address*, in however many parts it lies there now."""
        first = next((mapping for mapping in self._mappings if mapping.start - mapping.offset == address), None)
        for mapping in self.mappings:
            if first is not None and mapping.path == first.path and mapping.start - mapping.offset == address:
                self._replace(mapping.start, mapping.end, [])

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """All mappings, in address order."""
        return tuple(self._mappings)

    def find(self, address: int) -> Mapping | None:
        """Return the mapping that holds *address*."""
        i = bisect_right(self._starts, address) - 1
        if i >= 0 and address < self._mappings[i].end:
            return self._mappings[i]
        return None

    def within(self, start: int, end: int) -> list[Mapping]:
        """Return the mappings that share bytes with [start, end), whole, in address order."""
        first, last = self._overlapping(start, end)
        return self._mappings[first:last]

    def covered(self, start: int, end: int) -> int:
        """Return how many bytes of [start, end) are mapped."""
        first, last = self._overlapping(start, end)
        return sum(min(end, mapping.end) - max(start, mapping.start) for mapping in self._mappings[first:last])

    def _overlapping(self, start: int, end: int) -> tuple[int, int]:
        first = max(bisect_right(self._starts, start) - 1, 0)
        while first < len(self._mappings) and self._mappings[first].end <= start:
            first += 1
        last = first
        while last < len(self._mappings) and self._mappings[last].start < end:
            last += 1
        return first, last

    def _replace(self, start: int, end: int, new: list[Mapping]) -> None:
        first, last = self._overlapping(start, end)
        kept: list[Mapping] = []
        for mapping in self._mappings[first:last]:
            if mapping.start < start:
                kept.append(mapping.cut(mapping.start, start))
        kept += new
        for mapping in self._mappings[first:last]:
            if mapping.end > end:
                kept.append(mapping.cut(end, mapping.end))
        self._mappings[first:last] = kept
        self._starts[first:last] = [mapping.start for mapping in kept]

    def map(
        self,
        start: int,
        length: int,
        protection: str,
        path: str = "",
        offset: int = 0,
        *,
        shared: bool = False,
        grows: bool = False,
    ) -> Mapping:
        """Replay mmap: [start, start+length) now maps *path* (empty: anonymous memory, numbered `map#k`).

        Anonymous memory that *grows* (MAP_GROWSDOWN) does so as a stack does: see `grown_like`.
        """
        if not path:
            path = f"{_NUMBERED}{self._anonymous}"
            self._anonymous += 1
            self._growing |= {path} if grows else set()
        mapping = Mapping(start, start + page_up(length, self._page), protection, path, offset, shared)
        self._replace(mapping.start, mapping.end, [mapping])
        return mapping

    def unmap(self, start: int, length: int) -> None:
        """Replay munmap."""
        self._replace(start, start + page_up(length, self._page), [])

    def protect(self, start: int, length: int, protection: str) -> None:
        """Replay mprotect on whatever is mapped in the range."""
        if not length:
            return
        end = start + page_up(length, self._page)
        first, last = self._overlapping(start, end)
        changed = [
            msgspec.structs.replace(mapping.cut(start, end), protection=protection)
            for mapping in self._mappings[first:last]
        ]
        self._replace(start, end, changed)

    def place(self, source: Mapping, old: int, new: int, length: int) -> None:
        """Replay the second half of mremap: what *source* mapped at *old* is now at *new*, *length* bytes long."""
        offset = source.offset + old - source.start
        moved = msgspec.structs.replace(source, start=new, end=new + page_up(length, self._page), offset=offset)
        self._replace(moved.start, moved.end, [moved])

    def set_break(self, result: int) -> None:
        """Replay brk: *result* is the break that the call returned."""
        if not self.break_start:
            self.break_start = self.break_end = result
            return
        old, new = page_up(self.break_end, self._page), page_up(result, self._page)
        if new > old:
            self._replace(old, new, [Mapping(old, new, "rw-", "[heap]")])
        elif new < old:
            self.unmap(new, old - new)
        self.break_end = result

    def grown_like(self, real: AddressSpace) -> AddressSpace:
        """Return a copy in which what grows by being touched begins where it does in the *real* address space.

        So does the stack: what the program has cut off below it is a mapping like others there.
        """
        grown = self.copy()
        stack = next((mapping.start for mapping in real.mappings if mapping.path == STACK), 0)
        for mapping in self._mappings:
            if mapping.path == STACK and mapping.end <= stack:
                grown._replace(mapping.start, mapping.end, [msgspec.structs.replace(mapping, path="")])
        for mapping in self._mappings:
            below = real.find(mapping.start - 1)
            if mapping.path not in self._growing or below is None or self.find(mapping.start - 1) is not None:
                continue
            start = max(
                below.start, max((other.end for other in self._mappings if other.end < mapping.start), default=0)
            )
            new = msgspec.structs.replace(mapping, start=start, end=mapping.start)
            grown._replace(start, mapping.start, [new])
        return grown

    def intervals(self) -> list[tuple[int, int, str]]:
        """Return (start, end, protection) with equal neighbours merged, without what the kernel alone manages."""
        merged: list[tuple[int, int, str]] = []
        for mapping in self._mappings:
            if mapping.path in _KERNELS_OWN:
                continue
            if merged and merged[-1][1] == mapping.start and merged[-1][2] == mapping.protection:
                merged[-1] = (merged[-1][0], mapping.end, mapping.protection)
            else:
                merged.append((mapping.start, mapping.end, mapping.protection))
        return merged
