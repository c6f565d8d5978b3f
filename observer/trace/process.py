"""What is known of one process at one moment of the replay, and the words for its addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.instruments.places import CodeMap
from observer.model.addresses import AddressSpace, Mapping, is_numbered, page_down, page_up
from observer.model.memory_calls import Advise, Break, Map, MemoryCall, Move, Protect, Unmap, decode
from observer.model.where import Where, text_of
from observer.trace.beside import Blocks
from observer.trace.columns import Words
from observer.trace.doubts import Doubts
from observer.trace.heap_pages import HeapPages
from observer.trace.known_callers import KnownCallers
from observer.trace.live import GivenBack, LiveChunks
from observer.trace.stacks import KnownStacks

__all__ = ["Places", "ProcessState", "apply_grant", "apply_release", "renamed"]

_STACK_REACH: Final = 1 << 30
_BEYOND: Final = 1 << 57
"""No program has an address here: with five levels of page tables x86-64 gives it 56 bits, AArch64 at most 52."""
_NOWHERE: Final = 0, 0
_ANYWHERE: Final = 0, 1 << 64


class Places(NamedTuple):
    """Where addresses lie: the numbers of the names, the bytes behind their beginnings (-1: not told), and which lie
    on the stack, or among the variables of the program or of a library.
    """

    names: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    are_elsewhere: npt.NDArray[np.bool_]


@dataclass(slots=True)
class ProcessState:
    """One address space and its contents during the replay. Threads and vfork children share theirs.

    `unforked` and `wiped` are the areas that a fork child does not get, or gets empty (MADV_DONTFORK, MADV_WIPEONFORK),
    `moving` the mappings under way in mremap, with their heap pages.
    """

    space: AddressSpace = field(default_factory=AddressSpace)
    code: CodeMap = field(default_factory=CodeMap)
    live: LiveChunks = field(default_factory=LiveChunks)
    files: dict[int, str] = field(default_factory=dict)
    path: str = ""
    moving: dict[int, tuple[Mapping | None, set[int]]] = field(default_factory=dict)
    heap_pages: HeapPages = field(default_factory=HeapPages)
    blocks: Blocks = field(default_factory=Blocks)
    unforked: AddressSpace = field(default_factory=AddressSpace)
    wiped: AddressSpace = field(default_factory=AddressSpace)
    freed: GivenBack = field(default_factory=GivenBack)
    callers: KnownCallers = field(default_factory=KnownCallers)
    stacks: KnownStacks = field(default_factory=KnownStacks)
    twice: set[int] = field(default_factory=set)
    """Pointers that were given back twice at some time, or from inside a piece."""
    doubts: Doubts = field(default_factory=Doubts)

    def fork(self) -> ProcessState:
        """Return the copy that a fork child begins with."""
        child = ProcessState(
            self.space.copy(), self.code.copy(), self.live.copy(), dict(self.files), self.path,
            heap_pages=self.heap_pages.copy(), blocks=self.blocks.fork(), wiped=self.wiped.copy(),
            freed=self.freed.copy(), twice=set(self.twice), doubts=self.doubts.copy(),
        )  # fmt: skip
        for area in self.unforked.mappings:
            child.unmap(area.start, area.size)
        for area in self.wiped.mappings:
            child.drop_pages(area.start, area.end)
        return child

    def copied(self, mappings: Sequence[Mapping], heap_pages: set[int]) -> None:
        """The copy was read from the process itself: what other threads did during the fork is in it, or not."""
        self.doubts.is_copy = True
        before, now = _heap_end(self.space.mappings), _heap_end(mappings)
        self.space.become(0, max(mapping.end for mapping in mappings), mappings)
        self.heap_pages = HeapPages(heap_pages)
        if before != now:
            self.space.break_end = now

    def lived(self, heap_pages: set[int]) -> None:
        """The process was there before the recording began, with these pages of its heap."""
        self.doubts.is_partial = True
        self.heap_pages = HeapPages(heap_pages)
        self.space.break_end = _heap_end(self.space.mappings) or self.space.break_end

    def fault(self, address: int) -> None:
        """A page came in; those of the heap are remembered until they are given back."""
        if self.space.break_start <= address < page_up(self.space.break_end):
            self.heap_pages.touch(page_down(address))

    def unmap(self, start: int, length: int) -> None:
        """Nothing is mapped in [start, start+length) any more."""
        self.space.unmap(start, length)
        self.unforked.unmap(start, length)
        self.wiped.unmap(start, length)
        self.drop_pages(start, start + length)

    def drop_pages(self, start: int, end: int) -> None:
        """The pages of [start, end) were given back to the kernel."""
        if self.meets_heap(start, end):
            self.heap_pages.drop(start, end)

    def meets_heap(self, start: int, end: int) -> bool:
        """Whether a part of [start, end) lies below the break."""
        return start < page_up(self.space.break_end) and end > self.space.break_start

    def mapping_name(self, address: int) -> str | None:
        """Return what maps *address*: `[heap]`, `map#k`, `[stack]`, a path."""
        mapping = self.space.find(address)
        if mapping is not None:
            return mapping.path or "anonymous"
        return "[stack]" if self._in_stack_reach(address) else None

    def _in_stack_reach(self, address: int) -> bool:
        # The stack grows by faults, without a call that could be replayed.
        return any(m.path == "[stack]" and m.start - _STACK_REACH <= address < m.end for m in self.space.mappings[-6:])

    def where(self, address: int) -> str | None:
        """Name *address* in words that survive address randomisation (`model.where`)."""
        name, offset = self._found(address)
        return text_of(name, offset) if name else None

    def places_of(self, addresses: npt.NDArray[np.uint64], words: Words) -> Places:
        """Name all of *addresses*: those of one mapping have one name, and one beginning."""
        space = self.space
        starts = np.array([mapping.start for mapping in space.mappings], dtype=np.uint64)
        ends = np.array([0, *(mapping.end for mapping in space.mappings)], dtype=np.uint64)
        low, high = np.uint64(space.break_start), np.uint64(page_up(space.break_end) if space.break_start else 0)
        which = np.searchsorted(starts, addresses, side="right")
        which[(addresses >= low) & (addresses < high)] = len(ends)
        alone = np.flatnonzero((which < len(ends)) & (addresses >= ends[np.minimum(which, len(ends) - 1)]))
        which[alone] = len(ends) + 1 + np.arange(len(alone))  # outside all mappings, each is asked for by itself
        kinds = np.flatnonzero(np.bincount(which))
        one_of = np.zeros(int(kinds[-1]) + 1, dtype=np.int64)
        one_of[which] = np.arange(len(which))
        found = [self._named(address, words) for address in addresses[one_of[kinds]].tolist()]
        one_of[kinds] = np.arange(len(kinds))
        each = one_of[which]
        names, begins, have_offsets, are_elsewhere = zip(*found, strict=True)
        offsets = (addresses - np.array(begins, dtype=np.uint64)[each]).view(np.int64)
        offsets[~np.array(have_offsets)[each]] = -1
        return Places(np.array(names, dtype=np.int32)[each], offsets, np.array(are_elsewhere)[each])

    def _named(self, address: int, words: Words) -> tuple[int, int, bool, bool]:
        """Return the number of the name of *address*, where that begins, if anywhere, and whether it lies elsewhere."""
        name, offset = self._found(address)
        return words.number(name or None), address - (offset or 0), offset is not None, self.lies_elsewhere(address)

    def lies_elsewhere(self, address: int) -> bool:
        """Whether *address* lies on the stack, or among the variables of the program or of a library."""
        space = self.space
        if space.break_start <= address < page_up(space.break_end):
            return False
        mapping = space.find(address)
        if mapping is None:
            return self._in_stack_reach(address)
        if mapping.path.startswith("[") or self._is_image(mapping):
            return True
        if is_numbered(mapping.path) or self.doubts.is_copy:
            return False
        before = space.find(mapping.start - 1)  # behind a file's variables lie those that begin as zero
        return before is not None and self._is_image(before)

    def _is_image(self, mapping: Mapping) -> bool:
        return mapping.path.startswith("/") and self.code.bias_of(mapping.path) is not None

    def place(self, address: int) -> Where | None:
        """Return what lies at *address*, and how far behind its beginning; None where nothing is known."""
        name, offset = self._found(address)
        return Where(name, offset) if name else None

    def _found(self, address: int) -> tuple[str, int | None]:
        space = self.space
        if space.break_start and space.break_start <= address < page_up(space.break_end):
            return "heap", address - space.break_start
        mapping = space.find(address)
        if mapping is None:
            return "stack" if self._in_stack_reach(address) else "", None
        if mapping.path == "[stack]":
            return "stack", None
        if is_numbered(mapping.path):
            return mapping.path, mapping.offset + address - mapping.start
        if mapping.path.startswith("/"):
            image = self.code.bias_of(mapping.path)
            base = image if image is not None else mapping.start - mapping.offset
            return mapping.path.rsplit("/", 1)[-1], address - base
        return mapping.path or "anonymous", address - mapping.start


def _heap_end(mappings: Iterable[Mapping]) -> int:
    return max((mapping.end for mapping in mappings if mapping.path == "[heap]"), default=0)


def renamed(state: ProcessState, name: str, args: tuple[int, ...], result: int | None = None) -> tuple[int, int]:
    """Return [start, end): a successful call changes names of addresses nowhere else, at its entry, without a *result*,
    or at its return.
    """
    call = _possible(decode(name, args, result))
    if isinstance(call, Move):
        return _ANYWHERE
    if isinstance(call, Unmap) and result is None:
        return _around(state.space, call.start, page_up(call.end))
    if isinstance(call, Map) and result is not None:
        return _around(state.space, result, result + call.size())
    if isinstance(call, Protect) and result is not None:  # it may cut a mapping in two
        return _around(state.space, call.start, page_up(call.end))
    if isinstance(call, Break) and result is not None:
        space = state.space
        before, now = page_up(space.break_end), page_up(result)
        return _around(space, min(before, now), max(before, now)) if space.break_start else _ANYWHERE
    return _NOWHERE


def _around(space: AddressSpace, start: int, end: int) -> tuple[int, int]:
    """Return where names change if [start, end) is mapped anew, or no longer.

    What loses its beginning, or what was in front of it, may be named anew as a whole, if its name counts from there.
    """
    behind = space.find(end)
    keeps_name = behind is None or behind.path == "[heap]" or behind.path.startswith("/") or is_numbered(behind.path)
    return (start, end) if keeps_name else _ANYWHERE


def _possible(call: MemoryCall | None) -> MemoryCall | None:
    """Return *call*, or None where no kernel carries out such a one: its record is damaged."""
    match call:
        case Break(end=end):
            is_possible = end is None or 0 <= end < _BEYOND
        case Map(start=start, length=length):
            is_possible = start is None or (start >= 0 and start + length < _BEYOND)
        case Move(end=end, new_start=start, new_length=length):
            new_start = start if start is not None else 0
            is_possible = end < _BEYOND and new_start >= 0 and new_start + length < _BEYOND
        case Protect(end=end) | Unmap(end=end) | Advise(end=end):
            is_possible = end < _BEYOND
        case _:
            return call
    return call if is_possible else None


def apply_release(state: ProcessState, name: str, args: tuple[int, ...]) -> None:
    """Replay what a successful call takes away (munmap(2), mremap(2)); to be done at the call's entry.

    Calls of several threads overlap. What a call unmaps another may have mapped again before the first was seen to
    return; whoever unmaps a new mapping was told of it by that call's return. So taking at entries and giving at
    returns keeps the order in which things happened.
    """
    call = _possible(decode(name, args))
    if isinstance(call, Unmap):
        state.unmap(call.start, call.length)
    elif isinstance(call, Advise):
        _advise(state, call)
    elif isinstance(call, Move):
        _depart(state, call)


def _advise(state: ProcessState, call: Advise) -> None:
    if call.advice in ("dontneed", "remove", "dontneed_locked"):
        state.drop_pages(call.start, call.end)
    elif call.advice == "free":
        state.heap_pages.lazy |= state.heap_pages.within(call.start, call.end)
    elif call.advice in ("dontfork", "wipeonfork"):
        areas = state.unforked if call.advice == "dontfork" else state.wiped
        areas.map(call.start, call.length, "---")
    elif call.advice in ("dofork", "keeponfork"):
        areas = state.unforked if call.advice == "dofork" else state.wiped
        areas.unmap(call.start, call.length)


def _depart(state: ProcessState, call: Move) -> None:
    """Replay the first half of an mremap."""
    if call.shrinks_in_place:
        state.unmap(call.start + call.new_size(), call.size() - call.new_size())
    elif call.length:
        state.moving[call.start] = state.space.find(call.start), state.heap_pages.within(call.start, call.end)
        if "dontunmap" in call.flags:
            state.drop_pages(call.start, call.end)
        else:
            state.unmap(call.start, call.length)


def apply_grant(state: ProcessState, name: str, args: tuple[int, ...], result: int) -> None:
    """Replay what a successful call gives or changes (mmap(2), mremap(2), brk(2), mprotect(2)); at its return."""
    call = _possible(decode(name, args, result))
    if isinstance(call, Break):
        state.drop_pages(page_up(result), page_up(state.space.break_end))
        state.space.set_break(result)
    elif isinstance(call, Map):
        path = state.files.pop(result, "")
        state.unmap(result, call.length)
        shared, offset = "shared" in call.flags, call.offset if path else 0
        grows = "growsdown" in call.flags
        state.space.map(result, call.length, call.protection, path, offset, shared=shared, grows=grows)
    elif isinstance(call, Protect):
        state.space.protect(call.start, call.length, call.protection)
    elif isinstance(call, Move) and not call.shrinks_in_place:
        _arrive(state, call, result)


def _arrive(state: ProcessState, call: Move, result: int) -> None:
    """Replay the second half of an mremap that moved or grew."""
    old, length = call.start, call.new_length
    source, pages = state.moving.pop(old, (None, set()))
    source = source or state.space.find(old)
    if source is None:
        return
    state.unmap(result, length)
    state.space.place(source, old, result, length)
    if state.meets_heap(result, result + length):
        state.heap_pages.came |= {page - old + result for page in pages if page - old < length}
        state.heap_pages.moved_in.map(result, length, "---")
