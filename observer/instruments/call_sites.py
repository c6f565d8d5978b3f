"""The program's own lines that calls come from, while the program runs: each return address is looked up once."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from observer.arch.known import NATIVE
from observer.instruments.places import CodeMap, StackPiece
from observer.instruments.stacks import present_bytes
from observer.linux.ptrace import RegisterSet
from observer.model.events import Site
from observer.recording.records import STACK_BYTES
from observer.tracee.frames import Frame
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["CallSites"]

_LIBRARY: Final = ("libc", "loader")
_BP, _BX = NATIVE.registers.fp, NATIVE.registers.kept


class CallSites:
    """Names places as the finished trace will: behind the C library's code, the program's line that called it."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Memory, tuple[int, CodeMap]] = WeakKeyDictionary()
        self._registers = RegisterSet()

    def of(self, task: Task, memory: Memory, frame: Frame) -> Site:
        """Return the place of the call *frame*, whose *task* is stopped at its return.

        Raises:
            OSError: its stack cannot be read.
        """
        code = self._code(memory)
        role, site = code.caller(frame.return_address)
        if task.nested and (role in _LIBRARY or site.line is None):
            return code.site_at(task.nested[-1].site)  # a walk would end at the trap of that library call
        if role not in _LIBRARY:
            return site
        caller = code.caller_in_program(self._stack(task, memory, frame), at_call=True)
        return code.site_before(caller) if caller is not None else site

    def _code(self, memory: Memory) -> CodeMap:
        count, code = self._known.get(memory, (0, CodeMap()))
        if count != len(memory.images):
            for image in memory.images[count:]:
                code.add(image)
            self._known[memory] = len(memory.images), code
        return code

    def _stack(self, task: Task, memory: Memory, frame: Frame) -> StackPiece:
        """Return the stack of the caller: what a callee must keep is in the registers again."""
        self._registers.read(task.tid)
        words, sp = self._registers.words, frame.sp + memory.popped
        data = memory.read(sp, present_bytes(task.tid, sp, STACK_BYTES))
        return StackPiece(frame.return_address, sp, words[_BP], words[_BX], data, memory.word)
