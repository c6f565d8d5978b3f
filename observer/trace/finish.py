"""From spools to a finished trace: tables, ledger, meta.json. The second half of `observer run`, and of recovery."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Protocol

import msgspec

from observer.errors import BadTrace, remedy_for
from observer.files import Folder
from observer.instruments.places import without_names
from observer.instruments.session import Recording
from observer.model.filenames import typed
from observer.model.machine import SCHEMA, Machine, Meta, Request
from observer.model.selection import are_all_memory_calls
from observer.trace.balance import balance_all
from observer.trace.beside import frames_beside
from observer.trace.cut_off import without_notes
from observer.trace.evidence import Evidence, Lives
from observer.trace.findings import Findings
from observer.trace.kept import changed, read_kept
from observer.trace.layout import SPOOL, held, is_unfinished, remove_halves, remove_spools
from observer.trace.lives import images_of
from observer.trace.losses import losses
from observer.trace.machine import with_libc
from observer.trace.part import Part
from observer.trace.replay import replayed
from observer.trace.snapshots import notes_of, write_snapshots
from observer.trace.spooled import Spooled, read_spools
from observer.trace.stacks import StackTable, write_stacks
from observer.trace.tables import TableWriter
from observer.trace.unfinished import outcome_of, write_meta

__all__ = ["Listener", "finish", "recover"]


class Listener(Protocol):
    """Who is told of a run while it is made into a trace."""

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts* again, in their order; say in *how* how what is added to them is known (`Meta.how`)."""


def finish(
    folder: Folder, machine: Machine, request: Request, recording: Recording, listeners: Sequence[Listener] = ()
) -> Meta:  # fmt: skip
    """Make the tables and the ledger of a run that came to its end; return its meta.

    The *listeners* are told of each part of the run in turn before it is written, in the same pass.

    Raises:
        BadTrace: they cannot be written, or the spools are damaged.
    """
    with _explained(folder):
        spooled = read_spools(folder.folder(SPOOL))
        for name, count in spooled.damaged.items():
            raise changed(folder, f"{count:,} records of {SPOOL}/{name} are damaged")
        return _finish(folder, spooled, machine, request, recording, listeners)


def recover(folder: Folder, meta: Meta, listeners: Sequence[Listener] = ()) -> Meta | None:
    """Make a readable trace of the spools that an observer left behind: all that is whole, and what is not is said.
    The *listeners* are told of it as by `finish`. None: another has done it meanwhile.

    Raises:
        BadTrace: the observer that writes them is still at work, or they cannot be read.
    """
    with _explained(folder), held(folder):
        if not is_unfinished(folder):
            return None
        spool = folder.folder(SPOOL)
        remove_halves(folder)
        spooled = read_spools(spool)
        return _finish(folder, spooled, meta.machine, meta.request, read_kept(spool), listeners)


@contextlib.contextmanager
def _explained(folder: Folder) -> Iterator[None]:
    remedy = f"observer show {typed(folder.path)} tries again"
    try:
        yield
    except OSError as error:
        scarce = remedy_for(error)
        remedy = f"{scarce}; {remedy}" if scarce else remedy
        raise BadTrace(f"cannot finish {folder.path}", error.strerror or str(error), remedy) from error
    except MemoryError as error:
        why = "there is not enough memory for its events"
        raise BadTrace(f"cannot finish {folder.path}", why, f"raise ulimit -v; {remedy}") from error


def _finish(
    folder: Folder, spooled: Spooled, machine: Machine, request: Request, recording: Recording | None,
    listeners: Sequence[Listener] = (),
) -> Meta:  # fmt: skip
    findings, lives = Findings(images=images_of(spooled.notes)), Lives(spooled.notes)
    machine = with_libc(machine, findings.images)
    stacks = StackTable(findings.sites, spooled.callers) if request.stack else None
    parts = replayed(
        spooled, findings, lives, residency="residency" in request.instruments, all_syscalls=request.syscalls is None,
        stacks=stacks,
    )  # fmt: skip
    totals, lost = _balanced(spooled, recording)
    how = _how(recording, request) | (_how_kernel(recording) if "kernel" in request.instruments else {})
    parts = chain(parts, _lost_parts(findings, lost, recording))
    for listener in listeners:
        parts = listener.listen(parts, machine, request, how)
    with TableWriter(folder, findings.sites) as tables, _without_collector():
        for part in parts:
            tables.add(part)
        tables.finish()
    if stacks is not None:
        write_stacks(folder, stacks)
    if findings.snapshots:
        write_snapshots(folder, findings.snapshots)
    not_observed = recording.not_observed if recording else {}
    evidence = Evidence(
        spooled, findings, lives, totals if recording else None, instruments=frozenset(request.instruments),
        sees_kernel_faults=recording.sees_kernel_faults if recording else False,
        replayable=are_all_memory_calls(request.syscalls), lost=lost, not_observed=not_observed, thp=machine.thp,
    )  # fmt: skip
    totals |= {"live_bytes": findings.live_bytes, "live_chunks": findings.live_chunks}
    totals |= {"heap_findings": sum(beside.note.findings for beside in findings.heaps)}
    totals |= {"frames_beside": frames_beside(spooled, findings.blocks) if evidence.huge_pages else 0}
    ledger = without_notes(balance_all(evidence), lost.get("notes", 0))
    meta = Meta(
        schema=SCHEMA, machine=machine, request=request,
        outcome=msgspec.structs.replace(outcome_of(recording, spooled.notes, findings.last_ns), events=findings.events),
        ledger=ledger,
        how={**how, "fault.frame": _how_frames(findings, recording, request)},
        notes=(*_notes(recording), *notes_of(findings.snapshots), *without_names(findings.images)),
        totals=totals,
        images=tuple(findings.images), ends=tuple(findings.ends),
        snapshots=tuple(taken.snapshot for taken in findings.snapshots),
    )  # fmt: skip
    write_meta(folder, meta)
    remove_spools(folder)
    return meta


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the collector of cycles from walking through all that is held again and again: there are none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _notes(recording: Recording | None) -> tuple[str, ...]:
    if recording is None:
        return ()
    return (*recording.notes, *(f"somebody else changed {name} while it was recorded" for name in recording.changed))


def _balanced(spooled: Spooled, recording: Recording | None) -> tuple[dict[str, int], dict[str, int]]:
    """Return the totals, and what was lost: when it was to be stored, and since then by damage."""
    totals, lost = (dict(recording.totals), dict(recording.lost)) if recording else ({}, {})
    for name, count in spooled.damaged.items():
        kind = name.partition(".")[0]
        lost[kind] = lost.get(kind, 0) + count
    for kind, records in (("calls", spooled.calls), ("syscalls", spooled.syscalls)):
        missing = totals.get(kind, len(records)) - len(records)
        lost[kind] = max(lost.get(kind, 0), missing)
        totals[kind] = len(records)
    return totals, lost


def _lost_parts(findings: Findings, lost: dict[str, int], recording: Recording | None) -> Iterator[Part]:
    """Yield what could not be stored as events of its own, after everything else."""
    counts = losses(lost, recording.totals if recording else {})
    end = int(recording.seconds * 1e9) if recording else 0
    part = Part.empty(findings.sites)
    for instrument, count in counts.items():
        if count:
            n = findings.events + len(part.lost)
            part.lost.append({"n": n, "t_ns": end, "pid": 0, "tid": 0, "instrument": instrument, "count": count})
    findings.events += len(part.lost)
    if part.lost:
        yield part


_RECORDER = "breakpoints at the functions' beginnings and ends, or recorded inside the program"
"""What is known of a run whose observer was killed."""
_LEFT_OUT = "not observed, because -e left it out"
_CUT_OFF = "not observed, because the observer was killed before it could be said"
_BETWEEN = (
    "inferred: where recorded inside the program, between two readings of a clock; the order within a process is exact"
)


def _how(recording: Recording | None, request: Request) -> dict[str, str]:
    calls, faults, kernel = f"exact: {_RECORDER}", "exact: perf software events, period 1", "exact"
    if recording is None:
        kernel = _CUT_OFF
    else:
        calls = f"exact: {recording.recorder}"
        if not recording.sees_kernel_faults:
            kernel = "not observed, because kernel-mode faults need CAP_PERFMON or perf_event_paranoid <= 1"
        if "faults" in recording.not_observed:
            faults = "inferred: pages that came in between two stops; the rest is counted only"
    if "calls" not in request.instruments:
        calls = _LEFT_OUT
    if "faults" not in request.instruments:
        faults = kernel = _LEFT_OUT
    between = {"call.t_ns": _BETWEEN} if recording is None or recording.totals.get("calls_inline") else {}
    return {
        "calls": calls, "syscalls": "exact: seccomp stops", "faults": faults, "faults in kernel mode": kernel,
        "fault.access": "inferred from the faulting instruction", "fault.frame": "",
        "call.errno": "inferred: an allocation that returned NULL",
        "call.served_by": "not observed, because no model of this C library was asked", **between,
    }  # fmt: skip


def _how_kernel(recording: Recording | None) -> dict[str, str]:
    if recording is not None and "kernel" in recording.not_observed:
        return {"kernel": f"not observed, because {recording.not_observed['kernel']}"}
    return {"kernel": "exact: tracepoints, from the exception to the fault's sample, within a system call"}


def _how_frames(findings: Findings, recording: Recording | None, request: Request) -> str:
    if findings.has_visible_frames:
        return "exact, as of the process's end"
    if not {"faults", "residency"} <= set(request.instruments):
        return _LEFT_OUT
    if recording is None:
        return _CUT_OFF
    return "not observed, because frame numbers need CAP_SYS_ADMIN"
