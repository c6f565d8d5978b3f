"""How one allocator call was served, what it asked of the kernel, what it reached for: observed or predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.model.addresses import PAGE, page_up
from observer.model.events import Call, Syscall
from observer.model.memory_calls import Advise, Break, Map, Move, Protect, Unmap, memory_call

__all__ = [
    "FREE_PIECE", "GROWTH", "IN_PLACE", "NOTHING", "OWN_MAPPING", "REFUSED", "SPARE_ROOM", "UNKNOWN", "Account", "Ask",
    "Reach", "alignment_of", "ask_of", "is_forbidden", "request_of",
]  # fmt: skip

FREE_PIECE: Final = "a free piece"
SPARE_ROOM: Final = "spare room in the heap"
GROWTH: Final = "the heap grew"
OWN_MAPPING: Final = "a mapping of its own"
IN_PLACE: Final = "in place"
REFUSED: Final = "refused"
NOTHING: Final = "nothing to hand out"
UNKNOWN: Final = "memory that is neither free nor new"

_WORD: Final = 8
_USUAL_ALIGNMENT: Final = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """One memory system call made inside an allocator call: how many bytes it is about, and where.

    For brk: how far the break moved, 0 for the question where it is. `protection` (`rw-`) is what it maps or opens.
    """

    name: str
    amount: int
    address: int = 0
    protection: str | None = None
    failed: bool = False

    @property
    def text(self) -> str:
        """The ask in short: `brk +135168`."""
        if self.name == "brk":
            return f"brk {self.amount:+,}" if self.amount else "brk 0"
        return f"{self.name} {self.amount:,}" + (" failed" if self.failed else "")

    @property
    def grows(self) -> bool:
        """Whether a heap became larger by it."""
        return (self.name == "brk" and self.amount > 0) or (self.name == "mprotect" and not self.failed)

    @property
    def reserves(self) -> bool:
        """Whether it reserves room for a thread's heap: a mapping that nobody may touch."""
        return self.name == "mmap" and self.protection == "---"

    def maps(self, address: int) -> bool:
        """Whether it made a mapping that one may use, and *address* lies in it."""
        is_new = self.name in ("mmap", "mremap") and not self.reserves and not self.failed
        return is_new and self.address <= address < self.address + self.amount

    def same_as(self, other: Ask) -> bool:
        """Whether both ask the same of the kernel; where it put a mapping is not asked."""
        return self.name == other.name and self.amount == other.amount


@dataclass(frozen=True, slots=True)
class Account:
    """How a call was served and what it asked of the kernel."""

    served: str
    asks: tuple[Ask, ...] = ()

    @property
    def text(self) -> str:
        """The account in words."""
        asked = ", ".join(ask.text for ask in self.asks)
        return f"{self.served}; {asked}" if asked else self.served

    @property
    def moved_break(self) -> int:
        """By how many bytes the break moved."""
        return sum(ask.amount for ask in self.asks if ask.name == "brk")


@dataclass(frozen=True, slots=True)
class Reach:
    """A range that the allocator itself reads or writes: [start, start+length), and what for."""

    start: int
    length: int
    write: bool
    what: str


def ask_of(event: Syscall, break_end: int, page: int = PAGE) -> Ask:
    """Return what a system call asks; *break_end* is where the break was before it, *page* the bytes of a page."""
    call, name, failed = memory_call(event), event.name, event.errno is not None
    if isinstance(call, Break):
        return Ask(name, 0 if call.is_question or not break_end else (call.end or 0) - break_end)
    if isinstance(call, Map):
        return Ask(name, call.size(page), call.hint if failed else call.start or 0, call.protection, failed)
    if isinstance(call, Unmap):
        return Ask(name, call.size(page), call.start, failed=failed)
    if isinstance(call, Move):
        return Ask(name, call.new_size(page), call.start if failed else call.new_start or 0, failed=failed)
    if isinstance(call, Protect):
        return Ask(name, call.length, call.start, call.protection, failed)
    if isinstance(call, Advise):
        return Ask(name, call.length, call.start, failed=failed)
    return Ask(name, 0, event.args[0] if event.args else 0, failed=failed)


def request_of(call: Call, page: int = PAGE) -> int:
    """Return the bytes that the allocator has to find for *call*: pvalloc(3) rounds up to whole pages."""
    return page_up(call.bytes_asked, page) if call.op == "pvalloc" else call.bytes_asked


def alignment_of(call: Call, page: int = PAGE) -> int:
    """Return the alignment that *call* asks for, 0 for the usual one.

    memalign(3) of glibc takes an alignment that is no power of two for the next one that is.
    """
    if call.op in ("valloc", "pvalloc"):
        return page
    alignment = call.alignment or 0
    return 1 << (alignment - 1).bit_length() if alignment > _USUAL_ALIGNMENT else 0


def is_forbidden(call: Call) -> bool:
    """Whether *call* asks for an alignment that posix_memalign(3) refuses (EINVAL), whatever the allocator."""
    alignment = call.alignment or 0
    return call.op == "posix_memalign" and (not alignment or alignment % _WORD != 0 or alignment.bit_count() != 1)
