"""Level one, predicted: the calls of a run through the book's allocator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.model.account import (
    FREE_PIECE,
    GROWTH,
    IN_PLACE,
    NOTHING,
    REFUSED,
    SPARE_ROOM,
    Account,
    Ask,
    alignment_of,
    is_forbidden,
    request_of,
)
from observer.model.events import Call
from observer.model.operations import ALLOCATING, FREEING, RESIZING
from observer.simulator.book import BookAllocator, Outcome

__all__ = ["BookSide", "Prediction"]

_ADDRESS_SPACE: Final = 1 << 46


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the book says of a call: the account, where the piece lies in the book's heap, how far the search went."""

    account: Account
    result: int
    looked: int


class BookSide:
    """The book's heap beside one real process; pieces are known by their real pointers."""

    def __init__(self, fit: str = "first") -> None:
        self.heap = BookAllocator(fit=fit, limit=_ADDRESS_SPACE)
        self._at: dict[int, int] = {}
        self._knows_break = False
        self._highest = 0

    @property
    def name(self) -> str:
        """What it is called."""
        return "book"

    @property
    def heap_bytes(self) -> int:
        """Bytes of the book's heap."""
        return self.heap.end - self.heap.start

    @property
    def largest_free(self) -> int:
        """Bytes of the largest free piece."""
        return self.heap.largest_free

    def copy(self) -> BookSide:
        """Return the book's heap of a forked child."""
        twin = BookSide(self.heap.fit)
        twin.heap, twin._at = self.heap.copy(), dict(self._at)
        twin._knows_break, twin._highest = self._knows_break, self._highest
        return twin

    def predict(self, call: Call) -> Prediction:
        """Do what *call* asks in the book's heap, and return how it was served there.

        Operations that the book does not have (malloc_trim, malloc_usable_size, mallopt) do nothing.
        """
        if call.op in FREEING or (call.op == "realloc" and call.pointer and not call.size):
            return self._free(call.pointer)
        if call.op in RESIZING and call.pointer:
            return self._realloc(call, call.pointer)
        if call.op not in ALLOCATING:
            return Prediction(Account(NOTHING), 0, 0)
        return self._allocate(call)

    def _free(self, pointer: int | None) -> Prediction:
        place = self._at.pop(pointer or 0, None)
        if place is not None:
            self.heap.free(place)
        return Prediction(Account(NOTHING), 0, 0)

    def _allocate(self, call: Call) -> Prediction:
        if is_forbidden(call):
            return Prediction(Account(REFUSED), 0, 0)
        size, alignment = request_of(call), alignment_of(call)
        outcome = self.heap.memalign(alignment, size) if alignment else self.heap.malloc(size)
        return self._place(call, outcome)

    def _realloc(self, call: Call, pointer: int) -> Prediction:
        place = self._at.pop(pointer, None)
        if place is None:
            return self._allocate(call)
        outcome = self.heap.realloc(place, call.bytes_asked)
        if not outcome.result:
            self._at[pointer] = place
        elif not call.result:
            self._at[pointer] = outcome.result  # refused on the real side: the old piece is still in use
        return self._place(call, outcome, in_place=outcome.result == place)

    def _place(self, call: Call, outcome: Outcome, *, in_place: bool = False) -> Prediction:
        served = self._served(outcome, in_place=in_place)
        prediction = Prediction(Account(served, self._asks(outcome)), outcome.result, outcome.looked)
        if call.result and outcome.result:
            self._at[call.result] = outcome.result
        elif outcome.result and not call.pointer:
            # Refused on the real side: nobody will ever use or free it.
            self.heap.free(outcome.result)
            return prediction
        if outcome.result:
            self._highest = max(self._highest, self.heap.end_of(outcome.result))
        return prediction

    def _served(self, outcome: Outcome, *, in_place: bool) -> str:
        if not outcome.result:
            return REFUSED
        if in_place:
            return IN_PLACE
        if outcome.grew:
            return GROWTH
        return FREE_PIECE if outcome.result < self._highest else SPARE_ROOM

    def _asks(self, outcome: Outcome) -> tuple[Ask, ...]:
        if not outcome.grew:
            return ()
        grown = Ask("brk", outcome.break_after - outcome.break_before)
        if self._knows_break:
            return (grown,)
        self._knows_break = True
        return Ask("brk", 0), grown
