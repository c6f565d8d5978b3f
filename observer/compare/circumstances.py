"""What one process does beside the calls themselves that changes what can be said of them, with the evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from observer.compare.explanation import Explanation
from observer.model.events import GLIBC, Call
from observer.model.pieces import FreePieces

__all__ = ["Circumstances", "is_foreign"]

_BROKEN: Final = {
    "freed before": "gave a piece back that had been given back already",
    "inside": "gave back a pointer into the middle of a piece",
    "never given": "gave back memory that no call had returned",
    "two hands": "was given a piece that is in use",
    "overlap": "was given a piece that overlaps one in use",
    "elsewhere": "was given memory that the allocator never had",
    "other size": "gave the kernel other memory back than that of its piece",
    "too small": "was given a free piece that is smaller than what it asked for",
}


def is_foreign(call: Call) -> bool:
    """Whether *call* went to another allocator than the C library's own."""
    return call.allocator is not None and call.allocator != GLIBC


class Circumstances:
    """Of one process: its calls that overlapped others of its threads, the first that broke malloc's rules, and the
    first of another allocator that went on to the C library's. *damage* says what was found wrong with a heap of the
    run at its end.
    """

    def __init__(self, damage: str = "") -> None:
        self._damage = damage
        self._overlapping: set[int] = set()
        self._disputed = FreePieces()
        self._lost_at: Call | None = None
        self._misuse: Call | None = None
        self._wrapped: Call | None = None

    def copy(self) -> Circumstances:
        """Return those of a forked child."""
        twin = Circumstances(self._damage)
        twin._misuse, twin._wrapped = self._misuse, self._wrapped
        twin._disputed, twin._lost_at = self._disputed.copy(), self._lost_at
        return twin

    def overlap(self, calls: Iterable[Call], pieces: Iterable[tuple[int, int]] = ()) -> None:
        """*calls* overlap: which was served first is not recorded. *pieces* (start, end) are those of theirs."""
        self._overlapping = {call.n for call in calls}
        for start, end in pieces:
            for at, size in self._disputed.overlapping(start, end):
                self._disputed.remove(at)
                start, end = min(start, at), max(end, at + size)
            self._disputed.add(start, end - start)

    def lose_order(self, call: Call) -> None:
        """No order of *call* and those that overlap it fits what they returned."""
        self._lost_at = self._lost_at or call

    def settle(self, call: Call, start: int, end: int) -> None:
        """*call* hands out [start, end): if it overlaps no other, what was there before matters no more."""
        if call.n in self._overlapping:
            return
        for at, size in self._disputed.overlapping(start, end):
            self._disputed.remove(at)
            if at < start:
                self._disputed.add(at, start - at)
            if at + size > end:
                self._disputed.add(end, at + size - end)

    def note(self, call: Call) -> None:
        """Note a call as it comes."""
        if call.misuse is not None and self._misuse is None:
            self._misuse = call
        if is_foreign(call) and call.inner and self._wrapped is None:
            self._wrapped = call

    def before(self, call: Call) -> Explanation | None:
        """Return what explains any difference of *call* at once."""
        if not is_foreign(call):
            return None
        copy = "a second C library in the process" if call.is_of_another_glibc else call.allocator
        return Explanation("other-allocator", f"the call went to {copy}")

    def of_heap(self) -> Explanation | None:
        """Return what explains that the C library's heap is another one than its recorded calls make."""
        wrapped = self._wrapped
        if wrapped is not None:
            told = f"call {wrapped.n:,} of {wrapped.allocator} and others went on to it, which is not recorded"
            return Explanation("other-allocator", told)
        broken = self._misuse
        if broken is not None and broken.misuse is not None:
            return Explanation("misuse", f"call {broken.n:,} {_BROKEN[broken.misuse.what]}")
        return Explanation("misuse", self._damage) if self._damage else None

    def after(self, call: Call) -> Explanation | None:
        """Return what explains a difference of *call* that nothing else does."""
        found = self.of_heap()
        if found is not None:
            return found
        if call.n in self._overlapping:
            return Explanation("order", "it overlaps calls of other threads")
        pointers = [pointer for pointer in (call.pointer, call.result) if pointer]
        if any(self._disputed.overlapping(pointer - 32, pointer + 16) for pointer in pointers):
            return Explanation("order", "its memory was handed out or freed by calls of threads that overlapped")
        if self._lost_at is not None:
            told = f"no order of the calls that overlap call {self._lost_at.n:,} fits what they returned"
            return Explanation("order", told)
        return None
