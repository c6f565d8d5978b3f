"""Where a real run departs from the book's six steps, each departure with its name, its reason and its evidence.

Every departure is found from the events alone; `model.departures` has the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from observer.model.addresses import is_numbered
from observer.model.departures import TOLD
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
from observer.model.operations import ALLOCATING, FREEING, OPERATIONS, RESIZING
from observer.story.many_calls import ManyCalls
from observer.story.memory import Memory
from observer.story.steps import is_step_six

__all__ = ["Departures", "Occurrence", "find_departures"]

_EVIDENCE: Final = 5


class Occurrence(msgspec.Struct, frozen=True):
    """One way in which the run left the book: `evidence` holds the n of the first few of its `count` events."""

    id: str
    title: str
    why: str
    evidence: tuple[int, ...]
    count: int


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
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
    return isinstance(_within(event, memory, RESIZING), Move)


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


_GIVERS: Final = FREEING | RESIZING | {"malloc_trim"}
_NOT_ALLOCATING: Final = frozenset(OPERATIONS) - ALLOCATING
_RULES: Final = (
    _Rule("mmap-threshold", Syscall, _own_mapping), _Rule("given-back-munmap", Syscall, _unmaps),
    _Rule("given-back-brk", Syscall, _trims), _Rule("given-back-madvise", Syscall, _advises),
    _Rule("mremap", Syscall, _moves), _Rule("allocator-touch", Fault, _fault_in_call),
    _Rule("kernel-touch", Fault, _kernel_touch), _Rule("zero-page", Fault, _zero_page),
    _Rule("copy-on-write", Fault, _copy_on_write), _Rule("thread-arena", Syscall, _arena),
    _Rule("thread-cache", Call, _tcache), _Rule("populated", Syscall, _populated), _Rule("major-fault", Fault, _major),
    _Rule("refused", Call, _refused),
)  # fmt: skip
"""In the order in which they are told."""

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
                if self._counts[i] <= _EVIDENCE or event.n < self._evidence[i][-1]:
                    self._evidence[i] = sorted([*self._evidence[i], event.n])[:_EVIDENCE]
        self._memory.learn(event)

    def add_many(self, calls: ManyCalls) -> None:
        """Judge many calls, but for those that events are told of."""
        told = {call.n for call in calls.telling}
        served = [n for n in calls.from_caches if n not in told]
        self.add_cached(len(served), served[:_EVIDENCE])

    def add_cached(self, count: int, first: Sequence[int]) -> None:
        """A thread cache served so many more calls; *first* are the n of the first of them."""
        which = next(i for i, rule in enumerate(_RULES) if rule.holds is _tcache)
        self._counts[which] += count
        self._evidence[which] = sorted([*self._evidence[which], *first])[:_EVIDENCE]

    def result(self) -> tuple[Occurrence, ...]:
        """Return the departures that happened, in the order of the rules."""
        return tuple(
            Occurrence(rule.id, TOLD[rule.id].headline, TOLD[rule.id].reason, tuple(evidence), count)
            for rule, evidence, count in zip(_RULES, self._evidence, self._counts, strict=True)
            if count
        )


def find_departures(events: Iterable[Event]) -> tuple[Occurrence, ...]:
    """Return the departures of *events*, given in order of n."""
    finder = Departures()
    for event in events:
        finder.add(event)
    return finder.result()
