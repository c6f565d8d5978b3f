"""One traced thread, as the engine knows it."""

from __future__ import annotations

from observer.tracee.breakpoints import Breakpoint
from observer.tracee.frames import Frame, Interruption
from observer.tracee.inline.ring import Block
from observer.tracee.memory import Memory

__all__ = ["Task"]


class Task:
    """A traced thread: its ids, its address space, the system call and the watched calls it is in.

    `blocks_trap` says that the program wants SIGTRAP blocked here; the kernel unblocks it at each breakpoint.
    `frames` are its open calls of the functions whose outermost calls are followed, the innermost last, `handlers` the
    signal handlers that run on top of them, `nested` its open calls of the functions each of whose calls is followed.
    `stack` is an address in its stack, known from its birth (0: the process's own stack), `stack_area` what is known to
    hold it. `stepping` is the breakpoint that is lifted for one step. `block` is where the inline recorder keeps its
    calls. `signalled_at` says of each signal where it stood as it had that last: its instruction and stack pointer.
    `has_clock` says whether it may read the processor's clock (PR_SET_TSC of prctl(2)); its children inherit that.
    `left_program` says that an exec took its program's memory, or may have, and gave it none that could run.
    """

    __slots__ = (
        "block", "blocks_trap", "entered", "exiting", "frames", "handlers", "has_clock", "has_exec", "is_strict",
        "left_program", "memory", "nested", "parent", "pid", "put_back", "signalled_at", "stack", "stack_area",
        "started", "stepping", "tid",
    )  # fmt: skip

    def __init__(self, tid: int, pid: int, memory: Memory | None, parent: int) -> None:
        self.tid = tid
        self.pid = pid
        self.memory = memory
        self.parent = parent
        self.frames: list[Frame] = []
        self.handlers: list[Interruption] = []
        self.nested: list[Frame] = []
        self.stack = 0
        self.stack_area = (0, 0)
        self.stepping: Breakpoint | None = None
        self.signalled_at: dict[int, tuple[int, int]] = {}
        self.block: Block | None = None
        self.is_strict = False
        self.put_back: tuple[int, int] | None = None
        self.blocks_trap = False
        self.entered: tuple[int, ...] | None = None
        self.started = False
        self.exiting = False
        self.has_clock = True
        self.has_exec = False
        self.left_program = False

    @property
    def is_in_call(self) -> bool:
        """Whether what it does now is the work of one of its `frames`, and not of a signal handler."""
        if self.block is not None and self.block.is_open:
            return True
        return len(self.frames) > (self.handlers[-1].frames if self.handlers else 0)

    def came_to_a_stop(self) -> None:
        """It stands still for what may be recorded: its calls are told from that by the clock."""
        if self.block is not None:
            self.block.something_happened()

    def inherit_calls(self, parent: Task) -> None:
        """Take over, in a forked child, what the parent's stacks hold."""
        self.handlers = list(parent.handlers)
        self.stack, self.stack_area = parent.stack, parent.stack_area
        self.frames = [self._ghost(frame, parent) for frame in parent.frames]
        self.nested = [self._ghost(frame, parent) for frame in parent.nested]
        if parent.memory is not None and self.memory is not None:
            exchanged, aside = parent.memory.exchanged, parent.memory.set_aside
            self.memory.exchanged = {place: self._ghost(frame, parent) for place, frame in exchanged.items()}
            self.memory.set_aside = {sp: self._ghost(frame, parent) for sp, frame in aside.items()}

    def _ghost(self, frame: Frame, parent: Task) -> Frame:
        return frame.ghost(self.tid if frame.tid == parent.tid else frame.tid)

    def forget_calls(self) -> None:
        """Begin anew, as an exec does."""
        self.frames, self.handlers, self.nested, self.block = [], [], [], None
        self.stack, self.stack_area, self.stepping = 0, (0, 0), None
