"""Rows of the tables as events, with the places that they have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from observer.model.events import (
    Call,
    ChunkRef,
    Event,
    Fault,
    KernelWork,
    Library,
    Lost,
    Misuse,
    Process,
    Signal,
    Site,
    Syscall,
)  # fmt: skip

__all__ = ["MAKERS", "Sites", "site_of"]

Sites = dict[int, Site | None] | None
"""Places by their hashes, None where rows have them written out."""


def site_of(value: dict[str, Any] | None) -> Site | None:
    """Return the place that is written out in a row."""
    return Site(**value) if value else None


def _place(value: Any, sites: Sites) -> Site | None:
    """Return the place in a row: one of *sites* by its hash, or written out."""
    return sites[value] if sites is not None else site_of(value)


def _kernel(value: dict[str, Any] | None) -> KernelWork | None:
    return KernelWork(**value) if value else None


def _call(row: tuple[Any, ...], sites: Sites) -> Call:
    return Call(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], op=row[4], size=row[5], count=row[6], alignment=row[7],
        pointer=row[8], result=row[9], where=row[10], end_ns=row[11], errno=row[12], site=_place(row[13], sites),
        origin=row[14], served_by=row[15], steps=row[16], inner=row[17], allocator=row[18], parameter=row[19],
        value=row[20], misuse=Misuse(**row[21]) if row[21] else None, stack=row[22],
    )  # fmt: skip


def _syscall(row: tuple[Any, ...], sites: Sites) -> Syscall:
    return Syscall(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], name=row[4], number=row[5], args=tuple(row[6]), result=row[7],
        errno=row[8], gate=row[9], ring_before=row[10], end_ns=row[11], cause=row[12], site=_place(row[13], sites),
        decoded=tuple(row[14]) if row[14] is not None else None, within=row[15], kernel=_kernel(row[16]),
    )  # fmt: skip


def _fault(row: tuple[Any, ...], sites: Sites) -> Fault:
    return Fault(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], address=row[4], where=row[5], ip=row[6], access=row[7],
        major=row[8], ring=row[9], mapping=row[10], chunk=ChunkRef(**row[11]) if row[11] else None, toucher=row[12],
        cause=row[13], site=_place(row[14], sites), frame=row[15], kernel=_kernel(row[16]),
    )  # fmt: skip


def _signal(row: tuple[Any, ...], sites: Sites) -> Signal:
    return Signal(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], signal=row[4], code=row[5], address=row[6], fatal=row[7],
        site=_place(row[8], sites), instruction=row[9], ring=row[10], exception=row[11], reason=row[12], access=row[13],
        where=row[14], mapping=row[15], protection=row[16],
    )  # fmt: skip


def _process(row: tuple[Any, ...], sites: Sites) -> Process:
    return Process(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], what=row[4], child=row[5], status=row[6], path=row[7],
        environment=dict(pair.partition("=")[::2] for pair in row[8]) if row[8] is not None else None,
    )  # fmt: skip


def _library(row: tuple[Any, ...], sites: Sites) -> Library:
    return Library(
        n=row[0], t_ns=row[1], pid=row[2], tid=row[3], function=row[4], module=row[5], result=row[6], end_ns=row[7],
        site=_place(row[8], sites), crossings=row[9],
    )  # fmt: skip


def _lost(row: tuple[Any, ...], sites: Sites) -> Lost:
    return Lost(n=row[0], t_ns=row[1], pid=row[2], tid=row[3], instrument=row[4], count=row[5])


MAKERS: Final[dict[str, Callable[[tuple[Any, ...], Sites], Event]]] = {
    "call": _call, "syscall": _syscall, "fault": _fault, "signal": _signal, "process": _process, "library": _library,
    "lost": _lost,
}  # fmt: skip
"""Each takes a row in the order of `schema.COLUMNS`, and the places by their hashes if the row has those."""
