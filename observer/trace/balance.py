"""The ledger of a run: identities that hold if nothing was missed, each against an independent source."""

from __future__ import annotations

from typing import Final

from observer.model.ledger import Exclusion, LedgerLine, balance, unverifiable
from observer.recording.notes import Unobserved
from observer.trace.cut_off import cut_off_lines
from observer.trace.evidence import Evidence
from observer.trace.fault_lines import fault_lines
from observer.trace.heap_lines import live_line, snapshot_line
from observer.trace.kernel_lines import kernel_lines
from observer.trace.losses import stored_line
from observer.trace.space_lines import heap_page_line, space_lines

__all__ = ["balance_all"]

_MOST_NAMED: Final = 20


def balance_all(evidence: Evidence) -> tuple[LedgerLine, ...]:
    """Return all lines of the ledger."""
    if evidence.totals is None:
        return cut_off_lines(evidence)
    lines: list[LedgerLine] = []
    lines += fault_lines(evidence) if "faults" in evidence.instruments else []
    lines += kernel_lines(evidence)
    lines += _call_lines(evidence) if "calls" in evidence.instruments else []
    lines += _library_lines(evidence)
    lines.append(_syscall_line(evidence))
    lines += space_lines(evidence)
    if {"faults", "residency"} <= evidence.instruments and "faults" not in evidence.not_observed:
        lines.append(heap_page_line(evidence))
    if "calls" in evidence.instruments and "calls" not in evidence.not_observed and (line := live_line(evidence)):
        lines.append(line)
    if evidence.findings.snapshots:
        lines.append(snapshot_line(evidence))
    lines.append(_task_line(evidence))
    lines.append(_own_pages_line(evidence))
    stored = len(evidence.spooled.calls) + len(evidence.spooled.syscalls)
    lines.append(stored_line(stored, evidence.count("calls") + evidence.count("syscalls"), evidence.lost))
    stops, stumbles = evidence.count("stops"), evidence.count("stumbles")
    if stumbles:
        lines.append(balance("stops followed = stops", stops - stumbles, stops, lost=stumbles))
    return tuple(lines)


# ---- calls and system calls ---------------------------------------------------------------------------------


def _call_lines(evidence: Evidence) -> list[LedgerLine]:
    if "calls" in evidence.not_observed:
        return [unverifiable("allocator calls", evidence.not_observed["calls"])]
    excluded = (
        Exclusion(evidence.count("calls_left"), "left by a jump"),
        Exclusion(evidence.count("calls_unreturned"), "cut by exit, exec, a signal or the end of the recording"),
    )
    begun = balance(
        "allocator calls returned = begun",
        evidence.count("calls_returned"),
        evidence.count("calls_begun"),
        excluded=excluded,
    )
    return [begun, _standing_line(evidence), *_unobserved_lines(evidence)]


def _unobserved_lines(evidence: Evidence) -> list[LedgerLine]:
    """Return a line for each file whose calls nobody saw, though others' were: asked at every exec and mapping."""
    reasons = {note.path: note.why for note in evidence.spooled.notes if isinstance(note, Unobserved)}
    return [unverifiable(f"allocator calls of {path}", why) for path, why in list(reasons.items())[:_MOST_NAMED]]


def _standing_line(evidence: Evidence) -> LedgerLine:
    """A second witness for calls: what was planted is still there when an address space ends."""
    again = evidence.count("breakpoints_planted_again")
    note = f"{again} were overwritten or discarded, and planted again when that was seen" if again else ""
    moved = Exclusion(evidence.count("breakpoints_moved"), "moved elsewhere by the program, and seen there")
    seen, expected = evidence.count("breakpoints_standing"), evidence.count("breakpoints")
    lost = expected - seen - moved.count
    return balance("breakpoints standing at the end = planted", seen, expected, lost=lost, excluded=(moved,), note=note)


def _library_lines(evidence: Evidence) -> list[LedgerLine]:
    begun = evidence.count("library_begun")
    if not begun:
        return []
    excluded = (
        Exclusion(evidence.count("library_left"), "left by a jump"),
        Exclusion(evidence.count("library_unreturned"), "never return, or are seen at their entry only"),
    )
    returned = evidence.count("library_returned")
    return [balance("library calls returned = begun", returned, begun, excluded=excluded)]


def _syscall_line(evidence: Evidence) -> LedgerLine:
    return balance(
        "system calls left = entered", evidence.count("syscalls_left"), evidence.count("syscalls_entered"),
        excluded=(Exclusion(evidence.count("syscalls_cut"), "did not return (exit, exec, kill, recording's end)"),),
    )  # fmt: skip


# ---- tasks and the observer itself --------------------------------------------------------------------------


def _task_line(evidence: Evidence) -> LedgerLine:
    moved = sum(1 for note in evidence.execs if note.former != note.tid)
    unfollowed = sum(note.how == "unfollowed" for note in evidence.released)
    return balance(
        "tasks ended = tasks started", len(evidence.gone), evidence.started,
        excluded=(
            Exclusion(moved, "taken over by an exec from another thread"),
            Exclusion(len(evidence.released) - unfollowed, "lived when the recording ended"),
            Exclusion(unfollowed, "not followed any further"),
        ),
    )  # fmt: skip


def _own_pages_line(evidence: Evidence) -> LedgerLine:
    name = "pages the observer brought in = 0"
    if evidence.count("pages_unknown"):
        return unverifiable(name, "needs kernel-mode fault counts of the observer (CAP_PERFMON)")
    planted = evidence.count("pages_by_planting")
    note = f"{planted} text pages became private by planting breakpoints" if planted else ""
    why = "stack pages that an emulated push or an exchanged return address reached first"
    pushed = Exclusion(-evidence.count("pages_pushed"), why)
    return balance(name, evidence.count("pages_by_observer"), 0, excluded=(pushed,), note=note)
