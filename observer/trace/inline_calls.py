"""Calls that programs recorded themselves, read back as CALL records: counters become times, numbers functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.files import File
from observer.model.operations import FAMILY
from observer.recording.clock import counted, nanoseconds
from observer.recording.notes import Annexed
from observer.recording.records import CALL, COUNTED, HEAD, INLINE, RETURNED
from observer.recording.slots import Unfolded, has_more, unfolded, whole

__all__ = ["InlineCalls"]

Records = npt.NDArray[np.void]
Counters = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
Pieces = Callable[[], Iterator[Records]]
_NONE: Final = np.empty(0, dtype=CALL.dtype)

_AT_ONCE: Final = 1 << 14
"""Records that are read at once."""
_LATEST: Final = 1 << 62
_UNKNOWN: Final = 0xFFFF
_MOST_FUNCTIONS: Final = 1 << 22
_SAME: Final = ("inner", "a0", "a1", "result", "ret", "sp")


class InlineCalls:
    """The records in *file*, their times by the *clock* records, their functions by *notes*.

    `damaged` counts those that cannot be read, once all have been: what lies behind the first of them.
    """

    def __init__(self, file: File, clock: Records, notes: Sequence[Annexed]) -> None:
        self._file = file
        self._known, self._clocks = _ascending(clock)
        self._operations, self._implementations = _functions(notes)
        self.damaged = 0

    def pieces(self) -> Iterator[Records]:
        """Yield them as CALL records, those of a thread in their order."""
        for _counters, calls in self._timed():
            yield calls

    def times(self) -> Iterator[npt.NDArray[np.uint64]]:
        """Yield when they began, or a little before, a piece at a time."""
        for _records, (began, _ended), _owner in self._read():
            yield self._clock(began)

    def settled(self, pieces: Pieces) -> Pieces:
        """Return *pieces* of CALL records with a time where a counter says when the call began."""
        times = self._settled(np.concatenate([piece[_is_counted(piece)] for piece in pieces()] or [_NONE]))

        def with_times() -> Iterator[Records]:
            at = 0
            for piece in pieces():
                counted = _is_counted(piece)
                if count := int(counted.sum()):
                    if at + count > len(times):
                        return  # somebody has changed the file meanwhile
                    piece = piece.copy()
                    piece["began"][counted] = times[at : at + count]
                    piece["flags"][counted] &= np.uint16(~COUNTED & 0xFFFF)
                    at += count
                yield piece

        return with_times

    def _settled(self, calls: Records) -> npt.NDArray[np.uint64]:
        """Return when these *calls* began, each later than the end of what its thread recorded last before."""
        counters, owners = calls["began"], _owners(calls)
        times = self._clock(counters)
        for others, recorded in self._timed(within={*owners.tolist()}) if len(calls) else ():
            if len(recorded):
                mine = np.flatnonzero(owners == _owners(recorded[:1]))
                before = np.searchsorted(others, counters[mine])
                mine, before = mine[before > 0], before[before > 0]
                times[mine] = np.maximum(times[mine], recorded["ended"][before - 1] + np.uint64(1))
        return times

    def _timed(
        self, within: Collection[int] | None = None
    ) -> Iterator[tuple[npt.NDArray[np.uint64], Records]]:  # fmt: skip
        """Yield the counters at which calls began and the calls, of all who wrote any or of those *within*."""
        latest: dict[int, int] = {}
        for records, counters, owner in self._read():
            if within is None or owner in within:
                calls = self._calls(records, counters, owner)
                if len(calls):
                    latest[owner] = _part_times(calls, latest.get(owner, 0))
                yield counters[0], calls

    def _read(self) -> Iterator[tuple[Unfolded, Counters, int]]:
        """Yield calls, the counters at which they began and ended, and pid and tid of who wrote them."""
        left = self._file.size // INLINE.size
        latest: dict[int, int] = {}
        for records, owner, heads in self._stretches():
            fitting = whole(records)
            calls = unfolded(records[:fitting])
            began, ended = counted(calls.began, calls.ended, latest.get(owner, 0))
            good = self._good(calls, began, ended)
            if good:
                latest[owner] = int(ended[good - 1])
            if good < len(calls):
                fitting = int(calls.places[good])
                calls = unfolded(records[:fitting])
            left -= fitting + heads
            yield calls, (began[:good], ended[:good]), owner
            if fitting < len(records):
                break
        self.damaged = left

    def _stretches(self) -> Iterator[tuple[Records, int, int]]:
        """Yield records as they stand there, with who wrote them, and how many heads stood before them."""
        at, size = 0, INLINE.size
        while at + size <= self._file.size:
            head = np.frombuffer(self._file.read_at(at, size).ljust(size, b"\0"), dtype=INLINE.dtype)[0]
            count, owner = int(head["a0"]) ^ HEAD, int(head["a1"])
            if not 0 < count < HEAD:
                return
            at += size
            heads = 1
            while count and at + size <= self._file.size:
                raw = self._file.read_at(at, min(count, _AT_ONCE) * size)
                records = np.frombuffer(raw, dtype=INLINE.dtype, count=len(raw) // size)
                if not len(records):
                    return
                if 1 < len(records) < count and has_more(int(records["function"][-1])):
                    records = records[:-1]  # with what belongs to it, the next time
                yield records, owner, heads
                heads, count, at = 0, count - len(records), at + len(records) * size

    def _good(self, calls: Unfolded, began: npt.NDArray[np.uint64], ended: npt.NDArray[np.uint64]) -> int:
        """Return how many calls there are before the first that cannot be one."""
        numbers = calls.functions
        good = (numbers < len(self._operations)) & (ended >= began)
        if len(self._operations):
            good &= self._operations.take(numbers, mode="clip") != _UNKNOWN
        good &= (began > 0) & (ended < np.uint64(_LATEST))
        return len(calls) if good.all() else int(np.argmin(good))

    def _calls(self, found: Unfolded, counters: Counters, owner: int) -> Records:
        numbers = found.functions
        calls = np.zeros(len(found), dtype=CALL.dtype)
        calls["began"], calls["ended"] = map(self._clock, counters)
        calls["pid"], calls["tid"], calls["flags"] = owner >> 32, owner & 0xFFFF_FFFF, RETURNED
        calls["op"], calls["implementation"] = self._operations[numbers], self._implementations[numbers]
        for name in _SAME:
            calls[name] = found.column(name)
        calls["a2"], calls["stack"] = found.a2, found.stack
        return calls

    def _clock(self, counters: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        return np.maximum(nanoseconds(counters, self._known, self._clocks), 1).astype(np.uint64)


def _is_counted(calls: Records) -> npt.NDArray[np.bool_]:
    counted: npt.NDArray[np.bool_] = calls["flags"] & COUNTED != 0
    return counted


def _owners(calls: Records) -> npt.NDArray[np.uint64]:
    """Return pid and tid of each of the *calls*, as a head has them."""
    owners: npt.NDArray[np.uint64] = calls["pid"].astype(np.uint64) << np.uint64(32) | calls["tid"]
    return owners


def _part_times(calls: Records, latest: int) -> int:
    """Have each call of a thread end later than it began, and begin later than the one before, which ended *latest*.

    Some counters count in steps of ten nanoseconds, as long as a call. Return when the last ends.
    """
    times = np.column_stack((calls["began"], calls["ended"])).ravel().astype(np.int64)
    times[0] = max(int(times[0]), latest + 1)
    steps = np.arange(len(times))
    times = np.maximum.accumulate(times - steps) + steps
    calls["began"], calls["ended"] = times[::2], times[1::2]
    return int(times[-1])


def _ascending(clock: Records) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return counters and nanoseconds of the pairs that are later than all before them."""
    counters, clocks = clock["counter"].astype(np.int64), clock["nanoseconds"].astype(np.int64)
    is_later = np.ones(len(clock), dtype=np.bool_)
    for values in (counters, clocks):
        is_later[1:] &= values[1:] > np.maximum.accumulate(values)[:-1]
    is_later &= (counters > 0) & (clocks > 0) & (counters < _LATEST) & (clocks < _LATEST)
    return counters[is_later], clocks[is_later]


def _functions(notes: Sequence[Annexed]) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint64]]:
    """Return operation and allocator by the numbers of functions; _UNKNOWN stands where no note explains one."""
    known = {
        number: rest for note in notes for number, *rest in note.functions
        if 0 <= number < _MOST_FUNCTIONS and 0 <= rest[0] < len(FAMILY)
    }  # fmt: skip
    operations = np.full(max(known, default=-1) + 1, _UNKNOWN, dtype=np.uint16)
    implementations = np.zeros(len(operations), dtype=np.uint64)
    for number, (operation, implementation) in known.items():
        operations[number], implementations[number] = operation, implementation
    return operations, implementations
