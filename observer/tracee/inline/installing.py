"""The inline recorder put into an address space: memory of its own, mapped in the program's place, and jumps to it.

All of that is done at a stop of the only thread there is, so that nobody executes what is exchanged. The memory lies
where the program's own mappings will hardly come: in a gap a gigabyte from the library, in reach of its jumps, or where
these reach 128 MiB, between the topmost library and the stack.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from observer.arch.known import NATIVE
from observer.code.moving import Stretch
from observer.linux.perf import BYTES_OF_HEAD
from observer.linux.procfs import PAGE, read_mappings, seccomp_filters, task_counters
from observer.model.addresses import Mapping
from observer.model.operations import LONG, STORING
from observer.recording.notes import OWN_MEMORY, Annexed, Populated
from observer.recording.sink import Sink
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.carrying import Footprint
from observer.tracee.injection import EndedMeanwhile, call_in
from observer.tracee.inline.annex import Annex, Hook, Plan, lay_out, room_for
from observer.tracee.inline.assembled import Stub
from observer.tracee.inline.heads import map_head
from observer.tracee.inline.landing_code import landing_code_of
from observer.tracee.inline.ring import Ring
from observer.tracee.inline.room import FOR_RING, grows_downward, near, place_of_ring, place_of_words
from observer.tracee.inline.shapes import EACH_A_PIECE, FEW_PIECES, Shapes
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["Installer", "Refused"]

_MMAP, _MUNMAP, _MREMAP, _MADVISE, _CLOSE, _MEMFD = NATIVE.numbers(
    "mmap", "munmap", "mremap", "madvise", "close", "memfd_create"
)  # fmt: skip
_READ, _WRITE, _EXEC = 1, 2, 4
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS, _POPULATE, _NO_REPLACE = 1, 2, 0x10, 0x20, 0x8000, 0x100000
_POPULATE_WRITE: Final = 23
_CLOSE_ON_EXEC: Final = 1
_NO_FILE: Final = (1 << 64) - 1
_GATE: Final = NATIVE.calls.gates[0].code
_CODE: Final = landing_code_of(NATIVE)
_ALL_CODE: Final = ((PAGE, NATIVE.kernel_half),)
_TRAP: Final = NATIVE.trap.code


class Refused(Exception):
    """The program's breakpoints stay; the text says why."""


class Installer:
    """Puts stubs into programs. `number` gives a function its number, told the breakpoint that follows it instead.

    With *stacks* every call has a piece of stack, not only those that the C library makes for the program. *samples*
    are the rings by which a thread may know when to read the clock, None where it always has to.
    """

    def __init__(
        self, stub: Stub, sink: Sink, pages: Footprint, number: Callable[[Breakpoint], int],
        head: Callable[[int], int | None] | None, *, stacks: bool,
    ) -> None:  # fmt: skip
        self._stub, self._sink, self._pages, self._number, self._head = stub, sink, pages, number, head
        self._stacks, self._shapes = stacks, EACH_A_PIECE if stacks else FEW_PIECES

    def install(self, task: Task, memory: Memory, plan: Plan, *, is_alone: bool) -> Annex:
        """Exchange breakpoints of *plan* for jumps; the only task of *memory* that runs stands at one of them.

        Raises:
            Refused: nothing was exchanged.
            OSError: the task is gone.
        """
        space = memory.inline
        if len(memory.libc_text) > self._stub.MOST_RANGES:
            raise Refused("the C library is in too many pieces")
        self._check_filters(task)
        mappings = read_mappings(task.tid)
        places = [address + plan.bias for address in (*plan.entries, *plan.ends)]
        start = near(mappings, places, room_for(plan, self._stub), is_downward=grows_downward(task.pid))
        if not start:
            raise Refused("there is no room in reach of its functions")
        with self._pages.excluded():
            self._map_annex(task, memory, plan, start)
            if space.ring is None:
                try:
                    self._map_ring(task, memory, start, place_of_ring(mappings))
                    if is_alone and _CODE.spares_the_clock:
                        self._map_head(task, memory, start)
                except Refused:
                    self._call(task, memory, start, _MUNMAP, start, room_for(plan, self._stub))
                    raise
            annex = lay_out(
                plan, self._stub, start, words=self._map_words(task, memory, start, mappings),
                table=space.ring_address, libc=_ALL_CODE if self._stacks else memory.libc_text,
                mask=NATIVE.unsigned((1 << 64) - 1, start, mappings[-1].start), number=self._number, stores=STORING,
                long=LONG, stands=lambda stretch: _stands(memory, stretch),
            )  # fmt: skip
            # Before the program can be killed between: numbers of functions that nobody explains are none.
            self._note(task, annex, space.ring_address)
            memory.pwrite(bytes(annex.code), start)
            if annex.words_at:
                memory.pwrite(bytes(annex.words), annex.words_at)
            self._exchange(task, memory, annex)
        return annex

    def _note(self, task: Task, annex: Annex, ring: int) -> None:
        self._sink.notes.append(
            Annexed(
                pid=task.pid, t=time.monotonic_ns(), start=annex.start, end=annex.end, places=tuple(annex.places),
                functions=tuple(annex.functions), memory=(ring, ring + FOR_RING),
            )
        )  # fmt: skip

    def _map_annex(self, task: Task, memory: Memory, plan: Plan, start: int) -> None:
        """Have the program map an annex at *start*, with the stub in it.

        It lends the code of one of its functions, which has become private by its breakpoint, for the instruction:
        elsewhere a page might be brought in by looking.
        """
        memory.inline.ours.append((start, start + room_for(plan, self._stub)))
        place = next(iter(plan.entries.values())).address
        lent = memory.read(place, len(_GATE))
        memory.poke(task.tid, place, _GATE)
        flags = _PRIVATE | _ANONYMOUS | _FIXED | _NO_REPLACE
        args = (start, room_for(plan, self._stub), _READ | _EXEC, flags, _NO_FILE, 0)
        try:
            result = call_in(task.tid, memory, place, _MMAP, args)
        except EndedMeanwhile:
            with contextlib.suppress(OSError):
                memory.pwrite(lent, place)
            raise
        memory.poke(task.tid, place, lent)
        _checked(result)
        memory.pwrite(self._stub.code, start)

    def _map_words(self, task: Task, memory: Memory, annex: int, mappings: Sequence[Mapping]) -> int:
        """Have the program map a page in the lowest 2 GiB; return its address, 0 if it cannot be had, or used."""
        if not _CODE.can_jump_far:
            return 0
        place = place_of_words(mappings)
        flags = _PRIVATE | _ANONYMOUS | _FIXED | _NO_REPLACE
        memory.inline.ours.append((place, place + PAGE))
        try:
            self._call(task, memory, annex, _MMAP, place, PAGE, _READ, flags, _NO_FILE, 0)
        except Refused:
            memory.inline.ours.pop()
            return 0
        return place

    def _exchange(self, task: Task, memory: Memory, annex: Annex) -> None:
        """Put the jumps in the breakpoints' place, one by one: the task may be killed between."""
        memory.inline.add(annex)
        memory.breakpoints.update(annex.points)
        for hook in annex.hooks:
            point = hook.instead_of
            memory.poke(task.tid, hook.address, hook.planted)
            memory.inline.hooked(hook)
            del memory.breakpoints[point.address]
            before = point.code[: len(point.planted)][: max(hook.address - point.address, 0)]
            if before:
                memory.poke(task.tid, point.address, before)
            at = max(hook.address + len(hook.planted) - point.address, 0)
            if rest := point.code[at : len(point.planted)]:
                memory.poke(task.tid, point.address + at, rest)

    def _check_filters(self, task: Task) -> None:
        if seccomp_filters(task.tid) > 1:
            raise Refused("the program filters its own system calls")
        if task.memory is None or task.memory.fd < 0:
            raise Refused("the process forbids to be read (PR_SET_DUMPABLE)")

    def _call(self, task: Task, memory: Memory, annex: int, number: int, *args: int) -> int:
        """Make a system call by the gate of the annex at the address *annex*."""
        return _checked(call_in(task.tid, memory, annex + self._stub.gate, number, args))

    # ---- the ring ----

    def _map_ring(self, task: Task, memory: Memory, annex: int, address: int) -> None:
        """Make a ring and have the program map it at *address*, by the annex at the address *annex*."""
        if not address:
            raise Refused("its address space is too full")
        memory.inline.ours.append((address, address + FOR_RING))
        self._pages_of_ring(task, memory, annex, address, _NO_REPLACE, self._shapes)

    def wake(self, task: Task, memory: Memory) -> None:
        """Make the ring of a forked child, in the place of its parent's, which it has until then.

        Raises:
            Refused: it has none now, and its functions are as they would be with breakpoints.
            OSError: the task is gone.
        """
        space = memory.inline
        space.is_asleep = False
        try:
            self._check_filters(task)
            with self._pages.excluded():
                annex, shapes = space.annexes[0].start, self._shapes.of_child
                rest = space.ring_address + shapes.first
                if space.inherited > shapes.first:
                    self._call(task, memory, annex, _MUNMAP, rest, space.inherited - shapes.first)
                self._pages_of_ring(task, memory, annex, space.ring_address, 0, shapes)
        except Refused:
            self.remove(task, memory, 0, 1 << 64)
            self._stir(task, memory)
            raise
        self._stir(task, memory)

    def lull(self, task: Task, memory: Memory) -> None:
        """Have a forked child, which has not run yet, come to us at its first call: its ring is its parent's."""
        with self._pages.excluded():
            for annex in memory.inline.annexes:
                for at in (annex.stub.enter, annex.stub.leave, annex.stub.tail):
                    memory.inline.traps.add(annex.start + at)
                    memory.poke(task.tid, annex.start + at, _TRAP)

    def _stir(self, task: Task, memory: Memory) -> None:
        with self._pages.excluded():
            for annex in memory.inline.annexes:
                for at in (annex.stub.enter, annex.stub.leave, annex.stub.tail):
                    memory.inline.traps.discard(annex.start + at)
                    memory.poke(task.tid, annex.start + at, annex.stub.code[at : at + len(_TRAP)])

    def _pages_of_ring(
        self, task: Task, memory: Memory, annex: int, address: int, flag: int, shapes: Shapes
    ) -> None:  # fmt: skip
        with self._noting_pages(task):
            theirs = self._call(task, memory, annex, _MEMFD, annex + self._stub.name, _CLOSE_ON_EXEC)
            try:
                ours = os.open(f"/proc/{task.tid}/fd/{theirs}", os.O_RDWR | os.O_CLOEXEC)
            except OSError as error:
                self._call(task, memory, annex, _CLOSE, theirs)
                raise Refused(f"its memory cannot be shared ({error.strerror})") from error
            ring = Ring(ours, address, shapes)
            try:
                flags = _SHARED | _FIXED | _POPULATE | flag
                self._call(task, memory, annex, _MMAP, address, ring.size, _READ | _WRITE, flags, theirs, 0)
            except Refused:
                ring.close()
                self._call(task, memory, annex, _CLOSE, theirs)
                raise
            except EndedMeanwhile:
                ring.close()
                raise
            self._call(task, memory, annex, _CLOSE, theirs)
            memory.inline.ring, memory.inline.ring_address = ring, address

    def _map_head(self, task: Task, memory: Memory, annex: int) -> None:
        """Have the program see its page faults, if it may: at the end of what its ring may grow to."""
        ring = memory.inline.ring
        if ring is None or self._head is None:
            return
        with self._noting_pages(task), contextlib.suppress(Refused, OSError):
            descriptor, address = self._head(task.tid), 0
            if descriptor is not None:
                call, place = partial(self._call, task, memory, annex), ring.address + FOR_RING - BYTES_OF_HEAD
                try:
                    address = map_head(task.pid, memory, call, ring.scratch, descriptor, place)
                finally:
                    os.close(descriptor)
            ring.head = address

    @contextlib.contextmanager
    def _noting_pages(self, task: Task) -> Iterator[None]:
        """Note what pages come in meanwhile: they are ours."""
        began, before = time.monotonic_ns(), task_counters(task.pid, task.tid).total
        yield
        faults = task_counters(task.pid, task.tid).total - before
        self._sink.notes.append(
            Populated(
                pid=task.pid, tid=task.tid, caller=task.tid, t=began, end=time.monotonic_ns(), number=OWN_MEMORY,
                faults=faults,
            )
        )  # fmt: skip

    def enlarge(self, task: Task, memory: Memory) -> bool:
        """Make room for further threads in the ring; return whether it could be done."""
        space = memory.inline
        if space.ring is None or seccomp_filters(task.tid) > 1:
            return False
        ring, annex = space.ring, space.annexes[0].start
        with self._noting_pages(task):
            try:
                ring.enlarge()
                self._call(task, memory, annex, _MREMAP, ring.address, ring.size, ring.size + ring.more, 0)
            except (Refused, OSError):
                return False
            # Older kernels refuse it: then its pages come in as they are written to.
            more = (ring.address + ring.size, ring.more, _POPULATE_WRITE)
            call_in(task.tid, memory, annex + self._stub.gate, _MADVISE, more)
            ring.enlarged()
        return True

    # ---- and taken out ----

    def remove(self, task: Task, memory: Memory, start: int, end: int) -> None:
        """Put the code back that was exchanged in [start, end), with the breakpoints that stood in it before.

        The annexes stay: a thread may be on its way through one.
        """
        space = memory.inline
        hooks: Sequence[Hook] = space.hooks_within(start, end)
        with self._pages.excluded():
            for hook in hooks:
                memory.lift(task.tid, space.hooks[hook.address])
                memory.plant(task.tid, hook.instead_of)
        space.drop(hooks)


def _checked(result: int) -> int:
    if -4096 < result < 0:
        raise Refused(os.strerror(-result))
    return result


def _stands(memory: Memory, stretch: Stretch) -> bool:
    """Whether the code of *stretch* is what the file has, where no breakpoint of ours stands."""
    there = bytearray(memory.read(stretch.address, len(stretch.code)))
    for address, point in memory.breakpoints.items():
        at = address - stretch.address
        if -len(point.planted) < at < len(there):
            if at < 0 or there[at : at + len(point.planted)] != point.planted[: len(there) - at]:
                return False
            there[at : at + len(point.planted)] = point.code[: min(len(point.planted), len(there) - at)]
    return bytes(there) == stretch.code
