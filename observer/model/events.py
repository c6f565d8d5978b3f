"""The events of a run, one vocabulary for what was observed and what was predicted.

All events share `n` (their place in the one order, from 0), `t_ns` (nanoseconds since the start), `pid`, `tid`
and `kind`. Addresses are plain integers here and hex strings in exports. `where` names an address in words
that survive address-space randomisation: `heap+0x2a0`, `map#3+0x10`, `libc.so.6+0x98930`, `stack`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from observer.model.where import Where

__all__ = [
    "ADDRESS_RESULTS", "GLIBC", "MISUSES", "Call", "ChunkRef", "Event", "Fault", "KernelWork", "Library", "Lost",
    "Misuse", "Process", "Signal", "Site", "Syscall", "is_glibc",
]  # fmt: skip


ADDRESS_RESULTS: Final = frozenset({"brk", "mmap", "mmap2", "mremap", "shmat"})
"""The system calls whose result is an address."""

GLIBC: Final = "glibc"
"""The allocator of the program's own C library, where that is glibc, as calls name it."""


_LARGEST_SIZE: Final = (1 << 64) - 1


class Site(msgspec.Struct, frozen=True):
    """A place in code. `module` is a file's base name and `offset` the byte offset from its load address."""

    function: str | None = None
    file: str | None = None
    line: int | None = None
    module: str | None = None
    offset: int | None = None

    @property
    def text(self) -> str:
        """The shortest honest name: `main.c:12`, else `function (module)`, else `module+0x10`."""
        if self.file and self.line:
            return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"
        if self.function:
            return f"{self.function} ({self.module})" if self.module else self.function
        if self.module and self.offset is not None:
            return f"{self.module}+{self.offset:#x}"
        return "?"


class ChunkRef(msgspec.Struct, frozen=True):
    """The live allocation that an address belongs to: the call that made it, its address and asked-for size."""

    call: int
    address: int
    size: int


MISUSES: Final = (
    "freed before", "inside", "never given", "two hands", "overlap", "elsewhere", "too small", "other size",
)  # fmt: skip
"""What `Misuse.what` may be."""


class Misuse(msgspec.Struct, frozen=True):
    """How a call breaks the allocator's rules (malloc(3)), as far as the calls that were seen tell.

    `what` is `freed before` (the pointer was given back already), `inside` (it points into the piece, not to its
    start), `never given` (no call that was seen returned it), or, of what the allocator hands out after its memory was
    overwritten or given back wrongly: `two hands` (a piece that is in use: it had been given back twice), `overlap` (it
    overlaps a piece that is in use), `elsewhere` (it lies where no allocator has memory) or `too small` (a free piece
    that was never as large); of what goes back to the kernel `other size` (not the memory of the piece). `given` and
    `freed` are the numbers of the calls that gave the piece and gave it back first, `given_at` and `freed_at` their
    places.
    """

    what: str
    given: int | None = None
    given_at: str | None = None
    freed: int | None = None
    freed_at: str | None = None


class KernelWork(msgspec.Struct, frozen=True):
    """What the kernel did for one page fault or system call.

    `ns` is how long: from the exception until the page was there, from the entry of the system call until its return.
    `pages` is how many page frames it allocated for the program meanwhile, `frame` the number of the first of the first
    2^`order` that it got together, `zeroed` whether it asked for them filled with zeroes; null where there was none.
    `others` counts page frames for the kernel's own use, such as page tables. `handling_ns` is how much of `ns` a fault
    took in handle_mm_fault (mm/memory.c), where bcc could tell.
    """

    ns: int
    pages: int
    frame: int | None
    order: int | None
    zeroed: bool | None
    others: int
    handling_ns: int | None = None


class _Event(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True):
    n: int
    t_ns: int
    pid: int
    tid: int


def is_glibc(allocator: str | None) -> bool:
    """Whether *allocator*, as calls name it, is the C library's own, or a further copy of it."""
    return allocator is not None and (allocator == GLIBC or allocator.startswith(f"{GLIBC}#"))


class Call(_Event, frozen=True, tag="call", kw_only=True):
    """One outermost call of the allocator family.

    `result` is null for a call that never returned (exit, longjmp, exec, kill) and for `free`. `size` is the bytes
    asked for (of one element for calloc and reallocarray, with `count`), null for free. `pointer` is the pointer
    passed in. `steps` is the sequence of the book's steps the call took, such as `1-5` or `1-2-3-4-5`; null for
    calls that allocate nothing. `inner` counts calls of the family made inside this one.

    `allocator` is whose function was called: `glibc` (`glibc#2` for a further copy in the process), else the base name
    of the file that defines it; null if that was not recorded. `parameter` and `value` are mallopt's. `stack` is the
    number of its stack among those of the trace, where callers were kept; `site` is then the first of them that is not
    seen through (`model.through`).
    """

    op: str
    size: int | None
    count: int | None
    alignment: int | None
    pointer: int | None
    result: int | None
    where: str | None
    end_ns: int | None
    errno: int | None
    site: Site | None
    origin: str
    served_by: str | None
    steps: str | None
    inner: int
    allocator: str | None = None
    parameter: int | None = None
    value: int | None = None
    misuse: Misuse | None = None
    stack: int | None = None

    @property
    def bytes_asked(self) -> int:
        """Bytes that the call asked for in all."""
        return (self.size or 0) * (1 if self.count is None else self.count)

    @property
    def bytes_counted(self) -> int:
        """The same as sums take it: for more than a size_t can tell stands its largest number, as in columns."""
        return min(self.bytes_asked, _LARGEST_SIZE)

    @property
    def is_of_another_glibc(self) -> bool:
        """Whether it went to a further copy of glibc in the process (dlmopen(3))."""
        return is_glibc(self.allocator) and self.allocator != GLIBC


class Syscall(_Event, frozen=True, tag="syscall", kw_only=True):
    """One crossing into the kernel and back. `cause` is the `n` of the allocator call it happened in.

    `args` are the words in the registers, `decoded` the same in words a reader knows: flags by their names, the file's
    name, the first bytes of a buffer. `gate` is the instruction that entered the kernel: syscall, int80 or sysenter.
    `within` is the `n` of the innermost library call it happened in, where those were recorded, `kernel` what the
    kernel did, where that was.
    """

    name: str
    number: int
    args: tuple[int, ...]
    result: int | None
    errno: int | None
    gate: str
    ring_before: int
    end_ns: int | None
    cause: int | None
    site: Site | None
    decoded: tuple[str, ...] | None = None
    within: int | None = None
    kernel: KernelWork | None = None


class Fault(_Event, frozen=True, tag="fault", kw_only=True):
    """One page fault that the kernel resolved. `ring` 3: taken in user mode; 0: in the kernel for the program.

    `mapping` names the mapping (`[heap]`, `map#3`, a path, `[stack]`); `toucher` is program, allocator, loader,
    libc, kernel, or unknown where no instruction was seen; `frame` the physical frame number at the process's end,
    where the machine lets us know; `kernel` what the kernel did, where that was recorded.
    """

    address: int
    where: str | None
    ip: int
    access: str | None
    major: bool
    ring: int
    mapping: str | None
    chunk: ChunkRef | None
    toucher: str
    cause: int | None
    site: Site | None
    frame: int | None
    kernel: KernelWork | None = None

    @property
    def offset(self) -> int | None:
        """Bytes from the beginning of what `where` names to the address; None where that has none."""
        return Where.of(self.where).offset


class Signal(_Event, frozen=True, tag="signal", kw_only=True):
    """A signal that reached a task; `fatal` when it ended the process. `instruction` is disassembled text.

    `ring` is the privilege level (CPL) that the CS register held. When the processor raised it: `exception` (`#PF`,
    `#GP` …), `reason` (why it was not resolved, a key of `story.refusals`), `access` (read, write, exec), and `where`
    the address lies, in which `mapping`, with which `protection` (`r--`).
    """

    signal: str
    code: int
    address: int | None
    fatal: bool
    site: Site | None
    instruction: str | None
    ring: int = 3
    exception: str | None = None
    reason: str | None = None
    access: str | None = None
    where: str | None = None
    mapping: str | None = None
    protection: str | None = None


class Process(_Event, frozen=True, tag="process", kw_only=True):
    """Life of a task: `what` is start, fork, vfork, clone, exec, exit or killed.

    `environment` is, of start and exec, what of the program's own environment an allocator or the loader may heed
    (GLIBC_TUNABLES, MALLOC_…, LD_PRELOAD, LD_LIBRARY_PATH); null where it was not recorded.
    """

    what: str
    child: int | None
    status: int | None
    path: str | None
    environment: dict[str, str] | None = None


class Library(_Event, frozen=True, tag="library", kw_only=True):
    """A call of the program's own code into a library, or of anyone into the vDSO (`module` is `[vdso]` then).

    `crossings` counts the system calls made inside it, 0 where the call stayed in user mode; null unless all of them
    are recorded. `end_ns` and `result` (the word in the result register) are null for a call that did not
    come back, and where only its entry can be seen.
    """

    function: str
    module: str | None
    result: int | None
    end_ns: int | None
    site: Site | None
    crossings: int | None


class Lost(_Event, frozen=True, tag="lost", kw_only=True):
    """What an instrument could not record: a loss is an event, never a silence."""

    instrument: str
    count: int


Event = Call | Syscall | Fault | Signal | Process | Library | Lost
