"""Only some children are followed: those whose program has a name that was asked for. The others run free.

The program that is started is followed, whatever its name. A child is let go of before its first instruction, with all
that it has from its parent taken out; what shares its parent's memory (vfork) is decided on when it becomes a program.
Whatever a child becomes later, or a child of its, is looked at again at each exec.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection
from fnmatch import fnmatchcase

from observer.instruments.images import program_of
from observer.instruments.watch import Watch
from observer.linux import procfs
from observer.linux.ptrace import RegisterSet
from observer.recording.notes import Released
from observer.recording.sink import Sink
from observer.tracee.bystander import Bystander
from observer.tracee.calls import CallFollower
from observer.tracee.halting import Halt
from observer.tracee.task import Task
from observer.tracee.watcher import Watcher

__all__ = ["Chosen"]


class Chosen:
    """Implements the engine's Watcher: hands to *watch* what is told of processes that are followed.

    *names* are those of programs, or patterns of such names (glob(7)).
    """

    def __init__(self, watch: Watch, sink: Sink, follower: CallFollower, names: Collection[str]) -> None:
        self._watch = watch
        self._sink = sink
        self._follower = follower
        self._names = names
        self._free = Bystander()
        self._root = 0
        self._programs: dict[int, str] = {}
        self._free_pids: set[int] = set()
        self._let_go: Counter[str] = Counter()

    @property
    def notes(self) -> list[str]:
        """What was not followed, in words."""
        return [
            f"not followed: {name} ({count} {'process' if count == 1 else 'processes'})"
            for name, count in self._let_go.most_common()
        ]

    def _of(self, task: Task) -> Watcher:
        return self._free if task.pid in self._free_pids else self._watch

    def _is_chosen(self, pid: int) -> bool:
        name = os.path.basename(self._programs.get(pid, ""))
        return pid == self._root or any(fnmatchcase(name, each) for each in self._names)

    # ---- who is followed ----

    def executed(self, task: Task, former_tid: int) -> None:
        """See Watcher."""
        self._root = self._root or task.pid
        self._programs[task.pid] = program_of(task.tid)
        is_free = task.pid in self._free_pids
        if self._is_chosen(task.pid):
            self._free_pids.discard(task.pid)
            self._watch.executed(task, former_tid, joins=is_free)
        elif not is_free:
            self._unfollow(task)

    def joined(self, task: Task, threads: Collection[Task], *, is_root: bool) -> None:
        """See Joining."""
        self._root = task.pid if is_root else self._root
        self._programs[task.pid] = program_of(task.tid)
        if self._is_chosen(task.pid):
            self._watch.joined(task, threads, is_root=is_root)
        else:
            self._free_pids.add(task.pid)
            self._let_go[os.path.basename(self._programs[task.pid]) or "a program"] += 1

    def born(self, parent: Task, child: Task, how: str) -> bool:
        """See Watcher."""
        if child.pid != parent.pid:
            self._programs[child.pid] = self._programs.get(parent.pid, "")
            if parent.pid in self._free_pids:
                self._free_pids.add(child.pid)
        return self._of(parent).born(parent, child, how)

    def reunited(self, parent: Task) -> None:
        """See Watcher."""
        self._of(parent).reunited(parent)

    def ready(self, task: Task) -> None:
        """See Watcher."""
        memory = task.memory
        is_own = memory is not None and memory.owner == task.pid and task.tid == task.pid
        if is_own and task.pid not in self._free_pids and task.pid != self._root and not self._is_chosen(task.pid):
            self._follower.interrupted(task, RegisterSet())
            self._follower.ended(task)
            self._unfollow(task)
            if memory is not None:
                self._follower.take_out(memory, [task])
            return
        self._of(task).ready(task)

    def _unfollow(self, task: Task) -> None:
        """Note that *task*, alone in its process, is not followed from now on."""
        path, counters = self._programs[task.pid], procfs.task_counters(task.pid, task.tid)
        self._watch.left_alone(task)
        self._let_go[os.path.basename(path) or "a program"] += 1
        self._free_pids.add(task.pid)
        self._sink.notes.append(
            Released(
                pid=task.pid, tid=task.tid, t=time.monotonic_ns(), how="unfollowed", why=path or "a program",
                exiting=False, minor=counters.minor, major=counters.major,
            )
        )  # fmt: skip

    # ---- what is told of them ----

    def breakpoint_hit(self, task: Task, registers: RegisterSet) -> bool:
        """See Watcher."""
        return self._of(task).breakpoint_hit(task, registers)

    def syscall_entered(self, task: Task, entry: tuple[int, ...]) -> bool:
        """See Watcher."""
        return self._of(task).syscall_entered(task, entry)

    def syscall_left(self, task: Task, entry: tuple[int, ...], result: int | None) -> None:
        """See Watcher."""
        self._of(task).syscall_left(task, entry, result)

    def executing(self, task: Task) -> None:
        """See Watcher."""
        self._of(task).executing(task)

    def signalled(self, task: Task, number: int) -> bool:
        """See Watcher."""
        return self._of(task).signalled(task, number)

    def exiting(self, task: Task, status: int, last: bool) -> None:
        """See Watcher."""
        self._of(task).exiting(task, status, last)

    def gone(self, task: Task, status: int) -> None:
        """See Watcher."""
        self._of(task).gone(task, status)
        if task.tid == task.pid:
            self._free_pids.discard(task.pid)
            self._programs.pop(task.pid, None)

    def idle(self) -> bool:
        """See Watcher."""
        return self._watch.idle()

    def relieved(self, tasks: Collection[Task], halt: Halt) -> Watcher | None:
        """See Watcher."""
        return self._watch.relieved([task for task in tasks if task.pid not in self._free_pids], halt)
