"""The address space of one or several tasks: its bytes and the breakpoints planted in it.

Breakpoints belong to an address space, not to a process: a vfork child shares its parent's, a fork child gets
a copy with the same int3 in it, an exec starts from nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from observer.arch.known import NATIVE
from observer.code.elf import Elf, Identity
from observer.linux.procfs import read_mappings
from observer.linux.ptrace import peek, poke
from observer.model.machine import Image
from observer.tracee.breakpoints import Breakpoint, trap_at
from observer.tracee.frames import Frame
from observer.tracee.inline.space import Space

__all__ = ["Memory"]

_SYSCALL: Final = NATIVE.calls.gates[0].code
_POPPED: Final = 64
"""Bytes of arguments that a function of i386 may take off the stack itself: 4 where it returns a structure."""
_CLOSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_KEPT: Final = 12
"""Descriptors that are not spent on tracees' memory."""
_MOST_COVERED: Final = 1 << 12
"""A program may load and unload a library as often as it likes, each time elsewhere."""


class Memory:
    """One address space (the kernel's mm): read, write, plant.

    `pread(length, address)` and `pwrite(data, address)` are the quick ways in; `tid` is a stopped task that ptrace
    may go through where /proc/PID/mem is closed to us. `word` is the size of its program's pointers in bytes: 8, or 4
    for an i386 program. `entries` are where the functions begin whose exits are watched. `trap_home` is where the
    program or its loader was entered: code that has run and runs never again; `trap` is the same once exchanged return
    addresses lead there.

    A stack belongs to the address space, and a coroutine may come back in another thread. So here are the calls of all
    threads whose return address is exchanged, `exchanged`, by what it was exchanged for and where it stands, those that
    were given up included; and `set_aside`, the calls that a coroutine left open when another ran on, by where their
    return addresses stand. `pushed_pages` are numbers of pages that are known to be there: they were written to, and
    not by the first thread alone, if it `has_threads`.
    `allocators` are the numbers of those that were planted in, by file, where that begins, and whether they are known
    by names of the program's own. `glibcs` are the files whose allocator is glibc's own and is watched, with their load
    biases. `inline` is what the inline recorder has here, `marks` what is to be called when a task comes to an address.
    `covered` are the last breakpoints over which the program mapped something, by where they stood: what it copied
    before has them. `growing` are the ends of what grows downwards when it is touched: the stack, and its like.
    `reads_execute` says that what is mapped to be read may be executed (READ_IMPLIES_EXEC).

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
        self.covered: dict[int, Breakpoint] = {}
        self.entries: set[int] = set()
        self.word = 8
        self.trap_home = 0
        self.trap = 0
        self.exchanged: dict[tuple[int, int], Frame] = {}
        self.set_aside: dict[int, Frame] = {}
        self.pushed_pages: set[int] = set()
        self.has_threads = False
        self._syscall: int | None = None
        self.allocators: dict[tuple[Identity, int, bool], int] = {}
        self.libc_text: list[tuple[int, int]] = []
        self.glibcs: list[tuple[Elf, int]] = []
        self.inline = Space([])
        self.marks: dict[int, Callable[[], None]] = {}
        self.growing: set[int] = set()
        self.reads_execute = False

    def fork(self, pid: int) -> Memory:
        """Return the copy that a fork child has, its calls left out: they are the tasks'."""
        child = Memory(pid)
        child.breakpoints, child.entries = dict(self.breakpoints), set(self.entries)
        child.word, child.covered = self.word, dict(self.covered)
        child.trap_home, child.trap = self.trap_home, self.trap
        child.allocators = dict(self.allocators)
        child.libc_text, child.glibcs = list(self.libc_text), list(self.glibcs)
        child.inline, child.marks, child.growing = self.inline.fork(), dict(self.marks), set(self.growing)
        child.reads_execute = self.reads_execute
        self.pushed_pages.clear()  # they are shared now: who writes first gets a page of its own
        return child

    @property
    def images(self) -> list[Image]:
        """All files with code, in the order in which they were mapped."""
        return self.inline.images

    @property
    def popped(self) -> int:
        """By how many bytes the stack pointer lies higher when a call has returned than when it began."""
        return self.word if NATIVE.registers.return_address is None else 0

    def syscall_instruction(self) -> int:
        """Return the address of a `syscall` instruction: the vDSO has some; 0 where none is found."""
        if self._syscall is None:
            self._syscall = 0
            for mapping in read_mappings(self.tid):
                if mapping.path == "[vdso]":
                    code = self.read(mapping.start, mapping.size)
                    found = code.find(_SYSCALL)
                    while found % NATIVE.instruction_alignment and found >= 0:
                        found = code.find(_SYSCALL, found + 1)
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
        if length > 8:
            # Not by process_vm_readv(2), which gives a process pages of its own that a fork made it share.
            with contextlib.suppress(OSError), open(f"/proc/{self.tid}/mem", "rb", buffering=0) as memory:
                return os.pread(memory.fileno(), length, address)
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
        """Whether a breakpoint stands in [start, end), or a jump of ours."""
        return any(
            start <= max(planted) and min(planted) < end and any(start <= address < end for address in planted)
            for planted in (self.breakpoints, self.inline.hooks) if planted
        )  # fmt: skip

    def plant(self, tid: int, breakpoint_: Breakpoint) -> None:
        """Put int3 over the first byte of an instruction, through the stopped task *tid*."""
        self.put(tid, breakpoint_)
        self.breakpoints[breakpoint_.address] = breakpoint_
        self.covered.pop(breakpoint_.address, None)

    def put(self, tid: int, breakpoint_: Breakpoint) -> None:
        """Write what is planted for a breakpoint that is known already, through the stopped task *tid*."""
        self.poke(tid, breakpoint_.address, breakpoint_.planted)

    @staticmethod
    def poke(tid: int, address: int, data: bytes) -> None:
        """Write up to 8 bytes of code through the stopped task *tid*."""
        _put(tid, address, data)

    def lift(self, tid: int, breakpoint_: Breakpoint) -> None:
        """Put the code under a breakpoint back, through the stopped task *tid*."""
        self.poke(tid, breakpoint_.address, breakpoint_.code[: len(breakpoint_.planted)])

    def arm_trap(self, tid: int) -> None:
        """Put int3 at `trap_home`, to which exchanged return addresses lead from now on."""
        known = self.breakpoints.get(self.trap_home)
        code = known.code if known is not None else self.read(self.trap_home, len(NATIVE.trap.code))
        self.plant(tid, trap_at(self.trap_home, code))
        self.trap = self.trap_home

    def lowest_return(self, sp: int) -> int:
        """Return how low the return address may have stood of a call that has returned, and left *sp* behind it.

        A function of i386 may have popped arguments, too.
        """
        return sp if self.word == 8 else sp - _POPPED

    def come_back(self, sp: int) -> Frame | None:
        """Return the call that has come to the trap, its return address taken off the stack at *sp*, None if none."""
        lowest = self.lowest_return(sp)
        places = (at for trap, at in self.exchanged if trap == self.trap and lowest <= at <= sp)
        return self.exchanged.get((self.trap, max(places, default=0)))

    def put_back(self, frame: Frame) -> None:
        """Put the return address of *frame* back where the stack still has what it was exchanged for."""
        if not self.popped:
            return  # it is in a register, or wherever a function keeps it, perhaps signed
        with contextlib.suppress(OSError):  # the stack is gone
            if self.read_word(frame.sp) == frame.trap:
                self.pwrite(frame.return_address.to_bytes(self.word, "little"), frame.sp)
                self.exchanged.pop((frame.trap, frame.sp), None)

    def unmapped(self, start: int, end: int) -> None:
        """Forget a range whose mappings are gone, and the allocators that began there: another one may come."""
        self.forget(start, end)
        self.allocators = {key: number for key, number in self.allocators.items() if not start <= key[1] < end}

    def forget(self, start: int, end: int) -> None:
        """Drop the breakpoints of a range whose pages are no longer there."""
        self.pushed_pages.clear()
        if self.holds_any(start, end):
            for address in [address for address in self.breakpoints if start <= address < end]:
                point = self.breakpoints.pop(address)
                if not point.is_copy:
                    self.covered[address] = point
            while len(self.covered) > _MOST_COVERED:
                del self.covered[next(iter(self.covered))]
            self.entries = {entry for entry in self.entries if not start <= entry < end}
            self.inline.drop(self.inline.hooks_within(start, end))

    @property
    def is_abandoned(self) -> bool:
        """Whether no process has this memory any more: nothing can be read then, not even that nothing is there."""
        try:
            return self.fd >= 0 and not os.pread(self.fd, 1, 0)
        except OSError:
            return False

    def close(self) -> None:
        """Close the descriptor, and let go of what is shared with the program."""
        self.inline.close()
        if self.fd >= 0:
            os.close(self.fd)


def _open(pid: int) -> int:
    """Open a process's memory; -1 where it forbids that (PR_SET_DUMPABLE), /proc is mounted read-only, or too few
    descriptors are left.

    Raises:
        OSError: the process is gone.
    """
    try:
        fd = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _CLOSED:
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
