"""The one follower of calls: from the breakpoints at which a watched function is entered to where it ends.

The program is unmodified, dynamic or static, in any number of threads. At an entry a trap stops the thread, and again
where the call ends: two stops a call, no single step, no moment in which a breakpoint is away, as the instruction under
it is carried out in the task's place. Which functions are watched say their breakpoints; who is told, their listeners.

There are two ways to follow. Of a function whose exits are watched the stack stays as the program made it, so whatever
unwinds it or looks at it sees what it would see without us (`outermost.py`); only where it ends by jumping into another
file (tail call) its return address is exchanged for one of the `ret`s, as long as that lasts. Of a function whose exits
are not known the return address is exchanged from the beginning (`nested.py`).

What is planted and exchanged belongs to an address space: a fork copies it, a vfork child shares it, an exec ends it.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Collection
from time import monotonic_ns

from observer.arch.known import NATIVE
from observer.code import a64
from observer.linux.ptrace import RegisterSet, signal_info
from observer.model.signals import TRAP_TRACE
from observer.tracee.breakpoints import NO_CALL, Breakpoint
from observer.tracee.carrying import Carrying, Footprint
from observer.tracee.copied import copied_breakpoint
from observer.tracee.frames import Frame
from observer.tracee.inline.recorder import InlineRecorder
from observer.tracee.listener import Listener
from observer.tracee.memory import Memory
from observer.tracee.nested import NestedCalls
from observer.tracee.outermost import OutermostCalls
from observer.tracee.removal import take_out
from observer.tracee.returning import IN_REGISTER, return_address_at_entry
from observer.tracee.task import Task

__all__ = ["CallFollower"]

_RIP, _RSP, _RAX = NATIVE.registers.ip, NATIVE.registers.sp, NATIVE.registers.result
_BEHIND, _TRAPPED = NATIVE.trap.behind, NATIVE.trap.si_code


class CallFollower:
    """Follows the calls of all tasks.

    `internal` counts calls that a library made to itself, and `exchanged` those that ended in another file's function;
    `unread` how often memory of a tracee's could not be reached where exits are watched. `stuck` says in words which
    process was ended, as it could not go on.
    """

    def __init__(self, pages: Footprint) -> None:
        self._pages = pages
        self._listeners: list[Listener] = []
        self._carrying = Carrying(pages)
        self._carry_out = self._carrying.carry_out
        self._outermost = OutermostCalls(self._listeners)
        self._nested = NestedCalls(self._listeners, pages, self._carrying)
        self.internal = 0
        self.exchanged = 0
        self.unread = 0
        self.stuck: set[str] = set()
        self.inline: InlineRecorder | None = None

    def tell(self, listener: Listener) -> int:
        """Take *listener* in; return the number that its breakpoints bear."""
        self._listeners.append(listener)
        return len(self._listeners) - 1

    def hit(self, task: Task, registers: RegisterSet) -> bool:
        """Handle a SIGTRAP of *task*; return whether it was one of our breakpoints.

        This is the hot path: at an entry it reads the registers and one word, at a return likewise, and writes the
        registers.
        """
        tid = task.tid
        memory = task.memory
        if memory is None or not (memory.breakpoints or memory.covered or memory.marks):
            return False
        registers.read(tid)
        words = registers.words
        place = words[_RIP] - _BEHIND
        if place in memory.marks and self._is_marked(task, memory, place):
            return True
        is_asked = place in memory.inline.traps  # calls that were made for the answer leave another siginfo
        if is_asked:
            assert self.inline is not None
            place = self.inline.trapped(task, memory, registers)
            if not place:
                return True
            words[_RIP] = place + _BEHIND
        point = memory.breakpoints.get(place) or self._copied(task, memory, place)
        if point is None:
            return False
        if not (is_asked or (point.is_certain and _BEHIND)) and signal_info(tid)[1] != _TRAPPED:
            return False  # somebody's SIGTRAP found the thread at the trap, or right behind a one-byte instruction
        memory.tid = tid
        if point.is_trap:
            return self._nested.back(task, memory, registers)
        if self.inline is None or point.nests:
            return self._carried(task, memory, point, registers)
        self.inline.take_over(task, memory, words)
        carried = self._carried(task, memory, point, registers)
        self.inline.settle(task, memory)
        return carried

    def _is_marked(self, task: Task, memory: Memory, place: int) -> bool:
        """*task* has come to a mark: tell; return whether nothing but the mark stood there."""
        memory.marks[place]()
        point = memory.breakpoints.get(place)
        if point is not None and not point.is_mark:
            return False
        if point is not None:
            memory.tid = task.tid
            with self._pages.excluded():  # since a fork the page of its code may be shared again
                memory.lift(task.tid, point)
            del memory.breakpoints[place]
        RegisterSet.jump(task.tid, place)
        return True

    def _carried(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet) -> bool:
        """Take down what happens at *point* and carry its instruction out; return True."""
        words = registers.words
        try:
            if point.nests:
                self._nested.begin(task, memory, point, registers)
            else:
                if point.number != NO_CALL:
                    self._entry(task, memory, point, registers)
                if not point.leaves:
                    self._carry_out(task, memory, point, words)
                elif self._leaving(task, memory, point, words):
                    return True
        except OSError as error:
            self._not_reached(error, point)
            self._step_over(task, memory, point, registers)
            return True
        if self.inline is not None and memory.inline.plans and point.number != NO_CALL:
            self.inline.came_by(task, memory, point, words)
        registers.write(task.tid)
        return True

    @staticmethod
    def _copied(task: Task, memory: Memory, place: int) -> Breakpoint | None:
        """Return the breakpoint of ours that the program copied to *place*, None for other SIGTRAPs."""
        if signal_info(task.tid)[1] != _TRAPPED:
            return None
        memory.tid = task.tid
        return copied_breakpoint(memory, place)

    def _not_reached(self, error: OSError, point: Breakpoint) -> None:
        """Count that memory of the tracee's could not be reached; a tracee that is gone is the engine's business."""
        if error.errno == errno.ESRCH:
            raise error
        self.unread += not point.nests

    def _step_over(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet) -> None:
        """Have the task do the instruction itself, its breakpoint lifted for one step: it finds out what is wrong."""
        registers.read(task.tid)
        registers.jump(task.tid, point.address)
        try:
            with self._pages.excluded():  # since a fork the page of its code may be shared again
                memory.lift(task.tid, point)
        except OSError as error:
            self._not_reached(error, point)
            # Neither its memory nor its code is open to us: run on it must not, from the middle of an instruction.
            self.stuck.add(f"pid {task.pid} was ended: an instruction of its can neither be carried out nor put back")
            os.kill(task.pid, signal.SIGKILL)
            return
        task.stepping = point

    # ---- calls begin ----

    def _entry(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet) -> None:
        """Take down that a call begins, unless it is part of another, or its library's own business."""
        sp = registers.words[_RSP] + point.pushed
        if task.frames or task.handlers:
            outer = self._outermost.enclosing(task, memory, sp, point.number)
            if outer is not None:
                outer.inner += 1
                return
        now = monotonic_ns()
        try:
            return_address = return_address_at_entry(memory, registers.words, sp)
        except OSError as error:
            self._not_reached(error, point)
            return_address = 0
        home_start, home_end = point.home
        if home_start <= return_address < home_end and _calls_directly(memory, return_address, point.entry):
            self.internal += 1
            return
        frame = Frame(point, task.tid, sp, return_address, now)
        self._listeners[point.listener].began(task, memory, frame, registers)
        task.frames.append(frame)

    # ---- calls end ----

    def _leaving(self, task: Task, memory: Memory, point: Breakpoint, words: memoryview) -> bool:
        """Take down the call that ends by the instruction under the breakpoint, if one does, and carry it out.

        Returns whether that is left to the task: then its registers are as they should be.
        """
        if not point.emulation.is_return:
            self._carry_out(task, memory, point, words)
            self._jumped(task, memory, point, words)
            return False
        sp, popped, frames = words[_RSP], memory.popped, task.frames
        if frames and frames[-1].sp == sp and not task.handlers:
            frame: Frame | None = frames.pop()
        else:
            frame = self._outermost.returning(task, memory, sp)
        if frame is None and memory.exchanged:
            popped = 0  # not by this `ret`: it came back to it from another file's function
            frame = self._outermost.returning_to(task, memory, point.address, sp - memory.popped)
        if frame is not None and frame.is_counted:
            frame.is_counted = False
            self._listeners[frame.point.listener].returned(task, memory, frame, words[_RAX])
        if frame is not None and frame.trap:
            memory.exchanged.pop((frame.trap, frame.sp), None)
            words[_RIP], words[_RSP] = frame.return_address, sp + popped
            if IN_REGISTER is not None:
                words[IN_REGISTER] = frame.return_address
            return False
        spare = 0 if point.goes_on or memory.fd >= 0 else memory.spare_return()
        if spare:
            words[_RIP] = spare  # no memory is needed where the task does it itself
        elif not point.goes_on:
            self._carry_out(task, memory, point, words)
        return point.goes_on

    def _jumped(self, task: Task, memory: Memory, point: Breakpoint, words: memoryview) -> None:
        """A function may have ended by the jump under the breakpoint, which was carried out: into another's code."""
        frame = task.frames[-1] if task.is_in_call else None
        if frame is None or words[_RSP] != frame.sp or words[_RIP] == point.address + point.emulation.length:
            return
        if words[_RIP] in memory.entries:
            frame.ends_in_another = True
            return
        trap = memory.any_return(point.address)
        if not trap or frame.trap:
            return
        try:
            self._carrying.exchange(task, memory, words, trap, frame.sp, is_remembered=False)
        except OSError as error:
            self._not_reached(error, point)
            return
        frame.trap = trap
        memory.exchanged[trap, frame.sp] = frame
        self.exchanged += 1

    # ---- signals, ends ----

    def handler_began(self, task: Task, sp: int) -> None:
        """A signal for which the program has a handler is delivered at the stack pointer *sp*.

        It was told of as `interrupted` before.
        """
        if task.frames and task.memory is not None:
            self._outermost.enclosing(task, task.memory, sp - 1, NO_CALL)
        if task.frames or task.handlers:
            self._outermost.handler_began(task, sp)

    def _vacate(self, task: Task, memory: Memory, registers: RegisterSet) -> None:
        if self.inline is not None:
            registers.read(task.tid)
            memory.tid = task.tid
            self.inline.interrupted(task, memory, registers, self._carried)
            self.inline.settle(task, memory)

    def interrupted(self, task: Task, registers: RegisterSet) -> None:
        """A signal is about to be delivered to *task*; what the inline recorder has under way is ours from now on."""
        memory = task.memory
        if self.inline is not None and memory is not None and memory.inline.ring is not None:
            self._vacate(task, memory, registers)

    def steps_through_ours(self, task: Task, number: int, registers: RegisterSet) -> bool:
        """Whether signal *number* is the SIGTRAP of a program that single-steps itself, and has come into code of ours.

        It would never get through that, put out of it at each signal; and no instruction there is one of its own.
        """
        memory = task.memory
        if number != signal.SIGTRAP or memory is None or not memory.inline.annexes:
            return False
        registers.read(task.tid)
        is_ours = memory.inline.annex_at(registers.words[_RIP]) is not None
        return is_ours and signal_info(task.tid)[1] == TRAP_TRACE

    def clock_changed(self, task: Task, *, is_there: bool) -> None:
        """*task* may read the processor's clock from now on, or not (prctl(2), PR_SET_TSC)."""
        if self.inline is not None:
            self.inline.clock_changed(task, is_there=is_there)

    def handler_returned(self, task: Task) -> None:
        """A signal handler returns (sigreturn(2))."""
        if task.handlers:
            self._outermost.handler_ended(task)

    def ended(self, task: Task) -> None:
        """*task* ends, or its address space does: the calls it is in never return."""
        if self.inline is not None:
            self.inline.ended(task)
        now = monotonic_ns()
        self._outermost.ended(task, now)
        self._nested.ended(task, now)
        if task.memory is not None:
            task.memory.pushed_pages.clear()  # the C library gives the pages of an ended thread's stack back

    def take_out(self, memory: Memory, tasks: Collection[Task]) -> None:
        """Make the address space *memory* what it would be without us; its *tasks*' open calls are not seen to return.

        *tasks* are all that have it, stopped, and no SIGTRAP of theirs waits to be told.

        Raises:
            OSError: ESRCH, a task is gone.
        """
        for task in tasks:
            self._vacate(task, memory, RegisterSet())
            self.ended(task)
        with self._pages.excluded():  # since a fork pages of its code may be shared
            take_out(memory, tasks)


def _calls_directly(memory: Memory, return_address: int, target: int) -> bool:
    """Whether the instruction before *return_address* is `call target`, not a call through a table."""
    if IN_REGISTER is not None:
        place = return_address - a64.LENGTH
        word = a64.word_of(memory.read(place, a64.LENGTH))
        branch = a64.branch_of(word, place) if word is not None else None
        return branch is not None and branch.is_call and branch.target == target
    code = memory.read(return_address - 5, 5)
    reached = return_address + int.from_bytes(code[1:], "little", signed=True)
    return code[:1] == b"\xe8" and reached & (1 << 8 * memory.word) - 1 == target
