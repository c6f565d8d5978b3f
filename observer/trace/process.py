"""What is known of one process at one moment of the replay, and the words for its addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from observer.instruments.places import CodeMap
from observer.model.addresses import PAGE, AddressSpace, Mapping, page_down, page_up
from observer.trace.beside import Blocks
from observer.trace.heap_pages import HeapPages
from observer.trace.live import LiveChunks

__all__ = ["ProcessState", "apply_grant", "apply_release", "mappings_from"]

_STACK_REACH: Final = 1 << 30
_MAP_SHARED_BITS: Final = 0x3
_MADV_FREE, _MADV_DONTFORK, _MADV_DOFORK, _MADV_WIPEONFORK, _MADV_KEEPONFORK = 8, 10, 11, 18, 19
_GIVING_UP: Final = frozenset({4, 9, 24})  # MADV_DONTNEED, MADV_REMOVE, MADV_DONTNEED_LOCKED
_MREMAP_FIXED: Final = 2
_MREMAP_DONTUNMAP: Final = 4


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
    freed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Pointers that were given back and not given since: the index of the call that did, the number of the giver."""
    twice: set[int] = field(default_factory=set)
    """Pointers that were given back twice at some time."""

    def fork(self) -> ProcessState:
        """Return the copy that a fork child begins with."""
        child = ProcessState(
            self.space.copy(), self.code.copy(), self.live.copy(), dict(self.files), self.path,
            heap_pages=self.heap_pages.copy(), blocks=self.blocks.fork(), wiped=self.wiped.copy(),
            freed=dict(self.freed), twice=set(self.twice),
        )  # fmt: skip
        for area in self.unforked.mappings:
            child.unmap(area.start, area.size)
        for area in self.wiped.mappings:
            child.drop_pages(area.start, area.end)
        return child

    def copied(self, mappings: list[Mapping], heap_pages: set[int]) -> None:
        """The copy was read from the process itself: what other threads did during the fork is in it, or not."""
        before, now = _heap_end(self.space.mappings), _heap_end(mappings)
        self.space.become(0, max(mapping.end for mapping in mappings), mappings)
        self.heap_pages = HeapPages(heap_pages)
        if before != now:
            self.space.break_end = now

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
        """Name *address* in words that survive address randomisation."""
        space = self.space
        if space.break_start and space.break_start <= address < page_up(space.break_end):
            return f"heap+{address - space.break_start:#x}"
        mapping = space.find(address)
        if mapping is None:
            return "stack" if self._in_stack_reach(address) else None
        if mapping.path.startswith("map#"):
            return f"{mapping.path}+{mapping.offset + address - mapping.start:#x}"
        if mapping.path == "[stack]":
            return "stack"
        if mapping.path.startswith("/"):
            image = self.code.bias_of(mapping.path)
            base = image if image is not None else mapping.start - mapping.offset
            return f"{mapping.path.rsplit('/', 1)[-1]}+{address - base:#x}"
        return f"{mapping.path or 'anonymous'}+{address - mapping.start:#x}"


def _heap_end(mappings: Iterable[Mapping]) -> int:
    return max((mapping.end for mapping in mappings if mapping.path == "[heap]"), default=0)


def _protection(bits: int) -> str:
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


def apply_release(state: ProcessState, name: str, args: tuple[int, ...]) -> None:
    """Replay what a successful call takes away (munmap(2), mremap(2)); to be done at the call's entry.

    Calls of several threads overlap. What a call unmaps another may have mapped again before the first was seen to
    return; whoever unmaps a new mapping was told of it by that call's return. So taking at entries and giving at
    returns keeps the order in which things happened.
    """
    if name == "munmap":
        state.unmap(args[0], args[1])
    elif name == "madvise":
        _advise(state, args[0], args[1], args[2])
    elif name == "mremap" and _stays(args):
        state.unmap(args[0] + page_up(args[2]), max(page_up(args[1]) - page_up(args[2]), 0))
    elif name == "mremap" and args[1]:
        state.moving[args[0]] = state.space.find(args[0]), state.heap_pages.within(args[0], args[0] + args[1])
        if args[3] & _MREMAP_DONTUNMAP:
            state.drop_pages(args[0], args[0] + args[1])
        else:
            state.unmap(args[0], args[1])


def _advise(state: ProcessState, start: int, length: int, advice: int) -> None:
    if advice in _GIVING_UP:
        state.drop_pages(start, start + length)
    elif advice == _MADV_FREE:
        state.heap_pages.lazy |= state.heap_pages.within(start, start + length)
    elif advice in (_MADV_DONTFORK, _MADV_WIPEONFORK):
        areas = state.unforked if advice == _MADV_DONTFORK else state.wiped
        areas.map(start, length, "---")
    elif advice in (_MADV_DOFORK, _MADV_KEEPONFORK):
        areas = state.unforked if advice == _MADV_DOFORK else state.wiped
        areas.unmap(start, length)


def _stays(args: tuple[int, ...]) -> bool:
    """Whether an mremap does not grow and names no new place: what is kept stays where it is, in its parts."""
    return page_up(args[2]) <= page_up(args[1]) and not args[3] & (_MREMAP_FIXED | _MREMAP_DONTUNMAP)


def apply_grant(state: ProcessState, name: str, args: tuple[int, ...], result: int) -> None:
    """Replay what a successful call gives or changes (mmap(2), mremap(2), brk(2), mprotect(2)); at its return."""
    space = state.space
    if name == "brk":
        state.drop_pages(page_up(result), page_up(space.break_end))
        space.set_break(result)
    elif name == "mmap":
        path = state.files.pop(result, "")
        shared = args[3] & _MAP_SHARED_BITS in (1, 3)
        state.unmap(result, args[1])
        space.map(result, args[1], _protection(args[2]), path, args[5] if path else 0, shared=shared)
    elif name in ("mprotect", "pkey_mprotect"):
        space.protect(args[0], args[1], _protection(args[2]))
    elif name == "mremap" and not _stays(args):
        _arrive(state, args, result)


def _arrive(state: ProcessState, args: tuple[int, ...], result: int) -> None:
    """Replay the second half of an mremap that moved or grew."""
    old, length = args[0], args[2]
    source, pages = state.moving.pop(old, (None, set()))
    source = source or state.space.find(old)
    if source is None:
        return
    state.unmap(result, length)
    state.space.place(source, old, result, length)
    if state.meets_heap(result, result + length):
        state.heap_pages.came |= {page - old + result for page in pages if page - old < length}
        state.heap_pages.moved_in |= set(range(result, result + page_up(length), PAGE))


def mappings_from(notes: list[dict[str, Any]]) -> list[Mapping]:
    """Return mappings written into a note."""
    return [msgspec.convert(fields, Mapping) for fields in notes]
