"""Snapshots of heaps in the midst of a run: walked at the very stop at which a call returns, and kept whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from observer.files import Folder, NewFile
from observer.instruments.call_sites import CallSites
from observer.instruments.snapshot import Snapshot
from observer.instruments.walks import chunks_in, told_of, walks_through, why_not
from observer.linux.procfs import heap_start, read_mappings, read_status_field
from observer.model.snapshots import AtLine, EveryNth, When
from observer.recording.notes import Snapped
from observer.recording.records import SNAPSHOT_CHUNK
from observer.recording.sink import Sink
from observer.tracee.frames import Frame
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["MOST_BYTES", "MOST_SNAPSHOTS", "HeapSnapshots"]

MOST_SNAPSHOTS: Final = 4096
MOST_BYTES: Final = 64 << 20
"""Of all snapshots together: some 2.8 million chunks."""
_NO_GLIBC: Final = "the allocator is not glibc's"


class HeapSnapshots:
    """Walks the heap of a process whenever one of *whens* says so. `taken` counts them, `error` ends them."""

    def __init__(self, sink: Sink, folder: Folder, whens: Sequence[When]) -> None:
        self._sink = sink
        self._every = [when for when in whens if isinstance(when, EveryNth)]
        self._lines = {when: 0 for when in whens if isinstance(when, AtLine)}
        self._sites = CallSites()
        self._calls: Counter[int] = Counter()
        self._reasons: dict[str, None] = {}
        self._full = ""
        self.file = NewFile(folder, SNAPSHOT_CHUNK.file)
        self.error: OSError | None = None
        self.taken = 0

    def returned(self, task: Task, memory: Memory, frame: Frame, now: int) -> None:
        """The call *frame* of *task* returned at *now*, and is recorded: walk, if that was asked for."""
        self._calls[task.pid] += 1
        try:
            when = self._asked(task, memory, frame)
            if when is not None:
                self._take(task, memory, when, now)
        except OSError as error:
            # The program is not to suffer from it: it may be gone already, or forbid to be read.
            self._leave_out(f"a process could not be read: {error.strerror}")

    def _asked(self, task: Task, memory: Memory, frame: Frame) -> When | None:
        count = self._calls[task.pid]
        found: When | None = next((when for when in self._every if count % when.calls == 0), None)
        if self._lines:
            site = self._sites.of(task, memory, frame)
            for when in self._lines:
                if when.is_at(site):
                    self._lines[when] += 1
                    found = found or when
        return found

    def _take(self, task: Task, memory: Memory, when: When, now: int) -> None:
        why = why_not(memory) if memory.glibcs else _NO_GLIBC
        if self.taken >= MOST_SNAPSHOTS:
            self._full = f"{MOST_SNAPSHOTS:,} were taken, and no more are"
        if why or self._full or self.error is not None:
            self._leave_out(why or self._full)
            return
        seen = Snapshot(read_mappings(task.tid), break_start=heap_start(task.tid))
        walks = walks_through(task.tid, memory, seen)
        chunks, at = chunks_in(walks), self.file.size
        if at + chunks.nbytes > MOST_BYTES:
            self._full = f"those before have filled the {MOST_BYTES >> 20} MiB that there are for them"
            self._leave_out(self._full)
            return
        try:
            self.file.append(chunks.tobytes())
        except OSError as error:
            self.error = error
            return
        self.taken += 1
        self._sink.notes.append(
            Snapped(
                pid=task.pid, tid=task.tid, t=now, when=str(when), others=_threads(task.tid) - 1, count=len(chunks),
                at=at, **told_of(walks, ""),
            )
        )  # fmt: skip

    def _leave_out(self, why: str) -> None:
        if why:
            self._reasons[why] = None

    @property
    def notes(self) -> list[str]:
        """What there is to say of snapshots that were asked for and not taken."""
        # A loader of an older glibc has an allocator for itself until the C library is there.
        reasons = [why for why in self._reasons if why != _NO_GLIBC or not self.taken]
        left_out = [f"snapshots of heaps were left out: {why}" for why in reasons]
        nowhere = [f"no call was made at {when.file}:{when.line}" for when, count in self._lines.items() if not count]
        return left_out + [f"{what}: no snapshot was taken there" for what in nowhere]


def _threads(tid: int) -> int:
    return int(read_status_field(tid, "Threads") or 1)
