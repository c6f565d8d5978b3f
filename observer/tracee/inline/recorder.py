"""Calls recorded inside the program, and the few stops at which the observer is asked.

A thread's calls are followed in one of two ways. While it enters and leaves functions in good order, one call open at
a time and calls within it, the stub writes its records. Where that is not so (a signal handler in the midst of a call,
a coroutine, a jump out of one) the open call is taken over: the thread is slow then, its landings come by int3s, and
the follower of breakpoints knows what to do; when none of its calls is open any longer, the stub goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.linux.pagemap import present_runs
from observer.linux.procfs import PAGE
from observer.linux.ptrace import RegisterSet
from observer.linux.timestamps import TimeStamps
from observer.recording.clock import nanoseconds
from observer.recording.sink import Sink
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.carrying import Footprint
from observer.tracee.frames import Frame
from observer.tracee.inline.annex import Landing
from observer.tracee.inline.assembled import Stub
from observer.tracee.inline.installing import Installer, Refused
from observer.tracee.inline.ring import Block, Filled, Pieces
from observer.tracee.inline.space import Space
from observer.tracee.inline.vacating import Follow, Vacating
from observer.tracee.memory import Memory
from observer.tracee.outermost import stack_area
from observer.tracee.task import Task

__all__ = ["InlineCalls", "InlineRecorder"]

_RIP, _RSP = NATIVE.registers.ip, NATIVE.registers.sp
_PLACES: Final = NATIVE.registers.places
_BASE, _DESCRIPTOR = (_PLACES[name] for name in ("fs_base", "r11"))
_ENOUGH: Final = 1
"""Hits of an allocator's breakpoints before its functions are exchanged: what makes no calls pays nothing."""
_MOST_KNOWN: Final = 1 << 16
"""Bytes of stack that are looked at for pages at once."""
_PIECE: Final = 3072
_NUMBER: Final = (1 << 31) - 1
_SKEW: Final = 1_000_000
"""Counts by which processors' counters may differ."""


class InlineCalls(Protocol):
    """Who is told of the calls that the stub saw."""

    def recorded(self, pid: int, tid: int, records: npt.NDArray[np.void], pieces: npt.NDArray[np.void]) -> None:
        """Take the calls of a thread, of the layout `records.INLINE`; their `stack` is a place in *pieces*, from 1."""

    def taken_over(self, task: Task, frame: Frame, piece: np.void | None) -> None:
        """A call that the stub saw begin is *task*'s frame from now on; *piece* is its piece of stack, if there is."""

    def internal(self, count: int) -> None:
        """So many calls more were the library's own business."""

    def overwritten(self, pid: int, count: int) -> None:
        """The process wrote over what the stub had written of *count* calls, or more."""


class InlineRecorder:
    """Has stubs installed where that may be, and answers for them.

    `spread` is called when stops become few, `is_alone` says whether one task only has a memory. So many stops as
    *patience* says are made in a process before the stub has its calls: what a program with few calls does is then
    written at once, and not lost with us.

    `allows` may be set to False at any time: then nothing more is installed. `kept` says for each file how many
    functions keep their breakpoints there, `refused` why nothing was installed in some programs, with the count.
    """

    def __init__(
        self, stub: Stub, sink: Sink, pages: Footprint, listener: InlineCalls, *, spread: Callable[[], None],
        is_alone: Callable[[Memory], bool], patience: int,
    ) -> None:  # fmt: skip
        self._stub = stub
        self._patience = patience
        self._listener = listener
        self._spread = spread
        self._is_alone = is_alone
        self._clock = TimeStamps(stub.code, stub.sample, sink.clock.append)
        self._started = self._clock.last
        self._points: list[Breakpoint] = []
        self._installer = Installer(stub, sink, pages, self._number)
        self._vacating = Vacating(stub)
        self._pending: deque[tuple[Block, Space]] = deque()
        self._at_work: dict[Block, Space] = {}
        self._lenders: dict[int, tuple[int, int]] = {}
        self.allows = True
        self.kept: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def _number(self, point: Breakpoint) -> int:
        self._points.append(point)
        return len(self._points) - 1

    def pace(self) -> None:
        """Called regularly while no stop is handled, from any thread: keeps counter and clock together.

        And takes what was recorded, so that no more is lost with us than was since.
        """
        self._clock.sample()
        self._at_work = {block: space for block, space in self._at_work.items() if space.ring is not None}
        for block, space in self._at_work.items():
            if self._is_sound(block):
                self._store(block, block.take_closed(), space)

    def finish(self) -> None:
        """All has ended: what was recorded last lies before this moment."""
        self._clock.sample(is_last=True)

    # ---- installing ----

    def came_by(self, task: Task, memory: Memory, point: Breakpoint, words: memoryview) -> None:
        """*task* has been at a breakpoint: exchange those of its allocator for jumps, if it is time and may be.

        The task's registers *words* may point into what is exchanged.
        """
        space = memory.inline
        plan = space.plans.get(point.implementation)
        if plan is None or not self.allows:
            return
        space.hits[point.implementation] += 1
        is_time = space.hits[point.implementation] >= _ENOUGH and memory.word == NATIVE.word
        if not is_time or task.handlers or not self._is_alone(memory):
            return
        del space.plans[point.implementation]
        try:
            annex = self._installer.install(task, memory, plan)
        except Refused as why:
            self.refused[str(why)] = self.refused.get(str(why), 0) + 1
            return
        if annex.kept:
            self.kept[plan.elf.path] = len(annex.kept)
        words[_RIP] = annex.here(words[_RIP])
        if space.block_of(words[_BASE]) is None:
            self._begin(task, memory, words[_BASE])
        self._spread()
        self.settle(task, memory)

    def ready(self, task: Task) -> None:
        """*task*, just born, stands before its first instruction."""
        memory = task.memory
        if memory is None:
            return
        if memory.inline.is_asleep and memory.owner == task.pid:
            self._installer.lull(task, memory)
        elif memory.inline.ring is not None and task.block is None:
            self._look_at_base(task, memory)

    @staticmethod
    def _look_at_base(task: Task, memory: Memory) -> None:
        """Whether *task* was made without a thread base of its own (clone(2) without CLONE_SETTLS)."""
        registers = RegisterSet()
        registers.read(task.tid)
        base = registers.words[_BASE]
        block = memory.inline.block_of(base)
        if block is not None:
            memory.inline.shared_bases.add(base)
            block.be_slow(True)

    def remove(self, task: Task, start: int, end: int) -> None:
        """Have breakpoints in [start, end) again: the program may look at its code there, or change it."""
        if task.memory is not None and task.memory.inline.hooks:
            self._installer.remove(task, task.memory, start, end)

    # ---- blocks ----

    def _begin(self, task: Task, memory: Memory, base: int) -> Block | None:
        ring = memory.inline.ring
        if ring is None:
            return None
        if task.block is not None and task.block.base and task.tid not in self._lenders:
            self._let_go(task, memory)  # the thread has another %fs base from now on
        if ring.needs_more and not self._installer.enlarge(task, memory):
            return None
        block = ring.block_for(base)
        if block is not None:
            block.pid, block.tid = task.pid, task.tid
            task.block = block
            self._at_work[block] = memory.inline
            stands_aside = bool(task.frames or task.handlers or memory.set_aside or memory.exchanged)
            block.be_slow(stands_aside or memory.inline.stops < self._patience)
        return block

    def _let_go(self, task: Task, memory: Memory) -> None:
        """Take what the block of *task* holds; the block is anybody's from now on."""
        block, task.block = task.block, None
        ring = memory.inline.ring
        if block is None or ring is None:
            return
        self._drain(block, memory.inline)
        if task.tid in self._lenders:
            block.pid, block.tid = self._lenders.pop(task.tid)
            block.be_slow(True)  # its lender's calls are looked at anew
        elif block.base:
            self._at_work.pop(block, None)
            ring.forget(block)

    def lend(self, parent: Task, child: Task) -> None:
        """*child* runs on the memory and the thread's base of *parent*, which waits for it (vfork(2))."""
        block = parent.block
        if block is None or parent.memory is None or child.memory is not parent.memory:
            return
        self._drain(block, parent.memory.inline)
        self._lenders[child.tid] = block.pid, block.tid
        block.pid, block.tid = child.pid, child.tid
        child.block = block

    def ended(self, task: Task) -> None:
        """*task* ends, or its address space does."""
        if task.memory is not None and task.block is not None:
            self._take_over(task, task.block)
            self._let_go(task, task.memory)

    # ---- stops ----

    def trapped(self, task: Task, memory: Memory, registers: RegisterSet) -> int:
        """Answer a stub; return the address of the int3 from which its thread is followed now, 0 if it goes on."""
        words, space = registers.words, memory.inline
        landing = self._landing(space, words)
        if space.is_asleep:
            try:
                self._installer.wake(task, memory)
            except Refused as why:
                self.refused[str(why)] = self.refused.get(str(why), 0) + 1
                return landing.resume - 1
        block = space.block_of(words[_BASE])
        if block is None:
            block = self._begin(task, memory, words[_BASE])
        elif not (self._is_sound(block) and self._is_found(block, space)):
            block = None
        elif block.is_full:
            self._empty(block, space)
            self._pending.append((block, space))
            block.turn()
        elif not self._know_stack(task, block, words[_RSP]):
            block = None
        if block is None:
            return landing.resume - 1
        words[_RIP] = landing.lead
        registers.write(task.tid)
        return 0

    @staticmethod
    def _landing(space: Space, words: memoryview) -> Landing:
        annex = space.annex_at(words[_RIP] - 1)
        assert annex is not None
        return annex.landings[words[_DESCRIPTOR]]

    def take_over(self, task: Task, memory: Memory, words: memoryview) -> None:
        """Have the follower of breakpoints go on with the call that the thread with the registers *words* is in."""
        block = memory.inline.block_of(words[_BASE])
        if block is not None:
            self._take_over(task, block)

    def _take_over(self, task: Task, block: Block) -> None:
        if not self._is_sound(block) or not block.is_open:
            return
        record = block.record_at_hand()
        if not self._are_sound(record.reshape(1), block.pieces, are_closed=False):
            self._overwritten(block, 1)
            return
        piece = block.piece_of(record)
        point = self._points[int(record["function"]) & _NUMBER]
        known = np.array([self._started, self._clock.sample()], dtype=np.int64)  # close to the latter
        [began] = nanoseconds(np.array([record["began"]]), known[:, 0], known[:, 1]).tolist()
        frame = Frame(point, task.tid, int(record["sp"]), int(record["ret"]), began)
        frame.first, frame.second, frame.third = (int(record[name]) for name in ("a0", "a1", "a2"))
        frame.inner = int(record["inner"])
        block.give_up_call()
        block.be_slow(True)
        task.frames.insert(0, frame)
        self._listener.taken_over(task, frame, piece)

    def settle(self, task: Task, memory: Memory) -> None:
        """Have the stub go on where nothing is left to be followed from outside."""
        memory.inline.stops += 1
        aside = bool(memory.set_aside or memory.exchanged)
        if aside and memory.inline.ring is not None:
            for each in memory.inline.ring.blocks.values():
                each.be_slow(True)
        block = task.block
        if block is not None:
            is_shared = block.base in memory.inline.shared_bases
            is_soon = memory.inline.stops < self._patience
            block.be_slow(aside or bool(task.frames or task.handlers) or is_shared or is_soon)

    def interrupted(self, task: Task, memory: Memory, registers: RegisterSet, follow: Follow) -> None:
        """A signal is about to be delivered, or we let go: have *task* stand in the program's own code.

        A call that is open is ours from now on. *follow* takes down what happens at a breakpoint.
        """
        block = memory.inline.block_of(registers.words[_BASE])
        if block is not None:
            self._take_over(task, block)  # before its end is done in its place
        self._vacating.vacate(task, memory, registers, follow)

    def _know_stack(self, task: Task, block: Block, sp: int) -> bool:
        """Find out how much stack above *sp* is there; return whether a call that lies at *sp* may be recorded."""
        low = sp & -PAGE
        area_start, area_end = stack_area(task)
        if not area_start <= sp < area_end:
            return False
        end = min(area_end, low + _MOST_KNOWN)
        there = _present_from(task.tid, low, end)
        span = there - low if there == area_end else there - _PIECE + 1 - low
        if sp - low >= span:
            return False
        block.know_stack(low, span, there)
        return True

    # ---- records ----

    def _is_sound(self, block: Block) -> bool:
        """Whether the program has left *block* to the stub; otherwise it is begun anew."""
        if not block.is_sound:
            self._overwritten(block, 1)
        return block.is_sound

    def _is_found(self, block: Block, space: Space) -> bool:
        """Whether the stub finds *block*, which the program may have made it miss, too."""
        is_found = space.ring is not None and space.ring.leads_to(block)
        if not is_found:
            self._overwritten(block, 1)
        return is_found

    def _overwritten(self, block: Block, count: int) -> None:
        block.begin_anew()
        self._listener.overwritten(block.pid, count)

    def _are_sound(self, records: npt.NDArray[np.void], pieces: Pieces, *, are_closed: bool = True) -> bool:
        """Whether these may be what the stub has written: of functions that are known, in the time of this run."""
        span = np.uint64(self._clock.sample()[0] + _SKEW - self._started[0])
        in_time = [
            (records[name] - np.uint64(self._started[0]) <= span).all()
            for name in (("began", "ended") if are_closed else ("began",))
        ]
        offsets = records["stack"][records["stack"] > 0] - np.uint64(pieces.first)
        return bool(
            all(in_time) and ((records["function"] & _NUMBER) < len(self._points)).all()
            and (offsets < pieces.there.nbytes).all() and not (offsets % pieces.there.dtype.itemsize).any()
        )  # fmt: skip

    def flush(self) -> None:
        """Take what full halves of blocks hold: called when their threads run again."""
        while self._pending:
            self._empty(*self._pending[0])
            self._pending.popleft()

    def _empty(self, block: Block, space: Space) -> None:
        filled, block.pending = block.pending, None
        if filled is not None:
            self._take(block, filled, space)

    def _drain(self, block: Block, space: Space) -> None:
        self._empty(block, space)
        if self._is_sound(block):
            self._take(block, block.take(), space)

    def _take(self, block: Block, filled: Filled, space: Space) -> None:
        if internal := block.take_internal():
            self._listener.internal(internal)
        self._store(block, filled, space)

    def _store(self, block: Block, filled: Filled, space: Space) -> None:
        records = filled.records
        if not len(records):
            return
        if not self._are_sound(records, filled.pieces):
            self._overwritten(block, len(records))
            return
        if space.unhooked:
            seen = {*(records["function"] & _NUMBER).tolist()}
            space.still_seen |= {number for function, number in space.unhooked.items() if function in seen}
        has_piece = np.nonzero(records["stack"])[0]
        if len(has_piece):
            first, size = np.uint64(filled.pieces.first), np.uint64(filled.pieces.there.dtype.itemsize)
            records["stack"][has_piece] = (records["stack"][has_piece] - first) // size + np.uint64(1)
        self._listener.recorded(block.pid, block.tid, records, filled.pieces.there)


def _present_from(tid: int, start: int, end: int) -> int:
    """Return the end of the pages that are there in one stretch from *start* on, at most *end*."""
    with open(f"/proc/{tid}/pagemap", "rb", buffering=0) as pagemap:
        first, last = next(present_runs(pagemap.fileno(), start, end, end - start), (end, start))
    return last if first == start else start
