"""Each call of some functions, within one another: their return addresses are exchanged for that of a trap.

Two stops a call. What reads return addresses off the stack would find the trap's: an unwinder (C++ exceptions, a
cancelled thread) has a breakpoint of its own, at which all of its thread's are put back. A call that a jump left is
known by the next that begins or returns above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns

from observer.arch.known import NATIVE
from observer.linux.ptrace import RegisterSet
from observer.recording.records import ENTRY_ONLY, LEFT
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.carrying import Carrying, Footprint
from observer.tracee.frames import CUT, Frame
from observer.tracee.listener import Listener
from observer.tracee.memory import Memory
from observer.tracee.returning import IN_REGISTER, return_address_at_entry
from observer.tracee.signing import put_back_kept
from observer.tracee.task import Task

__all__ = ["NestedCalls"]

_RSP, _RAX = NATIVE.registers.sp, NATIVE.registers.result


class NestedCalls:
    """Exchanges return addresses, and knows which call comes back by one."""

    def __init__(self, listeners: Sequence[Listener], pages: Footprint, carrying: Carrying) -> None:
        self._listeners = listeners
        self._pages = pages
        self._carrying = carrying

    def begin(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet) -> None:
        """Carry the instruction under *point* out, by which a call begins; exchange where that will return to."""
        words = registers.words
        is_entry, sp, now = not point.is_before, words[_RSP] + point.pushed, monotonic_ns()
        back = return_address_at_entry(memory, words, sp) if is_entry else point.emulation.constant
        if point.returns and not memory.trap:
            # Not before: the code that the trap stands in has to have run.
            with self._pages.excluded():
                memory.arm_trap(task.tid)
        ours = memory.trap if point.returns else back
        self._carrying.carry_out(task, memory, point, words, 0 if is_entry else ours)
        if is_entry and point.returns:
            self._carrying.exchange(task, memory, words, ours, sp, is_remembered=True)
        if point.unwinds:
            self._put_back(task, memory, now, words)
            return
        # A function entered by a jump finds the return address of the call before it: they share it.
        self._give_up(task, sp - 1 if is_entry else sp, now)
        self._enter(task, memory, Frame(point, task.tid, sp, back, now), registers)

    def _enter(self, task: Task, memory: Memory, frame: Frame, registers: RegisterSet) -> None:
        listener = self._listeners[frame.point.listener]
        listener.began(task, memory, frame, registers)
        if frame.point.returns:
            frame.trap = memory.trap
            task.nested.append(frame)
            memory.exchanged[frame.trap, frame.sp] = frame
        else:
            listener.lost(task, frame, frame.began, ENTRY_ONLY)

    def _put_back(self, task: Task, memory: Memory, now: int, words: memoryview) -> None:
        """Put the return addresses of all calls back: the unwinder is about to read them. Their ends are not seen."""
        given_up = [
            frame for (trap, _sp), frame in memory.exchanged.items()
            if trap == memory.trap and frame.tid == task.tid and not frame.is_counted
        ]  # fmt: skip
        for frame in (*reversed(task.nested), *given_up):
            if IN_REGISTER is None:
                memory.put_back(frame)
            else:
                put_back_kept(task, memory, frame, words)
            self._lose(task, frame, now, ENTRY_ONLY)
        task.nested.clear()

    def _give_up(self, task: Task, sp: int, now: int) -> None:
        """Give up calls that the stack pointer *sp* shows to be left: by a jump, or for another stack."""
        while task.nested and task.nested[-1].sp <= sp:
            self._lose(task, task.nested.pop(), now, LEFT)

    def _lose(self, task: Task, frame: Frame, now: int, how: int) -> None:
        if frame.is_counted:
            frame.is_counted = False
            self._listeners[frame.point.listener].lost(task, frame, now, how)

    def back(self, task: Task, memory: Memory, registers: RegisterSet) -> bool:
        """Send *task*, which has come to the trap, on to where its call returns to; False if it is in none."""
        words = registers.words
        frame = self._returning(task, memory, words[_RSP] - memory.popped)
        if frame is None:
            return False
        registers.jump(task.tid, frame.return_address)
        memory.exchanged.pop((frame.trap, frame.sp), None)
        if frame.is_counted:
            frame.is_counted = False
            self._listeners[frame.point.listener].returned(task, memory, frame, words[_RAX])
        return True

    def _returning(self, task: Task, memory: Memory, sp: int) -> Frame | None:
        """Take out the call whose return address stood at *sp*, or, in i386, below the arguments that it popped."""
        if task.nested and task.nested[-1].sp == sp:
            return task.nested.pop()
        lowest = memory.lowest_return(sp)
        place = max((frame.sp for frame in task.nested if lowest <= frame.sp <= sp), default=None)
        if place is not None:
            self._give_up(task, place - 1, monotonic_ns())
            return task.nested.pop()
        self._give_up(task, sp - 1, monotonic_ns())
        return memory.come_back(sp)

    def ended(self, task: Task, now: int) -> None:
        """*task* ends, or its address space does: its calls never return."""
        for frame in reversed(task.nested):
            self._lose(task, frame, now, CUT)
        task.nested.clear()
