"""A signal on its way to a task: what the kernel tells of it, and the instruction that was being executed."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Final

from observer.arch.known import NATIVE, with_bits
from observer.code.protection import access_to, protection_reason
from observer.instruments.stacks import keep_stack, present_bytes
from observer.linux.ptrace import RegisterSet, bits_of, interrupts_call, signal_info
from observer.model.signals import FAULT_SIGNALS, SI_KERNEL, name_of_signal
from observer.recording.notes import Signalled
from observer.recording.sink import Sink
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["note_signal"]

_REGISTERS: Final = NATIVE.registers
_BEHIND: Final = len(NATIVE.calls.gates[0].code)
"""Also int3 is one byte, int 4 two; the processor has gone past them when it tells."""
_OF_INSTRUCTIONS: Final = FAULT_SIGNALS | {"SIGTRAP"}
"""What an instruction is to blame for: one that a timer interrupts is not looked at, as timers may be very many."""


def note_signal(sink: Sink, task: Task, registers: RegisterSet) -> None:
    """Note the signal at whose delivery *task* stands; its registers are left in *registers*.

    Raises:
        OSError: the task is gone.
    """
    signo, code, address = signal_info(task.tid)
    registers.read(task.tid)
    words = registers.words
    ip, sp = words[_REGISTERS.ip], words[_REGISTERS.sp]
    now = time.monotonic_ns()
    name = name_of_signal(signo)
    stack, behind, there = 0, b"", b""
    if task.memory is not None and code > 0:
        task.memory.tid = task.tid
        if _present(task.memory, sp, 1):  # where a stack has overrun, reading below it would make it grow
            stack = keep_stack(sink, task.memory, now, sp, registers, frames=task.frames)
        behind = _present(task.memory, ip - _BEHIND, _BEHIND)
        there = _present(task.memory, ip, NATIVE.longest_instruction) if name in _OF_INSTRUCTIONS else b""
        ip = task.memory.inline.original(ip)
    raised = name in FAULT_SIGNALS and code > 0
    refused = name in _OF_INSTRUCTIONS and code == SI_KERNEL
    architecture, word_at = with_bits(bits_of(words)), partial(_word, task.memory)
    sink.notes.append(
        Signalled(
            pid=task.pid, tid=task.tid, t=now, signal=name, code=code, address=address if raised else None,
            ip=ip, sp=sp, cs=NATIVE.mode_of(words[_REGISTERS.mode]), stack=stack, behind=behind.hex(),
            bytes=there.hex(), in_call=interrupts_call(words, behind),
            reason=protection_reason(there, ip, words, architecture, word_at=word_at) if refused else None,
            access=access_to(address, there, ip, words, architecture) if raised else None,
        )
    )  # fmt: skip


def _word(memory: Memory | None, address: int) -> int | None:
    data = _present(memory, address, NATIVE.word) if memory is not None else b""
    return int.from_bytes(data, "little") if len(data) == NATIVE.word else None


def _present(memory: Memory, start: int, length: int) -> bytes:
    """Return the bytes from *start* on whose pages are there: none is to be brought in by looking."""
    with contextlib.suppress(OSError, OverflowError):  # after a jump to where nothing is mapped
        length = min(length, present_bytes(memory.tid, start, length))
        return memory.read(start, length) if length else b""
    return b""
