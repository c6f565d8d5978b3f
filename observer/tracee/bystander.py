"""The watcher after the end of a recording: it looks at nothing, and the program runs on to its own end."""

from __future__ import annotations

from collections.abc import Collection

from observer.linux.ptrace import RegisterSet
from observer.tracee.halting import Halt
from observer.tracee.task import Task
from observer.tracee.waiting import is_halt
from observer.tracee.watcher import Watcher

__all__ = ["Bystander"]


class Bystander:
    """Implements the engine's Watcher."""

    def breakpoint_hit(self, task: Task, registers: RegisterSet) -> bool:
        """See Watcher."""
        return False

    def syscall_entered(self, task: Task, entry: tuple[int, ...]) -> bool:
        """See Watcher."""
        return False

    def syscall_left(self, task: Task, entry: tuple[int, ...], result: int | None) -> None:
        """See Watcher."""

    def executing(self, task: Task) -> None:
        """See Watcher."""

    def executed(self, task: Task, former_tid: int) -> None:
        """See Watcher."""

    def born(self, parent: Task, child: Task, how: str) -> bool:
        """See Watcher."""
        return False

    def reunited(self, parent: Task) -> None:
        """See Watcher."""

    def signalled(self, task: Task, number: int) -> bool:
        """See Watcher: a halt of ours may have been on its way when the recording ended."""
        return not is_halt(task.tid, number)

    def ready(self, task: Task) -> None:
        """See Watcher."""

    def idle(self) -> bool:
        """See Watcher."""
        return False

    def relieved(self, tasks: Collection[Task], halt: Halt) -> Watcher | None:
        """See Watcher."""
        return self

    def exiting(self, task: Task, status: int, last: bool) -> None:
        """See Watcher."""

    def gone(self, task: Task, status: int) -> None:
        """See Watcher."""
