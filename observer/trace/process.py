"""What is known of one process at one moment of the replay, and the words for its addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from observer.instruments.places import CodeMap
from observer.model.addresses import AddressSpace, Mapping, page_down, page_up
from observer.trace.live import LiveChunks

__all__ = ["ProcessState", "apply_grant", "apply_release", "mappings_from"]

_STACK_REACH: Final = 1 << 30
_MAP_SHARED_BITS: Final = 0x3
_MADV_DONTNEED: Final = 4
_MADV_DONTFORK: Final = 10
_MADV_DOFORK: Final = 11
_MREMAP_FIXED: Final = 2
_MREMAP_DONTUNMAP: Final = 4


@dataclass(slots=True)
class ProcessState:
    """One address space and its contents during the replay. Threads and vfork children share theirs."""

    space: AddressSpace = field(default_factory=AddressSpace)
    code: CodeMap = field(default_factory=CodeMap)
    live: LiveChunks = field(default_factory=LiveChunks)
    files: dict[int, str] = field(default_factory=dict)
    path: str = ""
    moving: dict[int, Mapping | None] = field(default_factory=dict)
    heap_pages: set[int] = field(default_factory=set)
    unforked: list[tuple[int, int]] = field(default_factory=list)
    freed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Pointers that were given back and not given since: the index of the call that did, the number of the giver."""
    twice: set[int] = field(default_factory=set)
    """Pointers that were given back twice at some time."""

    def fork(self) -> ProcessState:
        """Return the copy that a fork child begins with."""
        space = self.space.copy()
        for start, length in self.unforked:
            space.unmap(start, length)
        return ProcessState(
            space, self.code.copy(), self.live.copy(), dict(self.files), self.path,
            heap_pages=set(self.heap_pages), freed=dict(self.freed), twice=set(self.twice),
        )  # fmt: skip

    def fault(self, address: int) -> None:
        """A page came in; those of the heap are remembered until they are given back."""
        if self.space.break_start <= address < page_up(self.space.break_end):
            self.heap_pages.add(page_down(address))

    def drop_pages(self, start: int, end: int) -> None:
        """The pages of [start, end) were given back to the kernel."""
        if self.heap_pages and start < page_up(self.space.break_end) and end > self.space.break_start:
            self.heap_pages = {page for page in self.heap_pages if not start <= page < end}

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


def _protection(bits: int) -> str:
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


def apply_release(state: ProcessState, name: str, args: tuple[int, ...]) -> None:
    """Replay what a successful call takes away (munmap(2), mremap(2)); to be done at the call's entry.

    Calls of several threads overlap. What a call unmaps another may have mapped again before the first was seen to
    return; whoever unmaps a new mapping was told of it by that call's return. So taking at entries and giving at
    returns keeps the order in which things happened.
    """
    if name == "munmap":
        state.space.unmap(args[0], args[1])
        state.drop_pages(args[0], args[0] + args[1])
    elif name == "madvise" and args[2] == _MADV_DONTNEED:
        state.drop_pages(args[0], args[0] + args[1])
    elif name == "madvise" and args[2] == _MADV_DONTFORK:
        state.unforked.append((args[0], args[1]))
    elif name == "madvise" and args[2] == _MADV_DOFORK:
        state.unforked = [area for area in state.unforked if not args[0] <= area[0] < args[0] + args[1]]
    elif name == "mremap" and _stays(args):
        state.space.unmap(args[0] + page_up(args[2]), max(page_up(args[1]) - page_up(args[2]), 0))
    elif name == "mremap" and args[1] and not args[3] & _MREMAP_DONTUNMAP:
        state.moving[args[0]] = state.space.find(args[0])
        state.space.unmap(args[0], args[1])


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
        space.map(result, args[1], _protection(args[2]), path, args[5] if path else 0, shared=shared)
    elif name in ("mprotect", "pkey_mprotect"):
        space.protect(args[0], args[1], _protection(args[2]))
    elif name == "mremap" and not _stays(args):
        source = state.moving.pop(args[0], None) or space.find(args[0])
        if source is not None:
            space.place(source, args[0], result, args[2])


def mappings_from(notes: list[dict[str, Any]]) -> list[Mapping]:
    """Return mappings written into a note."""
    return [Mapping(**fields) for fields in notes]
