"""The heap profile of a run: what each place asked for, held at the peak and left, how long pieces lived, their sizes.

It is taken of the calls as columns, a batch at a time, in numbers alone: hundreds of thousands of calls at once. What
`places.Places` follows event by event comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import WORD
from observer.model.addresses import PAGE
from observer.model.call_columns import CallColumns, End, Faults, Frames, Integers, PlaceNames
from observer.model.operations import ALLOCATES, RESIZES
from observer.story.pairing import NEVER, Alive, Living, Paired, Pieces, made, sizes_of
from observer.story.places import MEASURES, Place
from observer.story.size_classes import CLASSES, SizeClass, chunk_sizes, class_of, range_of
from observer.story.sums import bytes_by, sums_by

__all__ = [
    "ALL_PARTS", "EVENTS_EDGES", "MOMENTS", "RANKS", "TIME_EDGES", "Curve", "HeapProfile", "Lifetime", "Part", "Peak",
    "Profiled", "ranked",
]  # fmt: skip

EVENTS_EDGES: Final = tuple(10**power for power in range(1, 10))
"""Lifetimes in events of the run: below 10, below 100, ... below 10^9, more."""
TIME_EDGES: Final = tuple(10**power for power in range(3, 12))
"""Lifetimes in nanoseconds: below a microsecond, ten, ... below 100 seconds, more."""
MOMENTS: Final = 60
"""Points of the curve over the run's events."""
_MOST_ASKED: Final = (1 << 62) - 1


class Part(Enum):
    """What is followed beside what the places come to, and takes its time."""

    LIFETIMES = auto()
    SIZES = auto()
    COURSE = auto()


ALL_PARTS: Final = frozenset(Part)


class Peak(NamedTuple):
    """The first moment at which most bytes were alive: behind the call `n`, at `t_ns`."""

    n: int
    t_ns: int
    live: int
    alive: Alive


class Profiled(NamedTuple):
    """A place, with what it held when most was alive in the whole run, and how long its pieces lived.

    `by_events` and `by_time` count its pieces by lifetime, in the classes of EVENTS_EDGES and TIME_EDGES; those that
    were never freed are in neither. `untouched` bytes of whole pages in its pieces had no page frame at the peak;
    `vacant` bytes of pages had one in the end that came to one of its pieces, and no piece that lived.
    Of what was never freed `own` bytes in `own_pieces` are what the C library or the loader took for themselves.
    `stack` is the number of the place's callers, None where they make no place of their own.
    """

    place: Place
    peak: int
    peak_pieces: int
    untouched: int
    vacant: int
    own: int
    own_pieces: int
    by_events: tuple[int, ...]
    by_time: tuple[int, ...]
    stack: int | None


def _of_place(value: Callable[[Place], int], each: Profiled) -> int:
    return value(each.place)


RANKS: Final[dict[str, Callable[[Profiled], int]]] = {
    **{name: partial(_of_place, value) for name, value in MEASURES.items()},
    "peak": lambda each: each.peak,
    "untouched": lambda each: each.untouched,
    "vacant": lambda each: each.vacant,
}
"""What places are ranked by: `places.MEASURES`, bytes at the peak, bytes of them that nobody had touched, bytes that
were freed and have frames in the end.
"""


def ranked(places: Iterable[Profiled], measure: str) -> list[Profiled]:
    """Return those of *places* with any of *measure* (one of RANKS), those with most first."""
    value = RANKS[measure]
    return sorted(filter(value, places), key=lambda each: (-value(each), each.place.first))


class Lifetime(NamedTuple):
    """Pieces that lived `least` events or nanoseconds or longer, and less than `below` (None: any)."""

    least: int
    below: int | None
    pieces: int
    bytes: int


class Curve:
    """The highest of a level in each of MOMENTS stretches, as long as each other, of a run of so many *events*."""

    def __init__(self, events: int) -> None:
        self._events = max(events, 1)
        self._highest, self._latest = np.full((2, MOMENTS), -1, dtype=np.int64)

    def add(self, n: int, level: int) -> None:
        """The level is *level* from event *n* on."""
        at = min(n * MOMENTS // self._events, MOMENTS - 1)
        self._highest[at], self._latest[at] = max(self._highest[at], level), level

    def add_many(self, n: Integers, levels: Integers) -> None:
        """It is each of *levels* from the event in *n* on, which are in order."""
        moments = np.minimum(n * MOMENTS // self._events, MOMENTS - 1)
        begins = np.flatnonzero(np.diff(moments, prepend=-1))
        which = moments[begins]
        self._highest[which] = np.maximum(self._highest[which], np.maximum.reduceat(levels, begins))
        self._latest[which] = levels[np.append(begins[1:], len(levels)) - 1]

    def values(self) -> list[int]:
        """Return the highest level of each stretch, from the level at which the one before ended."""
        found, level = [], 0
        for highest, latest in zip(self._highest.tolist(), self._latest.tolist(), strict=True):
            found.append(max(level, highest))
            level = latest if latest >= 0 else level
        return found


class HeapProfile:
    """Takes a run: `take` its calls in order of n, `end` what ends between them, then ask.

    Args:
        names: the places that calls and faults have.
        frames: to whose pieces page frames came.
        events: how many events the run has.
        parts: what to follow; of other parts nothing is known in the end.
    """

    def __init__(
        self, names: PlaceNames, frames: Frames, events: int, parts: frozenset[Part] = ALL_PARTS
    ) -> None:  # fmt: skip
        self._names, self._frames, self._parts = names, frames, parts
        count = len(names.texts)
        self._first = np.full(count, NEVER, dtype=np.int64)
        self._calls, self._faults, self._framed = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self._place_of_frames = np.full(len(frames.call), -1, dtype=np.int64)
        self._asked, self._wasted = [0] * count, np.zeros(count, dtype=np.int64)
        self._left = np.zeros((4, count), dtype=np.int64)
        """Bytes and pieces that ended processes left, and of these the C library's own."""
        self._by_events = np.zeros((count, len(EVENTS_EDGES) + 1), dtype=np.int64)
        self._by_time = np.zeros((count, len(TIME_EDGES) + 1), dtype=np.int64)
        self._bytes_by_events = np.zeros(len(EVENTS_EDGES) + 1, dtype=np.int64)
        self._bytes_by_time = np.zeros(len(TIME_EDGES) + 1, dtype=np.int64)
        self._sizes = np.zeros((CLASSES, 3), dtype=np.int64)
        self._curve = Curve(events)
        self.has_other_chunks = False
        """Whether pieces came of another allocator than glibc's, of whose chunks no size is known."""
        self._living = Living()
        self._live = 0
        self.peak = Peak(-1, 0, 0, self._living.alive)

    # ---- the run ----

    def take(self, calls: CallColumns) -> None:
        """Take calls in, as many as memory may be had for: some hundred bytes each."""
        if not len(calls.n):
            return
        self._count(calls)
        found, old = self._living.pair(calls), self._living.pieces
        rows = found.born >> 1
        asked = sizes_of(calls.asked[rows])
        self._follow(calls, found, asked)
        if Part.LIFETIMES in self._parts:
            gone, ended = found.ended != NEVER, found.old_ended != NEVER
            self._bury(made(calls, rows[gone], found.keys[found.given[gone]]), found.ended[gone] >> 1, calls)
            self._bury(old[ended], found.old_ended[ended] >> 1, calls)
        self._living.go_on(calls, found)

    def end(self, end: End) -> None:
        """End what lives in a process: with an exec it is gone, else it was left."""
        gone = self._living.end(end.pid)
        if not len(gone):
            return
        self._live -= int(gone["asked"].sum())
        self._curve.add(end.n, self._live)
        if not end.is_exec:
            self._leave(gone)

    def add_faults(self, faults: Faults) -> None:
        """Count page faults by who took them."""
        np.add.at(self._faults, faults.place, faults.many)
        np.minimum.at(self._first, faults.place, faults.first)

    def _count(self, calls: CallColumns) -> None:
        """Count what was asked for, and what was given."""
        rows = np.flatnonzero((calls.kind == ALLOCATES) | (calls.kind == RESIZES))
        places, asked, count = calls.place[rows], calls.asked[rows], len(self._calls)
        times = np.bincount(places, minlength=count)
        self._calls += times
        if (self._first[times > 0] > calls.n[0]).any():
            self._first[places[::-1]] = np.minimum(self._first[places[::-1]], calls.n[rows][::-1])
        sums = sums_by(places, asked, count)
        for place in np.flatnonzero(times).tolist():
            self._asked[place] += sums[place]
        given = calls.result[rows] != 0
        if not given.all():
            rows, places, asked = rows[given], places[given], asked[given]
        self._count_sizes(places, sizes_of(asked), calls.wastes[rows])
        self._count_frames(calls)

    def _count_frames(self, calls: CallColumns) -> None:
        first, last = np.searchsorted(self._frames.call, [calls.n[0], calls.n[-1] + 1])
        called = self._frames.call[first:last]
        rows = np.minimum(np.searchsorted(calls.n, called), len(calls.n) - 1)
        there = calls.n[rows] == called
        self._place_of_frames[first:last][there] = calls.place[rows[there]]
        own = there & (calls.pid[rows] == self._frames.pid[first:last])
        np.add.at(self._framed, calls.place[rows[own]], self._frames.many[first:last][own])

    def _count_sizes(self, places: Integers, asked: Integers, wastes: npt.NDArray[np.bool_]) -> None:
        """Count pieces by size, and what is lost to rounding."""
        lost = _lost(asked, wastes)
        self._wasted += bytes_by(places, lost, len(self._wasted))
        self.has_other_chunks |= not wastes.all()
        if Part.SIZES not in self._parts:
            return
        classes = _classes(asked, wastes)
        self._sizes[:, 0] += np.bincount(classes, minlength=CLASSES)
        for column, values in ((1, asked), (2, lost)):
            self._sizes[:, column] += bytes_by(classes, values, CLASSES)

    def _follow(self, calls: CallColumns, found: Paired, asked: Integers) -> None:
        """Follow how much is alive, turn by turn; the pieces that were given have what was *asked* for."""
        old = self._living.pieces
        live = np.zeros(2 * len(calls.n), dtype=np.int64)
        live[found.born] = asked
        for sizes, ended in ((asked, found.ended), (old["asked"], found.old_ended)):
            gone = ended != NEVER
            live[ended[gone]] -= sizes[gone]
        live[0] += self._live
        np.cumsum(live, out=live)
        self._live = int(live[-1])
        if Part.COURSE in self._parts:
            self._curve.add_many(calls.n, live[1::2])  # who takes makes nothing the highest
        highest = int(np.argmax(live))
        if live[highest] > self.peak.live:
            new = np.flatnonzero((found.born <= highest) & (found.ended > highest))
            pieces = made(calls, found.born[new] >> 1, found.keys[found.given[new]])
            alive = Alive(np.concatenate([old[found.old_ended > highest], pieces]), self._living.pids)
            row = highest >> 1
            self.peak = Peak(int(calls.n[row]), int(calls.t_ns[row]), int(live[highest]), alive)

    def _bury(self, pieces: Pieces, rows: Integers, calls: CallColumns) -> None:
        """Count the lifetimes of *pieces* that ended in the calls in these *rows*."""
        for edges, table, sizes, now, since in (
            (EVENTS_EDGES, self._by_events, self._bytes_by_events, calls.n, pieces["born"]),
            (TIME_EDGES, self._by_time, self._bytes_by_time, calls.t_ns, pieces["t_ns"]),
        ):
            lived = now[rows] - since
            classes = np.zeros(len(pieces), dtype=np.int64)
            for edge in edges:
                classes += lived >= edge
            sizes += bytes_by(classes, pieces["asked"], len(edges) + 1)
            cells = pieces["place"] * np.int64(table.shape[1]) + classes
            table += np.bincount(cells, minlength=table.size).reshape(table.shape)

    def _leave(self, pieces: Pieces) -> None:
        self._left += self._by_place(pieces)

    def _by_place(self, pieces: Pieces) -> Integers:
        own, count = pieces[pieces["own"]], len(self._calls)
        return np.array([
            values for some in (pieces, own)
            for values in (bytes_by(some["place"], some["asked"], count), np.bincount(some["place"], minlength=count))
        ])  # fmt: skip

    # ---- what it came to ----

    @property
    def live(self) -> int:
        """Bytes that were never freed, in all processes."""
        return int(self._left[0].sum()) + self._live

    @property
    def alive(self) -> Alive:
        """The pieces that live in processes that have not ended."""
        return self._living.alive

    def places(
        self, untouched: Integers | None = None, vacated: Integers | None = None, page: int = PAGE
    ) -> list[Profiled]:  # fmt: skip
        """Return the places at which anything happened, in the order of their first events.

        *untouched* are bytes by piece of the peak, *vacated* calls by vacant page of *page* bytes in the end
        (`fragmentation.Footing`).
        """
        count = len(self._calls)
        there = self.peak.alive.pieces["place"]
        live, pieces, own, own_pieces = self._left + self._by_place(self._living.pieces)
        peak, at_peak, _own, _own_pieces = self._by_place(self.peak.alive.pieces)
        bare = bytes_by(there, untouched, count) if untouched is not None else np.zeros(count, dtype=np.int64)
        vacant = page * self._pages_by_place(vacated) if vacated is not None else np.zeros(count, dtype=np.int64)
        return [
            Profiled(
                Place(
                    self._names.texts[i], self._names.sites[i], int(self._first[i]), int(self._calls[i]),
                    self._asked[i], int(self._wasted[i]), int(live[i]), int(pieces[i]), int(self._faults[i]),
                    int(self._framed[i]),
                ),
                int(peak[i]), int(at_peak[i]), int(bare[i]), int(vacant[i]), int(own[i]), int(own_pieces[i]),
                tuple(self._by_events[i].tolist()), tuple(self._by_time[i].tolist()), self._names.stacks[i],
            )
            for i in np.argsort(self._first, kind="stable").tolist() if self._first[i] != NEVER
        ]  # fmt: skip

    def _pages_by_place(self, calls: Integers) -> Integers:
        """Return how many of some pages, by the *calls* to whose pieces they came, came to pieces of each place."""
        calls = calls[np.isin(calls, self._frames.call)]
        places = self._place_of_frames[np.searchsorted(self._frames.call, calls)]
        counted: Integers = np.bincount(places[places >= 0], minlength=len(self._calls))
        return counted

    def lifetimes(self, *, in_time: bool = False) -> list[Lifetime]:
        """Return how long the pieces lived that ended: in events of the run, or (*in_time*) in nanoseconds."""
        edges = TIME_EDGES if in_time else EVENTS_EDGES
        counts, sizes = (
            (self._by_time, self._bytes_by_time) if in_time else (self._by_events, self._bytes_by_events)
        )  # fmt: skip
        bounds = zip((0, *edges), (*edges, None), counts.sum(axis=0).tolist(), sizes.tolist(), strict=True)
        return [Lifetime(*bound) for bound in bounds]

    def sizes(self) -> list[SizeClass]:
        """Return the classes of sizes that were asked for, smallest first."""
        there = self.peak.alive.pieces
        classes = _classes(there["asked"], there["wastes"])
        peak = bytes_by(classes, there["asked"], CLASSES).tolist()
        pieces = np.bincount(classes, minlength=CLASSES).tolist()
        return [
            SizeClass(first, last, calls, asked, lost, peak[i], pieces[i])
            for i, (calls, asked, lost) in enumerate(self._sizes.tolist()) if calls
            for first, last in [range_of(i)]
        ]  # fmt: skip

    def curve(self) -> list[int]:
        """Return the most bytes alive in each of MOMENTS stretches of the run (`Curve`)."""
        return self._curve.values()


def _classes(asked: Integers, wastes: npt.NDArray[np.bool_]) -> Integers:
    """Return the class of each size: of its chunk where this is glibc's (*wastes*)."""
    sizes = np.where(wastes, chunk_sizes(asked), np.maximum(asked + 15 & -16, 16))
    return class_of(np.minimum(sizes, _MOST_ASKED))


def _lost(asked: Integers, wastes: npt.NDArray[np.bool_]) -> Integers:
    """Return the bytes of each chunk that may be used beyond those that were asked for."""
    return np.where(wastes, chunk_sizes(asked) - WORD - asked, 0)
