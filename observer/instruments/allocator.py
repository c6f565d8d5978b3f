"""Allocator calls by software breakpoints: an unmodified program, dynamic or static, in any number of threads.

At the entry of a function of the family its int3 stops the thread. The instruction under it is emulated, the return
address on the stack is exchanged for the address of the return trap, and the thread runs on: two stops a call, no
single step, no moment in which the breakpoint is away. The return trap is known by its stack pointer.

One event is made per outermost call; calls of the family made inside it are counted, not recorded. A signal
handler's calls are not inside the call that the signal interrupted.
"""

from __future__ import annotations

import struct
from time import monotonic_ns
from typing import Final

from observer.instruments.observed import ObserversPages
from observer.instruments.sink import Sink
from observer.instruments.stacks import keep_stack
from observer.instruments.traps import restore_blocked_trap
from observer.linux.elf import Elf
from observer.linux.instructions import CONSTANT, NOTHING, emulation_of
from observer.linux.procfs import read_mappings
from observer.linux.ptrace import RegisterSet, signal_info
from observer.model.operations import FAMILY, OPERATORS
from observer.tracee.memory import Breakpoint, Memory
from observer.tracee.task import Frame, Task

__all__ = ["RETURNED", "AllocatorCalls"]

RETURNED: Final = 1
LEFT: Final = 2
_RIP, _RSP, _RAX = RegisterSet.RIP, RegisterSet.RSP, RegisterSet.RAX
_RDI, _RSI, _RDX = RegisterSet.RDI, RegisterSet.RSI, RegisterSet.RDX
_SI_KERNEL: Final = 0x80
_POSIX_MEMALIGN: Final = next(i for i, operation in enumerate(FAMILY) if operation.name == "posix_memalign")
_NUMBERS: Final = {operation.name: i for i, operation in enumerate(FAMILY)}
_OPERATORS: Final = {symbol: _NUMBERS[name] for symbol, name in OPERATORS.items()}
_SYMBOLS: Final = _NUMBERS | _OPERATORS
# A signal frame holds at least the registers and 512 bytes of FPU state (arch/x86/kernel/signal.c).
_SIGNAL_FRAME: Final = 512
_TWO_WORDS: Final = struct.Struct("<QQ")
_ONE_WORD: Final = struct.Struct("<Q")
_FOUR_WORDS: Final = struct.Struct("<IIII")
_MASK_32: Final = 0xFFFF_FFFF
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class AllocatorCalls:
    """Plants breakpoints in whatever defines the family, and turns their hits into call records."""

    def __init__(self, sink: Sink, pages: ObserversPages) -> None:
        self._sink = sink
        self._pages = pages
        self.begun = 0
        self.returned = 0
        self.left = 0
        self.unreturned = 0
        self.internal = 0
        self.refused: dict[str, str] = {}
        self.planted: dict[str, int] = {}

    def counts(self) -> dict[str, int]:
        """Return how many calls were begun, returned, left by a jump, and cut by their thread's end."""
        return {
            "calls_begun": self.begun, "calls_returned": self.returned, "calls_left": self.left,
            "calls_unreturned": self.unreturned, "calls_internal": self.internal,
        }  # fmt: skip

    def plant(self, task: Task, elf: Elf, bias: int, start: int, end: int, role: str) -> int:
        """Plant in every function of the family that *elf* defines and [start, end) holds; return how many."""
        memory = task.memory
        found = elf.addresses_of(_NUMBERS)
        if role == "library" and "malloc" in found:
            # An allocator's own operators of C++ do not go through its malloc, as those of libstdc++ do.
            found |= elf.addresses_of(_OPERATORS)
        # In the shared glibc, public calls go through the symbol, even the library's own (since 2.26); a direct
        # call from inside is the allocator talking to itself, as when an ending thread empties its cache.
        home = (start, end) if role == "libc" and elf.addresses_of(["gnu_get_libc_version"]) else (0, 0)
        planted = 0
        if memory is None:
            return 0
        for name, address in sorted(found.items(), key=lambda item: _SYMBOLS[item[0]]):
            place = address + bias
            if not start <= place < end or place in memory.breakpoints:
                continue
            code = elf.read(address, 16)
            emulation = emulation_of(code, place, 8 * elf.word)
            if emulation is None or memory.read(place, emulation.length) != code[: emulation.length]:
                self.refused[f"{name} in {elf.path}"] = "its first instruction cannot be carried out elsewhere"
                continue
            try:
                memory.plant(task.tid, place, _SYMBOLS[name], emulation, home)
            except OSError as error:
                self.refused[f"{name} in {elf.path}"] = f"its code cannot be written ({error.strerror})"
                continue
            planted += 1
        if planted:
            self.planted[elf.path] = planted
        return planted

    def hit(self, task: Task, registers: RegisterSet) -> bool:
        """Handle a SIGTRAP of *task*; return whether it was one of our breakpoints.

        This is the hot path: at an entry it reads the registers and one word, writes one or two words and the
        registers; at a return it reads the registers and sets one.
        """
        tid = task.tid
        memory = task.memory
        assert memory is not None
        registers.read(tid)
        words = registers.words
        place = words[_RIP] - 1
        if task.blocks_trap and (place in memory.breakpoints or place == memory.trap):
            restore_blocked_trap(tid)
        if place == memory.trap and place:
            return self._return(task, memory, registers)
        point = memory.breakpoints.get(place)
        if point is None:
            return False
        emulation = point.emulation
        memory.tid = tid
        if emulation.length == 1 and signal_info(tid)[1] != _SI_KERNEL:
            return False  # somebody's SIGTRAP found the thread right behind a one-byte instruction
        sp = words[_RSP]
        trap = self._entry(task, memory, point, registers, sp)
        if point.pushes != NOTHING:
            pushed = words[point.pushes] if point.pushes != CONSTANT else emulation.constant
            if memory.word == 4:
                self._push(
                    memory, (pushed & _MASK_32).to_bytes(4, "little") + memory.trap_word[: 4 * bool(trap)], sp - 4
                )
            else:
                self._push(memory, _TWO_WORDS.pack(pushed, trap) if trap else _ONE_WORD.pack(pushed), sp - 8)
            words[_RSP] = sp - memory.word
        elif trap:
            memory.pwrite(memory.trap_word, sp)
        words[_RIP] = point.after
        if emulation.apply is not None:
            emulation.apply(words, memory.read)
        registers.write(tid)
        return True

    def _entry(self, task: Task, memory: Memory, point: Breakpoint, registers: RegisterSet, sp: int) -> int:
        """Begin a call; return the return trap's address if its return is to be seen, 0 for calls inside others."""
        frame = task.frame
        if frame is not None and self._is_inner(task, memory, frame, sp):
            frame.inner += 1
            return 0
        now = monotonic_ns()
        words = registers.words
        if memory.word == 4:
            return_address, first, second, third = _FOUR_WORDS.unpack(memory.pread(16, sp))
        else:
            return_address = _ONE_WORD.unpack(memory.pread(8, sp))[0]
            first, second, third = words[_RDI], words[_RSI], words[_RDX]
        home_start, home_end = point.home
        if home_start <= return_address < home_end and _calls_directly(memory, return_address, point.address):
            self.internal += 1
            return 0
        entered = Frame(sp, point.operation, first, second, third, return_address, now)
        entered.outer = task.frame
        for start, end in memory.libc_text:
            if start <= return_address < end:
                entered.stack = keep_stack(self._sink, memory, now, sp, registers)
        if not memory.trap:
            with self._pages.excluded():
                memory.arm_return_trap(task.tid)
        task.frame = entered
        self.begun += 1
        return memory.trap

    def _push(self, memory: Memory, words: bytes, address: int) -> None:
        if address & 0xFFF == 0x1000 - memory.word:
            # The push reaches a new page of the stack, which may not be there yet: then it is we who bring it in.
            with self._pages.pushing():
                memory.pwrite(words, address)
        else:
            memory.pwrite(words, address)

    def _is_inner(self, task: Task, memory: Memory, frame: Frame, sp: int) -> bool:
        """Whether a call entered at *sp* is part of the call *frame*; gives up calls that were jumped out of."""
        if frame.interrupted:
            return not self._left_by_handler(task, frame, sp)
        if sp < frame.sp:
            return True
        if sp == frame.sp and memory.read_word(sp) == memory.trap:
            return True  # a tail call: the inner function returns in the outer one's place
        self._leave(task, sp)
        return False

    def _left_by_handler(self, task: Task, frame: Frame, sp: int) -> bool:
        """Whether a call at *sp* belongs to a handler, or to code reached by jumping out of *frame*."""
        if frame.interrupted - _SIGNAL_FRAME <= sp < frame.sp:
            return False
        if sp < frame.sp and frame.sp - sp < 1 << 16:
            return True
        # Far away or above: the handler's own stack, or the same stack after siglongjmp.
        mappings = read_mappings(task.tid)
        home = next((m for m in mappings if m.start <= frame.sp < m.end), None)
        if home is not None and home.start <= sp < home.end and sp >= frame.sp:
            self._leave(task, sp)
        return True

    def _leave(self, task: Task, sp: int) -> None:
        """Give up the calls that the stack pointer *sp* shows to be left without a return."""
        now = monotonic_ns()
        while task.frame is not None and task.frame.sp <= sp:
            frame = task.frame
            task.frame = frame.outer
            task.stray[frame.sp] = frame
            if not frame.is_uncounted:
                self.left += 1
                self._record(task, frame, now, 0, LEFT)

    def _return(self, task: Task, memory: Memory, registers: RegisterSet) -> bool:
        words = registers.words
        sp = words[_RSP] - memory.word
        frame = task.frame
        if frame is None or frame.sp != sp:
            frame = self._frame_of_odd_return(task, sp)
            if frame is None:
                return False
        now = monotonic_ns()
        task.frame = frame.outer
        registers.jump(task.tid, frame.return_address)
        if not frame.is_uncounted:
            self.returned += 1
            result = words[_RAX] if memory.word == 8 else words[_RAX] & _MASK_32
            if frame.operation == _POSIX_MEMALIGN:
                result = memory.read_word(frame.first) if result & 0xFFFF_FFFF == 0 else 0
            self._record(task, frame, now, result, RETURNED)
        return True

    def _frame_of_odd_return(self, task: Task, sp: int) -> Frame | None:
        """Return the call that comes back although inner ones were left by a jump, or although it was given up."""
        if task.frame is not None and task.frame.sp < sp:
            self._leave(task, sp - 1)
        if task.frame is not None and task.frame.sp == sp:
            return task.frame
        stray = task.stray.pop(sp, None)
        if stray is not None:
            stray.is_uncounted = True  # it was recorded when it was given up
            stray.outer = task.frame
        return stray

    def _record(self, task: Task, frame: Frame, ended: int, result: int, flags: int) -> None:
        self._sink.calls.append(
            frame.began, ended, task.pid, task.tid, frame.operation, flags, frame.inner, frame.first, frame.second,
            frame.third, result & _MASK, frame.return_address, frame.sp, frame.stack,
        )  # fmt: skip

    def interrupted(self, task: Task, registers: RegisterSet) -> None:
        """A signal is delivered while *task* is in a call: a handler may run now."""
        if task.frame is not None:
            registers.read(task.tid)
            task.frame.interrupted = registers.words[_RSP]

    def ended(self, task: Task) -> None:
        """*task* ends, or its address space does: the calls it is in never return."""
        now = monotonic_ns()
        while task.frame is not None:
            frame, task.frame = task.frame, task.frame.outer
            if not frame.is_uncounted:
                self.unreturned += 1
                self._record(task, frame, now, 0, 0)


def _calls_directly(memory: Memory, return_address: int, target: int) -> bool:
    """Whether the instruction before *return_address* is `call target`, not a call through a table."""
    code = memory.read(return_address - 5, 5)
    reached = return_address + int.from_bytes(code[1:], "little", signed=True)
    return code[:1] == b"\xe8" and reached & (1 << 8 * memory.word) - 1 == target
