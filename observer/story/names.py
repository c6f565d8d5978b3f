"""Names of processes and threads that are the same in every run: by the order of their births, and by their program."""

from __future__ import annotations

from observer.model.events import Event, Process

__all__ = ["Names"]

_BIRTHS = ("fork", "vfork")


class Names:
    """Follows a run: `take` every event in order of n, then ask for the name of a task."""

    def __init__(self) -> None:
        self._children: dict[int, int] = {}
        self._programs: dict[int, str] = {}
        self._threads: dict[tuple[int, int], int] = {}
        self._many: dict[int, int] = {}
        self._root: int | None = None

    def take(self, event: Event) -> None:
        """Take the next event."""
        if self._root is None:
            self._root = event.pid
        if not isinstance(event, Process):
            return
        if event.path is not None:
            self._programs[event.pid] = event.path.rsplit("/", 1)[-1]
        elif event.child is not None and event.what in _BIRTHS:
            self._children[event.child] = len(self._children) + 1
            self._programs[event.child] = self._programs.get(event.pid, "")
            self._many.pop(event.child, None)
        elif event.child is not None:
            self._many[event.pid] = self._many.get(event.pid, 1) + 1
            self._threads[event.pid, event.child] = self._many[event.pid]

    def child(self, pid: int) -> str:
        """Return `child 2`, None of its program."""
        return f"child {self._children[pid]}" if pid in self._children else f"process {pid}"

    def of(self, pid: int, tid: int) -> list[str]:
        """Return the names of process and thread as far as they are not the first ones: `child 2 (cat)`, `thread 3`."""
        names = []
        if pid != self._root:
            program = self._programs.get(pid)
            names.append(f"{self.child(pid)} ({program})" if program else self.child(pid))
        if tid != pid:
            number = self._threads.get((pid, tid))
            names.append(f"thread {number if number is not None else tid}")
        return names
