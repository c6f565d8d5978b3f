"""Allocator calls by software breakpoints: an unmodified program, dynamic or static, in any number of threads.

At the entry of a function of the family an int3 stops the thread, and again at the `ret` that ends it: two stops a
call, no single step, no moment in which a breakpoint is away. The instruction under it is emulated. The stack stays
as the program made it, so whatever unwinds it or looks at it sees what it would see without us. Only where a function
ends by jumping into another file (tail call) its return address is exchanged for one of the `ret`s, as long as that
lasts.

One event is made per outermost call; calls of the family made inside it are counted, not recorded. A signal
handler's calls are not inside the call that the signal interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
from time import monotonic_ns
from typing import Final

from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.code.instructions import CONSTANT, NOTHING
from observer.instruments.observed import ObserversPages
from observer.instruments.open_calls import OpenCalls
from observer.instruments.planting import Planter
from observer.instruments.sink import Sink
from observer.instruments.stacks import keep_stack
from observer.instruments.standing import Standing, copied_breakpoint
from observer.linux.ptrace import RegisterSet, signal_info
from observer.model.operations import FAMILY
from observer.tracee.memory import NO_OPERATION, Breakpoint, Memory
from observer.tracee.task import Frame, Task

__all__ = ["RETURNED", "AllocatorCalls"]

RETURNED: Final = 1
LEFT: Final = 2
_RIP, _RSP, _RAX = NATIVE.registers.ip, NATIVE.registers.sp, NATIVE.registers.result
_RDI, _RSI, _RDX, *_ = NATIVE.registers.arguments
_BEHIND, _TRAPPED = NATIVE.trap.behind, NATIVE.trap.si_code
_POSIX_MEMALIGN: Final = next(i for i, operation in enumerate(FAMILY) if operation.name == "posix_memalign")
_FOUR_WORDS: Final = struct.Struct("<IIII")
_MASK_32: Final = 0xFFFF_FFFF
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class AllocatorCalls:
    """Plants breakpoints in whatever defines the family, and turns their hits into call records."""

    def __init__(self, sink: Sink, pages: ObserversPages) -> None:
        self._sink = sink
        self._pages = pages
        self._planter = Planter()
        self._open = OpenCalls(sink, self._given_up)
        self._standing = Standing(pages)
        self._implementations = 0
        self.begun = 0
        self.returned = 0
        self.left = 0
        self.unreturned = 0
        self.internal = 0
        self.unread = 0
        self.exchanged = 0
        self.stuck: set[str] = set()

    @property
    def refused(self) -> dict[str, str]:
        """Which functions were found and could not be planted in, and why."""
        return self._planter.refused

    @property
    def planted(self) -> dict[str, int]:
        """In how many functions of each file breakpoints were planted."""
        return self._planter.planted

    def counts(self) -> dict[str, int]:
        """Return how many calls were begun, returned, left by a jump, and cut by their thread's end."""
        return {
            "calls_begun": self.begun, "calls_returned": self.returned, "calls_left": self.left,
            "calls_unreturned": self.unreturned, "calls_internal": self.internal, "calls_unread": self.unread,
            "breakpoints": self._standing.expected, "breakpoints_standing": self._standing.found,
            "breakpoints_moved": self._standing.moved, "breakpoints_planted_again": self._standing.planted_again,
        }  # fmt: skip

    def plant(self, task: Task, elf: Elf, bias: int, start: int, end: int, role: str) -> int:
        """Plant in every function of the family that *elf* defines and [start, end) holds; return in how many."""
        number = self._implementations + 1
        planted = self._planter.plant(task, elf, bias, start, end, role, number)
        if planted:
            self._implementations = number
            self._sink.notes.append(
                "allocator", number=number, pid=task.pid, t=monotonic_ns(), path=elf.path, is_glibc=_is_glibcs(elf)
            )
        return planted

    def hit(self, task: Task, registers: RegisterSet) -> bool:
        """Handle a SIGTRAP of *task*; return whether it was one of our breakpoints.

        This is the hot path: at an entry it reads the registers and one word, at a return likewise, and writes the
        registers.
        """
        tid = task.tid
        memory = task.memory
        assert memory is not None
        registers.read(tid)
        words = registers.words
        point = memory.breakpoints.get(words[_RIP] - _BEHIND)
        if point is None:
            point = self._copied(task, memory, words[_RIP] - _BEHIND)
            if point is None:
                return False
        if not point.is_certain and signal_info(tid)[1] != _TRAPPED:
            return False  # somebody's SIGTRAP found the thread right behind a one-byte instruction
        memory.tid = tid
        try:
            if point.operation != NO_OPERATION:
                self._entry(task, memory, point, registers)
            if point.leaves:
                if self._leaving(task, memory, point, words):
                    return True
            else:
                self._carry_out(memory, point, words)
        except OSError as error:
            self._not_reached(error)
            self._step_over(task, memory, point, registers)
            return True
        registers.write(tid)
        return True

    @staticmethod
    def _copied(task: Task, memory: Memory, place: int) -> Breakpoint | None:
        """Return the breakpoint of ours that the program copied to *place*, None for other SIGTRAPs."""
        if place == memory.trap or place in memory.probes or signal_info(task.tid)[1] != _TRAPPED:
            return None
        memory.tid = task.tid
        return copied_breakpoint(memory, place)

    def _carry_out(self, memory: Memory, point: Breakpoint, words: memoryview) -> None:
        """Do what the instruction under the breakpoint does; nothing is done if its memory cannot be reached."""
        emulation = point.emulation
        if emulation.pushes != NOTHING:
            sp = words[_RSP]
            pushed = words[emulation.pushes] if emulation.pushes != CONSTANT else emulation.constant
            with self._pages.pushing():
                memory.pwrite((pushed & (1 << 8 * memory.word) - 1).to_bytes(memory.word, "little"), sp - memory.word)
            words[_RSP] = sp - memory.word
        words[_RIP] = point.after
        if emulation.apply is not None:
            emulation.apply(words, memory.read)

    def _not_reached(self, error: OSError) -> None:
        """Count that memory of the tracee's could not be reached; a tracee that is gone is the engine's business."""
        if error.errno == errno.ESRCH:
            raise error
        self.unread += 1

    def _step_over(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet) -> None:
        """Have the task do the instruction itself, its breakpoint lifted for one step: it finds out what is wrong."""
        registers.read(task.tid)
        registers.jump(task.tid, point.address)
        try:
            memory.lift_for_a_step(task.tid, point)
        except OSError as error:
            self._not_reached(error)
            # Neither its memory nor its code is open to us: run on it must not, from the middle of an instruction.
            self.stuck.add(f"pid {task.pid} was ended: an instruction of its can neither be carried out nor put back")
            os.kill(task.pid, signal.SIGKILL)
            return
        task.stepping = point

    # ---- calls begin ----

    def _entry(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet) -> None:
        """Take down that a call begins."""
        words = registers.words
        sp = words[_RSP] + point.pushed
        if task.frames or task.handlers:
            outer = self._open.enclosing(task, memory, sp, point.operation)
            if outer is not None:
                outer.inner += 1
                return
        now = monotonic_ns()
        return_address, arguments = self._read_call(memory, sp, words)
        home_start, home_end = point.home
        if home_start <= return_address < home_end and _calls_directly(memory, return_address, point.entry):
            self.internal += 1
            return
        entered = Frame(task.tid, sp, point.operation, *arguments, return_address, now)
        entered.tails, entered.implementation = point.tails, point.implementation
        for start, end in memory.libc_text:
            if start <= return_address < end:
                entered.stack = keep_stack(self._sink, memory, now, sp, registers)
        task.frames.append(entered)
        self.begun += 1

    def _read_call(self, memory: Memory, sp: int, words: memoryview) -> tuple[int, tuple[int, int, int]]:
        """Return the return address at *sp* and the first three arguments; address 0 where it cannot be read."""
        if memory.word == 4:
            return_address, first, second, third = _FOUR_WORDS.unpack(memory.pread(16, sp))
            return return_address, (first, second, third)
        return self._word(memory, sp) or 0, (words[_RDI], words[_RSI], words[_RDX])

    # ---- calls end ----

    def _leaving(self, task: Task, memory: Memory, point: Breakpoint, words: memoryview) -> bool:
        """Take down the call that ends by the instruction under the breakpoint, if one does, and carry it out.

        Returns whether that is left to the task: then its registers are as they should be.
        """
        if not point.emulation.is_return:
            self._carry_out(memory, point, words)
            self._jumped(task, memory, point, words)
            return False
        sp, popped = words[_RSP], memory.word
        frame = self._open.returning(task, memory, sp)
        if frame is None:
            popped = 0  # not by this `ret`: it came back to it from another file's function
            frame = self._open.returning_to(task, point.address, sp - memory.word)
        if frame is not None and not frame.is_uncounted:
            self.returned += 1
            self._record(task, frame, monotonic_ns(), self._result(memory, frame, words[_RAX]), RETURNED)
        if frame is not None and frame.trap:
            words[_RIP], words[_RSP] = frame.return_address, sp + popped
            return False
        spare = 0 if point.goes_on or memory.fd >= 0 else memory.spare_return()
        if spare:
            words[_RIP] = spare  # no memory is needed where the task does it itself
        elif not point.goes_on:
            self._carry_out(memory, point, words)
        return point.goes_on

    def _result(self, memory: Memory, frame: Frame, result: int) -> int:
        if frame.operation != _POSIX_MEMALIGN:
            return result if memory.word == 8 else result & _MASK_32
        return (self._word(memory, frame.first) or 0) if result & _MASK_32 == 0 else 0

    def _word(self, memory: Memory, address: int) -> int | None:
        """Return a word of the tracee's, None (and counted) where it cannot be read."""
        try:
            return memory.read_word(address)
        except OSError as error:
            self._not_reached(error)
            return None

    def _jumped(self, task: Task, memory: Memory, point: Breakpoint, words: memoryview) -> None:
        """A function may have ended by the jump under the breakpoint, which was carried out: into another's code."""
        frame = task.frames[-1] if task.is_in_call else None
        if frame is None or words[_RSP] != frame.sp or words[_RIP] == point.after:
            return
        if words[_RIP] in memory.entries:
            frame.ends_in_another = True
            return
        trap = memory.any_return(point.address)
        if trap and not frame.trap and self._store(memory, trap, frame.sp):
            frame.trap = trap
            self.exchanged += 1

    def _store(self, memory: Memory, word: int, address: int) -> bool:
        try:
            # In the child of a fork the page is its parent's until somebody writes to it: then it is we who do so.
            with self._pages.pushing():
                memory.pwrite(word.to_bytes(memory.word, "little"), address)
        except OSError as error:
            self._not_reached(error)
            return False
        return True

    def _record(self, task: Task, frame: Frame, ended: int, result: int, flags: int) -> None:
        self._sink.calls.append(
            frame.began, ended, task.pid, task.tid, frame.operation, flags, frame.inner, frame.first, frame.second,
            frame.third, result & _MASK, frame.return_address, frame.sp, frame.stack,
            frame.implementation,
        )  # fmt: skip

    def _given_up(self, task: Task, frame: Frame) -> None:
        if not frame.is_uncounted:
            frame.is_uncounted = True
            self.left += 1
            self._record(task, frame, monotonic_ns(), 0, LEFT)

    def handler_began(self, task: Task, sp: int) -> None:
        """A signal for which the program has a handler is delivered at the stack pointer *sp*."""
        if task.frames and task.memory is not None:
            self._open.enclosing(task, task.memory, sp - 1, NO_OPERATION)
        if task.frames or task.handlers:
            self._open.handler_began(task, sp)

    def handler_returned(self, task: Task) -> None:
        """A signal handler returns (sigreturn(2))."""
        if task.handlers:
            self._open.handler_ended(task)

    def text_changed(self, task: Task, start: int, end: int) -> None:
        """A call of the program's returned that may have changed the code of [start, end)."""
        if task.memory is not None and task.memory.holds_any(start, end):
            task.memory.tid = task.tid
            self._standing.check(task, start, end)

    def settle(self, task: Task) -> None:
        """The address space of *task* is about to end: count what stands of what was planted."""
        self._standing.settle(task)

    @property
    def altered(self) -> list[str]:
        """In words, where calls may be missing because breakpoints of ours were gone at the end."""
        return [
            f"{name}: the program changed the code where a breakpoint stood ({count} times): calls are missing"
            for name, count in sorted(self._standing.altered.items())
        ]

    def ended(self, task: Task) -> None:
        """*task* ends, or its address space does: the calls it is in never return."""
        now = monotonic_ns()
        for frame in self._open.ended(task):
            if not frame.is_uncounted:
                self.unreturned += 1
                self._record(task, frame, now, 0, 0)


def _is_glibcs(elf: Elf) -> bool:
    """Whether the allocator that *elf* defines is glibc's own, which has these names for itself, static or shared."""
    public, own = ({symbol.address for symbol in elf.definitions_of([name])} for name in ("malloc", "__libc_malloc"))
    return elf.defines("__libc_mallopt") and bool(public & own)


def _calls_directly(memory: Memory, return_address: int, target: int) -> bool:
    """Whether the instruction before *return_address* is `call target`, not a call through a table."""
    code = memory.read(return_address - 5, 5)
    reached = return_address + int.from_bytes(code[1:], "little", signed=True)
    return code[:1] == b"\xe8" and reached & (1 << 8 * memory.word) - 1 == target
