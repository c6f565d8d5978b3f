"""What an allocator's memory is at one moment: asked for, lost to rounding, not handed out; with frames or without.

`Ground` follows what the kernel gave the allocator, `fragmentation` sets the live pieces upon it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from observer.glibc.chunks import WORD
from observer.model.addresses import PAGE
from observer.model.call_columns import Integers
from observer.model.events import Event, Fault, Process, Syscall
from observer.model.lives import Lives
from observer.model.memory_calls import Map, memory_call
from observer.story.levels import Held
from observer.story.pairing import Alive, addresses_of, slots_of
from observer.story.size_classes import chunk_sizes

__all__ = ["Footing", "Fragmentation", "Ground", "fragmentation"]


class Fragmentation(NamedTuple):
    """Bytes of all processes that are there behind event `n`.

    `mapped` is what the allocator has of the kernel and may write, `asked` what lives of it, in `pieces`; `rounding`
    is what their chunks have beyond what was asked for, `headers` the allocator's own word in each, where chunks are
    glibc's. `resident` is the page frames behind it: of those no live piece lies on `vacant`, freed or never handed
    out; of whole pages of live pieces `untouched` have none.
    """

    n: int
    mapped: int
    asked: int
    pieces: int
    rounding: int
    headers: int
    resident: int
    vacant: int
    untouched: int

    @property
    def idle(self) -> int:
        """Bytes that the allocator keeps to hand out: free pieces, the top of the heap, ends of pages."""
        return max(self.mapped - self.asked - self.rounding - self.headers, 0)


class Footing(NamedTuple):
    """What it comes to at a moment (`told`), by piece and by page.

    `bare` are the bytes without a frame in the whole pages of each piece; `vacated` has of each page that is `vacant`
    the call whose piece it came to, 0 for those that came to none.
    """

    told: Fragmentation
    bare: Integers
    vacated: Integers


class Ground:
    """Follows a run: `take` its system calls, page faults and processes in order of n.

    What no allocator call mapped is not the allocator's, but for the heap up to the break.
    """

    def __init__(self, page_size: int = PAGE) -> None:
        self._lives: Lives[Held] = Lives(lambda _pid, _environment: Held(page_size), lambda held, _t, _c: held.copy())
        self._sizes: dict[int, tuple[int, int]] = {}
        """Of each `Held`, by its identity: a vfork child has its parent's."""
        self.mapped = self.resident = 0
        """Bytes of all processes now."""

    def take(self, event: Event) -> None:
        """Replay *event*."""
        if isinstance(event, Process):
            if event.what != "clone":
                self._lives.take(event)
                self._measure_all()
            return
        held = self._lives.of(event.pid)
        if isinstance(event, Fault):
            held.fault(event)
            self._measure(held, self._sizes.get(id(held), (0, 0))[0])
        elif isinstance(event, Syscall) and event.errno is None and event.result is not None:
            call = memory_call(event)
            if isinstance(call, Map) and event.cause is None and call.start is not None:
                held.unmap(call.start, call.length)
            else:
                held.change(call)
            if call is not None:
                self._measure(held, held.writable)

    def end(self, pid: int) -> None:
        """The process is gone."""
        self._lives.forget(pid)
        self._measure_all()

    def held(self) -> dict[int, Held]:
        """Return what each process holds now."""
        return dict(self._lives)

    def _measure(self, held: Held, mapped: int) -> None:
        before, now = self._sizes.get(id(held), (0, 0)), (mapped, held.level.frames)
        self.mapped, self.resident = self.mapped + now[0] - before[0], self.resident + now[1] - before[1]
        self._sizes[id(held)] = now

    def _measure_all(self) -> None:
        self._sizes = {id(held): (held.writable, held.level.frames) for _pid, held in self._lives}
        self.mapped, self.resident = (sum(size[i] for size in self._sizes.values()) for i in (0, 1))


def fragmentation(n: int, alive: Alive, ground: Ground, page: int) -> Footing:
    """Return what it comes to behind event *n*, where a page has *page* bytes."""
    held, pieces = ground.held(), alive.pieces
    slots, bare = slots_of(pieces["key"]), np.zeros(len(pieces), dtype=np.int64)
    whose = {alive.pids.get(slot, -1): np.flatnonzero(slots == slot) for slot in np.unique(slots).tolist()}
    covered, vacated = 0, list[Integers]()
    for pid in {**held, **whose}:
        mine = whose.get(pid, np.empty(0, dtype=np.int64))
        mine = mine[np.argsort(pieces["key"][mine])]
        start = addresses_of(pieces["key"][mine])
        end = start + np.maximum(pieces["asked"][mine], 1)
        there = sorted(held[pid].pages.items()) if pid in held else []
        pages, came_to = np.array(there, dtype=np.int64).reshape(-1, 2).T
        bare[mine] = _bare(start, end, pages, page)
        last = np.searchsorted(start, pages + page)
        lies_on = last > 0
        lies_on[lies_on] = end[last[lies_on] - 1] > pages[lies_on]
        covered += int(lies_on.sum()) * page
        vacated.append(came_to[~lies_on])
    asked, of_glibc = pieces["asked"], pieces["wastes"]
    rounding = int((chunk_sizes(asked[of_glibc]) - WORD - asked[of_glibc]).sum())
    headers = WORD * int(of_glibc.sum())
    told = Fragmentation(
        n, ground.mapped, int(asked.sum()), len(pieces), rounding, headers, ground.resident,
        max(ground.resident - covered, 0), int(bare.sum()),
    )  # fmt: skip
    return Footing(told, bare, np.concatenate([np.empty(0, dtype=np.int64), *vacated]))


def _bare(start: Integers, end: Integers, pages: Integers, page: int) -> Integers:
    """Return how many bytes of the whole pages in [start, end) are not among *pages*, which are in order."""
    first, behind = -(-start // page) * page, end // page * page
    there = np.searchsorted(pages, behind) - np.searchsorted(pages, first)
    return np.where(behind > first, behind - first - there * page, 0)
