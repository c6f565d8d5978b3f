"""What the births of processes, and their execs, mean for what is kept of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from observer.model.events import Process

__all__ = ["Lives"]

Kept = TypeVar("Kept")


class Lives(Generic[Kept]):
    """One value a process, from the beginning of a program in it to the next exec.

    The child of a fork begins with a copy of its parent's value; that of a vfork has its parent's own, until it calls
    exec; threads have that of their process. Who was not seen to begin gets a new one when first asked for. `first` is
    the process in which the run's own program began, None before that.

    Args:
        make: returns the value of a new program, for (pid, environment); the environment is None if it is not known.
        copy: returns the value of the child *child* that the thread *task* forked, for (value, task, child).
    """

    def __init__(
        self, make: Callable[[int, Mapping[str, str] | None], Kept], copy: Callable[[Kept, int, int], Kept]
    ) -> None:
        self._make, self._copy = make, copy
        self._kept: dict[int, Kept] = {}
        self.first: int | None = None

    def of(self, pid: int) -> Kept:
        """Return the value of process *pid*."""
        if pid not in self._kept:
            self._kept[pid] = self._make(pid, None)
        return self._kept[pid]

    def __contains__(self, pid: object) -> bool:
        """Whether anything is kept of process *pid*."""
        return pid in self._kept

    def __iter__(self) -> Iterator[tuple[int, Kept]]:
        """Yield (pid, value) of every process, in the order in which they were met."""
        yield from self._kept.items()

    def take(self, event: Process) -> None:
        """Follow a program's beginning, a fork, a vfork; nothing else changes what is kept."""
        if event.what in ("start", "exec", "joined"):
            self.first = event.pid if event.what == "start" else self.first
            self._kept[event.pid] = self._make(event.pid, event.environment)
        elif event.what == "fork" and event.child is not None:
            self.fork(event.pid, event.child, event.tid)
        elif event.what == "vfork" and event.child is not None:
            self._kept[event.child] = self.of(event.pid)

    def fork(self, parent: int, child: int, task: int) -> None:
        """Let the process *child* begin as a copy of *parent*, forked by its thread *task*."""
        self._kept[child] = self._copy(self.of(parent), task, child)

    def forget(self, pid: int) -> None:
        """Keep nothing of process *pid* any longer."""
        self._kept.pop(pid, None)
