"""Where a real run departs from the book's six steps, each departure with its name, its reason and its evidence.

Every departure is found from the events alone; the rules are one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from observer.model.addresses import is_numbered
from observer.model.events import Call, Event, Fault, Syscall
from observer.model.memory_calls import (
    Advise,
    Break,
    Lock,
    LockAll,
    Map,
    MemoryCall,
    Move,
    Protect,
    Unmap,
    memory_call,
)
from observer.model.operations import ALLOCATING, FREEING, OPERATIONS
from observer.story.memory import Memory
from observer.story.steps import is_step_six

__all__ = ["Departure", "Departures", "find_departures"]

_EVIDENCE: Final = 5


class Departure(msgspec.Struct, frozen=True):
    """One way in which the run left the book: `evidence` holds the n of the first few of its `count` events."""

    id: str
    title: str
    why: str
    evidence: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    title: str
    why: str
    on: type
    holds: Callable[[Event, Memory], bool]


def _within(event: Event, memory: Memory, ops: frozenset[str]) -> MemoryCall | None:
    """Return the memory call that *event* is and that the kernel granted inside an allocator call of *ops*."""
    caller = memory.call_of(event)
    if caller is None or caller.op not in ops or not isinstance(event, Syscall) or event.errno is not None:
        return None
    return memory_call(event)


def _own_mapping(event: Event, memory: Memory) -> bool:
    call = _within(event, memory, ALLOCATING)
    return isinstance(call, Map) and not call.reserves


def _unmaps(event: Event, memory: Memory) -> bool:
    return isinstance(_within(event, memory, _GIVERS), Unmap)


def _advises(event: Event, memory: Memory) -> bool:
    return isinstance(_within(event, memory, _GIVERS), Advise)


def _moves(event: Event, memory: Memory) -> bool:
    return isinstance(_within(event, memory, _MOVERS), Move)


def _arena(event: Event, memory: Memory) -> bool:
    if event.tid == event.pid:
        return False
    call = _within(event, memory, ALLOCATING)
    opens = isinstance(call, Protect) and call.protection != "---"
    return opens or (isinstance(call, Map) and call.reserves)


def _trims(event: Event, memory: Memory) -> bool:
    call = _within(event, memory, _NOT_ALLOCATING)
    return isinstance(call, Break) and not call.is_question


def _zero_page(event: Event, memory: Memory) -> bool:
    if not isinstance(event, Fault) or not _writes_anonymous(event):
        return False
    earlier = memory.earlier(event)
    return earlier is not None and not earlier.in_parent and earlier.access == "read"


def _copy_on_write(event: Event, memory: Memory) -> bool:
    if not isinstance(event, Fault) or event.access != "write":
        return False
    earlier = memory.earlier(event)
    if earlier is None or earlier.in_parent:
        return earlier is not None
    return not _writes_anonymous(event) and earlier.access in ("read", "exec")


def _writes_anonymous(event: Event) -> bool:
    if not isinstance(event, Fault) or event.access != "write":
        return False
    is_grown = (event.mapping or "").startswith(("[heap", "[stack"))
    return is_grown or is_numbered(event.mapping) or event.chunk is not None


def _fault_in_call(event: Event, _memory: Memory) -> bool:
    return isinstance(event, Fault) and event.toucher == "allocator" and is_step_six(event)


def _kernel_touch(event: Event, _memory: Memory) -> bool:
    return isinstance(event, Fault) and event.ring == 0 and event.toucher == "kernel" and event.chunk is not None


def _major(event: Event, _memory: Memory) -> bool:
    return isinstance(event, Fault) and event.major


def _refused(event: Event, _memory: Memory) -> bool:
    if not isinstance(event, Call) or event.op not in ALLOCATING or event.end_ns is None:
        return False
    return event.result == 0 and event.bytes_asked > 0


def _populated(event: Event, _memory: Memory) -> bool:
    call = memory_call(event) if isinstance(event, Syscall) else None
    if call is None or call.failed:
        return False
    return isinstance(call, (Lock, LockAll)) or (isinstance(call, Map) and "populate" in call.flags)


def _tcache(event: Event, _memory: Memory) -> bool:
    return isinstance(event, Call) and event.served_by == "tcache"


_MOVERS: Final = frozenset({"realloc", "reallocarray"})
_GIVERS: Final = FREEING | _MOVERS | {"malloc_trim"}
_NOT_ALLOCATING: Final = frozenset(OPERATIONS) - ALLOCATING
_RULES: Final = (
    _Rule(
        "mmap-threshold",
        "a large piece gets a mapping of its own",
        "Above a threshold (glibc: 128 KiB at first, then moving) malloc asks mmap instead of brk, so that the piece"
        " can go back to the kernel alone.",
        Syscall,
        _own_mapping,
    ),
    _Rule(
        "given-back-munmap",
        "freed memory goes back to the kernel",
        "In the book free pieces stay with malloc. A piece with a mapping of its own is unmapped when it is freed;"
        " touching it again would be a segmentation fault.",
        Syscall,
        _unmaps,
    ),
    _Rule(
        "given-back-brk",
        "the break moves down again",
        "When enough free memory lies at the end of the heap, free gives it back with brk.",
        Syscall,
        _trims,
    ),
    _Rule(
        "given-back-madvise",
        "pages go back, addresses stay",
        "madvise lets the kernel take the frames of free pages; the next touch is a page fault again.",
        Syscall,
        _advises,
    ),
    _Rule(
        "mremap",
        "realloc moves pages instead of bytes",
        "A piece with a mapping of its own is resized by mremap: the kernel changes page tables, nothing is copied.",
        Syscall,
        _moves,
    ),
    _Rule(
        "allocator-touch",
        "step 6 inside malloc",
        "The allocator writes the size of a piece beside it, so it is often malloc, not the program, that touches a"
        " page first.",
        Fault,
        _fault_in_call,
    ),
    _Rule(
        "kernel-touch",
        "the kernel touches first",
        "A system call such as read(2) filled memory that nobody had used: the page fault happens in ring 0, on the"
        " program's behalf.",
        Fault,
        _kernel_touch,
    ),
    _Rule(
        "zero-page",
        "the zero page: one page, two faults",
        "Reading memory never written maps one shared page of zeros; only the first write brings a frame of its own.",
        Fault,
        _zero_page,
    ),
    _Rule(
        "copy-on-write",
        "copy-on-write: one page, two faults",
        "A page shared with a parent process or with a file is copied to a frame of its own at the first write.",
        Fault,
        _copy_on_write,
    ),
    _Rule(
        "thread-arena",
        "a thread has an arena of its own",
        "Threads other than the first do not share the heap: malloc reserves a region for them with mmap and opens it"
        " bit by bit with mprotect.",
        Syscall,
        _arena,
    ),
    _Rule(
        "thread-cache",
        "the thread cache answers before any search",
        "glibc keeps the last few freed pieces of each size ready for each thread: they need no search.",
        Call,
        _tcache,
    ),
    _Rule(
        "populated",
        "frames before first use",
        "mlock or MAP_POPULATE asked the kernel for the frames at once, so no page fault follows.",
        Syscall,
        _populated,
    ),
    _Rule(
        "major-fault",
        "a page fault that reads the disk",
        "The page was not in memory at all: its contents came from a file or from swap.",
        Fault,
        _major,
    ),
    _Rule(
        "refused",
        "malloc returns NULL",
        "The kernel refused more memory (or the size cannot be had at all), so step 5 never came.",
        Call,
        _refused,
    ),
)


_RULES_ON: Final[dict[type, tuple[tuple[int, _Rule], ...]]] = {
    kind: tuple((i, rule) for i, rule in enumerate(_RULES) if rule.on is kind) for kind in (Call, Syscall, Fault)
}


class Departures:
    """The finder as a machine: `add` every event in order of n, ask for `result` at any time."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._counts = [0] * len(_RULES)
        self._evidence: list[list[int]] = [[] for _ in _RULES]

    def add(self, event: Event) -> None:
        """Judge one event by every rule."""
        for i, rule in _RULES_ON.get(type(event), ()):
            if rule.holds(event, self._memory):
                self._counts[i] += 1
                if len(self._evidence[i]) < _EVIDENCE:
                    self._evidence[i].append(event.n)
        self._memory.learn(event)

    def result(self) -> tuple[Departure, ...]:
        """Return the departures that happened, in the order of the table."""
        return tuple(
            Departure(rule.id, rule.title, rule.why, tuple(evidence), count)
            for rule, evidence, count in zip(_RULES, self._evidence, self._counts, strict=True)
            if count
        )


def find_departures(events: Iterable[Event]) -> tuple[Departure, ...]:
    """Return the departures of *events*, given in order of n."""
    finder = Departures()
    for event in events:
        finder.add(event)
    return finder.result()
