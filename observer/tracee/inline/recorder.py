"""Calls recorded inside the program, and the few stops at which the observer is asked.

A thread's calls are followed in one of two ways. While it enters and leaves functions in good order, one call open at
a time and calls within it, the stub writes its records. Where that is not so (a signal handler in the midst of a call,
a coroutine, a jump out of one) the open call is taken over: the thread is slow then, its landings come by int3s, and
the follower of breakpoints knows what to do; when none of its calls is open any longer, the stub goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.pagemap import present_runs
from observer.linux.procfs import PAGE
from observer.linux.ptrace import RegisterSet, thread_base
from observer.linux.timestamps import TimeStamps
from observer.recording.records import STACK_BYTES
from observer.recording.sink import Sink
from observer.recording.slots import FUNCTION
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.carrying import Footprint
from observer.tracee.frames import Frame
from observer.tracee.inline.annex import Annex, Landing
from observer.tracee.inline.assembled import Stub
from observer.tracee.inline.installing import Installer, Refused
from observer.tracee.inline.intake import InlineCalls, Intake
from observer.tracee.inline.landing_code import landing_code_of
from observer.tracee.inline.ring import Block
from observer.tracee.inline.space import Space
from observer.tracee.inline.vacating import Follow, Vacating
from observer.tracee.memory import Memory
from observer.tracee.outermost import stack_area
from observer.tracee.task import Task

__all__ = ["InlineRecorder"]

_RIP, _RSP = NATIVE.registers.ip, NATIVE.registers.sp
_DESCRIPTOR: Final = landing_code_of(NATIVE).descriptor
_MOST_KNOWN: Final = 1 << 16
"""Bytes of stack that are looked at for pages at once."""


class InlineRecorder:
    """Has stubs installed where that may be, and answers for them.

    `filled` is called where somebody has to `flush`, while the task goes on. `users` says how many tasks have a memory,
    or might. An allocator's breakpoints are exchanged when *enough* of its calls were come by, or a second thread is
    about to run: what makes few calls pays nothing, and all of them are written at once. With *stacks* each call has a
    piece of stack. *head* opens what tells the thread of a process that has no others when to read the clock, and gives
    None where only its stops do; without it the clock is always read.

    `allows` may be set to False at any time: then nothing more is installed. `kept` says for each file how many
    functions keep their breakpoints there, `refused` why nothing was installed in some programs, with the count.
    """

    def __init__(
        self, stub: Stub, sink: Sink, pages: Footprint, listener: InlineCalls, *, filled: Callable[[], None],
        users: Callable[[Memory], int], enough: int, head: Callable[[int], int | None] | None,
        stacks: bool = False,
    ) -> None:  # fmt: skip
        self._stub = stub
        self._enough = enough
        self._listener = listener
        self._filled = filled
        self._users = users
        self._intake = Intake(TimeStamps(stub.code, stub.sample, sink.clock.append), listener)
        self._installer = Installer(stub, sink, pages, self._intake.number, head, stacks=stacks)
        self._vacating = Vacating(stub)
        self._lenders: dict[int, tuple[int, int]] = {}
        self._borrowers: dict[int, Task] = {}
        self.allows = True
        self.kept: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def pace(self) -> None:
        """Take what was recorded: called regularly on any thread while no stop is handled, or by who handles one."""
        self._intake.pace()

    def finish(self) -> None:
        """All has ended: what was recorded last lies before this moment."""
        self._intake.finish()

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
        is_time = space.hits[point.implementation] >= self._enough and memory.word == NATIVE.word
        if not is_time or task.handlers or space.is_asleep or self._users(memory) != 1:
            return
        annex = self._install(task, memory, point.implementation, is_alone=True)
        if annex is None:
            return
        words[_RIP] = annex.here(words[_RIP], point)
        base = thread_base(task.tid, words)
        if space.block_of(base) is None:
            self._begin(task, memory, base)
        self.settle(task, memory)

    def _install(self, task: Task, memory: Memory, implementation: int, *, is_alone: bool) -> Annex | None:
        if memory.exchanged:
            return None  # a call is to come back by a breakpoint, which has to stand there still
        plan = memory.inline.plans.pop(implementation)
        try:
            if not task.has_clock:
                raise Refused("the program may not read the processor's clock (PR_SET_TSC)")
            if any(point.address in memory.covered for point in (*plan.entries.values(), *plan.ends.values())):
                raise Refused("the program mapped its functions anew")
            annex = self._installer.install(task, memory, plan, is_alone=is_alone)
        except Refused as why:
            self.refused[str(why)] = self.refused.get(str(why), 0) + 1
            return None
        if annex.kept:
            self.kept[plan.elf.path] = len(annex.kept)
        return annex

    @staticmethod
    def shared(memory: Memory) -> None:
        """A second task runs on *memory* beside the first."""
        if memory.inline.ring is not None:
            memory.inline.ring.read_clock_always()

    def born(self, parent: Task, child: Task) -> bool:
        """*parent* made *child*, a thread; return whether it has to stand still until *child* is `ready`.

        With a third thread nobody could say any longer that none is in the midst of what is exchanged.
        """
        memory = child.memory
        if memory is None or memory is not parent.memory or memory.word != NATIVE.word or not self.allows:
            return False
        space = memory.inline
        is_due = any(space.hits[each] for each in space.plans) and not space.is_asleep
        if is_due and self._users(memory) == 2:
            space.awaited = child.tid, _base_of(parent)
            return True
        return False

    def ready(self, task: Task) -> None:
        """*task*, just born, stands before its first instruction."""
        memory = task.memory
        if memory is None:
            return
        if memory.inline.awaited[0] == task.tid:
            self._begin_with_threads(task, memory)
        elif memory.inline.is_asleep and memory.owner == task.pid:
            self._installer.lull(task, memory)
        elif memory.inline.ring is not None and task.block is None:
            self._look_at_base(task, memory)

    def _begin_with_threads(self, task: Task, memory: Memory) -> None:
        """*task*, the second thread, and its maker stand still."""
        (_tid, base), memory.inline.awaited = memory.inline.awaited, (0, 0)
        if _base_of(task) == base:
            memory.inline.shared_bases.add(base)
        for implementation in [each for each in memory.inline.plans if memory.inline.hits[each]]:
            self._install(task, memory, implementation, is_alone=False)

    @staticmethod
    def _look_at_base(task: Task, memory: Memory) -> None:
        """Whether *task* was made without a thread base of its own (clone(2) without CLONE_SETTLS)."""
        base = _base_of(task)
        block = memory.inline.block_of(base)
        if block is not None:
            memory.inline.shared_bases.add(base)
            block.be_slow(True)

    def clock_changed(self, task: Task, *, is_there: bool) -> None:
        """*task* may read the processor's clock from now on, or not: our code would, and be killed."""
        task.has_clock = is_there
        if not is_there:
            self.remove(task, 0, NATIVE.kernel_half)

    def remove(self, task: Task, start: int, end: int) -> None:
        """Have breakpoints in [start, end) again: the program may look at its code there, or change it."""
        if task.memory is not None and task.memory.inline.hooks:
            self.pace()  # what is recorded from now on was not come by over these
            self._installer.remove(task, task.memory, start, end)

    # ---- blocks ----

    def _begin(self, task: Task, memory: Memory, base: int) -> Block | None:
        ring = memory.inline.ring
        if ring is None:
            return None
        is_lent = task.tid in self._lenders
        if task.block is not None and task.block.base:
            self._let_go(task, memory)  # the thread has another base from now on; its lender's block is that one's
        if ring.needs_more and not self._installer.enlarge(task, memory):
            return None
        block = ring.block_for(base)
        if block is not None:
            block.pid, block.tid = task.pid, task.tid
            task.block = block
            if is_lent:
                block.read_clock_always()  # the head is its lender's
            self._intake.at_work[block] = memory.inline
            block.be_slow(bool(task.frames or task.handlers or memory.set_aside or memory.exchanged))
        return block

    def _let_go(self, task: Task, memory: Memory) -> None:
        """Take what the block of *task* holds; the block is anybody's from now on."""
        block, task.block = task.block, None
        ring = memory.inline.ring
        if block is None or ring is None:
            return
        self._intake.drain(block, memory.inline)
        if task.tid in self._lenders:
            block.pid, block.tid = self._lenders.pop(task.tid)
            self._borrowers.pop(block.tid, None)
            block.be_slow(True)  # its lender's calls are looked at anew
            ring.spare_clock(block)
        elif block.base:
            self._intake.at_work.pop(block, None)
            ring.forget(block)

    def lend(self, parent: Task, child: Task) -> None:
        """*child* runs on the memory and the thread's base of *parent*, which waits for it (vfork(2))."""
        block = parent.block
        if block is None or parent.memory is None or child.memory is not parent.memory:
            return
        self._intake.drain(block, parent.memory.inline)
        self._lenders[child.tid] = block.pid, block.tid
        self._borrowers[block.tid] = child
        block.pid, block.tid = child.pid, child.tid
        block.read_clock_always()  # of the child's page faults nothing tells it
        child.block = block

    def reunited(self, parent: Task) -> None:
        """*parent* goes on, and what it does is its own again.

        Its child has left their memory. That this was an exec we may be told only when the parent has made many calls.
        """
        child = self._borrowers.get(parent.tid)
        if child is not None:
            self.ended(child)

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
                return landing.trap
        base = thread_base(task.tid, words)
        block = space.block_of(base)
        if block is None:
            block = self._begin(task, memory, base)
        elif not self._intake.is_sound(block, space):
            block = None
        elif block.is_full:
            self._intake.turn(block, space)
            self._filled()
        elif not self._know_stack(task, block, words[_RSP]):
            block = None
        if block is None:
            return landing.trap
        words[_RIP] = landing.lead
        registers.write(task.tid)
        return 0

    @staticmethod
    def _landing(space: Space, words: memoryview) -> Landing:
        annex = space.annex_at(words[_RIP] - NATIVE.trap.behind)
        assert annex is not None
        return annex.landings[words[_DESCRIPTOR]]

    def take_over(self, task: Task, memory: Memory, words: memoryview) -> None:
        """Have the follower of breakpoints go on with the call that the thread with the registers *words* is in."""
        block = self._block(task, memory, words)
        if block is not None:
            block.something_happened()
            self._take_over(task, block)

    @staticmethod
    def _block(task: Task, memory: Memory, words: memoryview) -> Block | None:
        """Return the block of a task with the registers *words*, None if it has none."""
        space = memory.inline
        return space.block_of(thread_base(task.tid, words)) if space.ring is not None else None

    def _take_over(self, task: Task, block: Block) -> None:
        found = self._intake.open_call(block)
        if found is None:
            return
        record, piece = found
        point = self._intake.points[int(record["function"]) & FUNCTION]
        counter = block.counter_at_hand()
        frame = Frame(point, task.tid, int(record["sp"]), int(record["ret"]), self._intake.time_of(counter))
        frame.first, frame.second, frame.third = (int(record[name]) for name in ("a0", "a1", "a2"))
        frame.inner, frame.counter = int(record["inner"]), counter
        block.give_up_call()
        block.be_slow(True)
        task.frames.insert(0, frame)
        if task.memory is not None:
            self._listener.taken_over(task, frame, piece, task.memory.inline)

    def settle(self, task: Task, memory: Memory) -> None:
        """Have the stub go on where nothing is left to be followed from outside."""
        aside = bool(memory.set_aside or memory.exchanged)
        if aside and memory.inline.ring is not None:
            for each in memory.inline.ring.blocks.values():
                each.be_slow(True)
        block = task.block
        if block is not None:
            block.be_slow(aside or bool(task.frames or task.handlers) or block.base in memory.inline.shared_bases)

    def interrupted(self, task: Task, memory: Memory, registers: RegisterSet, follow: Follow) -> None:
        """A signal is about to be delivered, or we let go: have *task* stand in the program's own code.

        A call that is open is ours from now on. *follow* takes down what happens at a breakpoint.
        """
        block = self._block(task, memory, registers.words)
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
        if there <= sp:
            return False
        span = there - low if there == area_end else there - block.shape.bytes + 1 - low
        is_cut = sp - low >= span  # a page close above is not there, and may be soon
        if is_cut and block.shape.bytes > STACK_BYTES:
            return False
        block.know_stack(low, there - low if is_cut else span, there, briefly=is_cut)
        return True

    def flush(self) -> None:
        """Take what full halves of blocks hold: called by who handles a stop, or on any thread while none is."""
        self._intake.flush()


def _base_of(task: Task) -> int:
    """Return the thread's base of a task that stands still."""
    registers = RegisterSet()
    registers.read(task.tid)
    return thread_base(task.tid, registers.words)


def _present_from(tid: int, start: int, end: int) -> int:
    """Return the end of the pages that are there in one stretch from *start* on, at most *end*."""
    with open(f"/proc/{tid}/pagemap", "rb", buffering=0) as pagemap:
        first, last = next(present_runs(pagemap.fileno(), start, end, end - start), (end, start))
    return last if first == start else start
