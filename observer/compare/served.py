"""How a call was really served and what it reached for, from its pointer, its system calls and the heap before it."""

from __future__ import annotations

from typing import Final

from observer.compare.shadow import Chunk, Shadow
from observer.glibc.chunks import HEADER, MINIMUM, WORD, chunk_size
from observer.model.account import (
    FREE_PIECE,
    GROWTH,
    IN_PLACE,
    NOTHING,
    OWN_MAPPING,
    REFUSED,
    SPARE_ROOM,
    UNKNOWN,
    Account,
    Ask,
    Reach,
    request_of,
)
from observer.model.events import Call
from observer.model.operations import ALLOCATING

__all__ = ["REST_HEADER", "ZEROES", "observed_account", "reached"]

REST_HEADER: Final = "header of the rest"
ZEROES: Final = "zeroes"


def observed_account(call: Call, asks: tuple[Ask, ...], shadow: Shadow) -> Account:
    """Return how *call* was served, by its pointer and what it asked; *shadow* is the heap before it."""
    return Account(_served(call, asks, shadow), asks)


def _served(call: Call, asks: tuple[Ask, ...], shadow: Shadow) -> str:
    pointer = call.result
    if call.op not in ALLOCATING or pointer is None:
        return NOTHING
    if not pointer:
        return NOTHING if call.pointer and not call.bytes_asked else REFUSED
    if any(ask.maps(pointer) for ask in asks):
        return IN_PLACE if pointer == call.pointer else OWN_MAPPING
    if pointer == call.pointer:
        return IN_PLACE
    if any(ask.grows for ask in asks):
        return GROWTH
    start = pointer - HEADER
    end = start + chunk_size(request_of(call))
    if shadow.is_new(start):
        return SPARE_ROOM if _is_there(end, start, shadow) else UNKNOWN
    # 16 bytes of a rest may belong to the chunk before it or not: pointers alone do not tell.
    if shadow.area_at(start) is None and shadow.area_at(start + HEADER) is None:
        return UNKNOWN
    free_end = shadow.end_of_free(start)
    reaches_end = shadow.is_new(free_end) and _is_there(end, start, shadow)
    return FREE_PIECE if end <= free_end + HEADER or reaches_end else UNKNOWN


def _is_there(end: int, start: int, shadow: Shadow) -> bool:
    """Whether a piece up to *end* lies in a heap: below the break, or where a thread reserved room."""
    return end <= shadow.break_end if shadow.in_main_heap(start) else shadow.is_reserved(start)


def reached(call: Call, account: Account, shadow: Shadow) -> list[Reach]:
    """Return what the book's allocator reaches for in *call*, at the real addresses; *shadow* is the heap before it."""
    old = shadow.live.get(call.pointer or 0)
    if not call.result:
        return [Reach(old.start, HEADER, True, "header")] if old is not None and account.served != REFUSED else []
    start, size = call.result - HEADER, chunk_size(request_of(call))
    found = [Reach(start, HEADER, True, "header")]
    if account.served in (SPARE_ROOM, GROWTH, FREE_PIECE) and _leaves_rest(start, size, account, shadow):
        found.append(Reach(start + size, HEADER, True, REST_HEADER))
    if account.served == IN_PLACE and old is not None and not old.mapped and _cuts_in_place(old, size, shadow):
        found.append(Reach(start + size, HEADER, True, REST_HEADER))
    if call.op == "calloc":
        found.append(Reach(call.result, call.bytes_asked, True, ZEROES))
    if old is not None and call.result != call.pointer:
        found += _copied(call, old, account)
    return found


def _leaves_rest(start: int, size: int, account: Account, shadow: Shadow) -> bool:
    area = shadow.area_at(start)
    if account.served != FREE_PIECE or area is None:
        return True
    whole = shadow.freed.get(start)
    if whole is not None and whole.size == size:
        return False
    return sum(area) - start - size >= MINIMUM


def _cuts_in_place(old: Chunk, size: int, shadow: Shadow) -> bool:
    """Whether a piece that stays where it is leaves a rest behind it that is large enough for a header."""
    end = old.start + old.size
    free_end = end if size <= old.size else shadow.end_of_free(end)
    if size > old.size and shadow.is_new(free_end):
        return True  # the heap's end is behind it
    return free_end - old.start - size >= MINIMUM


def _copied(call: Call, old: Chunk, account: Account) -> list[Reach]:
    if account.served == OWN_MAPPING and old.mapped and any(ask.name == "mremap" for ask in account.asks):
        return []  # the kernel moves the pages
    usable = old.mapped - HEADER if old.mapped else old.size - WORD
    moved = min(usable, call.bytes_asked)
    return [
        Reach(old.start + HEADER, moved, False, "copy from"),
        Reach(call.result or 0, moved, True, "copy to"),
        Reach(old.start, HEADER, True, "header"),
    ]
