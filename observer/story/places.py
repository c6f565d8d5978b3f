"""The pieces that live in each process, and what each place of the program asked for, holds and brought in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from observer.glibc.chunks import WORD, chunk_size
from observer.model.events import Call, Event, Fault, Process, Site, is_glibc
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.story.many_calls import FREES, RESIZES, ManyCalls
from observer.story.steps import is_step_six

__all__ = ["MEASURES", "Freed", "Left", "Piece", "Place", "Places"]

_ENDED: Final = frozenset({"exit", "killed", "stopped"})
_MOST_SITES: Final = 1 << 14
_REMEMBERED: Final = 1 << 12


@dataclass(slots=True)
class Place:
    """What one place of the program came to: `text` names it, `site` is one of its calls or faults, `first` the n of
    the first of them.

    `calls` allocated, or tried to, and `asked` for bytes in all; `wasted` bytes of their chunks nobody asked for,
    where the chunks are glibc's. `live` bytes in `pieces` are not freed. `faults` is how many page faults this place
    took, `frames` how many page frames came to pieces that it asked for.
    """

    text: str
    site: Site | None
    first: int
    calls: int = 0
    asked: int = 0
    wasted: int = 0
    live: int = 0
    pieces: int = 0
    faults: int = 0
    frames: int = 0


MEASURES: Final[dict[str, Callable[[Place], int]]] = {
    "bytes": lambda place: place.asked,
    "calls": lambda place: place.calls,
    "live": lambda place: place.live,
    "resident": lambda place: place.frames,
    "waste": lambda place: place.wasted,
    "faults": lambda place: place.faults,
}
"""What places are ranked by: bytes asked for, allocating calls, bytes not freed, page frames that came to their pieces,
bytes of chunks beyond what was asked for, page faults taken."""


class Piece(NamedTuple):
    """Memory that a call returned: bytes asked for, the number of the call, its place."""

    asked: int
    call: int
    place: Place


class Left(NamedTuple):
    """What one place asked for that is still there: bytes, in so many pieces, the first of them from event `first`."""

    place: Place
    bytes: int
    pieces: int
    first: int


class Freed(NamedTuple):
    """A piece that was given back: by the call with this number, at this place."""

    piece: Piece
    call: int
    site: Site | None


@dataclass(slots=True)
class Places:
    """Follows a run: `add` every event in order of n. Memory grows with places and with pieces that live at once.

    `live` bytes in `count` pieces are not freed, `held` of them in processes that have not ended; `peak` is the most
    that was held at a time. A piece lives in the process that asked for it; those that a fork copied are not counted
    again. `freed` remembers the latest of each process.
    """

    live: int = 0
    count: int = 0
    held: int = 0
    peak: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    alive: dict[int, dict[int, Piece]] = field(default_factory=dict)
    freed: dict[int, dict[int, Freed]] = field(default_factory=dict)
    _left: dict[int, int] = field(default_factory=dict)
    _by_site: dict[int, tuple[Site | None, Place]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take one event in."""
        kind = type(event)
        if kind is Call:
            self._call(event)  # type: ignore[arg-type]
        elif kind is Fault:
            self._fault(event)  # type: ignore[arg-type]
        elif kind is Process:
            self._process(event)  # type: ignore[arg-type]

    def top(self, measure: str = "bytes") -> list[Place]:
        """Return the places with any of *measure* (see MEASURES), those with most first."""
        value = MEASURES[measure]
        found = [place for place in self.places.values() if value(place)]
        return sorted(found, key=lambda place: (-value(place), place.first))

    def know(self, places: Iterable[Place], live: int, peak: int) -> None:
        """Take over what somebody else counted of the whole run, in the order of the places' first events."""
        self.places = {place.text: place for place in places}
        self.live, self.peak = live, peak
        self.count = sum(place.pieces for place in self.places.values())

    def left_in(self, pid: int) -> list[Left]:
        """Return what is alive in a process, place by place, most bytes first."""
        found: dict[str, Left] = {}
        for asked, call, place in self.alive.get(pid, {}).values():
            left = found.get(place.text, Left(place, 0, 0, call))
            found[place.text] = Left(place, left.bytes + asked, left.pieces + 1, min(left.first, call))
        return sorted(found.values(), key=lambda left: (-left.bytes, left.first))

    def add_many(self, calls: ManyCalls, first: int, last: int) -> None:
        """Take the calls from row *first* up to row *last* in, as `add` does one by one."""
        if self._left:
            for pid in set(calls.pids[first:last]):
                self._return(pid)
        free, allocate = self._free, self._allocate
        for n, pid, kind, pointer, result, asked, site, wastes in calls.rows(first, last):
            if kind == FREES:
                if pointer:
                    free(pid, pointer, n, site)
            elif kind:
                allocate(pid, result, asked, n, site, pointer if kind == RESIZES else None, wastes)

    def _call(self, call: Call) -> None:
        self._return(call.pid)
        op = call.op
        if op in ALLOCATING:
            taken = call.pointer if op in RESIZING else None
            wastes = is_glibc(call.allocator)
            self._allocate(call.pid, call.result or 0, call.bytes_asked, call.n, call.site, taken, wastes)
        elif op in FREEING and call.pointer:
            self._free(call.pid, call.pointer, call.n, call.site)

    def _free(self, pid: int, pointer: int, n: int, site: Site | None) -> None:
        piece = self._forget(pid, pointer)
        if piece is None:
            return
        freed = self.freed.get(pid)
        if freed is None:
            freed = self.freed[pid] = {}
        freed.pop(pointer, None)
        freed[pointer] = Freed(piece, n, site)
        if len(freed) > _REMEMBERED:
            del freed[next(iter(freed))]

    def _allocate(
        self, pid: int, result: int, asked: int, n: int, site: Site | None, taken: int | None, wastes: bool
    ) -> None:  # fmt: skip
        place = self._place(site, n)
        place.calls += 1
        place.asked += asked
        if taken and (result or not asked):
            self._free(pid, taken, n, site)
        if not result:
            return
        self._forget(pid, result)
        alive = self.alive.get(pid)
        if alive is None:
            alive = self.alive[pid] = {}
        alive[result] = Piece(asked, n, place)
        if wastes:
            place.wasted += chunk_size(asked) - WORD - asked
        place.live += asked
        place.pieces += 1
        self.count += 1
        self.live += asked
        self.held += asked
        if self.held > self.peak:
            self.peak = self.held

    def _forget(self, pid: int, pointer: int) -> Piece | None:
        alive = self.alive.get(pid)
        piece = alive.pop(pointer, None) if alive is not None else None
        if piece is not None:
            piece.place.live -= piece.asked
            piece.place.pieces -= 1
            self.live -= piece.asked
            self.held -= piece.asked
            self.count -= 1
        return piece

    def _process(self, event: Process) -> None:
        if event.what == "exec":
            self._return(event.pid)
            self._end(event.pid)
        elif event.what in _ENDED and event.tid == event.pid:
            self._return(event.pid)
            self._left[event.pid] = sum(piece.asked for piece in self.alive.get(event.pid, {}).values())
            self.held -= self._left[event.pid]

    def _return(self, pid: int) -> None:
        """The process goes on: only its first thread had ended, or its number was given again."""
        self.held += self._left.pop(pid, 0)

    def _end(self, pid: int) -> None:
        for pointer in list(self.alive.get(pid, ())):
            self._forget(pid, pointer)
        self.freed.pop(pid, None)

    def _fault(self, fault: Fault) -> None:
        self._place(fault.site, fault.n).faults += 1
        if fault.chunk is not None and fault.access != "read" and is_step_six(fault):
            piece = self.alive.get(fault.pid, {}).get(fault.chunk.address)
            if piece is not None:
                piece.place.frames += 1

    def _place(self, site: Site | None, n: int) -> Place:
        known = self._by_site.get(id(site))
        if known is not None:
            return known[1]
        text = site.text if site is not None else "?"
        place = self.places.get(text)
        if place is None:
            place = self.places[text] = Place(text, site, n)
        if len(self._by_site) > _MOST_SITES:
            self._by_site.clear()
        self._by_site[id(site)] = site, place  # which keeps the site, so that nothing else gets its identity
        return place
