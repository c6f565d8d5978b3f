"""A run's heap profile as JSON: the peak, lifetimes, sizes, fragmentation; in bytes, events, nanoseconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from observer.report.places import as_object
from observer.story.fragmentation import Fragmentation
from observer.story.memory_use import MemoryUse
from observer.story.profile import HeapProfile, ranked

__all__ = ["fragmentation_objects", "lifetime_objects", "peak_objects", "size_objects"]


def peak_objects(use: MemoryUse) -> Iterator[dict[str, Any]]:
    """Yield one object: the moment, what was alive, the course of the run, and the places, most bytes first."""
    peak = use.profile.peak
    yield {
        "n": peak.n, "t_ns": peak.t_ns, "live_bytes": peak.live, "live_pieces": len(peak.alive.pieces),
        "course": {"live_bytes": use.profile.curve(), "mapped_bytes": use.mapped, "resident_bytes": use.resident},
        "places": [as_object(each) for each in ranked(use.places, "peak")],
    }  # fmt: skip


def lifetime_objects(profile: HeapProfile, *, inferred: bool) -> Iterator[dict[str, Any]]:
    """Yield the classes of lifetimes in events, then in time, then for each place how many of its pieces are in each.

    `below` is null in the last class; *inferred* says whether times lie between two that were observed.
    """
    for unit, how in (("events", "exact"), ("ns", "inferred" if inferred else "exact")):
        for each in profile.lifetimes(in_time=unit == "ns"):
            yield {
                "unit": unit, "how": how, "least": each.least, "below": each.below, "pieces": each.pieces,
                "bytes": each.bytes,
            }  # fmt: skip
    for place in profile.places():
        if any(place.by_events) or place.place.pieces:
            yield {
                "place": place.place.text, "site": place.place.site, "events": place.by_events, "ns": place.by_time,
                "never": place.place.pieces,
            }  # fmt: skip


def size_objects(profile: HeapProfile) -> Iterator[dict[str, Any]]:
    """Yield the classes of sizes, smallest first."""
    for each in profile.sizes():
        yield {
            "least_chunk": each.first, "largest_chunk": each.last, "calls": each.calls, "bytes": each.asked,
            "lost_bytes": each.lost, "peak_bytes": each.peak, "peak_pieces": each.peak_pieces,
        }  # fmt: skip


def fragmentation_objects(use: MemoryUse) -> Iterator[dict[str, Any]]:
    """Yield what the allocator's memory is at the peak and in the end."""
    for moment, told in (("peak", use.peak), ("end", use.end)):
        yield {"moment": moment, **_parts(told)}


def _parts(told: Fragmentation) -> dict[str, int]:
    return {
        "n": told.n, "mapped_bytes": told.mapped, "live_bytes": told.asked, "live_pieces": told.pieces,
        "rounding_bytes": told.rounding, "header_bytes": told.headers, "idle_bytes": told.idle,
        "resident_bytes": told.resident, "vacant_bytes": told.vacant, "untouched_bytes": told.untouched,
    }  # fmt: skip
