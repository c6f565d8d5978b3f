"""Run a program under the instruments and leave spools: the first half of `observer run`."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from observer.errors import CannotLaunch
from observer.instruments.allocator import AllocatorCalls
from observer.instruments.faults import FaultInstrument, FaultTotals
from observer.instruments.observed import ObserversPages
from observer.instruments.snapshot import Frames
from observer.instruments.watch import Watch, own_syscalls
from observer.linux import procfs
from observer.linux.seccomp import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, build_filter
from observer.linux.syscalls import numbers_of
from observer.model.selection import Selection
from observer.trace.spool import Spools
from observer.tracee.affinity import Affinity
from observer.tracee.engine import Engine
from observer.tracee.interrupts import Interrupts
from observer.tracee.launch import find_program, launch

__all__ = ["Recording", "Wish", "record"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run and how to watch it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    selection: Selection
    stack_bytes: int = 512
    randomize: bool | None = None
    pin: bool = True
    max_events: int | None = None


@dataclass(slots=True)
class Recording:
    """What a finished run leaves beside its spools: counts for the ledger, and what could not be done."""

    status: int | None
    began: int
    seconds: float
    totals: dict[str, int]
    lost: dict[str, int]
    notes: list[str]
    sees_kernel_faults: bool
    has_faults: bool
    interrupted_by: list[int]


def _filter(selection: Selection, own: frozenset[int]) -> bytes:
    if selection.syscalls is None:
        return build_filter(None, None)
    native = numbers_of(selection.syscalls, AUDIT_ARCH_X86_64) | own
    return build_filter(native, numbers_of(selection.syscalls, AUDIT_ARCH_I386))


def _fault_instrument(wish: Wish, spool: Path, notes: list[str]) -> FaultInstrument | None:
    if "faults" not in wish.selection.instruments:
        return None
    return FaultInstrument(spool, wish.stack_bytes)


def record(wish: Wish, spool: Path) -> Recording:
    """Run the program to its end and of all it started; write spools into the new folder *spool*.

    Raises:
        CannotLaunch: the program cannot be started.
        CannotObserve: ptrace is refused.
    """
    path = find_program(wish.argv[0], wish.environment)
    interrupts = Interrupts()
    try:
        return _record(wish, path, spool, interrupts)
    finally:
        interrupts.release()


def _record(wish: Wish, path: str, spool: Path, interrupts: Interrupts) -> Recording:
    notes: list[str] = []
    selection = wish.selection
    spools = Spools(spool)
    affinity = Affinity(share=wish.pin)
    allocator = AllocatorCalls(spools, wish.stack_bytes) if "calls" in selection.instruments else None
    faults = _fault_instrument(wish, spool, notes)
    frames = Frames(spool) if "residency" in selection.instruments else None
    pages = ObserversPages()
    own = own_syscalls(calls=allocator is not None, faults=faults is not None)
    if affinity.processor is not None:
        own |= Affinity.SYSCALLS
    before = procfs.child_counters()
    launched = launch(
        path, wish.argv, wish.environment, program_filter=_filter(selection, own), processor=affinity.processor,
        randomize=wish.randomize, signal_mask=interrupts.mask,
    )  # fmt: skip
    watch = Watch(
        spools, wanted=selection.syscalls, allocator=allocator, faults=faults, frames=frames, pages=pages,
        stack_bytes=wish.stack_bytes,
    )  # fmt: skip
    engine = Engine(watch, affinity, filtered=launched.filtered)
    interrupts.watch(launched.pid, lambda: tuple(engine.tasks), engine.delivered)
    began = time.monotonic_ns()
    affinity.enter()
    try:
        status = engine.run(launched.pid)
    except BaseException:
        _kill_all(engine)
        raise
    finally:
        affinity.leave()
        ended = time.monotonic_ns()
        totals = faults.stop() if faults is not None else FaultTotals(0, 0, None)
        if frames is not None:
            frames.close()
        spools.close()
    _check_exec(launched.report, path)
    planting, brought_in = pages.result()
    pages.close()
    after = procfs.child_counters()
    counts = {
        "faults_counted": totals.counted, "faults_lost": totals.lost, "calls": spools.calls.count,
        "syscalls": spools.syscalls.count, "syscalls_entered": watch.entered, "syscalls_left": watch.left,
        "syscalls_cut": watch.cut, "births": watch.births, "rusage_faults": after.total - before.total,
        "pages_by_planting": planting, "pages_by_observer": brought_in,
    }  # fmt: skip
    if totals.with_failed is not None:
        counts["faults_with_failed"] = totals.with_failed
    if allocator is not None:
        counts |= {
            "calls_begun": allocator.begun, "calls_returned": allocator.returned, "calls_left": allocator.left,
            "calls_unreturned": allocator.unreturned,
        }  # fmt: skip
    if not pages.exact:
        counts["pages_unknown"] = 1
    return Recording(
        status=status, began=watch.first_exec or began, seconds=(ended - began) / 1e9, totals=counts,
        lost=spools.lost(), notes=notes, sees_kernel_faults=faults.sees_kernel if faults else False,
        has_faults=faults is not None, interrupted_by=list(interrupts.taken),
    )  # fmt: skip


def _kill_all(engine: Engine) -> None:
    for tid in tuple(engine.tasks):
        with contextlib.suppress(ProcessLookupError):
            os.kill(tid, 9)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0x40000000)


def _check_exec(report: int, path: str) -> None:
    answer = os.read(report, 16)
    os.close(report)
    if answer:
        number = int(answer)
        code = 127 if number == errno.ENOENT else 126
        raise CannotLaunch(f"cannot run {path!r}", os.strerror(number), exit_status=code)
