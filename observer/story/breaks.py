"""Where each process's break stands, followed from the results of brk(2), so that a growth can be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from observer.model.events import Event, Process, Syscall

__all__ = ["Breaks"]


class Breaks:
    """The last known break of every process. Feed it every event in order; it remembers one number a process."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
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
        if event.n != self._latest[0]:
            self._latest = (event.n, self._moved(event))
        return self._latest[1]

    def _moved(self, event: Event) -> int | None:
        if isinstance(event, Syscall):
            return self._brk(event) if event.name == "brk" else None
        if isinstance(event, Process):
            self._process(event)
        return None

    def _brk(self, event: Syscall) -> int | None:
        if event.result is None:
            return None
        before, self._last[event.pid] = self._last.get(event.pid), event.result
        if before is None:
            return 0 if event.args and event.args[0] == 0 else None
        return event.result - before

    def _process(self, event: Process) -> None:
        if event.what == "exec":
            self._last.pop(event.pid, None)
        elif event.what in ("fork", "vfork") and event.child is not None and event.pid in self._last:
            self._last.setdefault(event.child, self._last[event.pid])
