"""The wait loop: every stop of every tracee comes by here, one at a time, in the order the kernel tells them.

All of it runs on the thread that launched, because ptrace listens to that thread alone. Each stop does as little
as it can: what was seen goes to a *watcher* as numbers, words come after the run. Any ptrace request may fail with
ESRCH, because the tracee may be killed at any moment; its end then comes by as a wait status.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time
from collections import Counter, deque
from typing import Final

from observer.arch.known import NATIVE
from observer.code.compat import as_native, signed_result
from observer.linux import ptrace
from observer.linux.ptrace import RegisterSet, SyscallInfo
from observer.linux.seccomp import TRACE_DATA
from observer.model.signals import TRAP_TRACE
from observer.tracee.affinity import Affinity
from observer.tracee.births import Arrival, Nursery
from observer.tracee.bystander import Bystander
from observer.tracee.halting import GROUP_STOPS, RESTARTED, Halt, owes_trap
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.kinship import relation
from observer.tracee.memory import Memory
from observer.tracee.storms import Storms
from observer.tracee.task import Task
from observer.tracee.unnoticed import Unnoticed
from observer.tracee.waiting import ALL_TASKS, collect, first_status, has_moved_on, is_summons, kill
from observer.tracee.watcher import Watcher

__all__ = ["Engine"]

_SIGTRAP_STOP: Final = signal.SIGTRAP << 8 | 0x7F
_SYSCALL_SIGNAL: Final = signal.SIGTRAP | 0x80
_OF_THE_TRACEE: Final = frozenset({errno.ESRCH, errno.EIO, errno.EPERM, errno.EACCES})
"""Errors that say something of the task: it is gone, or its memory is not there, or closed to us."""
_SHORTLY: Final = 0.001
_BIRTHS: Final = {ptrace.EVENT_FORK: "fork", ptrace.EVENT_VFORK: "vfork", ptrace.EVENT_CLONE: "clone"}


class Engine:
    """Follows a launched program and all that comes from it until the last task has ended."""

    def __init__(self, watcher: Watcher, affinity: Affinity, *, filtered: bool) -> None:
        self._watcher = watcher
        self._hit = watcher.breakpoint_hit
        self._affinity = affinity
        self._filtered = filtered
        self._registers = RegisterSet()
        self._info = SyscallInfo()
        self._nursery = Nursery()
        self._pending: deque[tuple[int, int]] = deque()
        self._storms = Storms()
        self.unnoticed = Unnoticed()
        self.tasks: dict[int, Task] = {}
        self.root_status: int | None = None
        self.delivered: set[int] = set()
        self.stops = 0
        self.stumbles: Counter[str] = Counter()
        self.handling = threading.Lock()
        """Held while a stop is handled: who has it on another thread may look at what the handling changes."""
        self._halt: Halt | None = None

    def run(self, root: int) -> int | None:
        """Follow until no tracee is left; return the wait status of *root*."""
        self.tasks[root] = Task(root, root, None, 0)
        self.tasks[root].started = True
        tasks, pending = self.tasks, self._pending
        while tasks or self._nursery:
            try:
                tid, status = self._wait() if self._nursery else os.waitpid(-1, ALL_TASKS)
            except ChildProcessError:
                break
            with self.handling:
                self._handle(tid, status)
                if len(tasks) > 1:
                    # Take all that wait before handling any: a busy task must not starve the others.
                    collect(pending)
                    while pending:
                        self._handle(*pending.popleft())
                if self._watcher.idle():
                    self._relieve()
        return self.root_status

    def _relieve(self) -> None:
        """Have the watcher be followed by another, while all tasks stand still; if by none, they are ended."""
        halt = self._halt = self._halt or Halt(self.tasks)
        halt.gather(self._nursery, self._poll, self._handle)
        follower = self._watcher.relieved(tuple(self.tasks.values()), halt)
        self._watcher = follower or Bystander()
        self._hit = self._watcher.breakpoint_hit
        if isinstance(self._watcher, Bystander):
            self._filtered = True  # where there is no filter, no system call needs a stop any longer
            self._affinity.part(self.known(), self.stops)
        for tid in self.known() if follower is None else ():
            kill(tid)
        self._halt = None
        for end in halt.ended:
            self._dispatch(end.tid, end.status)
        halt.let_go(self._resume)

    def halt(self) -> None:
        """Have nobody go on, the task that is at a stop now neither, until the watcher, which is idle, was followed."""
        self._halt = self._halt or Halt(self.tasks)

    def known(self) -> tuple[int, ...]:
        """Return the ids of all tasks that live, those that nobody has told of yet included."""
        return (*self.tasks, *self._nursery)

    def _wait(self) -> tuple[int, int]:
        """Return the next (tid, status) while a task waits for its maker's event, which may never come."""
        while (found := self._poll()) is None:
            time.sleep(_SHORTLY)
        return found

    def _poll(self) -> tuple[int, int] | None:
        """Return the (tid, status) that waits, if one does, or that of a task that nobody will tell of any more."""
        tid, status = os.waitpid(-1, ALL_TASKS | os.WNOHANG)
        if tid:
            return tid, status
        overdue = self._nursery.overdue()
        if overdue is None:
            return None
        tid, arrival = overdue
        self._take_in(tid, arrival)
        return tid, arrival.status

    def _handle(self, tid: int, status: int) -> None:
        self.stops += 1
        try:
            task = self.tasks.get(tid)
            if task is not None and task.stepping is not None and self._stepped(task, status):
                return
            is_trap = status == _SIGTRAP_STOP and task is not None and task.memory is not None
            if is_trap and task is not None and self._hit(task, self._registers):
                if task.stepping is None:
                    self._resume(task)
                elif not has_moved_on(tid):
                    ptrace.step(tid)
                return
            self._dispatch(tid, status)
        except ProcessLookupError:
            return  # killed meanwhile; the end comes by as a status
        except EndedMeanwhile as end:
            self._dispatch(end.tid, end.status)
        except OSError as error:
            if error.errno not in _OF_THE_TRACEE:
                # No descriptors or no memory for us: what this stop would have told is lost, the program is not.
                self.stumbles[os.strerror(error.errno or 0)] += 1
            self._go_on(tid)
        except OverflowError as error:  # a number, the program's or ours, that no door to the kernel takes
            self.stumbles[str(error)] += 1
            self._go_on(tid)

    def _stepped(self, task: Task, status: int) -> bool:
        """Put the breakpoint back that was lifted for a step; return whether the stop is the step's own."""
        point, task.stepping = task.stepping, None
        if os.WIFSTOPPED(status) and task.memory is not None and point is not None:
            task.memory.plant(task.tid, point)
            if status == _SIGTRAP_STOP and ptrace.signal_info(task.tid)[1] == TRAP_TRACE:
                self._resume(task)
                return True
        return False

    def _go_on(self, tid: int) -> None:
        """Resume a task at whose stop something could not be read or written: it must not wait for ever."""
        task = self.tasks.get(tid)
        if task is not None:
            with contextlib.suppress(OSError):
                self._resume(task)

    def users(self, memory: Memory) -> int:
        """Return how many tasks have *memory*, or may have it, since nobody has told yet what they have."""
        return sum(task.memory is memory for task in self.tasks.values()) + len(tuple(self._nursery))

    def pace(self, seconds: float) -> None:
        """Called about every *seconds* from another thread: lets the sharing of processors follow the stops."""
        self._affinity.adapt(tuple(self.tasks), self.stops, seconds)

    def _resume(self, task: Task, number: int = 0) -> None:
        if self._halt is not None:
            self._halt.hold(task, number)
            return
        # A sole task is killed from outside, and shares our processor: it does not move before we wait.
        if len(self.tasks) > 1 and has_moved_on(task.tid):
            return
        if task.entered is not None or not self._filtered or task.is_strict or task.put_back is not None:
            ptrace.to_syscall_exit(task.tid, number)
        else:
            ptrace.cont(task.tid, number)

    def _dispatch(self, tid: int, status: int) -> None:
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            self._reaped(tid, status)
            return
        task = self.tasks.get(tid)
        if task is None:
            self._nursery.arrived(tid, status)
            return
        task.came_to_a_stop()
        event, number = status >> 16, status >> 8 & 0xFF
        if event == ptrace.EVENT_SECCOMP:
            self._syscall_entry(task)
        elif number == _SYSCALL_SIGNAL:
            self._syscall_stop(task)
        elif event == ptrace.EVENT_STOP:
            self._stopped(task, number)
        elif event in _BIRTHS:
            self._birth(task, _BIRTHS[event])
        elif event == ptrace.EVENT_EXEC:
            self._executed(task)
        elif event == ptrace.EVENT_VFORK_DONE:
            self._watcher.reunited(task)
            self._resume(task)
        elif event == ptrace.EVENT_EXIT:
            self._exiting(task)
        elif event or is_summons(task.tid, number):
            self._resume(task)
        elif len(self.tasks) == 1 or not has_moved_on(task.tid):
            self._signal(task, number)

    def _signal(self, task: Task, number: int) -> None:
        came_to = self._storms.waited_out(task, number) if self._halt is None else None
        if came_to is not None:
            self._handle(*came_to)
            return
        number = number if self._watcher.signalled(task, number) else 0
        self.delivered |= {number} - {0}
        self._resume(task, number)

    def _syscall_entry(self, task: Task) -> None:
        entry = (time.monotonic_ns(), *self._info.entry(task.tid))
        if entry[1] == SyscallInfo.NONE:
            return  # killed before the call began
        if entry[1] == SyscallInfo.SECCOMP and self._info.filter_data() != TRACE_DATA:
            self.unnoticed.own_trace(task)
        else:
            self.unnoticed.entered(task, entry)
        if self._filtered or entry[1] == SyscallInfo.ENTRY:
            self._entered(task, entry)
        else:
            self._resume(task)

    def _entered(self, task: Task, entry: tuple[int, ...]) -> None:
        is_ours = self._affinity.entered(task.tid, as_native(entry[2], entry[5], ())[0], entry[6], self.known)
        if self._watcher.syscall_entered(task, entry) or is_ours:
            task.entered = entry
        self._resume(task)

    def _syscall_stop(self, task: Task) -> None:
        op, arch, _ip, _sp, value, *_rest = self._info.exit(task.tid)
        if op == SyscallInfo.NONE:
            self._killed_in_call(task)
            return
        if op == SyscallInfo.ENTRY:
            if task.is_strict and not self.unnoticed.allows(arch, value):
                kill(task.tid)  # as the kernel would (seccomp(2))
            elif not self._filtered:
                self._syscall_entry(task)
            else:
                self._resume(task)
            return
        self.unnoticed.put_back(task)
        entry, task.entered = task.entered, None
        if entry is not None:
            self._affinity.left(task.tid, value)
            is_cut = self._halt is not None and value in RESTARTED
            self._watcher.syscall_left(task, entry, None if is_cut else value)
        self._resume(task)

    def _killed_in_call(self, task: Task) -> None:
        """Tell what a call came to whose task was killed at its exit, and has gone on to its own end."""
        entry, task.entered = task.entered, None
        if entry is not None:
            self._registers.read(task.tid)
            self._watcher.syscall_left(task, entry, signed_result(entry[2], self._registers.words[NATIVE.calls.result]))

    def _stopped(self, task: Task, number: int) -> None:
        if not task.started:
            task.started = True
            self.unnoticed.put_back(task)
            self._registers.read(task.tid)
            task.stack = task.stack or self._registers.words[NATIVE.registers.sp]
            self._watcher.ready(task)
            self._resume(task)
        elif number in GROUP_STOPS:
            self._halt.hold_group_stopped(task) if self._halt is not None else ptrace.listen(task.tid)
        elif self._halt is not None and owes_trap(task.tid):
            ptrace.cont(task.tid)
        else:
            self._resume(task)

    def _birth(self, parent: Task, how: str) -> None:
        tid = ptrace.event_message(parent.tid)
        if not self._nursery.is_ours(tid):
            # Killed while it stood here, the parent has come to its exit: the message is its status, not a child's id.
            self._resume(parent)
            return
        is_news, status = self._nursery.told_of(tid)
        try:
            if is_news and self._admit(parent, tid, how) and status is None:
                status = first_status(tid, self._pending)
        finally:
            if status is not None:
                self._handle(tid, status)  # before the parent, which may be gone: the child must not wait for ever
        self._resume(parent)

    def _take_in(self, tid: int, arrival: Arrival) -> None:
        """Follow a task whose maker has ended without telling of it."""
        maker = self._nursery.maker_of(tid, arrival, self.tasks.values())
        if maker is not None:
            self._admit(maker, tid, "clone")
        else:
            self.tasks[tid] = Task(tid, tid, None, tid)

    def _admit(self, parent: Task, tid: int, how: str) -> bool:
        """Follow the new task *tid* with what it has from its parent, which waits for it if True is returned."""
        child = Task(tid, tid, None, parent.tid)
        self.tasks[tid] = child
        child.has_exec, child.has_clock = parent.has_exec, parent.has_clock
        child.blocks_trap, child.is_strict, child.put_back = parent.blocks_trap, parent.is_strict, parent.put_back
        kin = relation(parent.pid, parent.tid, tid, how)
        if kin.same_process:
            child.pid = parent.pid
            self._affinity.thread_born(self.tasks)
        if parent.memory is not None:
            try:
                child.memory = parent.memory if kin.same_memory else parent.memory.fork(tid)
            except OSError:
                child.memory = None  # killed before it could be opened
        self._affinity.inherit(parent.tid, tid)
        if not kin.same_memory:
            child.inherit_calls(parent)
        return self._watcher.born(parent, child, how)

    def _executed(self, task: Task) -> None:
        former = ptrace.event_message(task.tid)
        # An exec from another thread takes over the leader's id; the leader itself never reports an end.
        moved = self.tasks.pop(former, task) if former != task.tid else task
        self._affinity.executed(former, task.tid)
        others = [*([task] if moved is not task else []), *self._siblings(task)]
        for left in (moved, *others):
            self._watcher.executing(left)
        for other in others:
            if other.entered is not None:
                self._watcher.syscall_left(other, other.entered, None)
        for other in self._siblings(task):
            # The kernel has ended them; their last word may still be on its way, and tells nothing new.
            del self.tasks[other.tid]
            self._nursery.ended(other)
            self._watcher.gone(other, 0)
        task.started = True
        entry, task.entered = moved.entered, None
        former_memory, task.memory = task.memory, Memory(task.pid)
        self._close_if_unused(former_memory)
        task.forget_calls()
        task.exiting = False
        task.has_exec = True
        if entry is not None:
            self._watcher.syscall_left(task, entry, 0)
        self._watcher.executed(task, former)
        self._resume(task)

    def _siblings(self, task: Task) -> list[Task]:
        return [other for other in self.tasks.values() if other.pid == task.pid and other is not task]

    def _exiting(self, task: Task) -> None:
        task.exiting = True
        last = not any(other.pid == task.pid and not other.exiting for other in self.tasks.values())
        entry, task.entered = task.entered, None
        if task.has_exec:
            if entry is not None:
                self._watcher.syscall_left(task, entry, None)
            self._watcher.exiting(task, ptrace.event_message(task.tid), last)
        ptrace.cont(task.tid)

    def _close_if_unused(self, memory: Memory | None) -> None:
        if memory is not None and not any(task.memory is memory for task in self.tasks.values()):
            memory.close()

    def _reaped(self, tid: int, status: int) -> None:
        task = self.tasks.pop(tid, None)
        self._affinity.ended(tid)
        if task is None:
            self._nursery.arrived(tid, status)
            return
        self._nursery.ended(task)
        if task.parent == 0:
            self.root_status = status
        if task.has_exec:
            self._watcher.gone(task, status)
        self._close_if_unused(task.memory)
