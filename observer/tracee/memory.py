"""The address space of one or several tasks: its bytes and the breakpoints planted in it.

Breakpoints belong to an address space, not to a process: a vfork child shares its parent's, a fork child gets
a copy with the same int3 in it, an exec starts from nothing.
"""

from __future__ import annotations

import errno
import os
import resource
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from observer.arch.known import NATIVE
from observer.code.instructions import Emulation
from observer.linux.procfs import read_mappings
from observer.linux.ptrace import peek, poke

if TYPE_CHECKING:
    from observer.tracee.task import Frame, LibraryFrame

__all__ = ["NO_OPERATION", "Breakpoint", "Memory", "Probe"]

NO_OPERATION: Final = -1
_SYSCALL: Final = NATIVE.calls.gates[0].code
_KEPT: Final = 12
"""Descriptors that are not spent on tracees' memory."""


@dataclass(slots=True, frozen=True)
class Breakpoint:
    """A planted int3 in a function of the allocator family.

    At its beginning `operation` is the number of the operation and `pushed` the bytes below its return address; where
    it may end, at a `ret` or a jump, `operation` is NO_OPERATION. `leaves` says that control leaves the function here.
    `before` and `code` are what the file has before and from `address` on, `emulation` is how to carry its first
    instruction out.

    `home` is the code of the library that defines it, if calls from there that do not go through the symbol are the
    allocator's own business (glibc); otherwise empty. `entry` is where the function begins, `tails` the operations of
    the functions that it may end by jumping to, `implementation` the number of the allocator that it belongs to.
    `planted` is what stands there instead, `goes_on` that the task needs but be resumed: a `ret` follows the int3.
    `is_certain` says that a task stopped right behind the int3 can only have come by it, `is_copy` that not we but the
    program put it there, with code that it copied.
    """

    address: int
    operation: int
    pushed: int
    leaves: bool
    code: bytes
    emulation: Emulation
    home: tuple[int, int] = (0, 0)
    entry: int = 0
    tails: frozenset[int] = frozenset()
    implementation: int = 0
    planted: bytes = NATIVE.trap.code
    goes_on: bool = False
    is_certain: bool = True
    before: bytes = b""
    is_copy: bool = False

    @property
    def after(self) -> int:
        """Where the next instruction is."""
        return self.address + self.emulation.length


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

    `pread(length, address)` and `pwrite(data, address)` are the quick ways in; `tid` is a stopped task that ptrace
    may go through where /proc/PID/mem is closed to us. `word` is the size of its program's pointers in bytes: 8, or 4
    for an i386 program. `entries` are where the functions begin that `breakpoints` stand in. `pushed_pages` are
    numbers of pages that are known to be there, as a probe has pushed into them. `open_calls` are the calls that
    probes saw, of all threads, by where their return addresses stand: a coroutine may come back in another thread.
    `set_aside` are calls of the allocator family that a coroutine left open when another ran on, by where their
    return addresses stand. `trap_home` is where the program or its loader was entered: code that has run and runs
    never again.

    Raises:
        OSError: the process is gone.
    """

    def __init__(self, pid: int) -> None:
        self.owner = pid
        self.tid = pid
        self.pread: Callable[[int, int], bytes]
        self.pwrite: Callable[[bytes, int], int]
        self.fd = _open(pid)
        if self.fd >= 0:
            self.pread, self.pwrite = partial(os.pread, self.fd), partial(os.pwrite, self.fd)
        else:
            self.pread, self.pwrite = self._peek, self._poke
        self.breakpoints: dict[int, Breakpoint] = {}
        self.entries: set[int] = set()
        self.word = 8
        self.trap_home = 0
        self.set_aside: dict[int, Frame] = {}
        self._syscall: int | None = None
        self.libc_text: list[tuple[int, int]] = []
        self.probes: dict[int, Probe] = {}
        self.trap = 0
        self.trap_word = bytes(8)
        self.pushed_pages: set[int] = set()
        self.open_calls: dict[int, LibraryFrame] = {}

    def fork(self, pid: int) -> Memory:
        """Return the copy that a fork child has."""
        child = Memory(pid)
        child.breakpoints, child.entries = dict(self.breakpoints), set(self.entries)
        child.word = self.word
        child.trap_home = self.trap_home
        child.set_aside = {sp: frame.ghost() for sp, frame in self.set_aside.items()}
        child.libc_text = list(self.libc_text)
        child.probes = dict(self.probes)
        child.trap, child.trap_word = self.trap, self.trap_word
        child.open_calls = {sp: frame.ghost() for sp, frame in self.open_calls.items()}
        self.pushed_pages.clear()  # they are shared now: who writes first gets a page of its own
        return child

    def syscall_instruction(self) -> int:
        """Return the address of a `syscall` instruction: the vDSO has some; 0 where none is found."""
        if self._syscall is None:
            self._syscall = 0
            for mapping in read_mappings(self.tid):
                if mapping.path == "[vdso]":
                    found = self.read(mapping.start, mapping.size).find(_SYSCALL)
                    self._syscall = mapping.start + found if found >= 0 else 0
        return self._syscall

    def spare_return(self) -> int:
        """Return the address of a `ret` that no breakpoint stands at, 0 if none is known."""
        return next((each.address + 1 for each in self.breakpoints.values() if each.goes_on), 0)

    def any_return(self, near: int) -> int:
        """Return the `ret` with a breakpoint that lies nearest, 0 if there is none."""
        returns = [address for address, point in self.breakpoints.items() if point.emulation.is_return]
        return min(returns, key=lambda address: abs(address - near), default=0)

    def read(self, address: int, length: int) -> bytes:
        """Return up to *length* bytes at *address*; raises OSError EIO when nothing is mapped there."""
        if not 0 <= address < NATIVE.kernel_half:  # the kernel's half; pread(2) would take it for a negative place
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

    def holds_any(self, start: int, end: int) -> bool:
        """Whether a breakpoint stands in [start, end)."""
        return any(start <= address < end for address in self.breakpoints)

    def plant(self, tid: int, breakpoint_: Breakpoint) -> None:
        """Put int3 over the first byte of an instruction, through the stopped task *tid*."""
        _put(tid, breakpoint_.address, breakpoint_.planted)
        self.breakpoints[breakpoint_.address] = breakpoint_

    def lift_for_a_step(self, tid: int, breakpoint_: Breakpoint) -> None:
        """Put the byte under a breakpoint back, for one step of *tid*."""
        _put(tid, breakpoint_.address, breakpoint_.code[: len(breakpoint_.planted)])

    def probe(self, tid: int, probe: Probe) -> None:
        """Put int3 over the first byte of the instruction of *probe*, through the stopped task *tid*."""
        _put(tid, probe.address, NATIVE.trap.code)
        self.probes[probe.address] = probe

    def lift(self, tid: int, probe: Probe) -> None:
        """Put the first byte of the instruction back: *probe* is gone."""
        _put(tid, probe.address, bytes([probe.first]))
        self.probes.pop(probe.address, None)

    def arm_trap(self, tid: int) -> None:
        """Put int3 at `trap_home`, to which the calls that probes see return."""
        self.trap = self.trap_home
        _put(tid, self.trap, NATIVE.trap.code)
        self.trap_word = self.trap.to_bytes(self.word, "little")

    def forget(self, start: int, end: int) -> None:
        """Drop the breakpoints of a range whose pages are no longer there."""
        self.pushed_pages.clear()
        for address in [address for address in self.probes if start <= address < end]:
            del self.probes[address]
        if self.holds_any(start, end):
            for address in [address for address in self.breakpoints if start <= address < end]:
                del self.breakpoints[address]
            self.entries = {entry for entry in self.entries if not start <= entry < end}

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)


def _open(pid: int) -> int:
    """Open a process's memory; -1 where it forbids that (PR_SET_DUMPABLE) or too few descriptors are left.

    Raises:
        OSError: the process is gone.
    """
    try:
        fd = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            return -1
        raise
    # The smallest free number is taken, so it tells how many are in use; some are kept for /proc.
    if fd < resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _KEPT:
        return fd
    os.close(fd)
    return -1


def _put(tid: int, address: int, data: bytes) -> None:
    mask = (1 << 8 * len(data)) - 1
    poke(tid, address, peek(tid, address) & ~mask | int.from_bytes(data, "little"))
