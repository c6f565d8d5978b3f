"""The mappings of one process (Linux's VMAs): ranges of pages alike in every respect, split and joined as Linux does.

Where one mapping ends and the next begins is visible to a program, since three things stop at a mapping's edge: a huge
page must lie inside one mapping, fault-around does not look past it (do_fault_around in mm/memory.c), and fork copies
page tables mapping by mapping (vma_needs_copy there: only where private pages were ever made). So the rules for joining
(mm/vma.c: can_vma_merge_before, is_mergeable_anon_vma, find_mergeable_anon_vma) belong to the model.

All numbers here are pages, and ranges are half open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from observer.simulator.backing import Backing

__all__ = ["ACCESSES", "ANONYMOUS", "KINDS", "Region", "Regions"]

KINDS: Final = ("anonymous", "shared", "file", "heap", "stack")
ANONYMOUS: Final = frozenset(("anonymous", "heap", "stack"))
"""The kinds that are private and have no file behind them."""
ACCESSES: Final = ("none", "read", "write")

_groups = count(1)


@dataclass(slots=True, eq=False)
class Region:
    """One mapping, pages [first, end).

    `shift` added to a page gives its offset in the backing (anonymous memory: where the page was when first mapped).
    `huge` is what madvise said, or None. `accounted`: counted against the commit limit (VM_ACCOUNT). `group` names the
    anon_vma that its private pages belong to; 0 until the first of them is made. `inherited`: that came by a fork.
    """

    first: int
    end: int
    kind: str
    access: str
    backing: Backing | None = None
    shift: int = 0
    huge: bool | None = None
    locked: bool = False
    accounted: bool = False
    group: int = 0
    inherited: bool = False

    @property
    def private(self) -> bool:
        """Whether a write makes a page of this process alone."""
        return self.kind != "shared"

    def allow(self, access: str) -> None:
        """Change the allowed access; what is charged to the commit limit follows (mprotect_fixup in mm/mprotect.c)."""
        self.access = access
        if access == "write":
            self.accounted = self.private
        elif self.kind in ANONYMOUS and not self.group:
            self.accounted = False

    def set_locked(self, on: bool) -> None:
        """Lock or unlock it."""
        self.locked = on

    def set_huge(self, on: bool) -> None:
        """Ask for huge pages, or for none."""
        self.huge = on

    def part(self, first: int, end: int) -> Region:
        """Return a mapping of [first, end) that could be a part of this one."""
        return replace(self, first=first, end=end)

    def alike(self, other: Region) -> bool:
        """Whether all but the allowed access agrees, so that both may use one anon_vma."""
        return (
            self.kind == other.kind and self.backing is other.backing and self.shift == other.shift
            and self.huge is other.huge and self.locked == other.locked and self.accounted == other.accounted
        )  # fmt: skip

    def joins(self, other: Region) -> bool:
        """Whether this and its neighbour *other* may become one mapping."""
        return self.access == other.access and self.alike(other) and self._groups_agree(other)

    def _groups_agree(self, other: Region) -> bool:
        if self.group and other.group:
            return self.group == other.group
        return not (self.inherited or other.inherited)


class Regions:
    """The mappings of one process, in address order and without overlap."""

    __slots__ = ("_firsts", "_last", "_list")

    def __init__(self) -> None:
        self._list: list[Region] = []
        self._firsts: list[int] = []
        self._last: Region | None = None

    def __iter__(self) -> Iterator[Region]:
        return iter(self._list)

    def __len__(self) -> int:
        return len(self._list)

    def find(self, page: int) -> Region | None:
        """Return the mapping that holds *page*."""
        last = self._last
        if last is not None and last.first <= page < last.end:
            return last
        index = bisect_right(self._firsts, page) - 1
        if index >= 0 and page < self._list[index].end:
            self._last = self._list[index]
            return self._last
        return None

    def around(self, page: int) -> tuple[Region | None, Region | None]:
        """Return the nearest mappings below and above a *page* that no mapping holds."""
        index = bisect_right(self._firsts, page)
        return (self._list[index - 1] if index else None, self._list[index] if index < len(self._list) else None)

    def within(self, first: int, end: int) -> list[Region]:
        """Return the mappings that have a page in [first, end), in order."""
        low = max(bisect_right(self._firsts, first) - 1, 0)
        return [region for region in self._list[low : bisect_right(self._firsts, end - 1)] if region.end > first]

    def pieces(self, first: int, end: int, *, over_holes: bool = True) -> Iterator[tuple[Region, int, int]]:
        """Yield each mapping in [first, end) with the part of it that lies there; they may be changed on the way."""
        while first < end:
            region = self.find(first)
            if region is None:
                region = self.around(first)[1]
                if region is None or region.first >= end or not over_holes:
                    return
                first = region.first
            last = min(region.end, end)
            yield region, first, last
            first = last

    def add(self, region: Region) -> None:
        """Put a mapping where there is none, and join it with its neighbours."""
        index = bisect_right(self._firsts, region.first)
        self._list.insert(index, region)
        self._firsts.insert(index, region.first)
        self._join(index)

    def append(self, region: Region) -> None:
        """Put a mapping above all others without joining (as fork copies them)."""
        self._list.append(region)
        self._firsts.append(region.first)

    def remove(self, first: int, end: int) -> list[Region]:
        """Take [first, end) out; return the pieces that were there."""
        self._last = None
        self._split(first)
        self._split(end)
        gone = self.within(first, end)
        if gone:
            index = self._list.index(gone[0])
            del self._list[index : index + len(gone)]
            del self._firsts[index : index + len(gone)]
        return gone

    def change(self, first: int, end: int, apply: Callable[[Region], None]) -> None:
        """Let *apply* change [first, end), which one mapping holds; it is split, and the part joined, as need be."""
        self._last = None
        self._split(first)
        self._split(end)
        index = bisect_right(self._firsts, first) - 1
        apply(self._list[index])
        self._join(index)

    def grow_down(self, region: Region, page: int) -> None:
        """Let a stack begin at *page*; it has an anon_vma from then on (expand_downwards in mm/vma.c)."""
        if not region.group:
            self.join_group(region)
        self._firsts[self._firsts.index(region.first)] = page
        region.first = page

    def join_group(self, region: Region) -> None:
        """The first private page of *region* is made: use a neighbour's anon_vma if they are alike, or a new one."""
        index = bisect_right(self._firsts, region.first) - 1
        region.group = self._offered(region, index + 1) or self._offered(region, index - 1) or next(_groups)

    def _offered(self, region: Region, index: int) -> int:
        if not 0 <= index < len(self._list):
            return 0
        other = self._list[index]
        touches = other.first == region.end or other.end == region.first
        return other.group if touches and not other.inherited and region.alike(other) else 0

    def _split(self, page: int) -> None:
        index = bisect_right(self._firsts, page) - 1
        if index < 0 or not self._list[index].first < page < self._list[index].end:
            return
        below = self._list[index]
        self._list.insert(index + 1, replace(below, first=page))
        self._firsts.insert(index + 1, page)
        below.end = page

    def _join(self, index: int) -> None:
        """Join with the mapping below first: where both would do but not with each other, Linux prefers it."""
        self._last = None
        if index and self._merge(index - 1):
            index -= 1
        self._merge(index)

    def _merge(self, index: int) -> bool:
        if index + 1 >= len(self._list):
            return False
        below, above = self._list[index], self._list[index + 1]
        if below.end != above.first or not below.joins(above):
            return False
        below.end, below.group = above.end, below.group or above.group
        below.inherited |= above.inherited
        del self._list[index + 1], self._firsts[index + 1]
        return True

    def copy_for_child(self) -> Regions:
        """Return the mappings a forked child has: unlocked, and each with an anon_vma of its own under its parent's."""
        child = Regions()
        for region in self._list:
            group = next(_groups) if region.group else 0
            child.append(replace(region, locked=False, group=group, inherited=bool(group)))
            if region.backing is not None:
                region.backing.pages_mapped += region.end - region.first
        return child
