"""One traced thread, as the engine knows it."""

from __future__ import annotations

from observer.tracee.memory import Memory

__all__ = ["Frame", "LibraryFrame", "Task"]


class Frame:
    """An allocator call that was entered and has not returned: *sp* is where its return address stands.

    `first`, `second` and `third` are its arguments. `outer` is the call that a signal handler interrupted to make this
    one. `interrupted` is the stack pointer at the last signal that came during the call, 0 for none.
    """

    __slots__ = (
        "began", "first", "inner", "interrupted", "is_uncounted", "operation", "outer", "return_address", "second",
        "sp", "stack", "third",
    )  # fmt: skip

    def __init__(
        self, sp: int, operation: int, first: int, second: int, third: int, return_address: int, began: int
    ) -> None:
        self.sp = sp
        self.operation = operation
        self.first = first
        self.second = second
        self.third = third
        self.return_address = return_address
        self.began = began
        self.inner = 0
        self.interrupted = 0
        self.is_uncounted = False
        self.outer: Frame | None = None
        self.stack = 0

    def ghost(self) -> Frame:
        """Return the copy that a forked child finds on its stack: to be returned from, not to be counted."""
        copy = Frame(self.sp, self.operation, self.first, self.second, self.third, self.return_address, self.began)
        copy.is_uncounted = True
        copy.outer = self.outer.ghost() if self.outer else None
        return copy


class LibraryFrame:
    """A call that a probe saw and that has not returned: *sp* is where its return address stands.

    `is_counted` is False for the copies that a forked child finds on its stack.
    """

    __slots__ = ("began", "is_counted", "number", "return_address", "site", "sp", "stack")

    def __init__(
        self, sp: int, number: int, return_address: int, began: int, site: int, stack: int, *, is_counted: bool = True
    ) -> None:
        self.sp = sp
        self.number = number
        self.return_address = return_address
        self.began = began
        self.site = site
        self.stack = stack
        self.is_counted = is_counted

    def ghost(self) -> LibraryFrame:
        """Return the copy of a forked child."""
        return LibraryFrame(
            self.sp, self.number, self.return_address, self.began, self.site, self.stack, is_counted=False
        )  # fmt: skip


class Task:
    """A traced thread: its ids, its address space, the system call and the allocator call it is in.

    `blocks_trap` says that the program wants SIGTRAP blocked here; the kernel unblocks it at each breakpoint.
    `stray` holds calls given up as left by a jump, by stack pointer, should one return after all. `probed` and
    `stray_library` are the same for the calls that probes see, the innermost last.
    """

    __slots__ = (
        "blocks_trap",
        "entered",
        "exiting",
        "frame",
        "has_exec",
        "memory",
        "parent",
        "pid",
        "probed",
        "started",
        "stray",
        "stray_library",
        "tid",
    )

    def __init__(self, tid: int, pid: int, memory: Memory | None, parent: int) -> None:
        self.tid = tid
        self.pid = pid
        self.memory = memory
        self.parent = parent
        self.frame: Frame | None = None
        self.blocks_trap = False
        self.entered: tuple[int, ...] | None = None
        self.started = False
        self.exiting = False
        self.has_exec = False
        self.stray: dict[int, Frame] = {}
        self.probed: list[LibraryFrame] = []
        self.stray_library: dict[int, LibraryFrame] = {}
