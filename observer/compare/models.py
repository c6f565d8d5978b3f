"""The exact models of one process: one for each copy of the allocator that is modelled; others have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observer.compare.sides import ExactMaker, ExactSide
from observer.model.events import GLIBC, Call, Process, Syscall

__all__ = ["Models", "follow_life"]


class Models:
    """One process's models, made when they are first needed.

    Args:
        make: makes one.
        task: the process's first thread.
        environment: what of the program's environment an allocator heeds, None if that is not known.
        first: the first of them, where it is there already.
    """

    def __init__(
        self, make: ExactMaker, task: int, environment: Mapping[str, str] | None = None, first: ExactSide | None = None
    ) -> None:  # fmt: skip
        self._make = make
        self._task = task
        self._environment = environment
        self.first = make(task, environment) if first is None else first
        self._further: dict[str, ExactSide] = {}
        self.left: set[int] = set()
        """Threads that are taken to have left their arenas although they are not yet seen to end."""

    def of(self, call: Call) -> ExactSide | None:
        """Return the model of the allocator that *call* went to, None for one that is not modelled."""
        name = call.allocator or GLIBC
        if name == GLIBC:
            return self.first
        if not call.is_of_another_glibc:
            return None
        if name not in self._further:
            self._further[name] = self._make(self._task, self._environment, is_first=False)
        return self._further[name]

    def __iter__(self) -> Iterator[ExactSide]:
        yield self.first
        yield from self._further.values()

    def outside(self, event: Syscall) -> None:
        """Note a system call that no allocator call made: the break is the first copy's alone."""
        self.first.outside(event)

    def twin(self) -> Models:
        """Return a second set of the same process, in the same state."""
        twin = Models(self._make, self._task, self._environment, self.first.twin())
        twin._further = {name: model.twin() for name, model in self._further.items()}
        twin.left = set(self.left)
        return twin

    def pass_on(self, task: int, *, has_ended: bool) -> None:
        """Take the thread *task* to have been the last to leave its arena; it may not yet be seen to have ended."""
        if not has_ended:
            self.left.add(task)
        self.first.pass_on(task)

    def end_thread(self, task: int) -> None:
        """The thread *task* ended: in the C library that made it, further copies do not learn it."""
        if task in self.left:
            self.left.remove(task)
        else:
            self.first.end_thread(task)

    @property
    def weight(self) -> int:
        """Bytes that a twin of these takes, roughly."""
        return sum(model.weight for model in self)

    def same_as(self, other: Models) -> bool:
        """Whether both will predict the same for ever."""
        same_ends = self.left == other.left
        return same_ends and self._further.keys() == other._further.keys() and all(map(_alike, self, other))

    def copy(self, task: int, child: int) -> Models:
        """Return those of a child that the thread *task* forked."""
        twin = Models(self._make, child, self._environment, self.first.copy(task, child))
        twin._further = {name: model.copy(task, child) for name, model in self._further.items()}
        return twin


def _alike(one: ExactSide, other: ExactSide) -> bool:
    return one.same_as(other)


def follow_life(models: Models, event: Process) -> None:
    """Tell the models of a thread that begins or ends, and of a child of vfork, which uses their memory."""
    if event.what == "exit" and event.tid != event.pid:
        models.end_thread(event.tid)
    for model in models:
        if event.what == "clone" and event.child is not None:
            model.start_thread(event.child)
        elif event.what == "vfork" and event.child is not None:
            model.lend(event.tid, event.child)
