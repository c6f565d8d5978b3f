"""A recorded run as a workload: its allocator calls, the first touches that were seen, its own mappings and forks.

Only touches that faulted are known, so the workload touches what the run touched first and nothing twice. What the
language cannot say (mappings unmapped in part, shared memory, threads as such) is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from observer.model.addresses import PAGE, page_down, page_up
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.memory_calls import Advise, Lock, Map, Protect, Unlock, Unmap, memory_call
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.simulator.workload import Operation

__all__ = ["RecordedWorkload"]

_LIVES: Final = frozenset({"process"})
_LARGEST: Final = (1 << 63) - 1
_LOADERS: Final = ("ld-linux", "ld-musl", "ld.so", "ld-2")
_ADVICE: Final = {"dontneed": "dontneed", "free": "lazyfree", "hugepage": "hugepage", "nohugepage": "nohugepage"}
_PROTECTIONS: Final = {"---": "noaccess", "r--": "readonly", "rw-": "writable"}


class _Names:
    """What one process holds: names by address."""

    def __init__(self) -> None:
        self.pieces: dict[int, tuple[str, int]] = {}
        self.mappings: dict[int, tuple[str, int]] = {}

    def copy(self) -> _Names:
        twin = _Names()
        twin.pieces, twin.mappings = dict(self.pieces), dict(self.mappings)
        return twin

    def mapping_at(self, address: int) -> tuple[int, str, int] | None:
        for start, (name, size) in self.mappings.items():
            if start <= address < start + size:
                return start, name, size
        return None


class RecordedWorkload:
    """Turns events into operations; `left_out` counts what the language cannot say, by what it was.

    The first process's events are read when they are told; those of its children are held, since they are told where
    the child was forked.

    Args:
        events: yields those of some kinds (None: all) in order of n, from the beginning each time it is called.
        page_size: of the machine that was recorded, in bytes.
    """

    def __init__(self, events: Callable[[frozenset[str] | None], Iterable[Event]], page_size: int = PAGE) -> None:
        self._page = page_size
        self.left_out: dict[str, int] = {}
        self._events = events
        self._begun: dict[int, int] = {}
        """The last exec of each process: what another program did before is another run."""
        self._count = 0

    def operations(self) -> Iterator[Operation]:
        """Yield the first process's operations; a child's stand where it was forked."""
        has_children = False
        for event in self._events(_LIVES):
            if isinstance(event, Process):
                has_children = has_children or event.what == "fork"
                if event.what == "exec":
                    self._begun[event.pid] = event.n
        first = next((event.pid for event in self._events(None)), None)
        children: dict[int, list[Event]] = {}
        for event in self._events(None) if has_children else ():
            if event.pid != first and self._is_of_run(event):
                children.setdefault(event.pid, []).append(event)
        own = (event for event in self._events(None) if event.pid == first and self._is_of_run(event))
        yield from self._of(own, _Names(), children)

    def _is_of_run(self, event: Event) -> bool:
        return event.n >= self._begun.get(event.pid, 0)

    def _of(
        self, events: Iterable[Event], names: _Names, children: Mapping[int, Sequence[Event]]
    ) -> Iterator[Operation]:  # fmt: skip
        """Yield one process's operations; touches of one page after the other are one with a length."""
        held: tuple[Operation, int] | None = None
        for event in events:
            if isinstance(event, Fault):
                touch = self._touch(event, names)
                if touch is None:
                    continue
                if held is not None and self._continues(held, touch, event):
                    first = held[0].numbers[0]
                    touch = Operation(touch.kind, touch.name, (first, touch.numbers[0] - first + 1))
                elif held is not None:
                    yield held[0]
                held = touch, page_down(event.address, self._page)
                continue
            for operation in self._other(event, names, children):
                if held is not None:
                    yield held[0]
                    held = None
                yield operation
        if held is not None:
            yield held[0]

    def _continues(self, held: tuple[Operation, int], touch: Operation, fault: Fault) -> bool:
        operation, last_page = held
        alike = (operation.kind, operation.name) == (touch.kind, touch.name)
        return alike and page_down(fault.address, self._page) == last_page + self._page

    def _other(
        self, event: Event, names: _Names, children: Mapping[int, Sequence[Event]]
    ) -> Iterator[Operation]:  # fmt: skip
        if isinstance(event, Call):
            yield from self._call(event, names)
        elif isinstance(event, Syscall) and event.cause is None and event.errno is None:
            yield from self._syscall(event, names)
        elif isinstance(event, Process) and event.what == "fork" and event.child is not None:
            yield Operation("fork")
            yield from self._of(children.get(event.child, ()), names.copy(), children)
            yield Operation("exit")

    def _leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def _new_name(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    # ---- calls ----------------------------------------------------------------------------------------------

    def _call(self, call: Call, names: _Names) -> Iterator[Operation]:
        held = names.pieces.get(call.pointer or 0)
        size = call.bytes_asked
        if call.op in FREEING or (call.op in RESIZING and call.pointer and not size):
            if held is not None and call.pointer is not None:
                del names.pieces[call.pointer]
                yield Operation("free", held[0])
            elif call.pointer:
                self._leave_out("free of memory that was not seen to be handed out")
            return
        if call.op not in ALLOCATING:
            return
        if not call.result:
            self._leave_out("calls that returned nothing")
            return
        if max(size, call.size or 0, call.count or 0) > _LARGEST:
            self._leave_out("calls with numbers larger than any object")
            return
        yield self._allocation(call, call.result, held, names)

    def _allocation(self, call: Call, result: int, held: tuple[str, int] | None, names: _Names) -> Operation:
        size = call.bytes_asked
        if held is not None and call.pointer:
            del names.pieces[call.pointer]
            names.pieces[result] = held[0], size
            return Operation("realloc", held[0], (size,))
        name = self._new_name("p")
        names.pieces[result] = name, size
        if call.op == "calloc":
            return Operation("calloc", name, (call.count or 0, call.size or 0))
        if call.op in ("valloc", "pvalloc") or (call.alignment and call.alignment & (call.alignment - 1) == 0):
            return Operation("memalign", name, (call.alignment or self._page, size))
        return Operation("malloc", name, (size,))

    # ---- touches --------------------------------------------------------------------------------------------

    def _touch(self, fault: Fault, names: _Names) -> Operation | None:
        if fault.cause is not None:
            return None  # the allocator's own; a replay's allocator does the like
        kind = "read" if fault.access == "read" else "touch"
        if fault.chunk is not None and fault.chunk.address in names.pieces:
            name, size = names.pieces[fault.chunk.address]
            offset = fault.address - fault.chunk.address
            if 0 <= offset < size:
                return Operation(kind, name, (offset,))
        mapping = names.mapping_at(fault.address)
        return None if mapping is None else Operation(kind, mapping[1], (fault.address - mapping[0],))

    # ---- mappings -------------------------------------------------------------------------------------------

    def _syscall(self, event: Syscall, names: _Names) -> Iterator[Operation]:
        call = memory_call(event)
        if isinstance(call, Map):
            if event.site is None or not (event.site.module or "").startswith(_LOADERS):
                yield from self._map(call, names)
            return
        held = names.mappings.get(event.args[0]) if event.args else None
        if held is not None:
            yield from self._on_mapping(event, held, names)
        elif isinstance(call, Advise):
            yield from self._on_piece(call, names)

    def _on_mapping(self, event: Syscall, held: tuple[str, int], names: _Names) -> Iterator[Operation]:
        """Yield what a call that begins where a mapping does means for it, if the language can say that."""
        call, (name, size) = memory_call(event), held
        if page_up(event.args[1], self._page) != size:
            self._leave_out(f"{event.name} of a part of a mapping")
        elif isinstance(call, Unmap):
            del names.mappings[call.start]
            yield Operation("unmap", name)
        elif isinstance(call, Protect) and call.protection in _PROTECTIONS:
            yield Operation(_PROTECTIONS[call.protection], name)
        elif isinstance(call, Advise) and call.advice in _ADVICE:
            yield Operation(_ADVICE[call.advice], name)
        elif isinstance(call, Unlock) or (isinstance(call, Lock) and not call.on_fault):
            yield Operation("lock" if isinstance(call, Lock) else "unlock", name)
        else:
            self._leave_out(event.name)

    def _on_piece(self, call: Advise, names: _Names) -> Iterator[Operation]:
        """Yield what madvise said of the whole pages of a piece; other ranges inside pieces are left out."""
        for address, (name, size) in names.pieces.items():
            if address <= call.start < address + size:
                whole = page_up(address, self._page), page_down(address + size, self._page)
                if (call.start, page_up(call.end, self._page)) == whole and call.advice in _ADVICE:
                    yield Operation(_ADVICE[call.advice], name)
                else:
                    self._leave_out("madvise of a part of a piece")
                return

    def _map(self, call: Map, names: _Names) -> Iterator[Operation]:
        is_plain = call.flags >= {"private", "anonymous"} and "fixed" not in call.flags and call.protection == "rw-"
        if not is_plain or not call.start:
            self._leave_out("mappings that are not private, anonymous and writable")
            return
        name, size = self._new_name("m"), call.size(self._page)
        names.mappings[call.start] = name, size
        yield Operation("populate" if "populate" in call.flags else "map", name, (size,))
