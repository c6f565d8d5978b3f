"""Spools merged into one order: what began at the same time in all of them, a window of records at a time.

Records are written when the thing that they tell of ended, so that a spool is nearly, but not quite, in the order in
which things began. A first look at each spool says from when on a piece of it may still hold something: then no more
than two pieces of each have to be held at once. What began long before its neighbours in the file (a call that waited
for a lock, one that never returned) is late; there is little of it, and it is held from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Batch", "Inlet", "Look", "Window", "joined", "look", "windows"]

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]

_TARGET: Final = 1 << 15
"""Records of a window, if there are so many: fewer cost time, more memory."""
_FOR_EVER: Final = 1 << 63
_NONE: Final = np.empty(0, dtype=np.int64)


class Batch(NamedTuple):
    """Records in the order in which they began, each with its index in the spool."""

    records: Records
    indexes: Integers


@dataclass(frozen=True, slots=True)
class Window:
    """All that began before `high` (nanoseconds) and not in a window before: a batch of each kind."""

    batches: Mapping[str, Batch]
    high: int


class Look(NamedTuple):
    """A first look at a spool: how many records it has, for each piece from when on what lies behind it began, and the
    late records. A record is late if it began before the latest of those that lie two pieces or more before its own.
    """

    length: int
    marks: list[int]
    late: Batch


class Inlet:
    """One spool, piece by piece in the order of the file; what is not yet taken is held, sorted.

    Args:
        pieces: yields the spool's records, a piece at a time, the same each time it is called.
        seen: a first look at them.
        time: the field that says when a record's thing began.
        first: the index of the first record.
    """

    def __init__(self, pieces: Callable[[], Iterable[Records]], seen: Look, time: str, first: int = 0) -> None:
        self._time = time
        self._marks = seen.marks
        late = Batch(seen.late.records, seen.late.indexes + first)
        self._pieces = _timely(pieces(), first, late.indexes)
        self._held = [late]
        """Batches, each in order."""
        self._read = -1

    @property
    def mark(self) -> int:
        """Nothing that began before this time is still to be read."""
        return self._marks[self._read] if self._read >= 0 else 0 if self._marks else _FOR_EVER

    def advance(self) -> None:
        """Read the next piece; where somebody has shortened the file since the first look, there are no more."""
        more = next(self._pieces, None)
        if more is None:
            self._read = len(self._marks) - 1
            return
        self._read += 1
        held = self._held
        held.append(_sorted([more], self._time))
        while len(held) > 1 and len(held[-2].indexes) <= len(held[-1].indexes):
            held[-2:] = [_sorted(held[-2:], self._time)]  # so that there are few, and none is copied often

    def ready(self, high: int) -> int:
        """Return how many of the held records began before *high*."""
        return sum(self._before(high))

    def _before(self, high: int) -> list[int]:
        return [int(np.searchsorted(batch.records[self._time], np.uint64(high))) for batch in self._held]

    def take(self, high: int) -> Batch:
        """Hand out what began before *high*."""
        counts = self._before(high)
        parts = zip(self._held, counts, strict=True)
        taken = _sorted([Batch(batch.records[:count], batch.indexes[:count]) for batch, count in parts], self._time)
        rests = zip(self._held, counts, strict=True)
        # Copies: a rest that is a view would keep the whole of what was handed out.
        self._held = [
            Batch(batch.records[count:].copy(), batch.indexes[count:].copy()) for batch, count in rests
            if count < len(batch.records)
        ] or [Batch(taken.records[:0], taken.indexes[:0])]  # fmt: skip
        return taken


def windows(inlets: Mapping[str, Sequence[Inlet]], times: Mapping[str, str]) -> Iterator[Window]:
    """Yield the records of all *inlets*, by kind, window after window; at least one, which may be empty.

    *times* names the field of each kind that says when a thing began.
    """
    each = [inlet for some in inlets.values() for inlet in some]
    while True:
        high = min((inlet.mark for inlet in each), default=_FOR_EVER)
        if high < _FOR_EVER and sum(inlet.ready(high) for inlet in each) < _TARGET:
            min(each, key=lambda inlet: inlet.mark).advance()
            continue
        taken = {kind: _sorted([inlet.take(high) for inlet in some], times[kind]) for kind, some in inlets.items()}
        yield Window(taken, high)
        if high == _FOR_EVER:
            return


def look(
    pieces: Callable[[], Iterable[Records]], layout: np.dtype[np.void], time: str,
    times: Callable[[], Iterable[npt.NDArray[np.uint64]]] | None = None,
) -> Look:  # fmt: skip
    """Take a first look at the *pieces* of a spool; *times* yields their times alone, where that is faster."""
    latest: list[int] = []
    late: list[Integers] = []
    at = 0
    for began in times() if times is not None else (piece[time] for piece in pieces()):
        is_late = began < np.uint64(latest[-2] if len(latest) > 1 else 0)
        late.append(np.flatnonzero(is_late) + at if is_late.any() else _NONE)
        last = latest[-1] if latest else 0
        latest.append(max(last, int(began.max())) if len(began) else last)
        at += len(began)
    marks = [0, *latest][: len(latest)]
    if marks:
        marks[-1] = _FOR_EVER
    return Look(at, marks, _sorted(list(_late(pieces, layout, late)), time))


def _late(
    pieces: Callable[[], Iterable[Records]], layout: np.dtype[np.void], late: Sequence[Integers]
) -> Iterator[Batch]:  # fmt: skip
    """Yield the late records; there are none, as a rule."""
    yield Batch(np.empty(0, dtype=layout), _NONE)
    if any(map(len, late)):
        at = 0
        for piece, mine in zip(pieces(), late, strict=False):
            yield Batch(piece[mine - at], mine)
            at += len(piece)


def _timely(pieces: Iterable[Records], first: int, late: Integers) -> Iterator[Batch]:
    at, late = first, np.sort(late)
    for piece in pieces:
        indexes = np.arange(at, at + len(piece), dtype=np.int64)
        low, high = np.searchsorted(late, np.array([at, at + len(piece)]))
        at += len(piece)
        if low < high:
            kept = np.ones(len(piece), dtype=np.bool_)
            kept[late[low:high] - indexes[0]] = False
            piece, indexes = piece[kept], indexes[kept]
        yield Batch(piece, indexes)


def joined(parts: Sequence[Records]) -> Records:
    """Return records of one layout as one: as bytes, which is faster than field by field."""
    if len(parts) == 1:
        return parts[0]
    layout = parts[0].dtype
    raw = np.concatenate([part.view(f"V{layout.itemsize}") for part in parts])
    return raw.view(layout)


def _sorted(batches: Sequence[Batch], time: str) -> Batch:
    """Return one batch of *batches*, in the order of their times, those of equal times in that of their indexes."""
    if not batches:
        return Batch(np.empty(0, dtype=[(time, "<u8")]), np.empty(0, dtype=np.int64))
    if len(batches) == 1:
        records, indexes = batches[0]
    else:
        filled = [batch for batch in batches if len(batch.records)] or list(batches[-1:])
        records = joined([batch.records for batch in filled])
        indexes = np.concatenate([batch.indexes for batch in filled])
    began = np.ascontiguousarray(records[time])
    follows = began[1:] > began[:-1]
    if follows.all() or (follows | (began[1:] == began[:-1]) & (indexes[1:] > indexes[:-1])).all():
        return Batch(records, indexes)
    order = np.lexsort((indexes, began))
    return Batch(records[order], indexes[order])
