"""A stopped program in a few bytes: its instructions are carried out one by one, and int3 goes to the follower.

No process is traced: what ptrace would read and write is a bytearray, and the registers are ours.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from observer.arch.known import NATIVE
from observer.code.emulation import CONSTANT, NOTHING
from observer.code.instructions import emulation_of
from observer.linux.ptrace import RegisterSet
from observer.tracee import calls, memory, removal
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.calls import CallFollower
from observer.tracee.frames import Frame, Interruption
from observer.tracee.memory import Memory
from observer.tracee.task import Task

RIP, RSP, RAX = NATIVE.registers.ip, NATIVE.registers.sp, NATIVE.registers.result
SIZE = 0x10000
TEXT, STACK, END = 0x1000, 0x9000, 0x100
"""Where code and the stack begin, and the address that the outermost function returns to."""


class Pages:
    """Counts nothing."""

    @contextlib.contextmanager
    def excluded(self) -> Iterator[None]:
        """See Footprint."""
        yield

    @contextlib.contextmanager
    def pushing(self) -> Iterator[None]:
        """See Footprint."""
        yield


@dataclass
class Told:
    """A listener that writes down what it is told: words, then numbers of functions or results."""

    follower: CallFollower
    said: list[tuple[object, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.number = self.follower.tell(self)

    def began(self, task: Task, memory: Memory, frame: Frame, registers: RegisterSet) -> None:
        """See Listener."""
        self.said.append(("began", frame.point.number))

    def returned(self, task: Task, memory: Memory, frame: Frame, result: int) -> None:
        """See Listener."""
        self.said.append(("returned", frame.point.number, result, frame.inner))

    def lost(self, task: Task, frame: Frame, now: int, how: int) -> None:
        """See Listener."""
        self.said.append(("lost", frame.point.number, how))

    def set_aside(self, task: Task, frame: Frame) -> None:
        """See Listener."""
        self.said.append(("aside", frame.point.number))

    def handled(self, task: Task, handler: Interruption) -> None:
        """See Listener."""
        self.said.append(("handled", handler.frames))


class Registers(RegisterSet):
    """The registers of a task of the machine; reading and writing them is nothing."""

    def read(self, tid: int) -> None:
        """Do nothing."""

    def write(self, tid: int) -> None:
        """Do nothing."""

    def jump(self, tid: int, address: int) -> None:  # type: ignore[override]
        """Set the instruction pointer."""
        self.words[RIP] = address


class Machine:
    """One task with *code* at TEXT, about to run it, and a follower with one listener, `told`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: bytes) -> None:
        self.bytes = bytearray(SIZE)
        self.bytes[TEXT : TEXT + len(code)] = code
        self.registers = Registers()
        monkeypatch.setattr(memory, "peek", self._peek)
        monkeypatch.setattr(memory, "poke", self._poke)
        monkeypatch.setattr(calls, "signal_info", lambda tid: (5, 0x80, 0))
        monkeypatch.setattr(removal, "RegisterSet", lambda: self.registers)
        self.follower = CallFollower(Pages())
        self.told = Told(self.follower)
        self.memory = self.opened(Memory(os.getpid()))
        self.memory.trap_home = TEXT + 0x800
        self.bytes[self.memory.trap_home] = 0xF4
        self.task = Task(os.getpid(), os.getpid(), self.memory, 0)
        self.task.stack_area = 0x8000, 0xA000
        self.begin(TEXT)

    def opened(self, space: Memory) -> Memory:
        """Return *space*, its ways in leading to the bytes of the machine."""
        space.close()
        space.fd = SIZE
        space.pread, space.pwrite = self._read, self._write
        return space

    def _read(self, length: int, address: int) -> bytes:
        if address >= SIZE:
            raise OSError(errno.EIO, "nothing is mapped there")
        return bytes(self.bytes[address : address + length])

    def _write(self, data: bytes, address: int) -> int:
        if address >= SIZE:
            raise OSError(errno.EIO, "nothing is mapped there")
        self.bytes[address : address + len(data)] = data
        return len(data)

    def _peek(self, tid: int, address: int) -> int:
        return int.from_bytes(self._read(8, address), "little")

    def _poke(self, tid: int, address: int, word: int) -> None:
        self._write(word.to_bytes(8, "little"), address)

    def begin(self, place: int, sp: int = STACK) -> None:
        """Stand at *place*, called from END."""
        self.registers.words[RIP], self.registers.words[RSP] = place, sp - 8
        self._write(END.to_bytes(8, "little"), sp - 8)

    def plant(self, place: int, **role: object) -> None:
        """Plant a breakpoint of the listener's at *place*."""
        code = self._read(15, place)
        emulation = emulation_of(code, place)
        assert emulation is not None
        self.memory.plant(self.task.tid, Breakpoint(place, code, emulation, listener=self.told.number, **role))  # type: ignore[arg-type]

    def step(self) -> None:
        """Carry one instruction out, or let the follower have what stopped at an int3."""
        words = self.registers.words
        place = words[RIP]
        if self.bytes[place] == NATIVE.trap.code[0]:
            words[RIP] = place + 1
            assert self.follower.hit(self.task, self.registers), hex(place)
            return
        emulation = emulation_of(self._read(15, place), place)
        assert emulation is not None, hex(place)
        if emulation.pushes != NOTHING:
            value = words[emulation.pushes] if emulation.pushes != CONSTANT else emulation.constant
            words[RSP] -= 8
            self._write(value.to_bytes(8, "little"), words[RSP])
        words[RIP] = place + emulation.length
        if emulation.apply is not None:
            emulation.apply(words, lambda address, length: self._read(length, address))

    def run(self, until: int = END) -> None:
        """Go on until the instruction pointer is *until*."""
        for _ in range(100):
            if self.registers.words[RIP] == until:
                return
            self.step()
        raise AssertionError(f"it never came to {until:#x}")
