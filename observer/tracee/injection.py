"""A system call made in the tracee's place: its registers lent for the while, its signals held back.

Some things only a process itself can do, such as set its signals' actions (sigaction(2)). The stopped task is put on a
`syscall` instruction of its own code, makes the call, and finds its registers, mask and memory as they were.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Final

from observer.arch.known import NATIVE
from observer.linux import ptrace
from observer.linux.ptrace import RegisterSet
from observer.tracee.memory import Memory
from observer.tracee.waiting import ALL_TASKS, Postponed

__all__ = ["EndedMeanwhile", "call_in"]

_HELD_BACK: Final = 0xFFFF_FFFF_FFFF_FFFF & ~(1 << signal.SIGSYS - 1)
"""All signals but SIGSYS: where the kernel raises it in the call's place, it would lose its handler if blocked."""
_NO_CALL: Final = 0xFFFF_FFFF_FFFF_FFFF
_REGISTERS, _CALLS = NATIVE.registers, NATIVE.calls
_SYSCALL_SIGNAL: Final = signal.SIGSYS << 8 | 0x7F
_SYSCALL_STOP: Final = (signal.SIGTRAP | 0x80) << 8 | 0x7F


class EndedMeanwhile(Exception):
    """The task was killed while it made a call for us; `status` is the wait status that nobody else will get."""

    def __init__(self, tid: int, status: int) -> None:
        super().__init__(f"task {tid} ended")
        self.tid = tid
        self.status = status


def call_in(tid: int, memory: Memory, code: int, number: int, args: tuple[int | bytes, ...]) -> int:
    """Have the stopped task *tid* make a system call by the instruction at *code*; return its result.

    Bytes among the arguments are passed by address. A failure is a negative errno; EPERM, too, where the program has
    its system calls raise SIGSYS instead (prctl(2), PR_SET_SYSCALL_USER_DISPATCH): it sees nothing of that one.

    Raises:
        OSError: the task is gone, or its stack cannot be written.
        EndedMeanwhile: it was killed.
    """
    registers, lent = RegisterSet(), RegisterSet()
    registers.read(tid)
    lent.read(tid)
    mask = ptrace.signal_mask(tid)
    place = (registers.words[_REGISTERS.sp] - NATIVE.red_zone) & -NATIVE.stack_alignment
    kept: list[tuple[int, bytes]] = []
    for register, value in zip(_CALLS.arguments, args, strict=False):
        if isinstance(value, bytes):
            place -= -(-len(value) // NATIVE.stack_alignment) * NATIVE.stack_alignment
            kept.append((place, memory.read(place, len(value))))
            memory.pwrite(value, place)
            value = place
        lent.words[register] = value
    lent.words[_REGISTERS.ip], lent.words[_CALLS.asked] = code, number
    lent.words[_REGISTERS.mode] &= ~NATIVE.modes.branched  # a gate is none for branches to land on
    if _CALLS.number is not None:
        lent.words[_CALLS.number] = _NO_CALL
    ptrace.set_signal_mask(tid, _HELD_BACK)
    lent.write(tid)
    postponed = Postponed(tid)
    is_made = _make(tid, postponed)
    lent.read(tid)
    result = int(lent.words[_CALLS.result]) if is_made else (1 << 64) - errno.EPERM
    for address, data in kept:
        memory.pwrite(data, address)
    registers.write(tid)
    ptrace.set_signal_mask(tid, mask)
    postponed.come_again()
    return result - (1 << 64) if result >> 63 else result


def _make(tid: int, postponed: Postponed) -> bool:
    """Let the task run from the entry to the exit of the call; return whether it was made.

    A single step would raise a SIGTRAP of its own.
    """
    stops = 0
    while stops < 2:
        ptrace.to_syscall_exit(tid)
        _tid, status = os.waitpid(tid, ALL_TASKS)
        if not os.WIFSTOPPED(status) or status >> 16 == ptrace.EVENT_EXIT:
            raise EndedMeanwhile(tid, status)
        if status == _SYSCALL_STOP:
            stops += 1
        elif status == _SYSCALL_SIGNAL and ptrace.signal_info(tid)[1] > 0:
            return False  # before its entry
        else:
            postponed.take(status)  # or nothing: a filter, ours too, may stop it between
    return True
