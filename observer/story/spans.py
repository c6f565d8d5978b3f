"""What lay where, and from which event to which: pieces, room that was given back, pages, regions of the address space.

A span is there after event n if `born <= n < died`. So whatever lies at a moment is found by looking, without a replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from observer.model.addresses import PAGE, AddressSpace, Mapping, page_down, page_up
from observer.model.events import Call, Event, Fault, Process, Site, Syscall
from observer.model.lives import Lives
from observer.model.machine import ProcessEnd
from observer.model.memory_calls import Advise, Break, Map, MemoryCall, Move, Protect, Unmap, memory_call
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.story.room import Room, Rooms

__all__ = ["ALWAYS", "FILE", "HEAP", "PageSpan", "Piece", "Region", "Room", "Spans", "SpansOf"]

ALWAYS: Final = 1 << 62
"""`died` of what is still there at the end."""
HEAP: Final = "[heap]"
FILE: Final = "file"
"""The name of a mapped file whose path nothing tells."""
_GIVEN_BACK: Final = frozenset({"dontneed", "dontneed_locked", "remove"})

Seen = Callable[[int, int], bool]


class Piece(NamedTuple):
    """`size` bytes at `start` that the call numbered `call` asked for, at `site`.

    In the child of a fork `born` is the fork's n, and `call` one of its parent's.
    """

    start: int
    size: int
    born: int
    died: int
    call: int
    site: Site | None


class PageSpan(NamedTuple):
    """The page at `start`, which the fault numbered `fault` brought.

    `how` is own (a frame of its own), zero (the shared page of zeros), or shared (with the parent, since a fork).
    """

    start: int
    born: int
    died: int
    fault: int
    toucher: str
    how: str
    frame: int | None


class Region(NamedTuple):
    """[start, end) of the address space: `name` is a path, `[heap]`, `map#3`, `[stack]`, FILE, or empty."""

    start: int
    end: int
    born: int
    died: int
    name: str
    protection: str


class _Open(NamedTuple):
    """A page that is there."""

    born: int
    fault: int
    toucher: str
    how: str
    frame: int | None


class SpansOf:
    """The spans of one process, in the order in which they ended; those that never did are added by `Spans.finish`."""

    def __init__(self, begun: int, seen: Seen, page: int) -> None:
        self.begun = begun
        self.pieces: list[Piece] = []
        self.rooms: list[Room] = []
        self.pages: list[PageSpan] = []
        self.regions: list[Region] = []
        self._seen, self._page = seen, page
        self._live: dict[int, tuple[int, int, int, Site | None]] = {}
        self._free = Rooms(self._room_gone)
        self._resident: dict[int, _Open] = {}
        self._space = AddressSpace(page=page)
        self._mapped: dict[int, tuple[Mapping, int]] = {}
        self._names: dict[int, str] = {}
        self._break = (0, 0, begun)

    def copy(self, n: int) -> SpansOf:
        """Return what a child has that was forked by event *n*."""
        twin = SpansOf(n, self._seen, self._page)
        twin._live = {start: (size, n, call, site) for start, (size, _born, call, site) in self._live.items()}
        twin._free = self._free.copy(twin._room_gone, n)
        for page, there in self._resident.items():
            twin._resident[page] = there._replace(born=n, how="shared" if there.how == "own" else there.how)
        twin._space, twin._names = self._space.copy(), dict(self._names)
        twin._mapped = {start: (mapping, n) for start, (mapping, _born) in self._mapped.items()}
        twin._break = (*self._break[:2], n)
        return twin

    # ---- pieces ----

    def call(self, call: Call) -> None:
        """Replay a call of the allocator family."""
        if call.pointer and (call.op in FREEING or (call.op in RESIZING and (call.result or not call.bytes_asked))):
            self._free_piece(call.pointer, call.n)
        if call.op in ALLOCATING and call.result:
            self._end_piece(call.result, call.n)
            self._free.take(call.result, call.result + max(call.bytes_asked, 1), call.n)
            self._live[call.result] = (call.bytes_asked, call.n, call.n, call.site)

    def _free_piece(self, pointer: int, n: int) -> None:
        size = self._end_piece(pointer, n)
        if size:
            self._free.give(pointer, pointer + size, n)

    def _end_piece(self, pointer: int, n: int) -> int:
        piece = self._live.pop(pointer, None)
        if piece is None:
            return 0
        size, born, call, site = piece
        if self._seen(born, n):
            self.pieces.append(Piece(pointer, size, born, n, call, site))
        return size

    def _room_gone(self, room: Room) -> None:
        if self._seen(room.born, room.died):
            self.rooms.append(room)

    # ---- pages ----

    def fault(self, fault: Fault) -> None:
        """A page came in, or was exchanged for a copy of its own."""
        page = page_down(fault.address, self._page)
        is_zero = fault.access == "read" and not (fault.mapping or "").startswith("/")
        self._end_page(page, fault.n)
        how = "zero" if is_zero else "own"
        self._resident[page] = _Open(fault.n, fault.n, fault.toucher, how, fault.frame)
        if fault.mapping and fault.mapping.startswith("/"):
            self._name(fault.address, fault.mapping)

    def _name(self, address: int, path: str) -> None:
        mapping = self._space.find(address)
        if mapping is not None and mapping.path == FILE:
            self._names[mapping.start - mapping.offset] = path

    def _end_page(self, page: int, n: int) -> _Open | None:
        there = self._resident.pop(page, None)
        if there is not None and self._seen(there.born, n):
            self.pages.append(PageSpan(page, there.born, n, *there[1:]))
        return there

    def _lose(self, start: int, end: int, n: int) -> dict[int, _Open]:
        """The pages of [start, end) went; return them."""
        return {page: there for page in self._within(start, end) if (there := self._end_page(page, n)) is not None}

    def _within(self, start: int, end: int) -> list[int]:
        first = page_down(start, self._page)
        if (end - first) // self._page < len(self._resident):
            return [page for page in range(first, end, self._page) if page in self._resident]
        return [page for page in self._resident if first <= page < end]

    # ---- regions ----

    def change(self, call: MemoryCall | None, n: int) -> None:
        """Replay a memory system call that succeeded."""
        if isinstance(call, Break) and call.end is not None:
            self._move_break(call.end, n)
        elif isinstance(call, Map) and call.start is not None:
            path = "" if "anonymous" in call.flags else FILE
            start, size = call.start, call.size(self._page)
            offset = call.offset if path else 0
            self._lose(start, start + size, n)
            self._remap(start, start + size, n, lambda: self._space.map(start, size, call.protection, path, offset))
        elif isinstance(call, Unmap):
            self._unmap(call.start, call.length, n)
        elif isinstance(call, Protect):
            end = call.start + call.size(self._page)
            self._remap(call.start, end, n, lambda: self._space.protect(call.start, call.length, call.protection))
        elif isinstance(call, Move) and call.new_start is not None:
            self._move(call, call.new_start, n)
        elif isinstance(call, Advise) and call.advice in _GIVEN_BACK:
            self._lose(call.start, page_up(call.end, self._page), n)

    def _move_break(self, end: int, n: int) -> None:
        start, old, _born = self._break
        start = start or end
        self._lose(page_up(end, self._page), page_up(old, self._page), n)
        self._free.take(end, max(old, end), n)
        self._space.set_break(end)
        if (start, end) != self._break[:2]:
            self._end_heap(n)
            self._break = (start, end, n)

    def _end_heap(self, n: int) -> None:
        start, end, born = self._break
        if end > start and self._seen(born, n):
            self.regions.append(Region(start, page_up(end, self._page), born, n, HEAP, "rw-"))

    def _unmap(self, start: int, length: int, n: int) -> None:
        end = start + page_up(length, self._page)
        self._lose(start, end, n)
        self._free.take(start, end, n)
        self._remap(start, end, n, lambda: self._space.unmap(start, length))

    def _move(self, call: Move, new: int, n: int) -> None:
        source = self._space.find(call.start)
        came = self._lose(call.start, page_up(call.end, self._page), n)
        if "dontunmap" not in call.flags:
            self._unmap(call.start, call.length, n)
        self._unmap(new, call.new_length, n)
        if source is None:
            return
        end = new + call.new_size(self._page)
        self._remap(new, end, n, lambda: self._space.place(source, call.start, new, call.new_length))
        for page, there in came.items():
            if page - call.start < call.new_length:
                self._resident[page - call.start + new] = there._replace(born=n)

    def _remap(self, start: int, end: int, n: int, change: Callable[[], object]) -> None:
        """Have the address space changed in [start, end), and note which regions ended and began."""
        before = self._space.within(start, end)
        change()
        low = min([start, *(mapping.start for mapping in before)])
        high = max([end, *(mapping.end for mapping in before)])
        after = self._space.within(low, high)
        for mapping in before:
            known, born = self._mapped.get(mapping.start, (None, 0))
            if known == mapping and mapping not in after:
                del self._mapped[mapping.start]
                self._end_region(mapping, born, n)
        for mapping in after:
            if mapping.path != HEAP:
                self._mapped.setdefault(mapping.start, (mapping, n))

    def _end_region(self, mapping: Mapping, born: int, n: int) -> None:
        if self._seen(born, n):
            name = mapping.path
            if name == FILE:
                name = self._names.get(mapping.start - mapping.offset, FILE)
            self.regions.append(Region(mapping.start, mapping.end, born, n, name, mapping.protection))

    # ---- ends ----

    def leave(self, n: int) -> None:
        """Everything went: by an exec, or because nothing more is told (ALWAYS)."""
        for pointer in list(self._live):
            self._end_piece(pointer, n)
        self._free.take(0, ALWAYS, n)
        for page in list(self._resident):
            self._end_page(page, n)
        for mapping, born in self._mapped.values():
            self._end_region(mapping, born, n)
        self._mapped.clear()
        self._end_heap(n)
        self._break = (0, 0, n)

    def stand(self, end: ProcessEnd) -> None:
        """Add the regions of *end* that no call made: they were there when the program began."""
        for mapping in end.mappings:
            if mapping.path != HEAP and mapping.end <= ALWAYS:
                for start, stop in _without(mapping, self._space.within(mapping.start, mapping.end)):
                    self.regions.append(
                        Region(start, stop, self.begun, ALWAYS, mapping.path, mapping.protection)
                    )  # fmt: skip
                if mapping.path.startswith("/"):
                    self._names.setdefault(mapping.start - mapping.offset, mapping.path)


def _without(mapping: Mapping, known: Iterable[Mapping]) -> Iterator[tuple[int, int]]:
    """Yield the parts of *mapping* that none of *known*, in address order, covers."""
    at = mapping.start
    for other in known:
        if other.start > at:
            yield at, other.start
        at = max(at, other.end)
    if at < mapping.end:
        yield at, mapping.end


class Spans:
    """Follows a run: `take` every event in order of n, then `finish`, then `of` each process.

    Args:
        page_size: bytes of a page.
        seen: whether what is there from one n (included) to another (excluded) is to be kept; None: all that is there
            after any event at all. Memory grows with what is kept, and with what is there at a time.
        most: processes that are followed; further ones are counted in `left_out`.
    """

    def __init__(self, page_size: int = PAGE, seen: Seen | None = None, most: int = 32) -> None:
        self._page, self._most = page_size, most
        self._seen: Seen = seen if seen is not None else lambda born, died: born < died
        self._n = 0
        self._lives: Lives[SpansOf] = Lives(
            lambda _pid, _environment: SpansOf(self._n, self._seen, self._page),
            lambda spans, _t, _c: spans.copy(self._n),
        )
        self.of: dict[int, list[SpansOf]] = {}
        """By process: one of each program that ran in it. A vfork child is in its parent's until it calls exec."""
        self._owners: dict[int, int] = {}
        self.left_out = 0

    def take(self, event: Event) -> None:
        """Replay *event*."""
        self._n = event.n
        if isinstance(event, Process):
            self._process(event)
        held = self._held(event.pid)
        if held is None:
            return
        if isinstance(event, Call):
            held.call(event)
        elif isinstance(event, Fault):
            held.fault(event)
        elif isinstance(event, Syscall) and event.errno is None and event.result is not None:
            held.change(memory_call(event), event.n)

    def _process(self, event: Process) -> None:
        if event.what in ("start", "exec", "joined") and event.pid in self.of:
            self.of[event.pid][-1].leave(event.n)
        child = event.child if event.what == "fork" else None
        if child is not None and not self._has_room(child):
            return
        self._lives.take(event)
        if child is not None:
            self._held(child)

    def _has_room(self, pid: int) -> bool:
        if pid in self.of or len(self.of) < self._most:
            return True
        self.left_out += 1
        return False

    def _held(self, pid: int) -> SpansOf | None:
        if pid in self._lives and self._owners.get(id(self._lives.of(pid)), pid) != pid:
            return self._lives.of(pid)  # its parent's, until it calls exec
        if pid not in self.of and len(self.of) >= self._most:
            return None
        held = self._lives.of(pid)
        known = self.of.setdefault(pid, [])
        if not known or known[-1] is not held:
            known.append(held)
            self._owners[id(held)] = pid
        return held

    def finish(self, ends: Iterable[ProcessEnd]) -> None:
        """End what is still there, and add what *ends* say was there from the beginning."""
        for end in ends:
            if end.pid in self.of:
                self.of[end.pid][-1].stand(end)
        for programs in self.of.values():
            programs[-1].leave(ALWAYS)
