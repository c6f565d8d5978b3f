"""The heap profile of a recorded run: its calls pass as columns, everything else event by event."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from observer.model.call_columns import Apart, CallColumns, CallTotals, End, Faults, Frames, PlaceNames
from observer.model.events import Call, Event, Fault, Syscall
from observer.model.stacks import CallStack
from observer.story.fragmentation import Footing, Ground, fragmentation
from observer.story.glance import Glance
from observer.story.memory_use import MemoryUse
from observer.story.pairing import Alive
from observer.story.profile import ALL_PARTS, Curve, HeapProfile, Part
from observer.story.weights import Programs, Stack, Weighing, Weights

__all__ = ["Columns", "Source", "Told", "Weighed", "counted", "glanced", "profiled", "weighed"]

_GROUND = frozenset({"syscall", "fault", "process"})
_IN_TIME = frozenset({Part.LIFETIMES, Part.COURSE})


class Columns(Protocol):
    """The calls of a run as columns (`trace.call_columns.ColumnsOfRun`)."""

    @property
    def events(self) -> int:
        """How many events the run has."""

    @property
    def names(self) -> PlaceNames:
        """The places that calls and faults have."""

    def calls(self, *, times: bool) -> Iterable[CallColumns]:
        """Yield the calls in order of n, with their times or without."""

    def faults(self) -> Faults:
        """Return who took page faults."""

    def frames(self) -> Frames:
        """Return to whose pieces page frames came."""

    def ends(self) -> list[End]:
        """Return the ends of processes and programs, in order of n."""


class Source(Protocol):
    """A trace."""

    def columns(self, apart: Apart = Apart.LINES) -> Columns:
        """Return its calls as columns, those of different places *apart*."""

    def events(self, kinds: frozenset[str] | None = None) -> Iterable[Event]:
        """Yield its events of some kinds."""


class Told(Source, Protocol):
    """A trace, of whose calls only some need to be events."""

    def call_totals(self) -> CallTotals:
        """Return what all calls came to."""

    def told(self) -> Iterable[tuple[Event, bool]]:
        """Yield what is told one by one; True: for the pieces' sake alone."""


class Weighed(Told, Protocol):
    """A trace in which callers may have been kept."""

    def stacks(self) -> Mapping[int, CallStack]:
        """Return the stacks of its calls by their numbers."""


def counted(source: Source, *parts: Part, apart: Apart = Apart.LINES) -> HeapProfile:
    """Return what the calls of *source* come to, with these *parts*, those of different places *apart*.

    Raises:
        BadTrace: its tables cannot be read.
    """
    return _counted(source.columns(apart), frozenset(parts))[0]


def profiled(
    source: Source, page_size: int, parts: frozenset[Part] = ALL_PARTS, apart: Apart = Apart.LINES
) -> MemoryUse:  # fmt: skip
    """Return all that *source* used memory for, with these *parts*; in its machine a page has *page_size* bytes.

    Raises:
        BadTrace: its tables cannot be read.
    """
    columns = source.columns(apart)
    profile, ends, last = _counted(columns, parts)
    peak = profile.peak
    end = next((each.n for each in reversed(ends) if not each.is_exec), columns.events)
    ground = _Ground(page_size, ends, [(peak.n, peak.alive), (end, last)])
    mapped, resident = Curve(columns.events), Curve(columns.events)
    for event in source.events(_GROUND):
        ground.take(event)
        mapped.add(event.n, ground.ground.mapped)
        resident.add(event.n, ground.ground.resident)
    at_peak, at_end = ground.finish()
    places = profile.places(at_peak.bare, at_end.vacated, page_size)
    return MemoryUse(profile, places, at_peak.told, at_end.told, mapped.values(), resident.values())


def glanced(source: Told) -> Glance:
    """Return the run at a glance, as `story.glance.Glance` is of its events one by one."""
    glance = Glance()
    for event, is_of_pieces in source.told():
        if is_of_pieces:
            glance.places.add(event)
        elif isinstance(event, Call):
            glance.learn(event)
        else:
            glance.take(event)
    glance.know(source.call_totals(), counted(source))
    return glance


def weighed(source: Weighed) -> dict[Stack, Weights]:
    """Return what each stack of *source* weighs.

    Raises:
        BadTrace: its tables cannot be read.
    """
    columns = source.columns(Apart.FUNCTIONS)
    weighing = Weighing(columns.names, source.stacks(), Programs(source.events(frozenset({"process"}))))
    _follow(weighing, columns.calls(times=True), columns.ends())
    for event, is_of_pieces in source.told():
        if not is_of_pieces:
            weighing.add(event)
    return weighing.result()


def _counted(columns: Columns, parts: frozenset[Part]) -> tuple[HeapProfile, list[End], Alive]:
    """Return the profile, the ends of processes, and what was alive before the last one."""
    profile, ends = HeapProfile(columns.names, columns.frames(), columns.events, parts), columns.ends()
    profile.add_faults(columns.faults())
    # Times take long to read: where nobody needs them lifetimes and moments are known in events alone.
    last = _follow(profile, columns.calls(times=bool(parts & _IN_TIME)), ends)
    return profile, ends, last


class _Follower(Protocol):
    @property
    def alive(self) -> Alive: ...
    def take(self, calls: CallColumns) -> None: ...
    def end(self, end: End) -> None: ...


def _follow(profile: _Follower, windows: Iterable[CallColumns], ends: Iterable[End]) -> Alive:
    """Have *profile* take all calls and ends; return what was alive before the last process ended."""
    waiting, left = deque(ends), None
    last = next((end for end in reversed(waiting) if not end.is_exec), None)
    for window in windows:
        rest = window
        while waiting and len(rest.n) and waiting[0].n <= rest.n[-1]:
            before, rest = rest.upto(waiting[0].n)
            profile.take(before)
            left = profile.alive if waiting[0] is last else left
            profile.end(waiting.popleft())
        profile.take(rest)
    for end in waiting:
        left = profile.alive if end is last else left
        profile.end(end)
    return left if left is not None else profile.alive


class _Ground:
    """Follows what the kernel gave, and stops at *moments*: numbers of events, with what was alive behind them."""

    def __init__(self, page_size: int, ends: Iterable[End], moments: Iterable[tuple[int, Alive]]) -> None:
        self.ground = Ground(page_size)
        self._page, self._ends, self._moments = page_size, deque(ends), deque(moments)
        self._found: list[Footing] = []

    def take(self, event: Event) -> None:
        """Take the next event; what happens inside the call of a moment belongs to it."""
        cause = event.cause if isinstance(event, Syscall | Fault) else None
        while self._moments and event.n > self._moments[0][0] != cause:
            self._stop()
        while self._ends and event.n > self._ends[0].n:
            end = self._ends.popleft()
            if not end.is_exec:
                self.ground.end(end.pid)
        self.ground.take(event)

    def finish(self) -> list[Footing]:
        """Return what was at each moment."""
        while self._moments:
            self._stop()
        return self._found

    def _stop(self) -> None:
        n, alive = self._moments.popleft()
        self._found.append(fragmentation(n, alive, self.ground, self._page))
