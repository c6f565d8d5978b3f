"""The ledger's lines about the address space: break, mappings, pages of the heap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from observer.model.addresses import PAGE, AddressSpace, Mapping, page_up
from observer.model.ledger import Exclusion, LedgerLine, balance, unverifiable
from observer.recording.notes import Born, End, Exec
from observer.trace.evidence import Evidence
from observer.trace.fault_lines import unsampled_faults
from observer.trace.heap_pages import HeapPages

__all__ = ["heap_page_line", "space_lines"]

_BREAK: Final = "break = last brk = end of [heap]"
_MAPPINGS: Final = "mappings replayed = /proc/PID/maps"
_HEAP_PAGES: Final = "heap pages faulted in = resident at the end"
_HUGE_SHIFT: Final = 21
_Family = tuple[int, int]
"""A process, and when it executed its program; 0 if that is not told."""
_PRESENT: Final = np.uint64(63)
_SWAPPED_OUT: Final = "swapped out"
_TAKEN: Final = "given up with MADV_FREE and taken by the kernel"
_HUGE: Final = "of huge pages: one fault brings in all that lie beside it"
_MOVED: Final = "moved there by mremap"
_UNSAMPLED: Final = "came in without a fault event, as the line of page faults tells"


def space_lines(evidence: Evidence) -> list[LedgerLine]:
    """Return the lines about the break and the mappings, replayed and as they were at the end of each process."""
    if not evidence.replayable:
        why = "only with all memory system calls (-e trace=memory) can the address space be replayed"
        return [unverifiable(name, why) for name in (_BREAK, _MAPPINGS)]
    if evidence.lost.get("syscalls"):
        why = "system calls were lost, so the replay has gaps"
        return [unverifiable(name, why) for name in (_BREAK, _MAPPINGS)]
    breaks = intervals = replayed = extra = 0
    for end, space in zip(evidence.findings.ends, evidence.findings.replayed, strict=True):
        breaks += _same_break(space, end.mappings)
        at_end = AddressSpace(end.mappings)
        real, model = set(at_end.intervals()), set(space.grown_like(at_end).intervals())
        intervals += len(real)
        replayed += len(real & model)
        extra += len(model - real) if not real - model else 0
    ended = len(evidence.findings.ends)
    why = "the program filters its own system calls" if evidence.count("own_filters") else ""
    note = _unread_processes(evidence)
    return [
        balance(_BREAK, breaks, ended, cannot_verify=why, note=note),
        balance(_MAPPINGS, replayed - extra, intervals, cannot_verify=why, note=note),
    ]


def _unread_processes(evidence: Evidence) -> str:
    released = [note for note in evidence.released if note.how != "unfollowed"]
    ended = [note for note in (*evidence.gone, *released) if note.tid == note.pid]
    missing = len(ended) - len(evidence.findings.ends)
    sharing = sum(1 for note in evidence.born if note.shares and note.child_pid != note.pid)
    return f"{missing} processes ended before they could be read" if missing > sharing else ""


def _same_break(space: AddressSpace, mappings: tuple[Mapping, ...]) -> bool:
    """Whether [heap] ends at the break, or where the replay says that the mapping does that holds the last of it."""
    low, high = page_up(space.break_start), page_up(space.break_end)
    heap = max((mapping.end for mapping in mappings if mapping.path == "[heap]"), default=low)
    return heap in (high, max((end for start, end, _ in space.intervals() if start < high and end > low), default=low))


# ---- pages of the heap --------------------------------------------------------------------------------------


def heap_page_line(evidence: Evidence) -> LedgerLine:
    """Return the line about pages of the heap: what faults brought in, and what pagemap shows at the end.

    Both sides are sets of pages, process by process: what came without a fault does not make up for what went.
    """
    if not evidence.replayable or evidence.lost.get("syscalls"):
        return unverifiable(_HEAP_PAGES, "only with all memory system calls is it known which pages were given back")
    seen = expected = 0
    parts: Counter[str] = Counter()
    unsampled, families = unsampled_faults(evidence), _families(evidence)
    inherited: set[tuple[_Family, int]] = set()
    for pid, known, came, there, swapped in _heaps(evidence):
        seen += len(came)
        expected += len(there)
        missing, more = came - there, there - came
        huge = _beside(more, came) if evidence.huge_pages else set()
        moved = {page for page in more - huge if known.moved_in.find(page) is not None}
        # What came in so before a fork is in the child as well, and was counted once.
        family = families.get(pid, (pid, 0))
        of_family = {(family, page) for page in more - huge - moved}
        came_in = min(len(of_family - inherited), unsampled)
        told = came_in + len(of_family & inherited)
        unsampled -= came_in
        inherited |= of_family if told == len(of_family) else set()
        parts += Counter({_HUGE: len(huge), _MOVED: len(moved), _UNSAMPLED: told})
        taken = missing & known.lazy
        out = min(len(missing - taken), swapped)
        parts.subtract({_SWAPPED_OUT: out, _TAKEN: len(taken)})
        if evidence.beyond:
            rest = len(more - huge - moved) - told - len(missing - taken) + out
            parts[f"may have come or gone by {', '.join(evidence.beyond)}, which does not say when"] += rest
    why = "fault samples were lost" if evidence.count("faults_lost") else ""
    excluded = tuple(Exclusion(count, reason) for reason, count in parts.items())
    unread = sum(not note.frames for note in evidence.ends)
    note = f"{unread} processes whose pages could not be read" if unread else ""
    if unread and unread == len(evidence.ends):
        return unverifiable(_HEAP_PAGES, note)
    return balance(_HEAP_PAGES, seen, expected, excluded=excluded, cannot_verify=why, note=note)


def _families(evidence: Evidence) -> dict[int, _Family]:
    """Return by process the one whose heap it began with by forks alone; each program has a heap of its own."""
    families: dict[int, _Family] = {}
    for note in evidence.spooled.notes:
        if isinstance(note, Born) and note.child_pid != note.pid:
            families[note.child_pid] = families.get(note.pid, (note.pid, 0))
        elif isinstance(note, Exec):
            families[note.pid] = note.pid, note.t
    return families


def _heaps(evidence: Evidence) -> Iterator[tuple[int, HeapPages, set[int], set[int], int]]:
    """Yield for each process its number, what is known of its heap, the pages that came and are there, how many are
    swapped.

    Those are left out whose pagemap could not be read: a process that lives has pages.
    """
    spaces = zip(evidence.ends, evidence.findings.replayed, evidence.findings.heap_pages, strict=True)
    for note, space, known in spaces:
        if not note.frames:
            continue
        low, high = page_up(space.break_start), page_up(space.break_end)
        areas = [(max(m.start, low), min(m.end, high)) for m in note.mappings if m.path == "[heap]"]
        inside = {page for page in known.came if any(start <= page < end for start, end in areas)}
        yield note.pid, known, inside, _present_pages(evidence, note, areas), note.rss.get("swapped", 0) // PAGE


def _present_pages(evidence: Evidence, note: End, areas: list[tuple[int, int]]) -> set[int]:
    """Return the pages of *areas* that were there at the end of the process."""
    found: set[int] = set()
    for start, count, at in note.frames:
        entries = evidence.spooled.frames[at // 8 : at // 8 + count]
        pages = np.nonzero(entries >> _PRESENT)[0] * PAGE + start
        for low, high in areas:
            found.update(pages[(pages >= low) & (pages < high)].tolist())
    return found


def _beside(pages: set[int], came: set[int]) -> set[int]:
    """Return those of *pages* in whose 2 MiB a fault brought another one in."""
    blocks = {page >> _HUGE_SHIFT for page in came}
    return {page for page in pages if page >> _HUGE_SHIFT in blocks}
