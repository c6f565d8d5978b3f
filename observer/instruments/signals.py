"""A signal on its way to a task: what the kernel tells of it, and the instruction that was being executed."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from observer.instruments.sink import Sink
from observer.instruments.stacks import keep_stack
from observer.linux.protection import protection_reason
from observer.linux.ptrace import RegisterSet, bits_of, signal_info
from observer.model.exceptions import FAULT_SIGNALS
from observer.model.signals import name_of_signal
from observer.tracee.task import Task

__all__ = ["note_signal"]

_SI_KERNEL: Final = 0x80
_LONGEST_INSTRUCTION: Final = 15


def note_signal(sink: Sink, task: Task, registers: RegisterSet) -> None:
    """Note the signal at whose delivery *task* stands; its registers are left in *registers*.

    Raises:
        OSError: the task is gone.
    """
    signo, code, address = signal_info(task.tid)
    registers.read(task.tid)
    words = registers.words
    ip, sp = words[RegisterSet.RIP], words[RegisterSet.RSP]
    now = time.monotonic_ns()
    name = name_of_signal(signo)
    stack, code_there = 0, b""
    if task.memory is not None and code > 0:
        task.memory.tid = task.tid
        stack = keep_stack(sink, task.memory, now, sp, registers)
        with contextlib.suppress(OSError):  # after a jump to where nothing is mapped
            code_there = task.memory.read(ip, _LONGEST_INSTRUCTION)
    raised = name in FAULT_SIGNALS and code > 0
    sink.notes.append(
        "signal", pid=task.pid, tid=task.tid, t=now, signal=name, code=code, address=address if raised else None,
        ip=ip, sp=sp, cs=words[RegisterSet.CS], stack=stack, bytes=code_there.hex(),
        reason=protection_reason(code_there, ip, words, bits_of(words)) if code == _SI_KERNEL else None,
    )  # fmt: skip
