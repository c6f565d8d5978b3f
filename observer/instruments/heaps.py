"""The heaps of processes at their last stops: a note of what a walk found, and the chunks in use in a file aside."""

from __future__ import annotations

from time import monotonic_ns
from typing import Final

from observer.files import Folder, NewFile
from observer.instruments.snapshot import Snapshot
from observer.instruments.walks import chunks_in, told_of, walks_through, why_not
from observer.recording.chunks import in_use
from observer.recording.notes import Walked
from observer.recording.records import HEAP_CHUNK
from observer.recording.sink import Sink
from observer.tracee.task import Task

__all__ = ["Heaps"]

_MANY: Final = "the heaps before it have filled the room that there is for heaps"
_MOST_BYTES: Final = 1 << 30


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
        reason = why_not(memory)
        walks = [] if reason else walks_through(task.tid, memory, snapshot)
        chunks = in_use(chunks_in(walks))
        at, size = self.file.size, chunks.nbytes
        if at + size > _MOST_BYTES:
            reason, size = _MANY, 0
        try:
            self.file.append(chunks.tobytes()[:size])
        except OSError as error:
            self.error, reason, size = error, f"its chunks could not be stored: {error.strerror}", 0
        count, told = size // HEAP_CHUNK.size, told_of(walks, reason)
        self._sink.notes.append(Walked(pid=task.pid, t=monotonic_ns(), count=count, at=at, **told))
