"""Level two, explained: why a page faulted, or did not, otherwise than the model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.compare.explanation import Explanation
from observer.compare.served import REST_HEADER, ZEROES
from observer.compare.shadow import Shadow
from observer.compare.sides import Resolved
from observer.glibc.chunks import HEADER, MINIMUM, chunk_size
from observer.model.account import (
    FREE_PIECE,
    GROWTH,
    IN_PLACE,
    OWN_MAPPING,
    SPARE_ROOM,
    Account,
    Reach,
    alignment_of,
    request_of,
)
from observer.model.addresses import PAGE
from observer.model.events import Call, Fault

__all__ = ["FaultCase", "explain_extra", "explain_missing", "explain_program", "rule_of"]

_TABLE: Final = 0x310
_LINKS: Final = 48
_HEAP_HEAD: Final = 0x1000
_HUGE: Final = frozenset({"huge first write", "huge zero page", "huge write after read", "huge last owner"})


@dataclass(frozen=True, slots=True)
class FaultCase:
    """An allocator call whose pages differ: how it was served, and the real heap before it."""

    call: Call
    account: Account
    shadow: Shadow


def explain_missing(case: FaultCase, reach: Reach) -> Explanation | None:
    """Return why the real allocator did not fault where the book's would have, in *reach*."""
    if reach.what == ZEROES and case.account.served in (OWN_MAPPING, SPARE_ROOM, GROWTH):
        return Explanation("calloc", "the page came from the kernel and nothing had been written there")
    if reach.what == REST_HEADER and case.account.served == FREE_PIECE:
        whole = case.shadow.whole_piece((case.call.result or 0) - HEADER)
        if whole is not None and whole - chunk_size(request_of(case.call)) < MINIMUM:
            return Explanation("layout", f"the freed piece had {whole:,} bytes: what was left is too small to cut off")
    return None


def explain_extra(case: FaultCase, fault: Fault) -> Explanation | None:
    """Return why the real allocator faulted at *fault*, where the book's would not have."""
    page = fault.address & -PAGE
    start = case.shadow.break_start
    if page == start & -PAGE and fault.address < start + _TABLE:
        return Explanation("tcache-table", f"at {fault.where or hex(fault.address)}")
    if case.call.tid != case.call.pid and (fault.address % (64 << 20)) < _HEAP_HEAD:
        return Explanation("thread-arena", "the head of a thread's heap")
    if case.shadow.parameters.perturb and _is_filled(case, fault.address):
        return Explanation("perturb", f"filled with a pattern made of {case.shadow.parameters.perturb}")
    for place, length, what in _written_by_lists(case):
        if place & -PAGE <= page <= (place + length - 1) & -PAGE:
            return Explanation("links", what)
    if case.shadow.has_piece_edge(page, page + PAGE, _LINKS):
        return Explanation("links", "at an end of a free piece: the links of its list")
    if alignment_of(case.call) and case.call.result and _cut_by_alignment(case, page):
        return Explanation("memalign", "the header of a part that was cut off")
    return None


def _is_filled(case: FaultCase, address: int) -> bool:
    """Whether *address* lies in the piece that the call hands out or takes back."""
    old = case.shadow.live.get(case.call.pointer or 0)
    if old is not None:
        # Growing in place cuts a whole new piece off behind the old one, and frees what is too much of both.
        behind = chunk_size(request_of(case.call)) if case.account.served == IN_PLACE else 0
        if old.start <= address < old.start + max(old.size, old.mapped) + behind:
            return True
    return bool(case.call.result) and _near(address, case.call, 0)


def _cut_by_alignment(case: FaultCase, page: int) -> bool:
    """Whether *page* has an end of what is asked for to find an aligned piece in: from a free piece or the top on."""
    alignment = alignment_of(case.call)
    begin = case.shadow.begin_of((case.call.result or 0) - HEADER)
    if begin is None:
        return False
    whole = chunk_size(chunk_size(request_of(case.call)) + alignment + MINIMUM)
    return any(page <= place + more < page + PAGE for place in (begin, begin + whole) for more in (0, _LINKS - 1))


def _near(address: int, call: Call, distance: int) -> bool:
    """Whether *address* lies no further than *distance* before or behind the piece that *call* got."""
    start = call.result or 0
    return start - distance <= address < start + request_of(call) + distance


def _written_by_lists(case: FaultCase) -> list[tuple[int, int, str]]:
    """Return (start, length, what) of the places where the real allocator keeps lists and sizes for this call."""
    places = []
    old = case.shadow.live.get(case.call.pointer or 0)
    if old is not None and not old.mapped:
        places.append((old.start, _LINKS, "the first bytes of the freed piece hold its links"))
        places.append((old.start + old.size, _LINKS, "the piece behind the freed one holds its size"))
    if case.call.result:
        end = case.call.result - HEADER + chunk_size(request_of(case.call))
        served = case.account.served
        if served in (FREE_PIECE, SPARE_ROOM, GROWTH, IN_PLACE):
            places.append((end, _LINKS, "the rest behind the piece: its header and links"))
        if served == IN_PLACE and old is not None:
            behind = old.start + old.size + chunk_size(request_of(case.call))
            places.append((behind, _LINKS, "a whole new piece was cut off behind the old one, then both joined"))
    return places


def explain_program(fault: Fault) -> Explanation | None:
    """Return why the program faulted on a page that the model holds present."""
    if fault.major:
        return Explanation("reclaim", "a major fault")
    return None


def rule_of(fault: Resolved) -> str | None:
    """Return the departure by which *fault* is not the book's one fault for the first touch of one page."""
    if fault.kind in _HUGE:
        return "huge-pages"
    if fault.kind in ("copy on write", "last owner"):
        return "copy-on-write"
    if fault.kind == "write after read":
        return "zero-page"
    if fault.kind in ("swapped in", "swap cache"):
        return "reclaim"
    return "fault-around" if fault.pages > 1 else None
