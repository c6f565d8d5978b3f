"""The ledger's lines about the kernel's side: its own events, the faults that they explain, the frames it allocated."""

from __future__ import annotations

from typing import Final

from observer.model.ledger import Exclusion, LedgerLine, balance, unverifiable
from observer.trace.evidence import Evidence

__all__ = ["kernel_lines"]

_EVENTS: Final = "kernel's own events recorded = its count"
_FAULTS: Final = "page faults seen handled = fault samples"
_TOLD: Final = "bcc's records = its count"
_WITNESS: Final = "page frames that bcc tells of = perf does"
_FRAMES: Final = "page frames the kernel allocated = for what is recorded"
_LATE: Final = "at a task's end, when perf's events are over (Linux 6.16)"
_HIDING: Final = "a BPF program of somebody else at these tracepoints may hide them from perf (trace_call_bpf)"


def kernel_lines(evidence: Evidence) -> list[LedgerLine]:
    """Return the lines about the kernel's side, if it was asked for."""
    if "kernel" not in evidence.instruments:
        return []
    if "kernel" in evidence.not_observed:
        refused = evidence.not_observed["kernel"]
        second = [evidence.not_observed.get("bcc", refused)] if "bcc" in evidence.instruments else []
        return [unverifiable(_EVENTS, refused), *(unverifiable(_WITNESS, why) for why in second)]
    found, lost = evidence.findings.kernel, evidence.count("kernel_events_lost")
    lines = [balance(_EVENTS, len(evidence.spooled.kernel), evidence.count("kernel_events_counted"), lost=lost)]
    if "faults" in evidence.instruments and "faults" not in evidence.not_observed:
        samples = found.faults_joined + found.faults_apart
        note = _HIDING if found.faults_apart > lost else ""
        lines.append(balance(_FAULTS, found.faults_joined, samples, lost=min(lost, found.faults_apart), note=note))
    return [*lines, _frame_line(evidence), *_witness_lines(evidence)]


def _frame_line(evidence: Evidence) -> LedgerLine:
    found = evidence.findings.kernel
    seen = found.frames_in_faults + found.frames_in_calls
    excluded = (
        Exclusion(
            found.frames_elsewhere,
            "for what is not recorded: other system calls, tasks that begin and end, the observer's own memory",
        ),
        Exclusion(found.frames_in_interrupts, "in interrupts that came meanwhile"),
    )
    return balance(_FRAMES, seen, found.frames, excluded=excluded)


def _witness_lines(evidence: Evidence) -> list[LedgerLine]:
    if "bcc" not in evidence.instruments:
        return []
    if "bcc" in evidence.not_observed:
        return [unverifiable(_WITNESS, evidence.not_observed["bcc"])]
    found, lost = evidence.findings.kernel, evidence.count("bcc_events_lost")
    late = found.frames_witnessed_late - found.frames_late
    missing = max(found.frames - found.frames_witnessed, 0) if lost else 0
    return [
        balance(_TOLD, len(evidence.spooled.witness), evidence.count("bcc_events_counted"), lost=lost),
        balance(
            _WITNESS,
            found.frames_witnessed,
            found.frames,
            lost=missing,
            excluded=(Exclusion(-late, _LATE),),
            cannot_verify=evidence.unread_tasks(),
        ),
    ]
