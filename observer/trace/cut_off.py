"""Ledgers with gaps: the observer was killed before it could count, or notes were lost that lines are reckoned from."""

from __future__ import annotations

import msgspec

from observer.model.ledger import INCOMPLETE, INCONSISTENT, UNVERIFIABLE, LedgerLine, balance
from observer.trace.evidence import Evidence

__all__ = ["cut_off_lines", "without_notes"]


def cut_off_lines(evidence: Evidence) -> tuple[LedgerLine, ...]:
    """Return all lines of a ledger for which nobody has counted: what is missing is said, not how much it is."""
    cut = "cut off: the observer was killed; the trace ends where its spools end"
    lines = [balance("recording closed in order", 0, 1, lost=1, note=cut)]
    if "faults" in evidence.instruments:
        lines.append(_fault_line(len(evidence.spooled.faults)))
    lost = sum(evidence.lost.values())
    if lost:
        read = len(evidence.spooled.calls) + len(evidence.spooled.syscalls) + len(evidence.spooled.notes)
        note = ", ".join(f"{count} {kind} damaged" for kind, count in evidence.lost.items() if count)
        lines.append(balance("records read = records stored", read, read + lost, lost=lost, note=note))
    return tuple(lines)


def _fault_line(seen: int) -> LedgerLine:
    note = "samples that lay in the kernel's rings when the observer was killed are lost; how many is not known"
    return LedgerLine("fault samples = kernel's event count", seen, None, 0, (), 0, INCOMPLETE, note)


def without_notes(lines: tuple[LedgerLine, ...], lost: int) -> tuple[LedgerLine, ...]:
    """Return *lines* with those unverifiable that do not balance when *lost* notes of processes are missing."""
    why = f"{lost:,} notes of processes were lost"
    return tuple(
        msgspec.structs.replace(line, verdict=UNVERIFIABLE, note=why) if lost and line.verdict == INCONSISTENT else line
        for line in lines
    )
