"""Records of fixed size: what is written of every call, each kind's layout once, for who packs it and who reads it.

A record's first word is a time or a number and never 0: zeroes are a hole that somebody else made. Times are
CLOCK_MONOTONIC in nanoseconds, `ended` 0 where there was no end. Records name each other by their numbers in the file,
from 1; 0 names none. Every field lies where C would put it on x86-64, so that there is no padding.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

__all__ = [
    "ARGUMENT", "ARGUMENT_BYTES", "CALL", "CALL_STACK", "CARRIED_OUT", "CLOCK", "COUNTED", "ENTERED", "ENTRY_ONLY",
    "FAULT_BEGAN", "FOR_PROGRAM", "FRAMES", "HANDLED", "HEAD", "HEAP_CHUNK", "INFERRED", "INLINE",
    "IN_INTERRUPT", "IN_USE", "KERNEL_EVENT", "KIND", "LAYOUTS", "LEFT", "LEFT_KERNEL", "LIBRARY_CALL", "MAPPED",
    "MOST_CALLERS", "NOT_IN_USE", "NO_BIN", "NO_FRAME", "OF_CACHE", "RETURNED", "SNAPSHOT_CHUNK", "STACK_BYTES",
    "STACK_PIECE", "SYSCALL", "VERSION", "WHOLE", "WITNESS", "ZEROED", "Layout",
]  # fmt: skip

VERSION: Final = 5
"""Of all layouts together; another one wherever a field is added, leaves, moves or means something else."""

ARGUMENT_BYTES: Final = 160
"""Bytes kept of what one argument points to."""

STACK_BYTES: Final = 3072
"""Bytes of stack kept: a `malloc` inside `printf` lies some 2 KiB below the line that called it."""

RETURNED: Final = 1
"""Flag of calls of all kinds: it was seen to return."""
LEFT: Final = 2
"""Flag of a call of a function: it was left by a jump, or for another stack."""
ENTRY_ONLY: Final = 4
"""Flag of a library call: it may return, but unseen."""
CARRIED_OUT: Final = 2
"""Flag of a system call: it did its work, with the result recorded, and its task was killed before it returned."""
COUNTED: Final = 8
"""Flag of an allocator call: `began` is a counter of the processor, as the program recorded it, and not a time yet."""

_NUMBERS: Final = {"u16": ("<u2", "H"), "u32": ("<u4", "I"), "u64": ("<u8", "Q"), "i64": ("<i8", "q")}


class Layout:
    """One kind of record: the *file* it is kept in, and its *fields* in their order.

    A field's type is u16, u32, u64 or i64, little-endian; a number stands for so many bytes, filled up with zeroes.
    `dtype` reads records with numpy, `packed` writes one from all its fields.
    """

    def __init__(self, file: str, /, **fields: str | int) -> None:
        self.file = file
        self.dtype: np.dtype[np.void] = np.dtype([(name, _numpy(kind)) for name, kind in fields.items()])
        self.packed = struct.Struct("<" + "".join(map(_packed, fields.values())))

    @property
    def size(self) -> int:
        """Bytes of one record."""
        return self.packed.size


def _numpy(kind: str | int) -> Any:
    return f"V{kind}" if isinstance(kind, int) else _NUMBERS[kind][0]


def _packed(kind: str | int) -> str:
    return f"{kind}s" if isinstance(kind, int) else _NUMBERS[kind][1]


CALL: Final = Layout(
    "calls.bin", began="u64", ended="u64", pid="u32", tid="u32", op="u16", flags="u16", inner="u32", a0="u64", a1="u64",
    a2="u64", result="u64", ret="u64", sp="u64", stack="u64", implementation="u64",
)  # fmt: skip
"""One allocator call: `op` is a place in `model.operations.FAMILY`, `ret` where it returns to, `sp` where that stands.

`flags`: RETURNED, LEFT, COUNTED. `inner` calls of the family were made in it. `stack` is the number of a stack
piece, or, where callers were asked for, that of a CALL_STACK; `implementation` that of the allocator whose function
was called, as notes name it.
"""

INLINE: Final = Layout(
    "inline.bin", a0="u64", a1="u64", result="u64", ret="u64", sp="u64", function="u32", inner="u32",
)  # fmt: skip
"""One allocator call as the program itself recorded it: it returned; or the second part of one (`slots.MORE`).

`function` is a number that notes explain, its highest bits set aside. In front of the records that one thread wrote
stands a head, of the same layout: `a0` is HEAD and their count, `a1` the pid in its upper half, the tid in its lower.
"""
HEAD: Final = 1 << 63

CLOCK: Final = Layout("clock.bin", counter="u64", nanoseconds="u64")
"""A counter of the processor and CLOCK_MONOTONIC, read together; each later than the record before."""

SYSCALL: Final = Layout(
    "syscalls.bin", began="u64", ended="u64", pid="u32", tid="u32", number="u32", arch="u32", a0="u64", a1="u64",
    a2="u64", a3="u64", a4="u64", a5="u64", result="i64", ip="u64", sp="u64", cs="u32", flags="u32", stack="u64",
)  # fmt: skip
"""One system call, by its number in the table of `arch` (AUDIT_ARCH_*).

`flags`: RETURNED, CARRIED_OUT, from bit 8 on the gate (a place in
`arch.architecture.GATES`). `stack` is the number of a stack piece.
"""

LIBRARY_CALL: Final = Layout(
    "library.bin", began="u64", ended="u64", pid="u32", tid="u32", probe="u32", flags="u32", result="u64", site="u64",
    sp="u64", stack="u64",
)  # fmt: skip
"""One call that a probe saw, made at `site`; notes say which function `probe` stands for.

`flags`: RETURNED, LEFT, ENTRY_ONLY. `stack` is the number of a stack piece.
"""

ARGUMENT: Final = Layout(
    "arguments.bin", syscall="u64", index="u16", what="u16", length="u32", bytes=ARGUMENT_BYTES,
)  # fmt: skip
"""What argument `index` of the system call with the number `syscall` points to; `what` is a place in `KINDS`."""

STACK_PIECE: Final = Layout("stacks.bin", time="u64", sp="u64", bp="u64", bx="u64", bytes=STACK_BYTES)
"""A piece of user stack from `sp` up, with the registers needed to unwind it."""

MOST_CALLERS: Final = 64
CALL_STACK: Final = Layout("callers.bin", time="u64", told="u64", count="u32", flags="u32", bytes=8 * MOST_CALLERS)
"""Who called an allocator's function: `count` addresses that calls return to, the innermost first, 8 bytes each.

`told` is the address that the call returns to whose place is told, 0 if there is none. `flags`: WHOLE.
"""
WHOLE: Final = 1
"""Flag of callers: nobody called the last of them."""

HEAP_CHUNK: Final = Layout("heaps.bin", address="u64", size="u64")
"""One chunk of a heap at its process's end, in bulk (no record that others name): its address, its bytes, its kind.

The kind stands in the lowest bits of the size, which is a multiple of 16: IN_USE, OF_CACHE, MAPPED, INFERRED.
"""
SNAPSHOT_CHUNK: Final = Layout(
    "snapshots.bin", address="u64", size="u64", state="u16", arena="u16", bin="u16", kind="u16",
)  # fmt: skip
"""One chunk of a heap in the midst of a run, in bulk: `state` is a place in `model.chunks.STATES`, `arena` one among
the process's, `bin` NO_BIN for none. `kind` is that of a HEAP_CHUNK, NOT_IN_USE for all others.
"""
NO_BIN: Final = 0xFFFF

KERNEL_EVENT: Final = Layout(
    "kernel.bin", time="u64", pid="u32", tid="u32", what="u16", flags="u16", order="u32", value="u64",
)  # fmt: skip
"""What the kernel did at `time` while the task `tid` ran, in bulk: it began to handle a page fault, allocated page
FRAMES, was ENTERED by a system call, or left by it.

`value` is the address of a fault, the number of the first of 2^`order` page frames that were allocated together, or
that of a system call; NO_FRAME where there was none. `flags`, of frames: IN_INTERRUPT, ZEROED, FOR_PROGRAM.
"""
NO_FRAME: Final = (1 << 64) - 1
FAULT_BEGAN, FRAMES, ENTERED, LEFT_KERNEL, HANDLED = range(5)
"""HANDLED, which bcc alone tells: handle_mm_fault worked from then on, for `order` nanoseconds, on address `value`."""
IN_INTERRUPT: Final = 1
"""Flag of page frames: an interrupt asked for them, whatever task ran."""
ZEROED: Final = 2
"""Flag of page frames: asked for filled with zeroes (__GFP_ZERO)."""
FOR_PROGRAM: Final = 4
"""Flag of page frames: for what the program sees, not for the kernel's own tables (__GFP_HARDWALL: GFP_USER)."""

WITNESS: Final = 8
"""Flag of what bcc told, beside perf."""

KIND: Final = 15
"""Mask of a heap chunk's kind in its size."""
IN_USE, OF_CACHE, MAPPED, INFERRED = range(4)
"""In use; the chunk of a thread's cache itself; looks as if it had a mapping of its own; in use, if the walk was right
about where a part of the heap begins.
"""
NOT_IN_USE: Final = 4

LAYOUTS: Final = (CALL, INLINE, CLOCK, SYSCALL, LIBRARY_CALL, ARGUMENT, STACK_PIECE, CALL_STACK)
"""All kinds of records."""
