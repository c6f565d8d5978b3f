"""Return addresses that came in a register, put back wherever functions have kept them: signed anew where they were.

A signature holds for the stack pointer that the function was entered with, and only the processor can make it, with the
process's own keys (PACIASP): the stopped task makes it itself, by one step.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from observer.arch.known import NATIVE
from observer.linux import ptrace
from observer.linux.ptrace import RegisterSet
from observer.tracee.frames import Frame
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.memory import Memory
from observer.tracee.returning import IN_REGISTER
from observer.tracee.task import Task
from observer.tracee.waiting import ALL_TASKS, Postponed

__all__ = ["put_back_kept"]

_IP, _SP, _MODE = NATIVE.registers.ip, NATIVE.registers.sp, NATIVE.registers.mode
_PACIASP: Final = b"\x3f\x23\x03\xd5"
_DEEPEST: Final = 1 << 20
"""Bytes of stack that are searched."""
_ALL_BUT_TRAPS: Final = 0xFFFF_FFFF_FFFF_FFFF & ~(1 << (signal.SIGTRAP - 1))
_STEPPED: Final = signal.SIGTRAP << 8 | 0x7F


def put_back_kept(task: Task, memory: Memory, frame: Frame, words: memoryview) -> None:
    """Put the return address of *frame* back in the register and on the stack of *task*, whose registers *words* are.

    Raises:
        OSError: its stack cannot be reached.
        EndedMeanwhile: it was killed.
    """
    assert IN_REGISTER is not None
    sp = int(words[_SP])
    words[IN_REGISTER] = _instead(task, memory, frame, words[IN_REGISTER])
    stack = memory.read(sp, max(min(frame.sp - sp, _DEEPEST), 0))
    for at in range(0, len(stack) - memory.word + 1, memory.word):
        word = int.from_bytes(stack[at : at + memory.word], "little")
        other = _instead(task, memory, frame, word)
        if other != word:
            memory.pwrite(other.to_bytes(memory.word, "little"), sp + at)
    memory.exchanged.pop((frame.trap, frame.sp), None)


def _instead(task: Task, memory: Memory, frame: Frame, word: int) -> int:
    """Return what is to stand in the place of *word*: something else where that leads to the trap of *frame*."""
    if NATIVE.unsigned(word, frame.point.address, frame.sp) != frame.trap:
        return word
    return frame.return_address if word == frame.trap else _signed(task.tid, memory, frame.return_address, frame.sp)


def _signed(tid: int, memory: Memory, address: int, sp: int) -> int:
    """Return *address* with the signature that a function entered with the stack pointer *sp* gives it."""
    code = _signing_instruction(memory)
    if not code or IN_REGISTER is None:
        return address
    registers, lent = RegisterSet(), RegisterSet()
    registers.read(tid)
    lent.read(tid)
    lent.words[IN_REGISTER], lent.words[_SP], lent.words[_IP] = address, sp, code
    lent.words[_MODE] &= ~NATIVE.modes.branched
    mask = ptrace.signal_mask(tid)
    ptrace.set_signal_mask(tid, _ALL_BUT_TRAPS)
    lent.write(tid)
    postponed, status = Postponed(tid), 0
    while status != _STEPPED:
        ptrace.step(tid)
        _tid, status = os.waitpid(tid, ALL_TASKS)
        if os.WIFSTOPPED(status) and (status >> 16 == ptrace.EVENT_STOP or os.WSTOPSIG(status) == signal.SIGSTOP):
            postponed.take(status)
        elif status != _STEPPED:
            raise EndedMeanwhile(tid, status)
    lent.read(tid)
    registers.write(tid)
    ptrace.set_signal_mask(tid, mask)
    postponed.come_again()
    return int(lent.words[IN_REGISTER])


def _signing_instruction(memory: Memory) -> int:
    """Return where a PACIASP stands that no breakpoint is planted on, 0 where none is found."""
    for image in memory.images:
        code = memory.read(image.start, image.end - image.start)
        found = code.find(_PACIASP)
        while found % NATIVE.instruction_alignment and found >= 0:
            found = code.find(_PACIASP, found + 1)
        if found >= 0:
            return image.start + found
    return 0
