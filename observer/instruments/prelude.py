"""The watcher before a recording begins: it waits for somebody to come to a place of the program, and sees to it alone.

Then, while every task stands still, the recording takes over what lives: each process with its mappings, its threads
and the pages that its heap has. What calls it is in, and what pieces it holds, nobody has seen.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final, Protocol

from observer.arch.known import NATIVE
from observer.code.compat import as_native
from observer.code.mapped import load_mapped
from observer.instruments.last_look import is_shared
from observer.instruments.marks import Marks
from observer.linux.procfs import read_mappings
from observer.linux.ptrace import RegisterSet
from observer.linux.regions import region_at
from observer.tracee.bystander import Bystander
from observer.tracee.calls import CallFollower
from observer.tracee.halting import Halt
from observer.tracee.task import Task
from observer.tracee.watcher import Watcher

__all__ = ["Joining", "Prelude"]

_MMAP, _MPROTECT = NATIVE.numbers("mmap", "mprotect")
_MAPPING: Final = frozenset({_MMAP, _MPROTECT})


class Joining(Watcher, Protocol):
    """Who follows once the recording begins."""

    def joined(self, task: Task, threads: Collection[Task], *, is_root: bool) -> None:
        """The process of *task*, and of the other *threads*, lives already; all of them stand still."""


class Recorder(Protocol):
    """What the kernel records, which has to be begun with the first program to be of all that come from it."""

    def prepare(self, tid: int) -> None:
        """Begin, for the task *tid* and all that come from it."""

    def pause(self) -> None:
        """Record nothing for now."""

    def go_on(self) -> None:
        """Record again."""


class Prelude(Bystander):
    """Plants *marks*; when one is reached, `is_due`; then *successor* follows. What the kernel records waits for it."""

    def __init__(self, marks: Marks, follower: CallFollower, successor: Joining, recorder: Recorder) -> None:
        self._marks = marks
        self._follower = follower
        self._successor = successor
        self._recorder = recorder
        self._root = 0
        self.is_due = False

    def executed(self, task: Task, former_tid: int) -> None:
        """See Watcher."""
        if not self._root:
            self._root = task.pid
            self._recorder.prepare(task.tid)
            self._recorder.pause()
        self._look(task, 0, NATIVE.kernel_half)

    def syscall_entered(self, task: Task, entry: tuple[int, ...]) -> bool:
        """See Watcher."""
        # Who stands before a call when all halt makes it when the recording has begun.
        return task.has_exec and (self.is_due or as_native(entry[2], entry[5], ())[0] in _MAPPING)

    def syscall_left(self, task: Task, entry: tuple[int, ...], result: int | None) -> None:
        """See Watcher."""
        number, args = as_native(entry[2], entry[5], entry[6:])
        if number in _MAPPING and result is not None and result >= 0:
            start = result if number == _MMAP else args[0]
            self._look(task, start, start + args[1])

    def _look(self, task: Task, start: int, end: int) -> None:
        """Plant in what code of files is mapped in [start, end)."""
        try:
            mappings = read_mappings(task.tid)
        except PermissionError:
            return  # it may be run but not read
        for mapping in mappings:
            is_code = mapping.inode and "x" in mapping.protection and not mapping.shared
            if not is_code or mapping.end <= start or end <= mapping.start:
                continue
            region = region_at(task.tid, mapping.start)
            try:
                elf = load_mapped(task.tid, region) if region is not None else None
            except OSError:
                continue  # it cannot be opened: the recording will say so, should it begin
            bias = elf.bias_of(mapping.start, mapping.offset) if elf is not None else None
            if elf is not None and bias is not None:
                self._marks.plant(task, elf, bias, mapping.start, mapping.end)

    def breakpoint_hit(self, task: Task, registers: RegisterSet) -> bool:
        """See Watcher."""
        return self._follower.hit(task, registers)

    def idle(self) -> bool:
        """See Watcher."""
        return self.is_due

    def relieved(self, tasks: Collection[Task], halt: Halt) -> Watcher | None:
        """See Watcher: the recording begins."""
        for memory in {id(task.memory): task.memory for task in tasks if task.memory is not None}.values():
            standing = [task for task in tasks if task.memory is memory and halt.is_standing(task)]
            if standing:
                self._follower.take_out(memory, standing)
            memory.marks.clear()
        self._hand_over(tasks, halt)
        for task in tasks:
            if task.entered is not None:  # it stands before a call that is still to be made
                task.entered = (time.monotonic_ns(), *task.entered[1:])
                self._successor.syscall_entered(task, task.entered)
        self._recorder.go_on()
        return self._successor

    def _hand_over(self, tasks: Collection[Task], halt: Halt) -> None:
        """Tell the successor of each process that lives, and of those that have their parent's memory for now."""
        known = {task.tid: task for task in tasks}
        for task in tasks:
            if task.exiting:
                task.has_exec = False  # its end is told to nobody
                continue
            mine = [each for each in tasks if each.pid == task.pid and each.has_exec and not each.exiting]
            if not mine or mine[0] is not task:
                continue
            if not is_shared(task.memory, task.pid) and halt.is_standing(task):
                self._successor.joined(task, mine[1:], is_root=task.pid == self._root)
        for task in tasks:
            if not task.exiting and is_shared(task.memory, task.pid) and task.parent in known:
                self._successor.born(known[task.parent], task, "vfork")
