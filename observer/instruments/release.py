"""The end of a recording whose program goes on: what lives is looked at once more, and all of ours is taken out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from observer.instruments.last_look import LastLook, is_shared
from observer.linux import procfs
from observer.linux.ptrace import RegisterSet
from observer.recording.notes import Released
from observer.recording.sink import Sink
from observer.tracee.calls import CallFollower
from observer.tracee.halting import Halt
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["Release"]


class Release:
    """Ends a recording at a moment at which every task stands still.

    *close* ends what the kernel records for us.
    """

    def __init__(self, sink: Sink, follower: CallFollower, look: LastLook, close: Callable[[], object]) -> None:
        self._sink = sink
        self._follower = follower
        self._look = look
        self._close = close

    def end(self, tasks: Collection[Task], halt: Halt, why: str, how: str) -> None:
        """Note of all *tasks* what they have, and let go of them.

        Those that do not stand, as *halt* has them, wait in the kernel, or have come to their end.
        """
        for task in tasks:
            with _gone(halt):
                if halt.is_standing(task):
                    self._follower.interrupted(task, RegisterSet())
                self._follower.ended(task)
        for task in tasks:
            with _gone(halt):
                self._note(task, why, how)
        for task in _one_each(tasks):
            with _gone(halt):
                self._look.take(task, time.monotonic_ns())
        self._close()
        for memory, sharing in _by_memory(tasks):
            self._take_out(memory, [task for task in sharing if halt.is_standing(task)], halt)

    def _note(self, task: Task, why: str, how: str) -> None:
        counters = procfs.task_counters(task.pid, task.tid)
        self._sink.notes.append(
            Released(
                pid=task.pid, tid=task.tid, t=time.monotonic_ns(), why=why, how=how, exiting=task.exiting,
                minor=0 if task.exiting else counters.minor, major=0 if task.exiting else counters.major,
            )
        )  # fmt: skip

    def _take_out(self, memory: Memory, tasks: list[Task], halt: Halt) -> None:
        is_done = False
        while tasks and not is_done:
            with _gone(halt):
                self._follower.take_out(memory, tasks)
                is_done = True
            tasks = [task for task in tasks if _is_there(task)]  # somebody was killed: the others are to be let go


def _is_there(task: Task) -> bool:
    try:
        RegisterSet().read(task.tid)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def _gone(halt: Halt) -> Iterator[None]:
    """Leave a task out that was killed as it stood there: its end comes by later, when nobody records."""
    try:
        yield
    except (ProcessLookupError, FileNotFoundError):
        pass
    except EndedMeanwhile as end:
        halt.ended.append(end)


def _one_each(tasks: Iterable[Task]) -> Iterator[Task]:
    """Yield a task of each process that has memory of its own, one that has not come to its exit."""
    seen: set[int] = set()
    for task in tasks:
        if task.pid not in seen and task.has_exec and not task.exiting and not is_shared(task.memory, task.pid):
            seen.add(task.pid)
            yield task


def _by_memory(tasks: Iterable[Task]) -> Iterator[tuple[Memory, list[Task]]]:
    memories = {id(task.memory): task.memory for task in tasks if task.memory is not None}
    for memory in memories.values():
        yield memory, [task for task in tasks if task.memory is memory]
