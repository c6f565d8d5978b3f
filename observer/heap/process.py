"""A stopped process as a memory whose heap can be walked, and where its C library has it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from observer.code.elf import Elf
from observer.heap.arenas import Where
from observer.heap.values import Heap
from observer.heap.walking import walk
from observer.linux.pagemap import present_runs
from observer.linux.procfs import PAGE, read_pagemap
from observer.model.addresses import Mapping

__all__ = ["ProcessMemory", "heap_of", "opened", "where_of"]

_SWAPPED: Final = 1 << 62
_MAIN_ARENA: Final = "main_arena"


class ProcessMemory:
    """The memory of a stopped process, by its open pagemap and by *pread*, for (bytes, address)."""

    def __init__(self, pagemap: int, pread: Callable[[int, int], bytes]) -> None:
        self._pagemap = pagemap
        self._pread = pread

    def read(self, address: int, length: int) -> bytes:
        """See Memory."""
        return self._pread(length, address)

    def present(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """See Memory; yields nothing where the pagemap ends."""
        start, end = start // PAGE * PAGE, -(-end // PAGE) * PAGE
        try:
            yield from present_runs(self._pagemap, start, end, end - start)
        except OSError:
            return

    def is_swapped(self, address: int) -> bool:
        """See Memory."""
        page = address // PAGE * PAGE
        try:
            entry = int.from_bytes(read_pagemap(self._pagemap, page, page + PAGE), "little")
        except OSError:
            return False
        return bool(entry & _SWAPPED)


@contextmanager
def opened(tid: int, pread: Callable[[int, int], bytes]) -> Iterator[ProcessMemory]:
    """Open the memory of the stopped task *tid*; raises OSError when its pagemap cannot be had."""
    pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield ProcessMemory(pagemap, pread)
    finally:
        os.close(pagemap)


def heap_of(memory: ProcessMemory, elf: Elf, bias: int, mappings: Iterable[Mapping], break_start: int) -> Heap:
    """Return the heap of the allocator in the file *elf*; symbols are asked only where its shape does not tell."""
    where = where_of(elf, bias, mappings, break_start)
    heap = walk(memory, where)
    if heap.arenas or where.break_area is None:
        return heap
    address = elf.variable(_MAIN_ARENA)
    return walk(memory, replace(where, main_arena=bias + address)) if address else heap


def where_of(elf: Elf, bias: int, mappings: Iterable[Mapping], break_start: int) -> Where:
    """Return where the allocator of the file *elf*, loaded at *bias*, keeps its heap in a process with *mappings*."""
    mappings = [mapping for mapping in mappings if "w" in mapping.protection and not mapping.shared]
    spans = [(bias + part.address, bias + part.address + part.memory_size) for part in elf.segments]
    data = [
        (max(start, mapping.start), min(end, mapping.end))
        for start, end in spans for mapping in mappings if mapping.start < end and mapping.end > start
    ]  # fmt: skip
    writable = [(mapping.start, mapping.end) for mapping in mappings if not mapping.inode]
    below = [(mapping.start, mapping.end) for mapping in mappings if mapping.path == "[heap]"]
    break_area = (max(break_start, below[0][0]), below[-1][1]) if below else None
    return Where(elf.glibc_release, tuple(data), tuple(_joined(writable)), break_area)


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *ranges* with those as one that touch each other."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found
