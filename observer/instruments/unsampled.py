"""Pages that system calls bring in without a fault event, measured: the caller's counters before and after.

get_user_pages (mm/gup.c) handles faults without registers, so minflt grows and perf tells nothing. Calls that seldom
happen are followed for it; what the others bring in (direct input by read, a futex in shared memory) is what a task's
counters have more than its events in the end.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakSet

from observer.arch.known import NATIVE
from observer.linux import procfs
from observer.recording.notes import Beyond, Populated
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["BEYOND", "FOLLOWED", "Unsampled"]

_MAP_POPULATE: Final = 0x8000
_MAP_LOCKED: Final = 0x2000
_MADV_POPULATE: Final = frozenset({22, 23})
_MMAP, _MPROTECT, _BRK, _MREMAP = NATIVE.numbers("mmap", "mprotect", "brk", "mremap")
_MADVISE, _PKEY_MPROTECT, _MLOCKALL = NATIVE.numbers("madvise", "pkey_mprotect", "mlockall")
_LOCKING: Final = frozenset(NATIVE.numbers("mlock", "mlock2", "mlockall"))
_ALWAYS: Final = _LOCKING.union(NATIVE.numbers(
    "execve", "execveat", "shmat", "remap_file_pages", "io_submit", "vmsplice", "process_vm_readv", "process_vm_writev",
))  # fmt: skip
# What these map or make accessible comes in at once where memory is locked (populate_vma_page_range).
_POPULATING_LOCKED: Final = frozenset({_MMAP, _BRK, _MREMAP, _MPROTECT, _PKEY_MPROTECT})
BEYOND: Final = dict(zip(
    NATIVE.numbers("userfaultfd", "io_uring_setup", "process_madvise"), ("userfaultfd", "io_uring", "process_madvise"),
    strict=True,
))  # fmt: skip
"""Calls by which pages can come and go later, or elsewhere, without a system call that would tell which."""

FOLLOWED: Final = _ALWAYS.union({_MMAP, _MADVISE}, BEYOND)
"""The system calls that are stopped at for this alone, by their native numbers."""


class Unsampled:
    """Follows the calls that may bring pages in without a fault event, and notes how many faults each counted."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._before: dict[tuple[int, ...], tuple[int, int]] = {}
        self._locked: WeakSet[Memory] = WeakSet()

    def entered(self, task: Task, entry: tuple[int, ...], number: int, args: tuple[int, ...]) -> bool:
        """Take the counters at the entry of a call; return whether its exit is wanted."""
        if not self._populates(task, number, args):
            return number in BEYOND
        # By the entry itself: an exec from another thread comes back under the leader's number.
        self._before[entry] = task.tid, procfs.task_counters(task.pid, task.tid).total
        return True

    def _populates(self, task: Task, number: int, args: tuple[int, ...]) -> bool:
        if number in _ALWAYS:
            return True
        if number == _MMAP and args[3] & (_MAP_POPULATE | _MAP_LOCKED):
            return True
        if number == _MADVISE and args[2] in _MADV_POPULATE:
            return True
        return number in _POPULATING_LOCKED and task.memory in self._locked

    def left(self, task: Task, entry: tuple[int, ...], number: int, result: int | None, now: int) -> None:
        """Note what the call in *entry* counted; None: it never came back."""
        caller, before = self._before.pop(entry, (0, -1))
        if before < 0 or result is None:
            return
        if number in _LOCKING and task.memory is not None:
            self._locked.add(task.memory)  # also by a call that failed, as on memory that nobody may touch yet
        after = procfs.task_counters(task.pid, task.tid).total
        self._sink.notes.append(
            Populated(
                pid=task.pid, tid=task.tid, caller=caller, t=entry[0], end=now, number=number, faults=after - before
            )
        )

    def succeeded(self, task: Task, number: int, args: tuple[int, ...], now: int) -> None:
        """Remember what a call that came back well allows from now on."""
        if task.memory is not None and number == _MMAP and args[3] & _MAP_LOCKED:
            self._locked.add(task.memory)
        if number in BEYOND:
            self._sink.notes.append(Beyond(pid=task.pid, tid=task.tid, t=now, by=BEYOND[number]))
