"""Where each process's break stands, followed from the results of brk(2), so that a growth can be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from observer.model.events import Event, Process, Syscall
from observer.model.lives import Lives
from observer.model.memory_calls import Break, memory_call

__all__ = ["Breaks"]


class Breaks:
    """The last known break of every process. Feed it every event in order; it remembers one number a process."""

    def __init__(self) -> None:
        self._lives: Lives[list[int]] = Lives(lambda pid, environment: [], lambda known, task, child: list(known))
        self._latest: tuple[int, int | None] = (-1, None)

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield *events* unchanged and follow them, for readers that will see only some of them."""
        for event in events:
            self.follow(event)
            yield event

    def follow(self, event: Event) -> int | None:
        """Take *event* in; return the bytes by which a brk moved the break (0: a question), None if unknown.

        To be asked again about the latest event changes nothing.
        """
        # Not isinstance: it takes its time for whatever is neither, which is nearly everything.
        if type(event) is not Syscall and type(event) is not Process:
            return None
        if event.n != self._latest[0]:
            self._latest = (event.n, self._moved(event))
        return self._latest[1]

    def _moved(self, event: Event) -> int | None:
        if isinstance(event, Syscall):
            call = memory_call(event)
            return self._break(event.pid, call) if isinstance(call, Break) else None
        if isinstance(event, Process):
            self._lives.take(event)
        return None

    def _break(self, pid: int, call: Break) -> int | None:
        if call.end is None:
            return None
        known = self._lives.of(pid)
        before, known[:] = known[:1], [call.end]
        if not before:
            return 0 if call.is_question else None
        return call.end - before[0]
