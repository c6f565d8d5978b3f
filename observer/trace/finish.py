"""From spools to a finished trace: tables, ledger, meta.json. The second half of `observer run`, and of recovery."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import msgspec

from observer.errors import BadTrace
from observer.instruments.session import Recording
from observer.model.machine import SCHEMA, Machine, Meta, Outcome, Request
from observer.model.selection import MEMORY_CALLS
from observer.model.signals import name_of_signal
from observer.trace.assembly import Assembly
from observer.trace.balance import Evidence, balance_all
from observer.trace.machine import with_libc
from observer.trace.replay import assemble
from observer.trace.spooled import Spooled, read_spools
from observer.trace.tables import write_tables

__all__ = ["SPOOL", "begin", "finish", "is_unfinished", "recover", "write_meta"]

SPOOL = "spool"


def begin(directory: Path, machine: Machine, request: Request) -> None:
    """Write the first meta.json, which says that the run was cut off: true until `finish` says otherwise."""
    outcome = Outcome(status=None, signal=None, ended="cut off")
    write_meta(directory, Meta(schema=SCHEMA, machine=machine, request=request, outcome=outcome))


def is_unfinished(directory: Path) -> bool:
    """Whether *directory* holds spools that were never made into tables."""
    return (directory / SPOOL / "notes.jsonl").is_file()


def finish(directory: Path, machine: Machine, request: Request, recording: Recording) -> Meta:
    """Make the tables and the ledger of a run that came to its end; return its meta."""
    outcome = Outcome(
        status=_exit_status(recording.status), signal=_signal_name(recording.status), ended=_ended(recording),
        seconds=recording.seconds,
    )  # fmt: skip
    return _finish(directory, machine, request, outcome, recording)


def recover(directory: Path, meta: Meta) -> Meta:
    """Make a readable trace of the spools that a killed observer left behind.

    Raises:
        BadTrace: the observer that writes them is still at work, or they cannot be read.
    """
    with open(directory / SPOOL / "notes.jsonl", "rb") as notes:
        try:
            fcntl.flock(notes, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadTrace(f"{directory} is being recorded right now", "", "wait for the run to end") from error
    return _finish(directory, meta.machine, meta.request, meta.outcome, None)


def _finish(directory: Path, machine: Machine, request: Request, outcome: Outcome, recording: Recording | None) -> Meta:
    spooled = read_spools(directory / SPOOL, request.stack)
    assembly = assemble(spooled, residency="residency" in request.instruments, all_syscalls=request.syscalls is None)
    lost = dict(recording.lost) if recording else {}
    _add_lost(assembly, spooled, lost, recording)
    events = write_tables(directory, assembly)
    not_observed = recording.not_observed if recording else {}
    evidence = Evidence(
        spooled, assembly, recording.totals if recording else None, instruments=frozenset(request.instruments),
        sees_kernel_faults=recording.sees_kernel_faults if recording else False,
        replayable=_replayable(request.syscalls), lost=lost, not_observed=not_observed, thp=machine.thp,
    )  # fmt: skip
    totals = dict(recording.totals) if recording else {}
    totals |= {"live_bytes": assembly.live_bytes, "live_chunks": assembly.live_chunks}
    meta = Meta(
        schema=SCHEMA, machine=with_libc(machine, assembly.images), request=request,
        outcome=msgspec.structs.replace(outcome, events=events), ledger=balance_all(evidence),
        how=_how(assembly, recording), notes=tuple(recording.notes) if recording else (),
        totals=totals,
        images=tuple(assembly.images), ends=tuple(assembly.ends),
    )  # fmt: skip
    write_meta(directory, meta)
    shutil.rmtree(directory / SPOOL)
    return meta


def _replayable(syscalls: tuple[str, ...] | None) -> bool:
    return syscalls is None or frozenset(syscalls) >= MEMORY_CALLS


def _add_lost(assembly: Assembly, spooled: Spooled, lost: dict[str, int], recording: Recording | None) -> None:
    """Append what could not be stored as events of its own, after everything else."""
    counts = {**lost, "fault samples": recording.totals["faults_lost"] if recording else 0}
    n = sum(len(part) for part in (spooled.calls, spooled.syscalls, spooled.faults))
    n += len(assembly.signals) + len(assembly.processes) + len(assembly.lost)
    end = int(recording.seconds * 1e9) if recording else 0
    for instrument, count in counts.items():
        if count:
            row = {"n": n, "t_ns": end, "pid": 0, "tid": 0, "instrument": instrument, "count": count}
            assembly.lost.append(row)
            n += 1


def _how(assembly: Assembly, recording: Recording | None) -> dict[str, str]:
    frames = "exact, as of the process's end"
    if not assembly.has_visible_frames:
        frames = "not observed, because frame numbers need CAP_SYS_ADMIN"
    faults, kernel = "exact: perf software events, period 1", "exact"
    if recording is None or not recording.sees_kernel_faults:
        kernel = "not observed, because kernel-mode faults need CAP_PERFMON or perf_event_paranoid <= 1"
    if recording is not None and "faults" in recording.not_observed:
        faults = "inferred: pages that came in between two stops; the rest is counted only"
    return {
        "calls": "exact: breakpoints at the functions' first instructions", "syscalls": "exact: seccomp stops",
        "faults": faults, "faults in kernel mode": kernel,
        "fault.access": "inferred from the faulting instruction", "fault.frame": frames,
        "call.errno": "inferred: an allocation that returned NULL",
        "call.served_by": "not observed, because no model of this C library was asked",
    }  # fmt: skip


def write_meta(directory: Path, meta: Meta) -> None:
    """Write meta.json, whole or not at all; raises BadTrace when that is not possible."""
    partial = directory / "meta.json.partial"
    text = msgspec.json.format(msgspec.json.encode(meta), indent=1)
    try:
        with open(partial, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, directory / "meta.json")
    except OSError as error:
        raise BadTrace(f"cannot write {directory / 'meta.json'}", error.strerror or str(error)) from error


def _exit_status(status: int | None) -> int | None:
    return os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None


def _signal_name(status: int | None) -> str | None:
    if status is None or not os.WIFSIGNALED(status):
        return None
    return name_of_signal(os.WTERMSIG(status))


def _ended(recording: Recording) -> str:
    return "killed" if recording.status is not None and os.WIFSIGNALED(recording.status) else "exit"
