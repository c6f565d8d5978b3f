"""How much each process holds at any moment of a run: asked for, heap, mapped, brought in."""

from __future__ import annotations

from typing import NamedTuple

from observer.model.addresses import LONGEST_PIECE, PAGE, AddressSpace, page_down, page_up
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.lives import Lives
from observer.model.memory_calls import Advise, Break, Map, MemoryCall, Move, Protect, Unmap, memory_call
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.story.steps import is_step_six

__all__ = ["Held", "Level", "Levels"]

_GIVEN_BACK = frozenset({"dontneed", "dontneed_locked", "remove"})


class Level(NamedTuple):
    """Bytes of one process: `asked` by pieces that live, `heap` up to the break, `mapped` in anonymous regions of its
    own (reservations too), and `frames` that page faults brought to the two and that were not given back since.
    """

    asked: int
    heap: int
    mapped: int
    frames: int


class Held:
    """What one process holds: its live pieces, the regions that it mapped, the pages that are there.

    `pages` has by their addresses the call whose piece each came to when it was touched first, 0 if it was nobody's.
    """

    def __init__(self, page: int) -> None:
        self.page = page
        self.pieces: dict[int, int] = {}
        self.asked = 0
        self.regions = AddressSpace(page=page)
        self.mapped = 0
        self.pages: dict[int, int] = {}
        self.break_start = self.break_end = 0

    def copy(self) -> Held:
        """Return an independent copy (fork)."""
        twin = Held(self.page)
        twin.pieces, twin.asked, twin.pages = dict(self.pieces), self.asked, dict(self.pages)
        twin.regions, twin.mapped = self.regions.copy(), self.mapped
        twin.break_start, twin.break_end = self.break_start, self.break_end
        return twin

    @property
    def level(self) -> Level:
        """How much that is."""
        return Level(self.asked, self.break_end - self.break_start, self.mapped, len(self.pages) * self.page)

    @property
    def writable(self) -> int:
        """Bytes of its regions and its heap that may be written: reservations are not among them."""
        regions = sum(region.size for region in self.regions.mappings if "w" in region.protection)
        return regions + self.break_end - self.break_start

    def call(self, call: Call) -> None:
        """Replay a call of the allocator family."""
        if call.pointer and (call.op in FREEING or (call.op in RESIZING and (call.result or not call.bytes_asked))):
            self.asked -= self.pieces.pop(call.pointer, 0)
        if call.op in ALLOCATING and call.result:
            size = min(call.bytes_asked, LONGEST_PIECE)
            self.asked += size - self.pieces.get(call.result, 0)
            self.pieces[call.result] = size

    def fault(self, fault: Fault) -> None:
        """A page came in."""
        if is_step_six(fault) and fault.access != "read":
            call = fault.chunk.call if fault.chunk is not None else 0
            self.pages.setdefault(page_down(fault.address, self.page), call)

    def change(self, call: MemoryCall | None) -> None:
        """Replay a system call that succeeded."""
        if isinstance(call, Break) and call.end is not None:
            self.break_start = self.break_start or call.end
            self._lose(page_up(call.end, self.page), page_up(self.break_end, self.page))
            self.break_end = call.end
        elif isinstance(call, Map) and call.start is not None:
            self.unmap(call.start, call.length)
            if call.flags >= {"private", "anonymous"}:
                self.mapped += self.regions.map(call.start, call.length, call.protection).size
        elif isinstance(call, Unmap):
            self.unmap(call.start, call.length)
        elif isinstance(call, Protect):
            self.regions.protect(call.start, call.length, call.protection)
        elif isinstance(call, Move) and call.new_start is not None:
            self._move(call, call.new_start)
        elif isinstance(call, Advise) and call.advice in _GIVEN_BACK:
            self._lose(call.start, page_up(call.end, self.page))

    def unmap(self, start: int, length: int) -> None:
        """Nothing of ours is in [start, start+length) any longer."""
        self.mapped -= self.regions.covered(start, start + page_up(length, self.page))
        self.regions.unmap(start, length)
        self._lose(start, start + page_up(length, self.page))

    def _move(self, call: Move, new: int) -> None:
        source, came = self.regions.find(call.start), self._within(call.start, page_up(call.end, self.page))
        if "dontunmap" not in call.flags:
            self.unmap(call.start, call.length)
        self.unmap(new, call.new_length)
        if source is not None:
            self.regions.place(source, call.start, new, call.new_length)
            self.mapped += call.new_size(self.page)
            self.pages |= {
                page - call.start + new: of for page, of in came.items() if page - call.start < call.new_length
            }

    def _within(self, start: int, end: int) -> dict[int, int]:
        if (end - start) // self.page < len(self.pages):
            each = range(page_down(start, self.page), end, self.page)
            return {page: self.pages[page] for page in each if page in self.pages}
        return {page: of for page, of in self.pages.items() if start <= page < end}

    def _lose(self, start: int, end: int) -> None:
        if self.pages and start < end:
            for page in self._within(start, end):
                del self.pages[page]


class Levels:
    """Follows a run: `take` every event in order of n. Memory grows with live pieces and the pages of *page_size* bytes
    that are there, not with the run.

    Pages that no fault brought (MAP_POPULATE, mlock), or that came with another one (huge pages), are not among the
    frames, and those that the kernel took back by itself still are.
    """

    def __init__(self, page_size: int = PAGE) -> None:
        self._lives: Lives[Held] = Lives(lambda _pid, _environment: Held(page_size), lambda held, _t, _c: held.copy())
        self._latest: dict[int, Level] = {}

    def take(self, event: Event) -> Level | None:
        """Return what the event's process holds after it, None if that is as it was before."""
        if isinstance(event, Process):
            self._lives.take(event)
        held = self._lives.of(event.pid)
        if isinstance(event, Call):
            held.call(event)
        elif isinstance(event, Fault):
            held.fault(event)
        elif isinstance(event, Syscall) and event.errno is None and event.result is not None:
            held.change(memory_call(event))
        level = held.level
        if self._latest.get(event.pid) == level:
            return None
        self._latest[event.pid] = level
        return level
