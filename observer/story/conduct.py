"""What an allocator did with memory, in plain sentences: each from a number that was measured, none from reputation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from observer.model.footprint import Conduct
from observer.story.wording import number, plural, size

__all__ = ["conduct_sentences"]

_RESERVATION: Final = 16 << 20
"""Bytes from which one mmap of which little is used is told as a reservation."""
_ALL: Final = 0.95
_NONE: Final = 0.05
_LITTLE: Final = 0.5


def conduct_sentences(conduct: Conduct) -> list[str]:
    """Return the sentences, without the allocator's name: "Moved the break 3 times, …"."""
    parts = [
        ", ".join(_taken(conduct)), _held(conduct), ", ".join(_given_back(conduct)), _kept(conduct), _asked(conduct),
    ]  # fmt: skip
    return [f"{part[0].upper()}{part[1:]}." for part in parts if part]


def _taken(conduct: Conduct) -> Iterator[str]:
    """How memory came from the kernel: by brk, by mmap."""
    if conduct.break_grown:
        yield f"moved the break {_times(conduct.break_moves)}, by {size(conduct.break_grown)} in all"
    elif conduct.maps:
        yield "never moved the break"
    if not conduct.maps:
        yield "never used mmap" if conduct.break_grown else "took nothing from the kernel"
    elif conduct.largest >= _RESERVATION and conduct.largest_resident < conduct.largest * _LITTLE:
        yield f"reserved {size(conduct.largest)} of address space in one mmap, {_resident(conduct)}"
        if conduct.maps > 1:
            yield f"and mapped {size(conduct.mapped - conduct.largest)} in {plural(conduct.maps - 1, 'more call')}"
    else:
        yield f"mapped {size(conduct.mapped)} in {'one mmap' if conduct.maps == 1 else plural(conduct.maps, 'mmap')}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{number(count)} times")


def _resident(conduct: Conduct) -> str:
    return f"at most {size(conduct.largest_resident)} of it resident" if conduct.largest_resident else "never touched"


def _held(conduct: Conduct) -> str:
    """The moment when most was live."""
    if not conduct.live_peak or conduct.wasted is None:
        return ""
    return (
        f"when most was live ({size(conduct.live_peak)}) it held {size(conduct.held_at_peak)} resident, "
        f"{size(conduct.wasted)} of it not in live pieces"
    )


def _given_back(conduct: Conduct) -> Iterator[str]:
    """How memory went back to the kernel."""
    if conduct.break_shrunk:
        yield f"moved the break down by {size(conduct.break_shrunk)}"
    if conduct.unmapped:
        yield f"unmapped {size(conduct.unmapped)}"
    for advice, amount in conduct.returned.items():
        if amount:
            yield f"{'offered' if advice == 'MADV_FREE' else 'gave'} {size(amount)} back with madvise({advice})"


def _kept(conduct: Conduct) -> str:
    """What was still held when the program had freed most of what it had."""
    if not conduct.live_peak or not conduct.held_peak or conduct.live_end > conduct.live_peak * _LITTLE:
        return ""
    share = conduct.held_end / conduct.held_peak
    if share >= _ALL:
        return f"kept all of it after free: {size(conduct.held_end)}"
    if share <= _NONE:
        return f"kept next to nothing after free: {size(conduct.held_end)} of {size(conduct.held_peak)}"
    return f"kept {size(conduct.held_end)} of {size(conduct.held_peak)} after free"


def _asked(conduct: Conduct) -> str:
    """How often it crossed into the kernel."""
    calls, crossings = sum(conduct.calls.values()), sum(conduct.own_syscalls.values())
    if not calls:
        return "no call of the malloc family was seen"
    return f"{plural(crossings, 'memory system call')} for {plural(calls, 'allocator call')}"
