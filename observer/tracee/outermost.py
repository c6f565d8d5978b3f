"""The outermost calls of the functions whose exits are watched, by what a task's stack shows.

The stack stays as the program made it. Calls end by returning, but also by jumps out of them (siglongjmp from a
handler), and a coroutine may leave one open while another runs. A call entered deeper on the same stack is part of the
open one; one entered above it shows that it was left; one on another stack says nothing of it. Signal handlers are
known from their delivery to their sigreturn(2): what is entered between is the handler's.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns
from typing import Final

from observer.arch.known import NATIVE
from observer.linux.procfs import read_mapping_at, read_mappings
from observer.recording.records import LEFT
from observer.tracee.frames import CUT, Frame, Interruption
from observer.tracee.listener import Listener
from observer.tracee.memory import Memory
from observer.tracee.returning import IN_REGISTER
from observer.tracee.task import Task

__all__ = ["OutermostCalls", "stack_area"]

_INNER: Final = 1 << 15
"""So deep, in bytes, may a call lie below the one that it is part of on a stack that is no thread's own."""


class OutermostCalls:
    """Keeps the frames of all tasks."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def enclosing(self, task: Task, memory: Memory, sp: int, number: int) -> Frame | None:
        """Return the open call that a call of *number* at *sp* is part of; gives up what *sp* shows to be left."""
        while task.frames or task.handlers:
            if task.handlers and len(task.frames) <= task.handlers[-1].frames:
                if not self._is_left(task, task.handlers[-1], sp):
                    return None
                self.handler_ended(task)
                continue
            frame = task.frames[-1]
            if sp == frame.sp and _goes_on_as(frame, memory, number):
                return frame
            if not _on_one_stack(task, sp, frame.sp):
                self._set_aside(task, memory, frame)
            elif sp < frame.sp and _stands(memory, frame):
                return frame
            else:
                self._give_up(task)
        return None

    def _is_left(self, task: Task, handler: Interruption, sp: int) -> bool:
        """Whether a handler was jumped out of: its frame lies below where the signal came, or on another stack."""
        return sp >= handler.sp and _on_one_stack(task, sp, handler.sp)

    def _give_up(self, task: Task) -> None:
        """The innermost call was left by a jump."""
        frame = task.frames.pop()
        if frame.is_counted:
            frame.is_counted = False
            self._listeners[frame.point.listener].lost(task, frame, monotonic_ns(), LEFT)

    def _set_aside(self, task: Task, memory: Memory, frame: Frame) -> None:
        task.frames.pop()
        memory.set_aside[frame.sp] = frame
        self._listeners[frame.point.listener].set_aside(task, frame)

    def returning(self, task: Task, memory: Memory, sp: int) -> Frame | None:
        """Take out the call whose return address stands at *sp*, or None: no call of the family ends here."""
        if any(frame.sp == sp for frame in task.frames):
            return self._take(task, sp)
        return memory.set_aside.pop(sp, None)

    def returning_to(self, task: Task, memory: Memory, place: int, sp: int) -> Frame | None:
        """Take out the call whose return address at *sp* was exchanged for *place*."""
        if any(frame.trap == place and frame.sp == sp for frame in task.frames):
            return self._take(task, sp)
        return memory.exchanged.get((place, sp))

    def _take(self, task: Task, sp: int) -> Frame:
        while task.frames[-1].sp != sp:
            self._give_up(task)
        frame = task.frames.pop()
        while task.handlers and task.handlers[-1].frames > len(task.frames):
            self.handler_ended(task)  # it was jumped out of, into the call
        return frame

    def handler_began(self, task: Task, sp: int) -> None:
        """A signal was delivered at the stack pointer *sp* that the program has a handler for."""
        listener = task.frames[-1].point.listener if task.frames else 0
        task.handlers.append(Interruption(sp, monotonic_ns(), len(task.frames), listener))

    def handler_ended(self, task: Task) -> None:
        """The innermost handler returned, or was left."""
        handler = task.handlers.pop()
        if handler.frames:
            self._listeners[handler.listener].handled(task, handler)

    def ended(self, task: Task, now: int) -> None:
        """*task* ends, or its address space does: its calls never return."""
        while task.handlers:
            self.handler_ended(task)
        frames = list(reversed(task.frames))
        task.frames.clear()
        aside = task.memory.set_aside if task.memory is not None else {}
        frames += [aside.pop(sp) for sp in [sp for sp, frame in aside.items() if frame.tid == task.tid]]
        for frame in frames:
            if frame.is_counted:
                frame.is_counted = False
                self._listeners[frame.point.listener].lost(task, frame, now, CUT)


def _goes_on_as(frame: Frame, memory: Memory, number: int) -> bool:
    """Whether the open call *frame* has ended by a jump to the function of *number*, which has its return address."""
    return frame.ends_in_another or number in frame.point.tails or (frame.trap != 0 and _stands(memory, frame))


def _stands(memory: Memory, frame: Frame) -> bool:
    """Whether the stack still holds the return address of *frame*; taken for granted where it cannot be read.

    So it is where it came in a register, and nothing tells where the function keeps it.
    """
    place = 0 if IN_REGISTER is None else frame.point.saved_return
    if place is None:
        return True
    try:
        word = memory.read_word(frame.sp + place)
    except OSError:
        return True
    return NATIVE.unsigned(word, frame.point.address, frame.sp) == (frame.trap or frame.return_address)


def _on_one_stack(task: Task, sp: int, other: int) -> bool:
    """Whether two stack pointers of *task* lie in one stack: its own, or near each other elsewhere."""
    low, high = stack_area(task)
    inside = (low <= sp < high) + (low <= other < high)
    return inside == 2 or (inside == 0 and abs(sp - other) < _INNER)


def stack_area(task: Task) -> tuple[int, int]:
    """Return what holds the stack that *task* began with; that of a process may grow down to what lies below it.

    (0, 1) where that cannot be known.
    """
    if not task.stack_area[1]:
        task.stack_area = _area_of(task)
    return task.stack_area


def _area_of(task: Task) -> tuple[int, int]:
    lowest = 0
    try:
        own = read_mapping_at(task.tid, task.stack) if task.stack else None
        if own is not None and own.path != "[stack]":
            return own.start, own.end  # a thread's: there may be thousands, and the mappings of each of them
        mappings = read_mappings(task.tid)
    except PermissionError:
        return 0, 1  # a process that forbids to be read
    for mapping in mappings:
        is_own = mapping.start <= task.stack < mapping.end if task.stack else mapping.path == "[stack]"
        if is_own:
            return (lowest if mapping.path == "[stack]" else mapping.start), mapping.end
        lowest = mapping.end
    return 0, 1
