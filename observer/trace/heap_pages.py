"""The pages of one heap during the replay, to be compared in the end with those that are there."""

from __future__ import annotations

from dataclasses import dataclass, field

from observer.model.addresses import AddressSpace

__all__ = ["HeapPages"]


@dataclass(slots=True)
class HeapPages:
    """Addresses of pages of a heap: those that faults brought in and nobody gave back, and what else is known.

    `lazy` are those of them that the kernel may take when it wants (MADV_FREE), `moved_in` where mremap put some,
    come or not.
    """

    came: set[int] = field(default_factory=set)
    lazy: set[int] = field(default_factory=set)
    moved_in: AddressSpace = field(default_factory=AddressSpace)

    def copy(self) -> HeapPages:
        """Return an independent copy."""
        return HeapPages(set(self.came), set(self.lazy), self.moved_in.copy())

    def within(self, start: int, end: int) -> set[int]:
        """Return the pages that came in and lie in [start, end)."""
        return {page for page in self.came if start <= page < end}

    def drop(self, start: int, end: int) -> None:
        """The pages of [start, end) were given back."""
        self.came -= self.within(start, end)
        self.moved_in.unmap(start, end - start)

    def touch(self, page: int) -> None:
        """*page* came in."""
        self.came.add(page)
        self.lazy.discard(page)
