"""Rows in words: one line of text for one event, or for a thousand alike ones."""

from __future__ import annotations

from collections import Counter
from typing import Final

from observer.model.addresses import PAGE
from observer.model.events import Call, Fault, Process, Syscall
from observer.model.operations import ALLOCATING
from observer.story.rows import Row
from observer.story.sentences import call_words, for_whom, misuse_words, page_of, place_words, sentence, touch_words
from observer.story.wording import bytes_exactly, number, plural, size

__all__ = ["NOUNS", "before_main_words", "row_words"]

NOUNS: Final = {"syscall": "system call", "fault": "page fault", "call": "allocator call"}
"""What the start-up before main is made of, as the story counts it."""


def row_words(row: Row) -> str:
    """Tell *row*: its sentence if it is one event, else how many alike and what they span."""
    if row.before_main is not None:
        return before_main_words(row.before_main)
    if row.count == 1:
        return sentence(row.first, row.moved, at_site=False)
    if isinstance(row.first, Call):
        return f"{number(row.count)} × {_calls(row, row.first)}"
    if isinstance(row.first, Fault):
        return _faults(row, row.first)
    if isinstance(row.first, Syscall):
        return f"{number(row.count)} × {_syscalls(row, row.first)}"
    if isinstance(row.first, Process):
        return _children(row, row.first)
    return f"{number(row.count)} × {sentence(row.first, at_site=False)}"


def before_main_words(tally: Counter[tuple[str, str]]) -> str:
    """Tell the start-up: `21 system calls (12 mmap, 5 mprotect, ...), 96 page faults (70 loader, ...)`."""
    parts = []
    for kind, noun in NOUNS.items():
        names = Counter({who: count for (of, who), count in tally.items() if of == kind})
        if names:
            parts.append(f"{plural(names.total(), noun)} ({_most(names)})")
    return ", ".join(parts) or "nothing recorded"


def _most(names: Counter[str], most: int = 4) -> str:
    shown = [f"{number(count)} {name}" for name, count in names.most_common(most)]
    rest = len(names) - most
    return ", ".join([*shown, "..."] if rest > 0 else shown)


def _children(row: Row, first: Process) -> str:
    noun = "threads" if first.what == "clone" else "child processes"
    last = row.last.child if isinstance(row.last, Process) else None
    return f"{number(row.count)} × {first.what}: new {noun}, {first.child} to {last}"


def _calls(row: Row, first: Call) -> str:
    if first.op not in ALLOCATING:
        words = f"{first.op}(p)" if first.pointer else call_words(first)
        return f"{words}{for_whom(first)}{misuse_words(first, '; the first: ')}"
    if row.low == row.high:
        return f"{call_words(first)}: {plural(row.total, 'byte')}{for_whom(first)}"
    return f"{first.op}: {number(row.low)} to {number(row.high)} bytes, {size(row.total)} in all{for_whom(first)}"


def _syscalls(row: Row, first: Syscall) -> str:
    if first.errno or first.end_ns is None:
        return sentence(first, at_site=False)
    if first.name == "brk" and row.moved:
        each = f" by {bytes_exactly(row.low)} each" if row.low == row.high else f", {size(abs(row.moved))} in all"
        return f"brk: the break moves {'up' if row.moved > 0 else 'down'}{each}"
    if first.name == "brk" or row.low == row.high:
        return sentence(first, row.moved, at_site=False)
    return f"{first.name}: {size(row.low)} to {size(row.high)}, {size(row.total)} in all"


def _faults(row: Row, first: Fault) -> str:
    disk = "; read from disk" if first.major else ""
    return f"{plural(row.count, 'page fault')}: {touch_words(first)} {_pages(row, first)}{disk}"


def _pages(row: Row, first: Fault) -> str:
    if row.mixed:
        return "pages of several mappings"
    span = (row.high // PAGE) - (row.low // PAGE) + 1
    page, place = page_of(first), place_words(first.mapping)
    if page is None:
        return f"pages of {place}"
    first_page = page + (row.low // PAGE - first.address // PAGE)
    if span == 1:
        return f"page {number(first_page)} of {place}"
    pages = f"pages {number(first_page)} to {number(first_page + span - 1)} of {place}"
    return pages if row.count == span else f"some of the {pages}"
