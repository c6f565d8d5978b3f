"""Records that are missing, as is known before anything is read back."""

from __future__ import annotations

from collections.abc import Mapping

from observer.model.ledger import LedgerLine, balance

__all__ = ["losses", "stored_line"]


def losses(lost: Mapping[str, int], totals: Mapping[str, int]) -> dict[str, int]:
    """Return how many records of each kind are missing: those that could not be stored, and what found no room in a
    ring of the kernel's, as *totals* have it."""
    rings = {"fault samples": totals.get("faults_lost", 0), "kernel events": totals.get("kernel_events_lost", 0)}
    return {**lost, **rings}


def stored_line(stored: int, recorded: int, lost: Mapping[str, int]) -> LedgerLine:
    """Return the line of *stored* records: of so many that were *recorded*, and those of each kind that were *lost*."""
    missing = sum(lost.values())
    note = ", ".join(f"{count} {kind} lost" for kind, count in lost.items() if count)
    return balance("records stored", stored, recorded + missing, lost=missing, note=note)
