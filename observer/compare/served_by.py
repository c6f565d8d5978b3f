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
from observer.model.events import Call, Event, Process, Syscall
from observer.model.lives import Lives

__all__ = ["Followed", "follow"]


def follow(events: Iterable[Event], make: ExactMaker, found: dict[int, str]) -> Iterator[int]:
    """Follow a run; put into *found*, by the number of the call, where memory came from.

    Args:
        events: in order of n; calls, system calls and lives of processes matter.
        make: makes the model of a process.

    Yields:
        From time to time the n before which all calls have been followed.
    """
    sources = Followed(make, found)
    for window in windows(grouped(events)):
        yield window.items[0][0].n
        for event, inside in sources.in_order(window):
            sources.take(event, inside)


_MOST_COPIED: Final = 16 << 20  # bytes: a second or so


class Followed:
    """The exact models of a run's processes, which are told of its events window by window."""

    def __init__(self, make: ExactMaker, found: dict[int, str]) -> None:
        self._make = make
        self._lives = Lives(self._new, Witness.copy)
        self._effort = Effort(_MOST_COPIED)
        self.found = found

    def in_order(self, window: Window) -> list[Item]:
        """Return the events of *window*, overlapping calls in the order in which they took effect."""
        return arranged(window, lambda pid, calls, is_cut: self._lives.of(pid).choose(calls, is_cut=is_cut))

    def take(self, event: Event, inside: list[Event]) -> None:
        """Follow one event, and those inside it."""
        if isinstance(event, Call):
            witness = self._lives.of(event.pid)
            witness.see(event, [each for each in inside if isinstance(each, Syscall)] if inside else [])
            source = witness.source
            if source:
                self.found[event.n] = source
        elif isinstance(event, Process):
            self._lives.take(event)
            self._lives.of(event.pid).live(event)
        elif isinstance(event, Syscall):
            self._lives.of(event.pid).outside(event)

    def of(self, pid: int) -> Witness:
        """Return the models of a process."""
        return self._lives.of(pid)

    def _new(self, pid: int, environment: Mapping[str, str] | None) -> Witness:
        return Witness(Hypotheses.of(self._make, pid, environment, effort=self._effort))
