"""The address space of one or several tasks: its bytes and the breakpoints planted in it.

Breakpoints belong to an address space, not to a process: a vfork child shares its parent's, a fork child gets
a copy with the same int3 in it, an exec starts from nothing.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from observer.linux.instructions import Emulation
from observer.linux.ptrace import peek, poke

if TYPE_CHECKING:
    from observer.tracee.task import LibraryFrame

__all__ = ["Breakpoint", "Memory", "Probe"]

_INT3 = 0xCC


@dataclass(slots=True)
class Breakpoint:
    """A planted int3: which operation begins here, where its second instruction is, how to do the first one.

    `home` is the code of the library that defines it, if calls from there that do not go through the symbol are the
    allocator's own business (glibc); otherwise empty.
    """

    address: int
    operation: int
    after: int
    pushes: int
    emulation: Emulation
    home: tuple[int, int]


@dataclass(slots=True, frozen=True)
class Probe:
    """A planted int3 at a call instruction of the program, or at the entry of a function (`is_entry`).

    `number` is its place in the list of all probes, `first` the byte that stood there; `returns` says that the call
    comes back once, as calls do.
    """

    address: int
    number: int
    emulation: Emulation
    first: int
    is_entry: bool
    returns: bool


class Memory:
    """One address space (the kernel's mm): read, write, plant.

    `pread(length, address)` and `pwrite(data, address)` are the quick ways in; `tid` is a stopped task that ptrace may
    go through where /proc/PID/mem is closed to us. `word` is the size of its program's pointers in bytes: 8, or 4 for
    an i386 program. `pushed_pages` are numbers of pages that are known to be there, as a probe has pushed into them.
    `open_calls` are the calls that probes saw, of all threads, by where their return addresses stand: a coroutine may
    come back in another thread.

    Raises:
        OSError: the process is gone.
    """

    def __init__(self, pid: int) -> None:
        self.owner = pid
        self.tid = pid
        self.pread: Callable[[int, int], bytes]
        self.pwrite: Callable[[bytes, int], int]
        try:
            self.fd = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
            self.pread, self.pwrite = partial(os.pread, self.fd), partial(os.pwrite, self.fd)
        except PermissionError:
            # A process may forbid it (PR_SET_DUMPABLE, an unreadable program); ptrace itself still reads and writes.
            self.fd = -1
            self.pread, self.pwrite = self._peek, self._poke
        self.breakpoints: dict[int, Breakpoint] = {}
        self.word = 8
        self.trap_home = 0
        self.trap = 0
        self.trap_word = bytes(8)
        self.libc_text: list[tuple[int, int]] = []
        self.probes: dict[int, Probe] = {}
        self.second_trap = 0
        self.second_trap_word = bytes(8)
        self.pushed_pages: set[int] = set()
        self.open_calls: dict[int, LibraryFrame] = {}

    def fork(self, pid: int) -> Memory:
        """Return the copy that a fork child has."""
        child = Memory(pid)
        child.breakpoints = dict(self.breakpoints)
        child.word = self.word
        child.trap_home, child.trap, child.trap_word = self.trap_home, self.trap, self.trap_word
        child.libc_text = list(self.libc_text)
        child.probes = dict(self.probes)
        child.second_trap, child.second_trap_word = self.second_trap, self.second_trap_word
        child.open_calls = {sp: frame.ghost() for sp, frame in self.open_calls.items()}
        self.pushed_pages.clear()  # they are shared now: who writes first gets a page of its own
        return child

    def read(self, address: int, length: int) -> bytes:
        """Return up to *length* bytes at *address*; raises OSError EIO when nothing is mapped there."""
        if address >> 63:  # the kernel's half; pread(2) would take it for a negative place
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self.pread(length, address)

    def _peek(self, length: int, address: int) -> bytes:
        first = address & -8
        words = [peek(self.tid, at) for at in range(first, address + length, 8)]
        return struct.pack(f"<{len(words)}Q", *words)[address - first : address - first + length]

    def _poke(self, data: bytes, address: int) -> int:
        for i in range(0, len(data), 8):
            poke(self.tid, address + i, struct.unpack_from("<Q", data, i)[0])
        return len(data)

    def read_word(self, address: int) -> int:
        """Return the unsigned word (of `word` bytes) at *address*; raises OSError when it cannot be read."""
        raw = self.pread(self.word, address)
        if len(raw) < self.word:
            raise OSError(5, "short read")
        return int.from_bytes(raw, "little")

    def plant(self, tid: int, address: int, operation: int, emulation: Emulation, home: tuple[int, int]) -> None:
        """Put int3 over the first byte of the instruction at *address*, through the stopped task *tid*."""
        _swap_byte(tid, address, _INT3)
        self.breakpoints[address] = Breakpoint(
            address, operation, address + emulation.length, emulation.pushes, emulation, home
        )

    def arm_return_trap(self, tid: int) -> None:
        """Put int3 where the program or its loader was entered: code that has run and runs never again.

        Return addresses on the stack are replaced by this place, so that a return is seen whatever code
        called, without a breakpoint in the caller.
        """
        _swap_byte(tid, self.trap_home, _INT3)
        self.trap = self.trap_home
        self.trap_word = self.trap.to_bytes(self.word, "little")

    def probe(self, tid: int, probe: Probe) -> None:
        """Put int3 over the first byte of the instruction of *probe*, through the stopped task *tid*."""
        _swap_byte(tid, probe.address, _INT3)
        self.probes[probe.address] = probe

    def lift(self, tid: int, probe: Probe) -> None:
        """Put the first byte of the instruction back: *probe* is gone."""
        _swap_byte(tid, probe.address, probe.first)
        self.probes.pop(probe.address, None)

    def arm_second_trap(self, tid: int) -> None:
        """Put int3 beside the return trap, for the calls that probes see: another address tells them apart."""
        self.second_trap = self.trap_home + 1
        _swap_byte(tid, self.second_trap, _INT3)
        self.second_trap_word = self.second_trap.to_bytes(self.word, "little")

    def forget(self, start: int, end: int) -> None:
        """Drop the breakpoints of a range that was unmapped."""
        self.pushed_pages.clear()
        for address in [address for address in self.probes if start <= address < end]:
            del self.probes[address]
        for address in [address for address in self.breakpoints if start <= address < end]:
            del self.breakpoints[address]

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)


def _swap_byte(tid: int, address: int, byte: int) -> None:
    poke(tid, address, peek(tid, address) & ~0xFF | byte)
