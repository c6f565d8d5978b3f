"""The book's allocator: free pieces in a list, searched, split, joined; `brk` when none fits.

The six steps of section 3.5.8 are the structure of `malloc`: search (1), ask for more (2), the kernel moves the
break (3), back in user mode (4), hand out a fitting piece (5); step 6, the page fault at first use, is `paging.py`'s.

A piece has a header of 16 bytes before it that holds its size; sizes are rounded up to 16. The heap is one region that
begins at `start` and grows by whole pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from observer.errors import BadWorkload
from observer.model.addresses import PAGE
from observer.model.pieces import FreePieces

__all__ = ["FITS", "HEADER", "BookAllocator", "Outcome"]

HEADER: Final = 16
FITS: Final = ("first", "best", "next")
_ALIGNMENT: Final = 16
_SMALLEST: Final = 32


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call did: its result (0: none), the pieces it looked at, the breaks before and after.

    `written` are the places that the allocator itself writes: the headers of the pieces it makes.
    """

    result: int
    looked: int
    break_before: int
    break_after: int
    written: tuple[int, ...] = ()

    @property
    def grew(self) -> bool:
        """Whether the kernel was asked for more."""
        return self.break_after > self.break_before

    @property
    def steps(self) -> str:
        """The book's steps that it took."""
        return "1-2-3-4-5" if self.grew else "1-5"


class BookAllocator:
    """A heap of pieces; addresses are those of the bytes handed out, 16 behind the piece's beginning.

    Args:
        start: where the heap begins (page aligned).
        limit: how far the break may move, None for no limit.
        may_grow: asked with the bytes each time the break is to move; None: the kernel always agrees.
        fit: how a free piece is chosen: `first`, `best` or `next`.
        page_size: bytes; the break moves by whole pages.
    """

    def __init__(
        self, start: int = 0x1000_0000, *, limit: int | None = None, fit: str = "first",
        may_grow: Callable[[int], bool] | None = None, page_size: int = PAGE,
    ) -> None:  # fmt: skip
        if fit not in FITS:
            raise ValueError(f"fit is one of {', '.join(FITS)}, not {fit!r}")
        self.start = start
        self.end = start
        self.fit = fit
        self._limit = limit
        self._may_grow = may_grow
        self._page_size = page_size
        self._free = FreePieces()
        self._used: dict[int, tuple[int, int]] = {}
        self.asked = 0

    # ---- the operations -------------------------------------------------------------------------------------

    def malloc(self, size: int) -> Outcome:
        """Return a piece of at least *size* bytes; its result is 0 when the break may not move far enough."""
        return self._allocate(size, _ALIGNMENT)

    def memalign(self, alignment: int, size: int) -> Outcome:
        """Return a piece whose address is a multiple of *alignment*, a power of two."""
        if alignment <= 0 or alignment & (alignment - 1):
            raise BadWorkload(f"alignment {alignment} is not a power of two")
        return self._allocate(size, max(alignment, _ALIGNMENT))

    def free(self, address: int) -> Outcome:
        """Give the piece at *address* back, joined with free neighbours; raises BadWorkload if none begins there."""
        found = self._used.pop(address, None)
        if found is None:
            raise BadWorkload(self._why_not_free(address))
        size, asked = found
        self.asked -= asked
        self._give_back(address - HEADER, size)
        return Outcome(0, 0, self.end, self.end, (address - HEADER,))

    def realloc(self, address: int, size: int) -> Outcome:
        """Return a piece of *size* bytes in place of the one at *address*: shrunk where it lies, else moved."""
        if address not in self._used:
            raise BadWorkload(self._why_not_free(address))
        whole, asked = self._used[address]
        wanted = self._whole(size)
        if wanted <= whole:
            self._used[address] = (whole, size)
            self.asked += size - asked
            written = self._cut(address - HEADER, whole, wanted)
            return Outcome(address, 0, self.end, self.end, written)
        outcome = self.malloc(size)
        if outcome.result:
            self.free(address)
        return outcome

    # ---- the six steps --------------------------------------------------------------------------------------

    @staticmethod
    def _whole(size: int) -> int:
        return max(_round_up(size + HEADER, _ALIGNMENT), _SMALLEST)

    def _allocate(self, size: int, alignment: int) -> Outcome:
        whole = self._whole(size)
        # Before an aligned piece lies nothing, or a piece of its own, which 16 bytes are too few for.
        room = whole if alignment == _ALIGNMENT else whole + alignment + _ALIGNMENT
        before = self.end
        start, looked = self._free.find(room, self.fit)  # step 1
        if start is None:
            if not self._extend(room):  # steps 2, 3, 4
                return Outcome(0, looked, before, before)
            start = self._last_free()
        return self._take(start, whole, alignment, size, looked, before)  # step 5

    def _extend(self, room: int) -> bool:
        """Move the break so that the last free piece has *room*; return whether the kernel allowed it."""
        last = self._last_free()
        have = self.end - last if last is not None else 0
        amount = _round_up(room - have, self._page_size)
        if self._limit is not None and self.end + amount - self.start > self._limit:
            return False
        if self._may_grow is not None and not self._may_grow(amount):
            return False
        self.end += amount
        self._give_back(self.end - amount, amount)
        return True

    def _last_free(self) -> int | None:
        left, _right = self._free.neighbours(self.end, self.end)
        return left

    def _take(self, start: int | None, whole: int, alignment: int, size: int, looked: int, before: int) -> Outcome:
        assert start is not None
        room = self._free.remove(start)
        address = _round_up(start + HEADER, alignment)
        lead = address - HEADER - start
        if 0 < lead < _SMALLEST:
            address += alignment
            lead += alignment
        written: tuple[int, ...] = ()
        if lead:
            self._free.add(start, lead)
            written = (start,)
        begin = start + lead
        self._used[address] = (room - lead, size)
        self.asked += size
        written += (begin, *self._cut(begin, room - lead, whole))
        return Outcome(address, looked, before, self.end, written)

    def _cut(self, begin: int, have: int, wanted: int) -> tuple[int, ...]:
        """Split what a piece does not need off into the free list; return the new header's place."""
        rest = have - wanted
        if rest < _SMALLEST:
            return ()
        address = begin + HEADER
        self._used[address] = (wanted, self._used[address][1])
        self._give_back(begin + wanted, rest)
        return (begin + wanted,)

    def _give_back(self, start: int, size: int) -> None:
        left, right = self._free.neighbours(start, start + size)
        if right is not None:
            size += self._free.remove(right)
        if left is not None:
            size += self._free.remove(left)
            start = left
        self._free.add(start, size)

    def _why_not_free(self, address: int) -> str:
        for start, size in self._free.pieces():
            if start <= address - HEADER < start + size:
                return f"double free: the piece at {address:#x} is free already"
        return f"no piece begins at {address:#x}"

    def copy(self) -> BookAllocator:
        """Return the heap that a forked child has."""
        twin = BookAllocator(
            self.start, limit=self._limit, fit=self.fit, may_grow=self._may_grow, page_size=self._page_size
        )
        twin.end, twin.asked = self.end, self.asked
        twin._used = dict(self._used)
        twin._free = self._free.copy()
        return twin

    # ---- what can be asked ----------------------------------------------------------------------------------

    def end_of(self, address: int) -> int:
        """Return where the piece at *address* ends, its rounding included. Raises KeyError when none begins there."""
        return address - HEADER + self._used[address][0]

    def used(self) -> dict[int, int]:
        """Return address and size asked for of every piece in use."""
        return {address: asked for address, (_whole, asked) in self._used.items()}

    @property
    def largest_free(self) -> int:
        """Bytes of the largest free piece, its header included."""
        return self._free.largest

    def free_pieces(self) -> list[tuple[int, int]]:
        """Return (start, size) of every free piece, in address order."""
        return list(self._free.pieces())

    @property
    def bytes_inside(self) -> int:
        """Bytes lost inside pieces: headers and rounding."""
        return sum(whole - asked for whole, asked in self._used.values())

    @property
    def bytes_between(self) -> int:
        """Bytes that lie in free pieces."""
        return self._free.bytes
