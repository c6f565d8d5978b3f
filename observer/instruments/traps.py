"""SIGTRAP belongs to the program, too, and a breakpoint disturbs it.

At an int3 the kernel forces SIGTRAP through: if it is blocked or ignored, it is unblocked, and its action becomes the
default (force_sig, kernel/signal.c). So it is known for each task whether the program wants it blocked, however it came
to that: by sigprocmask(2), in a handler by its action's mask, in sigsuspend(2) and the like, or from its parent. Behind
each breakpoint the mask is put back, and the action, if there is one, by a sigaction(2) made in the program's place.
"""

from __future__ import annotations

import contextlib
import signal
from typing import Final

from observer.arch.known import NATIVE
from observer.instruments.observed import ObserversPages
from observer.linux import ptrace
from observer.tracee.injection import call_in
from observer.tracee.memory import Memory
from observer.tracee.task import Task

__all__ = ["SIGACTION", "SIGPROCMASK", "TrapWatch"]

SIGACTION, SIGPROCMASK = NATIVE.numbers("rt_sigaction", "rt_sigprocmask")
_BIT: Final = 1 << (signal.SIGTRAP - 1)
_ACTION: Final = 32  # bytes of the kernel's struct sigaction of x86-64: handler, flags, restorer, mask
_MASK_AT: Final = 24
_NODEFER: Final = 0x40000000
_IGNORE: Final = 1


class TrapWatch:
    """Follows what the program asks for SIGTRAP, and puts it back. `disturbed` says where that cannot be done."""

    def __init__(self, pages: ObserversPages) -> None:
        self._pages = pages
        self._actions: dict[int, bytes] = {}
        self._masking: dict[int, set[int]] = {}
        self._asked: dict[int, tuple[int, bytes]] = {}
        self._returning: set[int] = set()
        self.disturbed: set[str] = set()

    # ---- what the program asks for ----

    def entered(self, task: Task, number: int, args: tuple[int, ...], *, bits: int) -> None:
        """A sigaction(2) begins."""
        if number != SIGACTION or not args[1] or task.memory is None:
            return
        if bits == 32:
            if args[0] == signal.SIGTRAP:
                self.disturbed.add("an i386 program acts on SIGTRAP: breakpoints take that away where it is blocked")
            return
        task.memory.tid = task.tid
        with contextlib.suppress(OSError, OverflowError):  # a bad pointer: the call says EFAULT, too
            self._asked[task.tid] = args[0], task.memory.read(args[1], _ACTION)

    def left(self, task: Task, number: int, *, worked: bool) -> None:
        """A call that changes the blocked signals or an action ended."""
        if number == SIGPROCMASK:
            task.blocks_trap = bool(ptrace.signal_mask(task.tid) & _BIT)
            return
        which, action = self._asked.pop(task.tid, (0, b""))
        if worked and action:
            masking = self._masking.setdefault(task.pid, set())
            masking.discard(which)
            blocks_itself = which == signal.SIGTRAP and not int.from_bytes(action[8:16], "little") & _NODEFER
            if blocks_itself or int.from_bytes(action[_MASK_AT:], "little") & _BIT:
                masking.add(which)
            if which == signal.SIGTRAP:
                self._actions[task.pid] = action

    def delivering(self, task: Task, number: int, blocked: int) -> None:
        """A handler for signal *number* is about to run: with what is *blocked* now, and what its action adds."""
        comes_back = bool(ptrace.signal_mask(task.tid) & _BIT)  # in sigsuspend(2): what was blocked before
        task.blocks_trap = bool(blocked & _BIT) or number in self._masking.get(task.pid, ())
        if comes_back or task.blocks_trap:
            self._returning.add(task.tid)

    def is_returning(self, task: Task) -> bool:
        """Whether a sigreturn(2) of *task* may change what is blocked of SIGTRAP."""
        return task.tid in self._returning

    def handler_left(self, task: Task) -> None:
        """A sigreturn(2) has put the mask back that the signal found."""
        task.blocks_trap = bool(ptrace.signal_mask(task.tid) & _BIT)
        if not task.blocks_trap:
            self._returning.discard(task.tid)

    def executed(self, task: Task) -> None:
        """A program begins: it keeps the mask, and ignores what was ignored."""
        task.blocks_trap = bool(ptrace.signal_mask(task.tid) & _BIT)
        self._masking.pop(task.pid, None)
        action = self._actions.pop(task.pid, b"")
        if _handler(action) == _IGNORE:
            self._actions[task.pid] = action

    def forked(self, parent: Task, child: Task) -> None:
        """A child has its parent's actions."""
        if child.pid != parent.pid:
            self._masking[child.pid] = set(self._masking.get(parent.pid, ()))
            if parent.pid in self._actions:
                self._actions[child.pid] = self._actions[parent.pid]

    # ---- behind a breakpoint ----

    def put_back(self, task: Task, memory: Memory) -> None:
        """Give the program back what the breakpoint at which *task* stands has taken; its registers are not changed."""
        action = self._actions.get(task.pid, b"")
        if (task.blocks_trap and _handler(action)) or _handler(action) == _IGNORE:
            self._restore(task, memory, action)
        if task.blocks_trap:
            ptrace.set_signal_mask(task.tid, ptrace.signal_mask(task.tid) | _BIT)

    def concerns(self, task: Task) -> bool:
        """Whether a breakpoint takes something from *task*."""
        return task.blocks_trap or task.pid in self._actions

    def _restore(self, task: Task, memory: Memory, action: bytes) -> None:
        memory.tid = task.tid
        with self._pages.excluded():
            code = memory.syscall_instruction() if memory.fd >= 0 else 0
            wanted = int(signal.SIGTRAP), action, 0, 8
            is_back = bool(code) and not call_in(task.tid, memory, code, SIGACTION, wanted)
        if not is_back:
            self.disturbed.add("a SIGTRAP that is blocked or ignored lost its action at a breakpoint")


def _handler(action: bytes) -> int:
    return int.from_bytes(action[:8], "little")
