"""A thread that stands in code of ours is put where it would stand in the program's own.

Who looks at it there would find no function: a handler that walks the stack, a debugger, ourselves when we let go. What
an entry has begun is begun again, what an end has begun is done in the thread's place. Between, some of the program's
own instructions are done in a landing: through these the thread is led one by one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from observer.arch.known import NATIVE
from observer.linux import ptrace
from observer.linux.ptrace import RegisterSet
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.injection import EndedMeanwhile
from observer.tracee.inline.annex import Annex, Landing
from observer.tracee.inline.assembled import Stub
from observer.tracee.inline.landing_code import landing_code_of
from observer.tracee.memory import Memory
from observer.tracee.task import Task
from observer.tracee.waiting import ALL_TASKS, Postponed

__all__ = ["Follow", "Vacating"]

Follow = Callable[[Task, Memory, Breakpoint, RegisterSet], object]

_RIP, _RSP, _MODE = NATIVE.registers.ip, NATIVE.registers.sp, NATIVE.registers.mode
_CODE: Final = landing_code_of(NATIVE)
_ARGUMENTS: Final = NATIVE.registers.arguments[:3]
_MOST: Final = 32
"""Instructions that no landing exceeds."""
_TRAP_STOP: Final = signal.SIGTRAP << 8 | 0x7F
_OF_INSTRUCTIONS: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_WAITING: Final = 0xFFFF_FFFF_FFFF_FFFF & ~sum(1 << each - 1 for each in (*_OF_INSTRUCTIONS, signal.SIGTRAP))
"""All signals but those that an instruction raises: blocked, these would lose their handlers (force_sig)."""


class Vacating:
    """Puts threads out of annexes with the code *stub*."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub

    def vacate(self, task: Task, memory: Memory, registers: RegisterSet, follow: Follow) -> None:
        """Put the task that stands before a signal, and whose *registers* were read, where it would stand.

        *follow* takes down what happens at a breakpoint, and carries its instruction out.

        Raises:
            OSError, EndedMeanwhile: it is gone.
        """
        for _ in range(_MOST):
            annex = memory.inline.annex_at(registers.words[_RIP])
            if annex is None:
                break
            if self._put_out(task, memory, annex, registers, follow):
                registers.words[_MODE] &= ~NATIVE.modes.branched  # it did not come by a branch
                registers.write(task.tid)
                continue
            number, code, _address = ptrace.signal_info(task.tid)
            if number in _OF_INSTRUCTIONS and code > 0:
                break  # the program's own instruction is what is told: it stays where it is done
            _step(task.tid)
            registers.read(task.tid)

    def _put_out(
        self, task: Task, memory: Memory, annex: Annex, registers: RegisterSet, follow: Follow
    ) -> bool:  # fmt: skip
        """Change *registers* so that the task is nearer to its own code; return False where it has to run itself."""
        words = registers.words
        at = words[_RIP] - annex.start
        if at < len(self._stub.code):
            landing: Landing | None = annex.landings.get(words[_CODE.descriptor])
            if landing is None:
                return False
            if any(first <= at < end for first, end in self._stub.again):
                self._as_at_first(task, memory, at, words)
            is_done = at in self._stub.done
            if landing.is_entry or landing.through:
                words[_RIP] = landing.resume if is_done and landing.is_entry else landing.origin
                return True
            return self._end(task, memory, landing, registers, follow, is_done=is_done)
        landing = annex.landing_at(words[_RIP])
        if landing is None:
            return False
        if landing.is_entry:
            is_begun = words[_RIP] >= landing.resume
            words[_RIP] = words[_RIP] if is_begun else landing.origin
            return not is_begun
        if landing.through:
            return self._back_from(words, landing)
        if words[_RIP] < landing.lead:
            return False
        return self._end(task, memory, landing, registers, follow, is_done=words[_RIP] == landing.resume)

    @staticmethod
    def _back_from(words: memoryview, landing: Landing) -> bool:
        """Put back before a jump that is made a call; behind that call return False: it leads to an end."""
        is_lowered = words[_RIP] == landing.through + _CODE.down
        if landing.through < words[_RIP] < landing.lead and not is_lowered:
            return False
        words[_RSP] += _CODE.lowered if is_lowered else 0
        words[_RIP] = landing.origin
        return True

    def _as_at_first(self, task: Task, memory: Memory, at: int, words: memoryview) -> None:
        """Give the registers back what they held when the stub was entered."""
        block = memory.inline.block_of(ptrace.thread_base(task.tid, words))
        if self._stub.filled <= at < self._stub.again[0][1] and block is not None:
            record = block.record_at_hand()
            for register, name in zip(_ARGUMENTS, ("a0", "a1", "a2"), strict=True):
                words[register] = int(record[name])
        elif self._stub.timed <= at < self._stub.closed:
            for register, kept in _CODE.kept:
                words[register] = words[kept]

    @staticmethod
    def _end(
        task: Task, memory: Memory, landing: Landing, registers: RegisterSet, follow: Follow, *, is_done: bool
    ) -> bool:  # fmt: skip
        """Do what is left of an end: take it down, and return."""
        words, point = registers.words, memory.breakpoints[landing.trap]
        if not is_done:
            words[_RIP] = landing.resume
            follow(task, memory, point, registers)
        if words[_RIP] == landing.resume and point.emulation.apply is not None:
            point.emulation.apply(words, memory.read)
        return True


def _step(tid: int) -> None:
    """Have a task do one instruction: the signal before which it stands, and others, have to wait."""
    mask, signal_at_hand = ptrace.signal_mask(tid), ptrace.whole_signal_info(tid)
    ptrace.set_signal_mask(tid, _WAITING)
    postponed = Postponed(tid)
    for _ in range(_MOST):
        ptrace.step(tid)
        _tid, status = os.waitpid(tid, ALL_TASKS)
        if not os.WIFSTOPPED(status) or status >> 16 == ptrace.EVENT_EXIT:
            raise EndedMeanwhile(tid, status)
        if status == _TRAP_STOP or os.WSTOPSIG(status) in _OF_INSTRUCTIONS:
            break  # one that faults does so again, when the signal at hand was handled
        postponed.take(status)
    ptrace.set_signal_mask(tid, mask)
    ptrace.set_signal_info(tid, signal_at_hand)
    postponed.come_again()
