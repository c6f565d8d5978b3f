"""The questions that the allocator asks the kernel, and who answers them: a simulation, or a recording.

Where the heap begins and where mappings land are the kernel's choices; the model only ever asks.
Source: brk(2), mmap(2), mremap(2), mprotect(2), madvise(2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from observer.model.addresses import PAGE, page_up

__all__ = [
    "ANONYMOUS", "DONTNEED", "HUGEPAGE", "NORESERVE", "PROT_NONE", "READ_WRITE", "Asked", "Kernel", "Mismatch",
    "RecordedKernel", "SimulatedKernel", "SystemCall",
]  # fmt: skip

PROT_NONE: Final = 0
READ_WRITE: Final = 3
ANONYMOUS: Final = 0x22
"""MAP_PRIVATE | MAP_ANONYMOUS."""
NORESERVE: Final = 0x4000
DONTNEED: Final = 4
HUGEPAGE: Final = 14


class SystemCall(NamedTuple):
    """One system call: its name, the arguments that say what is asked, and the result (None: it failed).

    Arguments: brk (end); mmap (hint, bytes, protection, flags); munmap (start, bytes); mremap (start, old bytes, new
    bytes); mprotect (start, bytes, protection); madvise (start, bytes, advice).
    """

    name: str
    arguments: tuple[int, ...]
    result: int | None

    @property
    def text(self) -> str:
        """What is asked: `munmap(0x7f0000000000, 0x21000)`."""
        return f"{self.name}({', '.join(hex(argument) for argument in self.arguments)})"


class Kernel(Protocol):
    """What answers; a None says that the call failed."""

    def brk(self, end: int) -> int:
        """Move the break to *end* if possible; return where it is then."""

    def mmap(self, hint: int, size: int, protection: int, flags: int) -> int | None:
        """Return the start of a new mapping."""

    def munmap(self, start: int, size: int) -> int | None:
        """Remove a range."""

    def mremap(self, start: int, old: int, new: int) -> int | None:
        """Resize a mapping, which may move; return its start."""

    def mprotect(self, start: int, size: int, protection: int) -> int | None:
        """Change what may be done with a range."""

    def madvise(self, start: int, size: int, advice: int) -> int | None:
        """Tell about a range."""


class Asked:
    """A kernel that also keeps what it was asked since `calls` was last emptied."""

    __slots__ = ("calls", "kernel")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.calls: list[SystemCall] = []

    def brk(self, end: int) -> int:
        """Move the break; 0 asks where it is."""
        result = self.kernel.brk(end)
        self.calls.append(SystemCall("brk", (end,), result))
        return result

    def mmap(self, size: int, protection: int = READ_WRITE, flags: int = ANONYMOUS, hint: int = 0) -> int | None:
        """Map *size* bytes; return where, or None."""
        result = self.kernel.mmap(hint, size, protection, flags)
        self.calls.append(SystemCall("mmap", (hint, size, protection, flags), result))
        return result

    def munmap(self, start: int, size: int) -> None:
        """Unmap a range; a failure changes nothing for the allocator."""
        self.calls.append(SystemCall("munmap", (start, size), self.kernel.munmap(start, size)))

    def mremap(self, start: int, old: int, new: int) -> int | None:
        """Resize a mapping that may move; return where it is, or None."""
        result = self.kernel.mremap(start, old, new)
        self.calls.append(SystemCall("mremap", (start, old, new), result))
        return result

    def mprotect(self, start: int, size: int) -> bool:
        """Make a range readable and writable; return whether that succeeded."""
        result = self.kernel.mprotect(start, size, READ_WRITE)
        self.calls.append(SystemCall("mprotect", (start, size, READ_WRITE), result))
        return result is not None

    def madvise(self, start: int, size: int, advice: int) -> None:
        """Give an advice; a failure changes nothing for the allocator."""
        self.calls.append(SystemCall("madvise", (start, size, advice), self.kernel.madvise(start, size, advice)))


class SimulatedKernel:
    """Always agrees: the heap begins at *heap*, mappings are placed downwards from *top*, none is used twice.

    Args:
        heap: where the break is at first.
        top: below this mappings are placed, each below the one before.
        limit: the highest break that is allowed, None for no limit.
        page_size: bytes.
    """

    def __init__(
        self, heap: int = 0x5555_5555_9000, top: int = 0x7FFF_F7FF_F000, limit: int | None = None, page_size: int = PAGE
    ) -> None:  # fmt: skip
        self._page = page_size
        self.end = heap
        self._lowest = heap
        self._top = top
        self._limit = limit

    def brk(self, end: int) -> int:
        """Move the break within the limit."""
        if end >= self._lowest and (self._limit is None or end <= self._limit):
            self.end = end
        return self.end

    def mmap(self, hint: int, size: int, protection: int, flags: int) -> int | None:
        """Place a mapping; more than 64 TiB is refused."""
        if size > 1 << 46:
            return None
        self._top -= page_up(size, self._page)
        return self._top

    def munmap(self, start: int, size: int) -> int | None:
        """Agree."""
        return 0

    def mremap(self, start: int, old: int, new: int) -> int | None:
        """Shrink in place, else move."""
        return start if new <= old else self.mmap(0, new, READ_WRITE, ANONYMOUS)

    def mprotect(self, start: int, size: int, protection: int) -> int | None:
        """Agree."""
        return 0

    def madvise(self, start: int, size: int, advice: int) -> int | None:
        """Agree."""
        return 0


class Mismatch(NamedTuple):
    """The model asked one thing and the recording has another; either may be missing."""

    asked: SystemCall | None
    recorded: SystemCall | None


class RecordedKernel:
    """Answers from the system calls that were recorded inside each call of the allocator, in their order.

    Args:
        heap: the break to tell when asked without a recording of the answer.
    """

    def __init__(self, heap: int = 0) -> None:
        self.end = heap
        self.mismatches: list[Mismatch] = []
        self._coming: list[SystemCall] = []

    def begin(self, recorded: Iterable[SystemCall]) -> None:
        """Expect these during the next call; what is left of the last one's is a mismatch each."""
        if self._coming:
            self.finish()
        self._coming = list(recorded)[::-1]

    def finish(self) -> None:
        """Note what the model did not ask for."""
        while self._coming:
            call = self._coming.pop()
            self._follow(call)
            self.mismatches.append(Mismatch(None, call))

    def brk(self, end: int) -> int:
        """Return the recorded break; where none is recorded, it does not move."""
        answer = self._answer("brk", (end,))
        return self.end if answer is None else answer

    def mmap(self, hint: int, size: int, protection: int, flags: int) -> int | None:
        """Return where the mapping landed."""
        return self._answer("mmap", (hint, size, protection, flags))

    def munmap(self, start: int, size: int) -> int | None:
        """Return the recorded result."""
        return self._answer("munmap", (start, size))

    def mremap(self, start: int, old: int, new: int) -> int | None:
        """Return where the mapping is then."""
        return self._answer("mremap", (start, old, new))

    def mprotect(self, start: int, size: int, protection: int) -> int | None:
        """Return the recorded result."""
        return self._answer("mprotect", (start, size, protection))

    def madvise(self, start: int, size: int, advice: int) -> int | None:
        """Return the recorded result."""
        return self._answer("madvise", (start, size, advice))

    def _answer(self, name: str, arguments: tuple[int, ...]) -> int | None:
        recorded = self._coming[-1] if self._coming else None
        if recorded is None or recorded.name != name:
            self.mismatches.append(Mismatch(SystemCall(name, arguments, None), recorded))
            return None
        self._coming.pop()
        self._follow(recorded)
        if recorded.arguments != arguments:
            self.mismatches.append(Mismatch(SystemCall(name, arguments, recorded.result), recorded))
        return recorded.result

    def _follow(self, call: SystemCall) -> None:
        if call.name == "brk" and call.result is not None:
            self.end = call.result
