"""System calls as they are recorded: which are wanted, through which gate they came, what their arguments point to."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Final

from observer.instruments.sink import Sink
from observer.instruments.stacks import KEPT, WRAPPER, keep_stack, present_bytes
from observer.linux.captures import KINDS, Wanted, length_of, wanted_of
from observer.linux.ptrace import RegisterSet, bits_of
from observer.linux.seccomp import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64
from observer.linux.syscalls import name_of, numbers_of
from observer.model.selection import MEMORY_CALLS
from observer.tracee.task import Task

__all__ = ["Crossings"]

_X32_BIT: Final = 0x40000000
_SYSCALL, _INT80, _SYSENTER = range(3)
_INT80_CODE, _SYSENTER_CODE, _SYSCALL_CODE = b"\xcd\x80", b"\x0f\x34", b"\x0f\x05"
_WHATS: Final = {kind: i for i, kind in enumerate(KINDS)}
_EXECS: Final = frozenset({"execve", "execveat"})


class Crossings:
    """Records the system calls of *wanted* (None: all): two words a call on the way, the rest at its return.

    `selectors` counts what the CS register held at the stops: its low two bits are the privilege level.
    """

    def __init__(self, sink: Sink, wanted: frozenset[str] | None) -> None:
        self._sink = sink
        self._native = None if wanted is None else numbers_of(wanted, AUDIT_ARCH_X86_64)
        self._names = wanted
        self._shallow = {arch: numbers_of(MEMORY_CALLS, arch) for arch in (AUDIT_ARCH_X86_64, AUDIT_ARCH_I386)}
        self._registers = RegisterSet()
        self._plans: dict[tuple[int, int, int], tuple[str, tuple[Wanted, ...]]] = {}
        self._at_exec: dict[int, list[tuple[int, str, bytes]]] = {}
        self.selectors: Counter[int] = Counter()
        self._entered = 0
        self._left = 0
        self._cut = 0

    def counts(self) -> dict[str, int]:
        """Return how many calls were entered, left, and cut by their task's end."""
        return {
            "syscalls_entered": self._entered, "syscalls_left": self._left, "syscalls_cut": self._cut,
        }  # fmt: skip

    def wants(self, arch: int, number: int) -> bool:
        """Whether the call *number* of *arch* is to be recorded."""
        if self._native is None:
            return True
        if arch == AUDIT_ARCH_X86_64:
            return number & ~_X32_BIT in self._native
        return self._names is not None and number in numbers_of(self._names, arch)

    def entered(self, task: Task, entry: tuple[int, ...]) -> None:
        """Take a wanted call's entry."""
        self._entered += 1
        name = name_of(entry[5], entry[2])
        if name in _EXECS:
            # Afterwards the memory with the file's name is gone.
            self._at_exec[task.tid] = self._read(task, wanted_of(name, 64), entry[6:], None)

    def left(self, task: Task, entry: tuple[int, ...], result: int | None, now: int) -> None:
        """Record a wanted call that came back with *result* (None: it never did)."""
        if result is None:
            self._cut += 1
        else:
            self._left += 1
        began, _op, arch, ip, sp, number, *args = entry
        stack = cs = 0
        with contextlib.suppress(OSError):
            self._registers.read(task.tid)
            cs = self._registers.words[RegisterSet.CS]
            self.selectors[cs] += 1
            if task.frame is None and task.memory is not None and result is not None:
                task.memory.tid = task.tid
                length = WRAPPER if number in self._shallow.get(arch, ()) else KEPT
                stack = keep_stack(self._sink, task.memory, began, sp, self._registers, length)
        gate = _SYSCALL if arch == AUDIT_ARCH_X86_64 else self._gate(task, ip)
        flags = (result is not None) | gate << 8
        record = self._sink.syscalls.append(
            began, now, task.pid, task.tid, number, arch, *args, result or 0, ip, sp, cs, flags, stack,
        )  # fmt: skip
        self._keep_arguments(task, record, arch, number, tuple(args), result)

    def _gate(self, task: Task, ip: int) -> int:
        """Return through which instruction an i386 call came: the one that ends at *ip*.

        A 32-bit program enters through the vDSO, whose code is `sysenter` (or AMD's `syscall`), then `int 0x80` for
        the restart of interrupted calls; the kernel returns behind the latter in either case (vdso32/system_call.S).
        """
        code = b""
        if task.memory is not None:
            with contextlib.suppress(OSError):
                code = task.memory.read(ip - 4, 4)
        if bits_of(self._registers.words) == 32 and code.endswith(_INT80_CODE):
            return {_SYSENTER_CODE: _SYSENTER, _SYSCALL_CODE: _SYSCALL}.get(code[:2], _INT80)
        return _SYSENTER if code.endswith(_SYSENTER_CODE) else _INT80

    def _keep_arguments(
        self, task: Task, record: int, arch: int, number: int, args: tuple[int, ...], result: int | None
    ) -> None:
        key = (arch, number, bits_of(self._registers.words))
        if key not in self._plans:
            name = name_of(number, arch)
            self._plans[key] = name, wanted_of(name, 32 if arch != AUDIT_ARCH_X86_64 else 64)
        name, wanted = self._plans[key]
        if not wanted or not record:
            return
        pieces = self._at_exec.pop(task.tid, None) if name in _EXECS else self._read(task, wanted, args, result)
        for index, what, data in pieces or ():
            self._sink.arguments.append(record, index, _WHATS[what], len(data), data)

    @staticmethod
    def _read(
        task: Task, wanted: tuple[Wanted, ...], args: tuple[int, ...], result: int | None
    ) -> list[tuple[int, str, bytes]]:
        pieces: list[tuple[int, str, bytes]] = []
        memory = task.memory
        if memory is None:
            return pieces
        memory.tid = task.tid
        for each in wanted:
            address, length = args[each[0]], length_of(each, args, result)
            if not address or length <= 0:
                continue
            with contextlib.suppress(OSError, OverflowError):  # a bad pointer: the call says EFAULT, too
                there = present_bytes(task.tid, address, length)
                if there > 0 and (data := memory.read(address, min(length, there))):
                    pieces.append((each[0], each[1], data))
        return pieces
