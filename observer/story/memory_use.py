"""What a run used memory for, as one value: its places, its peak, its end, and its course."""

from __future__ import annotations

from typing import NamedTuple

from observer.story.fragmentation import Fragmentation
from observer.story.profile import HeapProfile, Profiled

__all__ = ["MemoryUse"]


class MemoryUse(NamedTuple):
    """A run's `profile`, its `places`, what its memory was at the `peak` and in the `end`, and over the run.

    `end` is the moment before the last process ended. The curves have `profile.MOMENTS` points, in bytes: what was
    `mapped` and `resident` at most in each stretch of the run.
    """

    profile: HeapProfile
    places: list[Profiled]
    peak: Fragmentation
    end: Fragmentation
    mapped: list[int]
    resident: list[int]
