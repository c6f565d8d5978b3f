"""Made-up runs for the comparison: each event by hand, and an allocator that predicts what it is told to predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from observer.compare.differences import Difference
from observer.compare.result import Comparison
from observer.compare.served import observed_account
from observer.compare.sides import Resolved
from observer.compare.together import Together
from observer.glibc.chunks import chunk_size
from observer.glibc.parameters import Parameters
from observer.glibc.versions import VERSIONS
from observer.model.account import NOTHING, Account, Ask, Reach, ask_of
from observer.model.addresses import Mapping
from observer.model.events import Call, Event, Fault, Syscall
from observer.model.machine import Meta, ProcessEnd
from observer.simulator.frame_side import FrameSide
from tests.builders import HEAP, MAP, PAGE, PID, Script, meta

__all__ = ["GROWN", "THREAD", "Frameless", "Run", "brk", "mapped", "mmap", "mprotect", "munmap"]

GROWN = 0x21000
"""The heap that malloc makes first: one page for a small piece, 128 KiB in advance."""
THREAD = 0x7F2A_3000_0000
"""Where another thread's heap would begin: a multiple of 64 MiB."""
assert THREAD % (64 << 20) == 0

Asking = tuple[str, tuple[int, ...], int]


def brk(offset: int) -> Asking:
    """The break moves to *offset* bytes from the heap's start."""
    return "brk", (HEAP + offset,), HEAP + offset


def mmap(start: int, length: int, protection: int = 3) -> Asking:
    """A private anonymous mapping is made."""
    return "mmap", (0, length, protection, 0x22, -1, 0), start


def munmap(start: int, length: int) -> Asking:
    """A mapping goes."""
    return "munmap", (start, length), 0


def mprotect(start: int, length: int, protection: int = 3) -> Asking:
    """Rights change."""
    return "mprotect", (start, length, protection), 0


def mapped(size: int) -> int:
    """Bytes of the mapping that a piece of *size* bytes has for itself."""
    return -(-(chunk_size(size) + 8) // PAGE) * PAGE


class Frameless:
    """A model of memory that models nothing: level one alone is judged."""

    def covers(self, address: int) -> bool:
        return False

    def apply(self, event: Syscall) -> None:
        pass

    def do(self, kind: str, start: int, length: int) -> None:
        pass

    def access(self, start: int, length: int, *, write: bool) -> tuple[Sequence[Resolved], str | None]:
        return [], None

    def absent(self, start: int, length: int) -> int:
        return 0

    def predicted(self, reaches: list[Reach]) -> dict[int, Reach]:
        return {}

    def expects(self, fault: Fault) -> bool:
        return True

    def take(self, fault: Fault, *, write: bool | None = None) -> Sequence[Resolved]:
        return []

    def resident_in_heap(self) -> int:
        return 0

    def end(self) -> None:
        pass

    def copy(self) -> Frameless:
        return self


@dataclass(frozen=True)
class Said:
    """What the allocator that is told says of a call."""

    account: Account


class Told:
    """An allocator that serves every call as it was really served, but those of which it was told otherwise."""

    name = "told"

    def __init__(self, run: Run) -> None:
        self._run = run
        self.heap_bytes = 0
        self.largest_free = 0

    def copy(self) -> Told:
        twin = Told(self._run)
        twin.heap_bytes, twin.largest_free = self.heap_bytes, self.largest_free
        return twin

    def predict(self, call: Call) -> Said:
        account = self._run.predictions.get(call.n) or self._run.account_of(call)
        self.heap_bytes += account.moved_break
        return Said(account)


class Run:
    """A process whose break was known when it began (unless told so), and what then happens in it.

    Everything agrees with the prediction, but where `predicted` says what the book would have done.
    """

    def __init__(
        self, environment: dict[str, str] | None = None, *, frames: Callable[[], Any] = Frameless,
        memory_bytes: int = 16 << 30, sees_kernel: bool = True, **tunables: object,
    ) -> None:  # fmt: skip
        words = ":".join(f"glibc.malloc.{name}={value}" for name, value in tunables.items())
        self.script = Script()
        self.predictions: dict[int, Account] = {}
        self.together = Together(
            lambda: Told(self), frames, Parameters.told(environment or {"GLIBC_TUNABLES": words}, VERSIONS["2.36"]),
            memory_bytes=memory_bytes, sees_kernel=sees_kernel,
        )  # fmt: skip
        self.script.process("start", path="/home/ada/story")
        self.script.syscall("brk", 0, result=HEAP)

    @property
    def events(self) -> list[Event]:
        return self.script.events

    def call(
        self, op: str, size: int | None, at: int | None = None, *asking: Asking, predicted: str | None = None,
        asks: tuple[Ask, ...] = (), faults: tuple[int, ...] = (), failed: bool = False, **fields: Any,
    ) -> int:  # fmt: skip
        """A call and all that happened inside it; *predicted* and *asks* are the book's, if it does otherwise."""
        n = self.script.call(op, size, result=at, **fields)
        who = {name: fields[name] for name in ("pid", "tid") if name in fields}
        for name, args, result in asking:
            wrong = {"result": -12, "errno": 12} if failed else {"result": result}
            self.script.syscall(name, *args, cause=n, **wrong, **who)
        for address in faults:
            self.script.fault(address, cause=n, toucher="allocator", **who)
        if predicted is not None:
            self.predictions[n] = Account(predicted, asks)
        return n

    def heap(self, size: int = 24, grown: int = GROWN) -> int:
        """Make the heap: a first small piece, behind the thread cache's table. Return its pointer."""
        self.call("malloc", size, HEAP + 0x2A0, brk(grown))
        return HEAP + 0x2A0

    def malloc(self, size: int, offset: int, *asking: Asking, **fields: Any) -> int:
        """A piece in the heap; return its pointer."""
        self.call("malloc", size, HEAP + offset, *asking, **fields)
        return HEAP + offset

    def free(self, pointer: int, *asking: Asking, **fields: Any) -> int:
        """A free."""
        return self.call("free", None, None, *asking, pointer=pointer, **fields)

    def account_of(self, call: Call) -> Account:
        """How *call* was really served."""
        shadow = self.together.side(call.pid).shadow
        asks, before = [], shadow.break_end
        for event in self.events:
            if isinstance(event, Syscall) and event.cause == call.n:
                asks.append(ask_of(event, before))
                before = event.result if event.name == "brk" and event.result is not None else before
        if call.op == "free":
            return Account(NOTHING, tuple(asks))
        return observed_account(call, tuple(asks), shadow)

    def compare(self) -> Comparison:
        """Compare what was made up so far."""
        self.together.run(self.events)
        return self.together.comparison

    def only_difference(self) -> Difference:
        """Compare; return the one difference there is."""
        [difference] = self.compare().differences
        return difference


def with_frames() -> FrameSide:
    """Linux's paging, huge pages only where they are asked for."""
    return FrameSide("madvise")


def ended(*, heap: int, resident_pages: int, pid: int = PID) -> Meta:
    """A meta whose first process ended with a heap of *heap* bytes, so many pages of it in memory."""
    end = ProcessEnd(
        pid, "/home/ada/story", (Mapping(HEAP, HEAP + heap, "rw-", "[heap]"), Mapping(MAP, MAP + PAGE, "rw-")),
        {HEAP: resident_pages * PAGE, MAP: PAGE}, HEAP, HEAP + heap, 0, {},
    )  # fmt: skip
    return meta(ends=(end,))
