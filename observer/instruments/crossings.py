"""System calls as they are recorded: which are wanted, through which gate they came, what their arguments point to."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Final, NamedTuple

from observer.arch.i386 import I386
from observer.arch.known import NATIVE, SERVED, architecture_of
from observer.code.captures import KINDS, Wanted, length_of, wanted_of
from observer.code.syscalls import name_of, numbers_of
from observer.instruments.stacks import WRAPPER, keep_stack, present_bytes
from observer.instruments.unbrought import bytes_of_file
from observer.linux.ptrace import RegisterSet, bits_of
from observer.model.selection import MEMORY_CALLS
from observer.recording.records import CARRIED_OUT, RETURNED, STACK_BYTES
from observer.recording.sink import Sink
from observer.tracee.task import Task

__all__ = ["Crossings"]

_NATIVE: Final = NATIVE.calls.audit
_FOREIGN_GATES: Final = {gate.code: gate.number for gate in I386.calls.gates}
_INT80, _SYSENTER, *_ = I386.calls.gates
_WHATS: Final = {kind: i for i, kind in enumerate(KINDS)}
_EXECS: Final = frozenset({"execve", "execveat"})
_MASK_32: Final = 0xFFFF_FFFF
_LEAST_ERROR_32: Final = 0xFFFF_F001

Piece = tuple[int, str, bytes]
"""An argument's index, what lies there, and the bytes."""


class _AtEntry(NamedTuple):
    """What is kept of an exec when it begins: afterwards the memory is another program's."""

    gate: int
    stack: int
    pieces: list[Piece]


class Crossings:
    """Records the system calls of *wanted* (None: all): two words a call on the way, the rest at its return.

    `selectors` counts what the mode register held at the stops, which tells the privilege level.
    """

    def __init__(self, sink: Sink, wanted: frozenset[str] | None) -> None:
        self._sink = sink
        self._native = None if wanted is None else numbers_of(wanted, _NATIVE)
        self._names = wanted
        audits = [each.calls.audit for each in SERVED]
        self._shallow = {arch: numbers_of(MEMORY_CALLS, arch) for arch in audits}
        self._registers = RegisterSet()
        self._plans: dict[tuple[int, int], tuple[str, tuple[Wanted, ...]]] = {}
        self._at_exec: dict[tuple[int, ...], _AtEntry] = {}
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
        if arch == _NATIVE:
            return number & ~NATIVE.calls.variant in self._native
        return self._names is not None and number in numbers_of(self._names, arch)

    def entered(self, task: Task, entry: tuple[int, ...]) -> None:
        """Take a wanted call's entry."""
        self._entered += 1
        began, _op, arch, ip, sp, number, *args = entry
        name, wanted = self._plan(arch, number)
        if name in _EXECS and task.memory is not None:
            self._registers.read(task.tid)
            # By the entry itself: an exec from another thread comes back under the leader's number.
            self._at_exec[entry] = _AtEntry(
                self._gate(task, arch, ip), self._stack(task, began, sp, STACK_BYTES),
                self._read(task, wanted, _words(arch, args), None),
            )  # fmt: skip

    def left(self, task: Task, entry: tuple[int, ...], result: int | None, now: int) -> None:
        """Record a wanted call that came back with *result* (None: it never did)."""
        if result is None:
            self._cut += 1
        else:
            self._left += 1
        began, _op, arch, ip, sp, asked, *words = entry
        number = asked & _MASK_32  # -1 is a number, too
        args = _words(arch, words)
        held = self._at_exec.pop(entry, None)
        gate, stack, cs = (held.gate, held.stack, 0) if held is not None else (0, 0, 0)
        unseen = None
        with contextlib.suppress(OSError):
            self._registers.read(task.tid)
            unseen = self._unseen_result(args[0]) if result is None else None
            cs = NATIVE.mode_of(self._registers.words[NATIVE.registers.mode])
            self.selectors[cs] += 1
            if held is None and result is not None:
                stack = self._stack(task, began, sp, WRAPPER if number in self._shallow.get(arch, ()) else STACK_BYTES)
            if held is None:
                gate = self._gate(task, arch, ip)
        flags = (result is not None) * RETURNED | (unseen is not None) * CARRIED_OUT | gate << 8
        record = self._sink.syscalls.append(
            began, now, task.pid, task.tid, number, arch, *args, result or unseen or 0, ip, sp, cs, flags, stack,
        )  # fmt: skip
        wanted = self._plan(arch, number)[1]
        if not record or not wanted:
            return
        has_memory = held is None or (result is not None and result < 0)
        pieces = self._read(task, wanted, args, result) if has_memory else []
        known = {index for index, _what, _data in pieces}
        pieces += [piece for piece in held.pieces if piece[0] not in known] if held is not None else []
        for index, what, data in pieces:
            self._sink.arguments.append(record, index, _WHATS[what], len(data), data)

    def _unseen_result(self, first: int) -> int | None:
        """Return what a call gave that a dying task will not return from; None if it failed or never began.

        The register of the result still holds it at the exit stop. From the entry on it holds ENOSYS (entry_64.S), or,
        where results come in the register of the *first* argument, that.
        """
        word = self._registers.words[NATIVE.calls.result]
        if NATIVE.calls.result == NATIVE.calls.arguments[0] and word == first:
            return None
        narrow = bits_of(self._registers.words) == 32
        return None if (word & _MASK_32) >= _LEAST_ERROR_32 and (narrow or word >> 32 == _MASK_32) else word

    def _plan(self, arch: int, number: int) -> tuple[str, tuple[Wanted, ...]]:
        key = (arch, number)
        if key not in self._plans:
            name = name_of(number, arch)
            self._plans[key] = name, wanted_of(name, architecture_of(arch).bits)
        return self._plans[key]

    def _stack(self, task: Task, began: int, sp: int, length: int) -> int:
        if task.is_in_call or task.memory is None:
            return 0
        task.memory.tid = task.tid
        return keep_stack(self._sink, task.memory, began, sp, self._registers, length)

    def _gate(self, task: Task, arch: int, ip: int) -> int:
        """Return through which instruction a call came, by its number: if there are several, the one that ends at *ip*.

        A 32-bit program enters through the vDSO, whose code is `sysenter` (or AMD's `syscall`), then `int 0x80` for
        the restart of interrupted calls; the kernel returns behind the latter in either case (vdso32/system_call.S).
        """
        gates = architecture_of(arch).calls.gates
        if len(gates) == 1:
            return gates[0].number
        code = b""
        if task.memory is not None:
            with contextlib.suppress(OSError):
                code = task.memory.read(ip - 4, 4)
        if bits_of(self._registers.words) == 32 and code.endswith(_INT80.code):
            return _FOREIGN_GATES.get(code[:2], _INT80.number)
        return (_SYSENTER if code.endswith(_SYSENTER.code) else _INT80).number

    @staticmethod
    def _read(task: Task, wanted: tuple[Wanted, ...], args: tuple[int, ...], result: int | None) -> list[Piece]:
        pieces: list[Piece] = []
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
                data = memory.read(address, min(length, there)) if there > 0 else b""
                if not data and result is None:  # the kernel has not read it yet
                    data = bytes_of_file(task.tid, address, length)
                if data:
                    pieces.append((each[0], each[1], data))
        return pieces


def _words(arch: int, args: list[int]) -> tuple[int, ...]:
    """Return a call's arguments; i386's are 32 bits wide, whatever 64-bit code has above them in the registers."""
    return tuple(args) if arch == _NATIVE else tuple(word & (1 << architecture_of(arch).bits) - 1 for word in args)
