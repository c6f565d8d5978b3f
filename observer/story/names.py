"""Names of processes and threads that are the same in every run: by the order of their births, and by their program."""

from __future__ import annotations

from observer.model.events import Event, Process
from observer.story.language import ENGLISH, Language

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

    def child(self, pid: int, language: Language = ENGLISH) -> str:
        """Return `child 2`, None of its program."""
        known = self._children.get(pid)
        return language.say("process_n", pid) if known is None else language.say("child_n", known)

    def of(self, pid: int, tid: int, language: Language = ENGLISH) -> list[str]:
        """Return the names of process and thread as far as they are not the first ones: `child 2 (cat)`, `thread 3`."""
        names = []
        if pid != self._root:
            program, child = self._programs.get(pid), self.child(pid, language)
            names.append(f"{child} ({program})" if program else child)
        if tid != pid:
            names.append(language.say("thread_n", self._threads.get((pid, tid), tid)))
        return names
