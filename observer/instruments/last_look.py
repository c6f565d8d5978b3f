"""A process looked at for the last time: at its end, or where the recording ends before it does."""

from __future__ import annotations

from observer.instruments.allocator import AllocatorCalls
from observer.instruments.heaps import Heaps
from observer.instruments.images import program_of
from observer.instruments.snapshot import Frames, Snapshot, take_snapshot
from observer.recording.notes import End
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["LastLook", "is_shared"]


def is_shared(memory: Memory | None, pid: int) -> bool:
    """Whether the address space is another process's (a vfork child's, its parent's)."""
    return memory is None or memory.owner != pid


class LastLook:
    """Notes what a process has: mappings, pages, heap; and what stands of what was planted in it.

    `unreadable` says of which process that may not be known.
    """

    def __init__(
        self, sink: Sink, allocator: AllocatorCalls | None, frames: Frames | None, heaps: Heaps | None
    ) -> None:
        self._sink = sink
        self._allocator = allocator
        self._frames = frames
        self._heaps = heaps
        self.unreadable: set[str] = set()

    def take(self, task: Task, now: int) -> None:
        """Look at the process of the stopped *task*, whose memory is its own; *now* is monotonic nanoseconds."""
        # By the thread's own number: the leader may be a zombie, whose maps are empty.
        if self._allocator is not None:
            self._allocator.settle(task)
        snapshot = self._snapshot(task)
        if snapshot is None:
            return
        frames = self._frames.save(task.tid, snapshot) if self._frames is not None else []
        self._sink.notes.append(
            End(
                pid=task.pid, t=now, path=program_of(task.tid), frames=tuple(frames),
                mappings=tuple(snapshot.mappings), resident=snapshot.resident, rss=snapshot.rss,
                break_start=snapshot.break_start,
            )
        )  # fmt: skip
        if self._heaps is not None:
            self._heaps.save(task, snapshot)

    def _snapshot(self, task: Task) -> Snapshot | None:
        try:
            return take_snapshot(task.tid, task.memory.inline.without_ours if task.memory is not None else list)
        except PermissionError:
            self.unreadable.add("a process forbade to be read (PR_SET_DUMPABLE): its end is not compared")
            return None
