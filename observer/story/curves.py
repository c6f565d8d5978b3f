"""What a process holds over time, in as many points as a picture has room for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from observer.model.events import Event
from observer.story.levels import Level, Levels

__all__ = ["Point", "curve"]


class Point(NamedTuple):
    """What the process holds from time `t_ns` on, after event `n`."""

    n: int
    t_ns: int
    level: Level


def curve(events: Iterable[Event], page_size: int, *, points: int = 2000) -> list[Point]:
    """Return the levels of the first process of *events* (in order of n), at most *points* of them.

    Of points that are too close the latest is kept, and the ones at which it held most: no peak is lost. Memory is that
    of twice as many points.
    """
    levels, found, width = Levels(page_size), list[Point](), 0
    root, last = None, None
    for event in events:
        root = event.pid if root is None else root
        level = levels.take(event)
        if event.pid != root:
            continue
        last = event
        if level is None:
            continue
        found.append(Point(event.n, event.t_ns, level))
        if len(found) > 2 * points:
            width = max(2 * width, found[-1].t_ns // points, 1)
            found = _thinned(found, width)
    if found and last is not None:
        found = _thinned(found, max(width, found[-1].t_ns // points, 1)) if len(found) > points else found
        found.append(Point(last.n, last.t_ns, found[-1].level))
    return found


def _thinned(points: list[Point], width: int) -> list[Point]:
    """Keep, of each *width* nanoseconds, the points at which anything was highest, and the last."""
    kept: dict[int, list[Point]] = {}
    for point in points:
        kept.setdefault(point.t_ns // width, []).append(point)
    thin = []
    for bucket in kept.values():
        chosen = {max(bucket, key=lambda point: point.level[i]) for i in range(len(Level._fields))} | {bucket[-1]}
        thin += sorted(chosen)
    return thin
