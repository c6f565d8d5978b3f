"""The one order of a run: every recorded thing sorted by its time, and what lies inside which allocator call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Elsewhere", "enclosing_calls", "number"]

Integers = npt.NDArray[np.int64]


def number(times: Sequence[npt.NDArray[np.uint64]]) -> list[Integers]:
    """Return for each of the *times* arrays the place of its elements in the common order.

    Equal times keep the order in which the arrays are given.
    """
    joined = np.concatenate(times) if times else np.empty(0, dtype=np.uint64)
    places = np.empty(len(joined), dtype=np.int64)
    places[np.argsort(joined, kind="stable")] = np.arange(len(joined))
    ends = np.cumsum([len(part) for part in times])
    return [places[end - len(part) : end] for part, end in zip(times, ends, strict=True)]


class Elsewhere(NamedTuple):
    """A thread left the calls that it was in for a while: for a signal handler, or for another coroutine's stack."""

    tid: int
    began: int
    ended: int


def _since(
    tids: npt.NDArray[np.uint32], times: npt.NDArray[np.uint64], elsewhere: Sequence[Elsewhere]
) -> npt.NDArray[np.uint64]:
    """Return for each (tid, time) when its thread last went elsewhere without having come back; 0 if it had."""
    since = np.zeros(len(tids), dtype=np.uint64)
    order = np.lexsort((times, tids))
    sorted_tids, sorted_times = tids[order], times[order]
    for each in sorted(elsewhere, key=lambda one: one.began):
        first, last = np.searchsorted(sorted_tids, (each.tid, each.tid + 1))
        low = first + np.searchsorted(sorted_times[first:last], each.began, "left")
        high = first + np.searchsorted(sorted_times[first:last], each.ended, "right")
        since[order[low:high]] = each.began
    return since


def enclosing_calls(
    calls: npt.NDArray[np.void],
    tids: npt.NDArray[np.uint32],
    times: npt.NDArray[np.uint64],
    stack_pointers: npt.NDArray[np.uint64],
    elsewhere: Sequence[Elsewhere] = (),
) -> Integers:
    """Return for each (tid, time, stack pointer) the index of the allocator call it lies in, or -1.

    A thing lies in a call of its own thread when it came between entry and return and the stack was deeper than at
    the entry. The innermost of nested calls (those of a signal handler) wins. While a thread was *elsewhere*, nothing
    that it did lies in a call that it had begun before.
    """
    inside = np.full(len(tids), -1, dtype=np.int64)
    if not len(tids) or not len(calls):
        return inside
    since = _since(tids, times, elsewhere)
    order = np.lexsort((calls["began"], calls["tid"]))
    starts = np.searchsorted(calls["tid"][order], np.unique(tids), side="left")
    ends = np.searchsorted(calls["tid"][order], np.unique(tids), side="right")
    for tid, start, end in zip(np.unique(tids), starts, ends, strict=True):
        if start == end:
            continue
        mine = order[start:end]
        things = np.nonzero(tids == tid)[0]
        last = np.searchsorted(calls["began"][mine], times[things], side="right") - 1
        # How long any call up to this one stays open: nothing later lies in one of them.
        open_until = np.maximum.accumulate(calls["ended"][mine])
        while len(things):
            reaches = (last >= 0) & (times[things] <= open_until[np.maximum(last, 0)])
            things, last = things[reaches], last[reaches]
            call = mine[last]
            holds = (times[things] <= calls["ended"][call]) & (stack_pointers[things] <= calls["sp"][call])
            holds &= calls["began"][call] >= since[things]
            inside[things[holds]] = call[holds]
            things, last = things[~holds], last[~holds] - 1
    return inside
