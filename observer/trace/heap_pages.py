"""The pages of one heap during the replay, to be compared in the end with those that are there."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["HeapPages"]


@dataclass(slots=True)
class HeapPages:
    """Addresses of pages of a heap: those that faults brought in and nobody gave back, and what else is known.

    `lazy` are those of them that the kernel may take when it wants (MADV_FREE), `moved_in` those that mremap put there,
    come or not.
    """

    came: set[int] = field(default_factory=set)
    lazy: set[int] = field(default_factory=set)
    moved_in: set[int] = field(default_factory=set)

    def copy(self) -> HeapPages:
        """Return an independent copy."""
        return HeapPages(set(self.came), set(self.lazy), set(self.moved_in))

    def within(self, start: int, end: int) -> set[int]:
        """Return the pages that came in and lie in [start, end)."""
        return {page for page in self.came if start <= page < end}

    def drop(self, start: int, end: int) -> None:
        """The pages of [start, end) were given back."""
        self.came -= self.within(start, end)
        self.moved_in = {page for page in self.moved_in if not start <= page < end}

    def touch(self, page: int) -> None:
        """*page* came in."""
        self.came.add(page)
        self.lazy.discard(page)
