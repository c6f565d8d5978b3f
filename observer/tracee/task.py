"""One traced thread, as the engine knows it."""

from __future__ import annotations

from dataclasses import dataclass

from observer.tracee.memory import Breakpoint, Memory

__all__ = ["Frame", "Interruption", "LibraryFrame", "Task"]


class Frame:
    """A call of the allocator family that was entered and has not returned: *sp* is where its return address stands.

    `first`, `second` and `third` are its arguments, `tid` the thread that entered it, `implementation` the number of
    the allocator. `tails` are the operations whose functions it may end by jumping to, which then return in its place;
    `ends_in_another` says that it was seen to. `trap` is the place that its return address was exchanged for, 0 where
    the stack is as the program made it.
    """

    __slots__ = (
        "began", "ends_in_another", "first", "implementation", "inner", "is_uncounted", "operation", "return_address",
        "second", "sp", "stack", "tails", "third", "tid", "trap",
    )  # fmt: skip

    def __init__(
        self, tid: int, sp: int, operation: int, first: int, second: int, third: int, return_address: int, began: int
    ) -> None:
        self.tid = tid
        self.sp = sp
        self.operation = operation
        self.first = first
        self.second = second
        self.third = third
        self.return_address = return_address
        self.began = began
        self.inner = 0
        self.is_uncounted = False
        self.ends_in_another = False
        self.tails: frozenset[int] = frozenset()
        self.stack = 0
        self.trap = 0
        self.implementation = 0

    def ghost(self) -> Frame:
        """Return the copy that a forked child finds on its stack: to be returned from, not to be counted."""
        copy = Frame(
            self.tid, self.sp, self.operation, self.first, self.second, self.third, self.return_address, self.began
        )
        copy.is_uncounted = True
        copy.ends_in_another, copy.tails, copy.trap = self.ends_in_another, self.tails, self.trap
        return copy


@dataclass(slots=True, frozen=True)
class Interruption:
    """A signal handler that runs: the stack pointer at which the signal came, when, and how many calls were open."""

    sp: int
    began: int
    frames: int


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
    """A traced thread: its ids, its address space, the system call and the allocator calls it is in.

    `blocks_trap` says that the program wants SIGTRAP blocked here; the kernel unblocks it at each breakpoint.
    `frames` are its open calls, the innermost last, `handlers` the signal handlers that run on top of them. `stray`
    holds calls with an exchanged return address that were given up as left by a jump, by stack pointer, should one
    return after all. `probed` and `stray_library` are the same for the calls that probes see. `stack` is an address
    in its stack, known from its birth (0: the process's own stack), `stack_area` what is known to hold it. `stepping`
    is the breakpoint that is lifted for one step.
    """

    __slots__ = (
        "blocks_trap", "entered", "exiting", "frames", "handlers", "has_exec", "is_strict", "memory", "parent", "pid",
        "probed", "put_back", "stack", "stack_area", "started", "stepping", "stray", "stray_library", "tid",
    )  # fmt: skip

    def __init__(self, tid: int, pid: int, memory: Memory | None, parent: int) -> None:
        self.tid = tid
        self.pid = pid
        self.memory = memory
        self.parent = parent
        self.frames: list[Frame] = []
        self.handlers: list[Interruption] = []
        self.stray: dict[int, Frame] = {}
        self.stack = 0
        self.stack_area = (0, 0)
        self.stepping: Breakpoint | None = None
        self.is_strict = False
        self.put_back: tuple[int, int] | None = None
        self.blocks_trap = False
        self.entered: tuple[int, ...] | None = None
        self.started = False
        self.exiting = False
        self.has_exec = False
        self.probed: list[LibraryFrame] = []
        self.stray_library: dict[int, LibraryFrame] = {}

    @property
    def is_in_call(self) -> bool:
        """Whether what it does now is the work of a call of the allocator family, and not of a signal handler."""
        return len(self.frames) > (self.handlers[-1].frames if self.handlers else 0)

    def inherit_calls(self, parent: Task) -> None:
        """Take over, in a forked child, what the parent's stack holds."""
        self.frames = [frame.ghost() for frame in parent.frames]
        self.handlers = list(parent.handlers)
        self.stray = {sp: frame.ghost() for sp, frame in parent.stray.items()}
        self.stack, self.stack_area = parent.stack, parent.stack_area
        self.probed = [frame.ghost() for frame in parent.probed]
        self.stray_library = {sp: frame.ghost() for sp, frame in parent.stray_library.items()}

    def forget_calls(self) -> None:
        """Begin anew, as an exec does."""
        self.frames, self.handlers, self.stray = [], [], {}
        self.stack, self.stack_area, self.stepping = 0, (0, 0), None
