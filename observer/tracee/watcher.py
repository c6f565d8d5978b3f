"""Who is told what comes by at stops."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from observer.linux.ptrace import RegisterSet
from observer.tracee.halting import Halt
from observer.tracee.task import Task

__all__ = ["Watcher"]


class Watcher(Protocol):
    """What the engine tells of. Called at a stop of *task*; may read the tracee, must be quick."""

    def breakpoint_hit(self, task: Task, registers: RegisterSet) -> bool:
        """Return whether the SIGTRAP was one of ours (then the registers were put right)."""

    def syscall_entered(self, task: Task, entry: tuple[int, ...]) -> bool:
        """*entry* is (time, op, arch, ip, sp, nr, args…). Return whether the exit is wanted, too."""

    def syscall_left(self, task: Task, entry: tuple[int, ...], result: int | None) -> None:
        """The call in *entry* came back with *result* (negative errno on failure; None: it never did)."""

    def executing(self, task: Task) -> None:
        """*task* has left its old address space; the calls it was in will not return."""

    def executed(self, task: Task, former_tid: int) -> None:
        """*task* runs a new program, in a new address space."""

    def born(self, parent: Task, child: Task, how: str) -> bool:
        """*parent* made *child*; *how* is fork, vfork or clone. Return whether it waits until *child* is `ready`."""

    def reunited(self, parent: Task) -> None:
        """*parent*, which has waited for a vfork child, is about to go on: the child has left their address space."""

    def signalled(self, task: Task, number: int) -> bool:
        """A signal is about to be delivered. Return whether it is to be: not if it is the watcher's own."""

    def ready(self, task: Task) -> None:
        """*task*, whose birth was told, stands before its first instruction."""

    def idle(self) -> bool:
        """A stop was handled, and its task runs again, most likely. Return whether another watcher is to follow."""

    def relieved(self, tasks: Collection[Task], halt: Halt) -> Watcher | None:
        """All *tasks* stand still, as *halt* has them: who watches from now on?

        None: nobody has to, they are to be ended.
        """

    def exiting(self, task: Task, status: int, last: bool) -> None:
        """*task* is about to end; its address space can be read once more if *last* of its process."""

    def gone(self, task: Task, status: int) -> None:
        """*task* was reaped with wait status *status*."""
