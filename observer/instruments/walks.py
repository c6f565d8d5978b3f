"""Walks through the heaps of a stopped process, one for each glibc in it, as notes and records have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.code.elf import Elf
from observer.heap.image import Image
from observer.heap.mapped import mapped_within
from observer.heap.process import ProcessMemory, heap_of, opened, where_of
from observer.heap.sets import among
from observer.heap.values import Heap
from observer.instruments.snapshot import Snapshot
from observer.model.chunks import STATES
from observer.recording.records import IN_USE, INFERRED, MAPPED, NO_BIN, NOT_IN_USE, OF_CACHE, SNAPSHOT_CHUNK
from observer.tracee.memory import Memory

__all__ = ["Walk", "chunks_in", "told_of", "walks_through", "why_not"]

_NARROW: Final = "it is a 32-bit program's"
_CLOSED: Final = "its memory may be read word by word only"
_LONGEST: Final = 1 << 16  # characters of a reason
_HELD, _CACHE, _MMAPPED = (STATES.index(state) for state in ("in use", "cache", "mmapped"))


class Walk(NamedTuple):
    """The heap of one glibc, and what looks like chunks with a mapping of their own: address and bytes of each."""

    heap: Heap
    mapped: list[tuple[int, int]]


def why_not(memory: Memory) -> str:
    """Return why heaps in *memory* cannot be walked, empty if they can."""
    return _NARROW if memory.word != 8 else _CLOSED if memory.fd < 0 else ""


def walks_through(tid: int, memory: Memory, snapshot: Snapshot) -> list[Walk]:
    """Walk through the heap of each C library of the stopped task *tid*; what is not there is not brought in.

    Raises:
        OSError: the process is gone, or its pagemap cannot be had.
    """
    with opened(tid, memory.pread) as read:
        return [_walk(read, elf, bias, snapshot) for elf, bias in memory.glibcs]


def _walk(read: ProcessMemory, elf: Elf, bias: int, snapshot: Snapshot) -> Walk:
    heap = heap_of(read, elf, bias, snapshot.mappings, snapshot.break_start)
    regions = [(region.start, region.end) for arena in heap.arenas for region in arena.regions]
    writable = where_of(elf, bias, snapshot.mappings, snapshot.break_start).writable
    mapped = [
        (address, size) for address, size in mapped_within(Image(read), writable)
        if not any(start <= address < end for start, end in regions)
    ]  # fmt: skip
    return Walk(heap, mapped)


def chunks_in(walks: Sequence[Walk]) -> npt.NDArray[Any]:
    """Return all chunks as SNAPSHOT_CHUNKs, the arenas of all C libraries counted through."""
    parts = [np.empty(0, dtype=SNAPSHOT_CHUNK.dtype)]
    before = 0
    for walk in walks:
        parts += [_of_arenas(walk.heap, before), _of_mappings(walk.mapped)]
        before += len(walk.heap.arenas)
    return np.concatenate(parts)


def _of_arenas(heap: Heap, before: int) -> npt.NDArray[Any]:
    table = heap.table
    found = np.empty(len(table), dtype=SNAPSHOT_CHUNK.dtype)
    found["address"], found["size"], found["state"] = table["address"], table["size"], table["state"]
    found["arena"] = table["arena"] + before
    found["bin"] = np.where(table["bin"] < 0, np.uint16(NO_BIN), table["bin"].astype(np.uint16))
    found["kind"] = _kinds(heap, table)
    return found


def _of_mappings(mapped: list[tuple[int, int]]) -> npt.NDArray[Any]:
    rows = [(address, size, _MMAPPED, 0, NO_BIN, MAPPED) for address, size in mapped]
    return np.array(rows, dtype=SNAPSHOT_CHUNK.dtype)


def _kinds(heap: Heap, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the kind of each chunk, as records of chunks in use name it."""
    kinds = np.where((table["state"] == _HELD) | (table["state"] == _CACHE), IN_USE, NOT_IN_USE)
    for number, arena in enumerate(heap.arenas):
        if arena.inferred_from is not None:
            behind = (table["arena"] == number) & (table["address"] >= arena.inferred_from)
            kinds[behind & (kinds == IN_USE)] = INFERRED
    empty = among(table["address"], np.array(heap.empty_caches, dtype=np.uint64)) & (kinds != NOT_IN_USE)
    kinds[empty | (table["state"] == _CACHE)] = OF_CACHE
    return kinds


def told_of(walks: Sequence[Walk], reason: str) -> dict[str, Any]:
    """Return what a note tells of the heaps beside their chunks; *reason*: why they were not walked."""
    heaps = [walk.heap for walk in walks]
    arenas = [arena for heap in heaps for arena in heap.arenas]
    sums = {state: [0, 0] for arena in arenas for state in arena.sums}
    for arena in arenas:
        for state, part in arena.sums.items():
            sums[state][0] += part.chunks
            sums[state][1] += part.bytes
    unread = [reason, *(why for heap in heaps for why in heap.unread)]
    return {
        "layout": ", ".join(dict.fromkeys(heap.layout for heap in heaps if heap.layout)),
        "regions": tuple((region.start, region.end) for arena in arenas for region in arena.regions),
        "sums": {state: (chunks, size) for state, (chunks, size) in sums.items()},
        "damage": next((str(finding) for heap in heaps for finding in heap.findings), ""),
        "findings": sum(len(heap.findings) + heap.more_findings for heap in heaps),
        "unread": "; ".join(filter(None, unread))[:_LONGEST], "locked": any(arena.is_locked for arena in arenas),
        "ending": sum(heap.ending for heap in heaps),
    }  # fmt: skip
