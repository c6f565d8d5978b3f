"""Page faults that the kernel has in execve(2): they lie in the program that is about to run.

Its mappings are made, and the beginning of its variables is cleared, before anybody is told of it: by the time of the
fault the process is still what it was before, or shares the memory of the parent that waits for it (vfork(2)).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from observer.instruments.places import CodeMap
from observer.model.addresses import AddressSpace
from observer.recording.notes import Exec, Note
from observer.trace.process import ProcessState

__all__ = ["Executing"]


class Executing:
    """Knows which programs the processes of *notes* will run."""

    def __init__(self, notes: Iterable[Note]) -> None:
        self._execs: dict[int, list[Exec]] = {}
        for note in notes:
            if isinstance(note, Exec) and not note.first and note.heap_pages is None:
                self._execs.setdefault(note.pid, []).append(note)
        for execs in self._execs.values():
            execs.sort(key=_time)
        self._states: dict[int, ProcessState] = {}

    def state_at(self, pid: int, time: int, address: int) -> ProcessState | None:
        """Return the state of the program that *pid* runs next, if *address* is mapped in it; *time* is that of a fault
        in kernel mode."""
        execs = self._execs.get(pid)
        at = bisect_left(execs, time, key=_time) if execs is not None else 0
        if execs is None or at == len(execs):
            return None
        note = execs[at]
        if not any(mapping.start <= address < mapping.end for mapping in note.mappings):
            return None
        state = self._states.get(id(note))
        if state is None:
            state = self._states[id(note)] = ProcessState(AddressSpace(note.mappings), CodeMap(), path=note.path)
        return state


def _time(note: Exec) -> int:
    return note.t
