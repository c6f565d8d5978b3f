"""Who is told of the calls that are followed."""

from __future__ import annotations

from typing import Protocol

from observer.linux.ptrace import RegisterSet
from observer.tracee.frames import Frame, Interruption
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["Listener"]


class Listener(Protocol):
    """Says which functions are watched, by its breakpoints, and is told of their calls. Must be quick.

    Each call ends once: `returned`, or `lost`.
    """

    def began(self, task: Task, memory: Memory, frame: Frame, registers: RegisterSet) -> None:
        """A call begins: complete its *frame*."""

    def returned(self, task: Task, memory: Memory, frame: Frame, result: int) -> None:
        """The call returns, with *result* in the register for that."""

    def lost(self, task: Task, frame: Frame, now: int, how: int) -> None:
        """The call will not be seen to return; *how* is CUT, LEFT or ENTRY_ONLY, *now* monotonic nanoseconds."""

    def set_aside(self, task: Task, frame: Frame) -> None:
        """The call, an outermost one, is left open by a coroutine, on its own stack, while *task* runs another."""
        del task, frame

    def handled(self, task: Task, handler: Interruption) -> None:
        """A signal handler that had interrupted outermost calls has returned, or was left."""
        del task, handler
