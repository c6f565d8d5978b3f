"""The heaps of processes at their last stops: a note of what a walk found, and the chunks in use in a file aside."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.code.elf import Elf
from observer.files import Folder, NewFile
from observer.heap.image import Image
from observer.heap.mapped import mapped_within
from observer.heap.process import ProcessMemory, heap_of, opened, where_of
from observer.heap.values import Heap
from observer.instruments.snapshot import Snapshot
from observer.model.chunks import STATES
from observer.recording.notes import Walked
from observer.recording.records import HEAP_CHUNK, IN_USE, INFERRED, MAPPED, OF_CACHE
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["Heaps"]

_NARROW: Final = "it is a 32-bit program's"
_CLOSED: Final = "its memory may be read word by word only"
_MANY: Final = "the heaps before it have filled the room that there is for heaps"
_MOST_BYTES: Final = 1 << 30
_LONGEST: Final = 1 << 16  # characters of a reason
_HELD, _CACHE = STATES.index("in use"), STATES.index("cache")


class Heaps:
    """Walks the heaps of glibc's allocators; what is not there of them is not brought in."""

    def __init__(self, sink: Sink, folder: Folder) -> None:
        self._sink = sink
        self.file = NewFile(folder, HEAP_CHUNK.file)
        self.error: OSError | None = None

    def save(self, task: Task, snapshot: Snapshot) -> None:
        """Note what the heap of *task*'s process holds, if it has one of glibc's."""
        memory = task.memory
        if memory is None or not memory.glibcs:
            return
        reason = _NARROW if memory.word != 8 else _CLOSED if memory.fd < 0 else ""
        heaps, chunks = ([], _records([])) if reason else _read(task.tid, memory, snapshot)
        at, size = self.file.size, chunks.nbytes
        if at + size > _MOST_BYTES:
            reason, size = _MANY, 0
        try:
            self.file.append(chunks.tobytes()[:size])
        except OSError as error:
            self.error, reason, size = error, f"its chunks could not be stored: {error.strerror}", 0
        self._sink.notes.append(_note(task.pid, heaps, size // HEAP_CHUNK.size, at, reason))


def _read(tid: int, memory: Memory, snapshot: Snapshot) -> tuple[list[Heap], npt.NDArray[Any]]:
    """Return the heap of each C library, and the chunks in use in all of them as HEAP_CHUNKs."""
    heaps: list[Heap] = []
    parts: list[npt.NDArray[Any]] = []
    with opened(tid, memory.pread) as read:
        for elf, bias in memory.glibcs:
            heap, chunks = _one(read, elf, bias, snapshot)
            heaps.append(heap)
            parts.append(chunks)
    return heaps, np.concatenate(parts)


def _one(read: ProcessMemory, elf: Elf, bias: int, snapshot: Snapshot) -> tuple[Heap, npt.NDArray[Any]]:
    heap = heap_of(read, elf, bias, snapshot.mappings, snapshot.break_start)
    regions = [(region.start, region.end) for arena in heap.arenas for region in arena.regions]
    writable = where_of(elf, bias, snapshot.mappings, snapshot.break_start).writable
    mapped = [
        (address, size | MAPPED) for address, size in mapped_within(Image(read), writable)
        if not any(start <= address < end for start, end in regions)
    ]  # fmt: skip
    return heap, np.concatenate([_in_use(heap), _records(mapped)])


def _in_use(heap: Heap) -> npt.NDArray[Any]:
    """Return the chunks in use as HEAP_CHUNKs, those of caches included."""
    table = heap.table
    used = table[np.isin(table["state"], [_HELD, _CACHE])]
    kinds = np.full(len(used), IN_USE, dtype=np.uint64)
    for number, arena in enumerate(heap.arenas):
        if arena.inferred_from is not None:
            kinds[(used["arena"] == number) & (used["address"] >= arena.inferred_from)] = INFERRED
    empty = np.isin(used["address"], np.array(heap.empty_caches, dtype=np.uint64))
    kinds[empty | (used["state"] == _CACHE)] = OF_CACHE
    found = np.empty(len(used), dtype=HEAP_CHUNK.dtype)
    found["address"], found["size"] = used["address"], used["size"] | kinds
    return found


def _records(chunks: list[tuple[int, int]]) -> npt.NDArray[Any]:
    return np.array(chunks, dtype=HEAP_CHUNK.dtype)


def _note(pid: int, heaps: list[Heap], count: int, at: int, reason: str) -> Walked:
    arenas = [arena for heap in heaps for arena in heap.arenas]
    sums = {state: [0, 0] for arena in arenas for state in arena.sums}
    for arena in arenas:
        for state, part in arena.sums.items():
            sums[state][0] += part.chunks
            sums[state][1] += part.bytes
    unread = [reason, *(why for heap in heaps for why in heap.unread)]
    return Walked(
        pid=pid, t=monotonic_ns(), layout=", ".join(dict.fromkeys(heap.layout for heap in heaps if heap.layout)),
        count=count, at=at,
        regions=tuple((region.start, region.end) for arena in arenas for region in arena.regions),
        sums={state: (chunks, size) for state, (chunks, size) in sums.items()},
        damage=next((str(finding) for heap in heaps for finding in heap.findings), ""),
        findings=sum(len(heap.findings) + heap.more_findings for heap in heaps),
        unread="; ".join(filter(None, unread))[:_LONGEST], locked=any(arena.is_locked for arena in arenas),
        ending=sum(heap.ending for heap in heaps),
    )  # fmt: skip
