"""Physical frames: who maps each, and, when their number is limited, who gives way and what becomes of its contents.

Without a limit only the number of entries per frame is kept. With one, each frame also knows the entries that map it
(the reverse map, mm/rmap.c), because all of them must go before it can be used for something else: private pages and
shared memory are written to swap, a file's clean pages are just forgotten, and lazily freed ones are too.
Frame 0 stands for the zero page, which is always there and counted nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from observer.model.addresses import PAGE
from observer.simulator.backing import Backing
from observer.simulator.page_sizes import PageSizes
from observer.simulator.replacement import POLICIES, OutOfFrames

__all__ = ["Frames", "Mapper", "Slot"]


@dataclass(slots=True, eq=False)
class Slot:
    """A page in swap: how many entries wait for it, and the frame it was brought back into (the swap cache), or 0."""

    waiting: int = 0
    frame: int = 0


class Mapper(Protocol):
    """A page table, as frames see it."""

    def is_locked(self, page: int) -> bool:
        """Whether *page* lies in a locked mapping."""

    def is_lazily_freed(self, page: int) -> bool:
        """Whether *page* was freed by MADV_FREE and not written since."""

    def evict(self, page: int, slot: Slot | None) -> None:
        """Remove the entry of *page*; its contents are in *slot* from now on, or lost."""


class Frames:
    """The frames of the machine: unlimited, or *limit* of them with a replacement policy (fifo, clock or lru).

    `sizes` is how large they are.
    """

    __slots__ = (
        "_free", "_mappers", "_next", "_policy", "_slots", "backings", "blank", "cached", "evictions", "heads", "limit",
        "pinned", "sizes", "swap_ins", "swap_outs", "users",
    )  # fmt: skip

    def __init__(self, limit: int | None = None, policy: str = "fifo", page_size: int = PAGE) -> None:
        self.sizes = PageSizes(page_size)
        if limit is not None and limit < 1:
            raise ValueError(f"{limit} frames are no memory")
        self.limit = limit
        self.users: dict[int, int] = {}  # every frame in use -> entries that map it
        self.cached: dict[int, tuple[Backing, int]] = {}  # frames of files and shared memory -> whose, and where in it
        self.backings: dict[int, Backing] = {}  # objects with a name, by which several mappings may have them
        self.blank: set[int] = set()  # frames of huge pages in which nobody wrote anything yet
        self.heads: set[int] = set()  # first frames of huge pages not yet split (in memory; mapped they may be)
        self.pinned = 0
        self.evictions = self.swap_outs = self.swap_ins = 0
        self._next = 1
        self._free: list[int] = []
        self._policy = POLICIES[policy]()
        self._mappers: dict[int, dict[tuple[Mapper, int], None]] = {}
        self._slots: dict[int, Slot] = {}

    def take(self) -> int:
        """Return a free frame, for which another gives way if need be.

        Raises:
            OutOfFrames: every frame is locked.
        """
        limit = self.limit
        if limit is None:
            number = self._next
            self._next = number + 1
            self.users[number] = 0
            return number
        if len(self.users) >= limit:
            self._reclaim()
        number = self._free.pop() if self._free else self._new()
        self.users[number] = 0
        self._mappers[number] = {}
        self._policy.enter(number)
        return number

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def take_huge(self) -> int | None:
        """Return the first of a huge page of free frames, aligned to one; None if there are none (nobody gives way)."""
        huge = self.sizes.huge
        head = -(-self._next // huge) * huge
        if self.limit is not None:
            if head + huge - 1 > self.limit:
                return None
            self._free.extend(range(self._next, head))
            for number in range(head, head + huge):
                self._mappers[number] = {}
                self._policy.enter(number)
        self._next = head + huge
        row = range(head, head + huge)
        self.users.update(dict.fromkeys(row, 0))
        self.blank.update(row)
        self.heads.add(head)
        return head

    @property
    def has_room(self) -> bool:
        """Whether a frame can be had without taking it from somebody."""
        return self.limit is None or len(self.users) < self.limit

    def share(self, frame: int, mapper: Mapper, page: int) -> None:
        """One more entry maps *frame*."""
        self.users[frame] += 1
        if self.limit is not None:
            self._mappers[frame][mapper, page] = None

    def release(self, frame: int, mapper: Mapper, page: int) -> None:
        """One entry less maps *frame*; without any it is free, unless a file or shared memory has it."""
        self.users[frame] -= 1
        if self.limit is not None:
            del self._mappers[frame][mapper, page]
        if not self.users[frame] and frame not in self.cached:
            self.free(frame)

    def free(self, frame: int) -> None:
        """Give *frame*, which no entry maps, back."""
        del self.users[frame]
        self.cached.pop(frame, None)
        self.blank.discard(frame)
        if self.limit is not None:
            del self._mappers[frame]
            self._policy.leave(frame)
            self._free.append(frame)
            self.heads.discard(frame - frame % self.sizes.huge)  # its number may soon name something else
            slot = self._slots.pop(frame, None)
            if slot is not None:
                slot.frame = 0

    def touch(self, frame: int) -> None:
        """*frame* was accessed without a fault; the policy may want to know."""
        if self.limit is not None and frame:
            self._policy.touch(frame)

    def rename(self, frame: int, mapper: Mapper, page: int, new_page: int) -> None:
        """The entry that maps *frame* at *page* has moved."""
        if self.limit is not None and frame:
            del self._mappers[frame][mapper, page]
            self._mappers[frame][mapper, new_page] = None

    # ---- files and shared memory ----------------------------------------------------------------------------

    def fetch(self, backing: Backing, offset: int) -> tuple[int, bool]:
        """Return the frame of a page of *backing*, brought in if it is not there, and whether it had to be read."""
        frame = backing.frames.get(offset, 0)
        if frame:
            return frame, False
        frame = backing.frames[offset] = self.take()
        self.cached[frame] = (backing, offset)
        was_away = offset in backing.away
        backing.away.discard(offset)
        self.swap_ins += was_away and not backing.is_file
        return frame, was_away

    def close(self, backing: Backing, pages: int) -> None:
        """*pages* less of *backing* are mapped; when none is, its frames are free."""
        backing.pages_mapped -= pages
        if not backing.pages_mapped:
            for frame in backing.frames.values():
                self.free(frame)
            backing.frames.clear()
            backing.away.clear()

    # ---- reclaim --------------------------------------------------------------------------------------------

    def swap_in(self, slot: Slot) -> tuple[int, bool]:
        """Return a frame with what is in *slot*, one entry of which waits no longer, and whether it had to be read."""
        must_read = not slot.frame
        if must_read:
            slot.frame = self.take()
            self._slots[slot.frame] = slot
            self.swap_ins += 1
        slot.waiting -= 1
        return slot.frame, must_read

    def _reclaim(self) -> None:
        victim = self._policy.victim(self._may_go)
        if victim is None:
            raise OutOfFrames(f"all of the {self.limit} frames are locked or needed at once")
        self.evictions += 1
        slot = self._save(victim)
        for mapper, page in list(self._mappers[victim]):
            mapper.evict(page, slot)
        if victim in self.users:
            self.free(victim)  # of a file or shared memory, and mapped by nobody

    def _may_go(self, frame: int) -> bool:
        return frame != self.pinned and not any(mapper.is_locked(page) for mapper, page in self._mappers[frame])

    def _save(self, victim: int) -> Slot | None:
        home = self.cached.pop(victim, None)
        if home is not None:
            backing, offset = home
            del backing.frames[offset]
            backing.away.add(offset)
            self.swap_outs += not backing.is_file
            return None
        if all(mapper.is_lazily_freed(page) for mapper, page in self._mappers[victim]):
            return None
        self.swap_outs += 1
        return self._slots.get(victim) or Slot()
