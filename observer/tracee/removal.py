"""Breakpoints and exchanged return addresses taken out again: the program goes on as if nobody had been there.

A task may stand on its way: at the trap to which a call of its has just returned, or behind the int3 of a `ret` that
was moved by a byte. It is put where it would be.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Collection, Iterator

from observer.arch.known import NATIVE
from observer.linux.ptrace import RegisterSet
from observer.tracee.copied import copied_breakpoint
from observer.tracee.frames import Frame
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["take_out"]

_RIP, _RSP = NATIVE.registers.ip, NATIVE.registers.sp


def take_out(memory: Memory, tasks: Collection[Task]) -> None:
    """Restore all that was planted in *memory* and exchanged on its stacks; *tasks* are all that have it, stopped.

    What the program has put there meanwhile is left alone.

    Raises:
        OSError: ESRCH, a task is gone.
    """
    registers = RegisterSet()
    for task in tasks:
        memory.tid = task.tid
        registers.read(task.tid)
        place = _place_of(memory, registers.words)
        if place != registers.words[_RIP]:
            registers.jump(task.tid, place)
        task.stepping = None
    for frame in reversed(list(memory.exchanged.values())):  # what was exchanged last goes first, of two in one place
        memory.put_back(frame)
    for place in memory.covered:
        copied_breakpoint(memory, place)  # if the program put it back, it goes with the others
    for point in memory.breakpoints.values():
        with _reached():
            if memory.read(point.address, len(point.planted)) == point.planted:
                memory.lift(memory.tid, point)
    for hook in memory.inline.hooks.values():
        with _reached():
            if memory.read(hook.address, len(hook.planted)) == hook.planted:
                memory.lift(memory.tid, hook)
    memory.inline.drop(memory.inline.hooks_within(0, NATIVE.kernel_half))
    memory.breakpoints.clear()
    memory.covered.clear()
    memory.entries.clear()
    memory.exchanged.clear()
    memory.trap = 0


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """Leave out what is no longer mapped."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ESRCH:
            raise


def _place_of(memory: Memory, words: memoryview) -> int:
    """Return where a task with the registers *words* would be without us."""
    place, sp = int(words[_RIP]), int(words[_RSP])
    moved = memory.breakpoints.get(place - NATIVE.trap.behind)
    if moved is not None and len(moved.planted) > 1:
        return moved.address
    frame = _returned_to(memory, place, sp - memory.popped)
    while frame is not None:
        place, frame = frame.return_address, memory.exchanged.get((frame.return_address, frame.sp))
    return place


def _returned_to(memory: Memory, trap: int, sp: int) -> Frame | None:
    """Return the call that has just returned to *trap*, its return address taken off the stack at *sp*, if one has."""
    if trap == memory.trap:
        return memory.come_back(sp)
    frame = memory.exchanged.get((trap, sp))
    if frame is None:
        return None
    with _reached():  # a `ret` may also be reached as such: then its caller's word is not below the stack
        return frame if memory.read_word(sp) == trap else None
    return None
