"""Where each allocation of a run came from (thread cache, a bin, the top, ...), by an exact model of its allocator.

A call is named only where the model is right about its pointer and its system calls, and knows all they depend on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from observer.compare.hypotheses import Effort, Hypotheses
from observer.compare.order import Item, Window, arranged, grouped, windows
from observer.compare.sides import ExactMaker
from observer.compare.witness import Witness
from observer.model.events import Call, Event, Misuse, Process, Syscall
from observer.model.lives import Lives

__all__ = ["Followed", "follow"]


def follow(
    events: Iterable[Event], make: ExactMaker, found: dict[int, str], impossible: dict[int, Misuse]
) -> Iterator[int]:  # fmt: skip
    """Follow a run; put into *found*, by the number of the call, where memory came from.

    What no allocator hands out whose memory is undamaged comes into *impossible*.

    Args:
        events: in order of n; calls, system calls and lives of processes matter.
        make: makes the model of a process.

    Yields:
        From time to time the n before which all calls have been followed.
    """
    sources = Followed(make, found, impossible)
    for window in windows(grouped(events)):
        yield window.items[0][0].n
        is_alone = len(window.items) == 1
        for event, inside in sources.in_order(window):
            sources.take(event, inside, is_alone=is_alone)
            if type(event) is Process and event.tid == event.pid and event.what in _ENDS:
                sources.forget(event.pid)


_BIRTHS: Final = ("fork", "vfork")
_ENDS: Final = ("exit", "killed")
"""Of a process' first thread, which is told to have ended when all others have (ptrace(2))."""
_MOST_COPIED: Final = 16 << 20  # bytes: a second or so


class Followed:
    """The exact models of a run's processes, which are told of its events window by window."""

    def __init__(self, make: ExactMaker, found: dict[int, str], impossible: dict[int, Misuse]) -> None:
        self._make = make
        self._lives = Lives(self._new, Witness.copy)
        self._effort = Effort(_MOST_COPIED)
        self.found, self.impossible = found, impossible
        self._parents: dict[int, int] = {}
        self._sharing: set[int] = set()
        """Processes that may have their memory in common with another one that calls the allocator."""

    def in_order(self, window: Window) -> list[Item]:
        """Return the events of *window*, overlapping calls in the order in which they took effect."""
        return arranged(window, lambda pid, calls, is_cut: self._lives.of(pid).choose(calls, is_cut=is_cut))

    def take(self, event: Event, inside: list[Event], *, is_alone: bool) -> None:
        """Follow one event, and those inside it; *is_alone*: no call of another thread overlaps it."""
        if isinstance(event, Call):
            witness = self._lives.of(event.pid)
            witness.see(event, [each for each in inside if isinstance(each, Syscall)] if inside else [])
            source = witness.source
            if source:
                self.found[event.n] = source
            if event.pid in self._parents:
                self._sharing |= {event.pid, self._parents[event.pid]}
            misuse = witness.judge(event) if is_alone and event.pid not in self._sharing else None
            if misuse is not None:
                self.impossible[event.n] = misuse
            witness.keep(event)
        elif isinstance(event, Process):
            self._born(event)
            self._lives.take(event)
            self._lives.of(event.pid).live(event)
        elif isinstance(event, Syscall):
            self._lives.of(event.pid).outside(event)

    def forget(self, pid: int) -> None:
        """The process has ended: a run may have as many as there are numbers."""
        self._lives.forget(pid)
        self._parents.pop(pid, None)
        self._sharing.discard(pid)

    def _born(self, event: Process) -> None:
        if event.what == "exec":
            self._parents.pop(event.pid, None)
        elif event.what in _BIRTHS and event.child is not None:
            self._parents[event.child] = event.pid

    def of(self, pid: int) -> Witness:
        """Return the models of a process."""
        return self._lives.of(pid)

    def _new(self, pid: int, environment: Mapping[str, str] | None) -> Witness:
        return Witness(Hypotheses.of(self._make, pid, environment, effort=self._effort))
