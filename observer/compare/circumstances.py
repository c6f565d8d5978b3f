"""What one process does beside the calls themselves that changes what can be said of them, with the evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from observer.compare.departures import Explanation
from observer.compare.models import PLAIN
from observer.model.events import Call

__all__ = ["Circumstances", "is_foreign"]

_BROKEN: Final = {
    "freed before": "gave a piece back that had been given back already",
    "inside": "gave back a pointer into the middle of a piece",
    "never given": "gave back memory that no call had returned",
    "two hands": "was given a piece that is in use",
}


def is_foreign(call: Call) -> bool:
    """Whether *call* went to another allocator than the C library's own."""
    return call.allocator is not None and call.allocator != PLAIN


class Circumstances:
    """Of one process: its calls that overlapped others of its threads, the first that broke malloc's rules, and the
    first of another allocator that went on to the C library's.
    """

    def __init__(self) -> None:
        self._overlapping: set[int] = set()
        self._misuse: Call | None = None
        self._wrapped: Call | None = None

    def copy(self) -> Circumstances:
        """Return those of a forked child."""
        twin = Circumstances()
        twin._misuse, twin._wrapped = self._misuse, self._wrapped
        return twin

    def overlap(self, calls: Iterable[Call]) -> None:
        """*calls* overlap: which of them was served first is not recorded."""
        self._overlapping = {call.n for call in calls}

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
        copy = "a second C library in the process" if (call.allocator or "").startswith(f"{PLAIN}#") else call.allocator
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
        return None

    def after(self, call: Call) -> Explanation | None:
        """Return what explains a difference of *call* that nothing else does."""
        found = self.of_heap()
        if found is not None:
            return found
        if call.n in self._overlapping:
            return Explanation("order", "it overlaps calls of other threads")
        return None
