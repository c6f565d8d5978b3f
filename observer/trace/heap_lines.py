"""The ledger's lines about heaps: what calls say is alive, and what is in use in the heap that was walked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from observer.model.ledger import (
    INCONSISTENT,
    LIVE_BYTES,
    SNAPSHOT_BYTES,
    UNVERIFIABLE,
    Exclusion,
    LedgerLine,
    balance,
)
from observer.recording.notes import Allocator, Snapped, Unobserved, Walked
from observer.trace.evidence import Evidence
from observer.trace.heaps import Beside

__all__ = ["live_line", "snapshot_line"]

_LARGER: Final = "beyond what was asked for, where the rest was too small to be a chunk"
_GUESSED: Final = "behind a move of the break by the program itself, where no call tells what chunks are"
_COUNTS: Final = {
    "calls_unread": "results of calls could not be read",
    "calls_refused": "functions of the allocator could not be watched",
    "breakpoints_planted_again": "breakpoints were gone for a while",
}
_ASIDE: Final = "mappings of their own that no walk meets, left out: those of {:,} live pieces"


def live_line(evidence: Evidence) -> LedgerLine | None:
    """Return the line, None where no process used an allocator of glibc's that was watched."""
    allocators = [note for note in evidence.spooled.notes if isinstance(note, Allocator)]
    heaps = evidence.findings.heaps
    if not allocators or not evidence.ends:
        return None
    is_used = any(beside.pieces or beside.walked or not beside.doubts.has_others for beside in heaps)
    if not any(note.is_glibc for note in allocators) or (heaps and not is_used):
        return None
    return _line(evidence, LIVE_BYTES, heaps, _note(evidence))


def snapshot_line(evidence: Evidence) -> LedgerLine:
    """Return the same line for all snapshots that were taken in the midst of the run."""
    taken = evidence.findings.snapshots
    heaps = [each.beside for each in taken]
    damaged = next((each for each in taken if each.snapshot.findings), None)
    first = f"after call {damaged.snapshot.n:,} {_damage(damaged.beside)}" if damaged is not None else ""
    return _line(evidence, SNAPSHOT_BYTES, heaps, "; ".join(filter(None, [first, *_left_out(heaps)])))


def _line(evidence: Evidence, identity: str, heaps: Sequence[Beside], note: str) -> LedgerLine:
    line = balance(
        identity, sum(beside.pieces for beside in heaps), sum(beside.walked for beside in heaps),
        excluded=_excluded(heaps), note=note,
    )  # fmt: skip
    return _judged(evidence, line, heaps)


def _excluded(heaps: Iterable[Beside]) -> tuple[Exclusion, ...]:
    parts = {_LARGER: 0, _GUESSED: 0}
    for beside in heaps:
        parts[_LARGER] += beside.larger
        parts[_GUESSED] += beside.guessed
        if why := beside.explains_strangers:
            parts[why] = parts.get(why, 0) + beside.unowned
    return tuple(Exclusion(count, why) for why, count in parts.items())


def _judged(evidence: Evidence, line: LedgerLine, heaps: Iterable[Beside]) -> LedgerLine:
    """Return the line with the verdict that single chunks ask for: sums may agree where they do not."""
    wrong = [beside for beside in heaps if _differs(beside)]
    if not wrong:
        return line
    unexcused = [beside for beside in wrong if not _excuse(evidence, beside)]
    if unexcused:
        return msgspec.structs.replace(line, verdict=INCONSISTENT, note=unexcused[0].first)
    return msgspec.structs.replace(line, verdict=UNVERIFIABLE, note=_excuse(evidence, wrong[0]))


def _differs(beside: Beside) -> bool:
    return bool(beside.disagreeing or (beside.strangers and not beside.explains_strangers))


def _excuse(evidence: Evidence, beside: Beside) -> str:
    """Return why calls and heap of a process need not agree, empty if they have to."""
    note = beside.note
    unseen = [each.path for each in evidence.spooled.notes if isinstance(each, Unobserved) and each.pid == note.pid]
    if note.findings:
        return _damage(beside)
    reasons = {
        f"parts of the heap are not known: {note.unread}": bool(note.unread),
        _of_others(note, beside): isinstance(note, Snapped) and bool(note.others or beside.under_way),
        "a thread was ended in the midst of a call": bool(beside.doubts.unended or note.locked),
        "it was forked while other threads may have been in calls": beside.doubts.is_copy,
        f"the program broke the allocator's rules: {beside.first}": bool(beside.doubts.misused),
        "at another moment the heap was found damaged": _is_broken(evidence, note.pid),
        f"calls in {', '.join(unseen)} are not observed": bool(unseen),
        "calls were lost": bool(evidence.lost.get("calls")),
        "breakpoints were gone at the end": evidence.count("breakpoints_standing") < evidence.count("breakpoints"),
        **{why: bool(evidence.count(name)) for name, why in _COUNTS.items()},
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _is_broken(evidence: Evidence, pid: int) -> bool:
    """Whether it was found at any moment that the process had broken the rules, or its heap.

    A snapshot that was taken while other threads ran may only look so.
    """
    found = evidence.findings
    alone = [each.beside for each in found.snapshots if not (each.snapshot.others or each.snapshot.under_way)]
    mine = [beside for beside in (*found.heaps, *alone) if beside.note.pid == pid]
    return any(beside.note.findings or beside.doubts.misused for beside in mine)


def _of_others(note: Walked | Snapped, beside: Beside) -> str:
    if beside.under_way:
        return f"{beside.under_way} calls were under way"
    others = note.others if isinstance(note, Snapped) else 0
    return f"{others} other threads ran on, of which one that ends gives its cache back without a call"


def _damage(beside: Beside) -> str:
    note = beside.note
    more = f", and {note.findings - 1:,} more" if note.findings > 1 else ""
    or_busy = ", or a call was under way in it" if beside.doubts.unended or beside.under_way or note.locked else ""
    if isinstance(note, Snapped) and note.others:
        or_busy = ", or another thread was at work in it"
    return f"the heap is damaged{or_busy}: {note.damage}{more}"


def _note(evidence: Evidence) -> str:
    heaps = evidence.findings.heaps
    damaged = next((beside for beside in heaps if beside.note.findings), None)
    missing = len(evidence.ends) - len(heaps)
    parts = [
        _damage(damaged) if damaged is not None else "", *_left_out(heaps),
        f"processes without an allocator that was watched: {missing}" if missing > 0 else "",
    ]  # fmt: skip
    return "; ".join(filter(None, parts))


def _left_out(heaps: Sequence[Beside]) -> list[str]:
    """Say what of the *heaps* is not known, and which pieces are not compared."""
    aside = sum(beside.aside for beside in heaps)
    unread = next((beside.note.unread for beside in heaps if beside.note.unread), "")
    return [f"parts of the heap are not known: {unread}" if unread else "", _ASIDE.format(aside) if aside else ""]
