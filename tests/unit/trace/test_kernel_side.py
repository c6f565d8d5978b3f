"""What the kernel did, joined to page faults and system calls by thread and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from observer.errors import BadTrace
from observer.files import Folder
from observer.model.events import Event, Fault, KernelWork, Syscall
from observer.model.machine import Outcome
from observer.recording import merge
from observer.recording.records import FRAMES, HANDLED
from observer.trace import kernel_records, kernel_side, spooled, tables
from observer.trace.evidence import Lives
from observer.trace.findings import Findings, KernelTotals
from observer.trace.reader import Trace
from observer.trace.replay import replayed
from observer.trace.tables import TableWriter
from observer.trace.timeline import Timeline
from observer.trace.unfinished import write_meta
from observer.trace.values import events_of
from tests.builders import HEAP, PAGE, PID, meta
from tests.unit.trace.collected import Collected, collect
from tests.unit.trace.spooling import KERNEL, Recorder
from tests.unit.trace.tracing import (
    HARD_INTERRUPT,
    KERNEL_FAULT,
    TABLE,
    USER_COPY,
    allocated,
    by_bcc,
    entered,
    fault_began,
    left,
    tracepoints,
)
from tests.unit.trace.written import trace_of

OTHER = PID + 1
NOTHING: tuple[int, None, None, None] = (0, None, None, None)


def joined(recorder: Recorder, *samples: bytes) -> Collected:
    """Replay a run in which the kernel said *samples*."""
    say(recorder, *samples)
    return collect(recorder.read())


def say(recorder: Recorder, *samples: bytes) -> None:
    for note in tracepoints():
        recorder.spools.notes.append(note)
    recorder.kernel += samples


def works(found: Collected, kind: Callable[..., Event]) -> list[KernelWork | None]:
    return [event.kernel for part in found.parts for event in events_of(part) if type(event) is kind]  # type: ignore[union-attr]


def test_a_fault_has_its_time_and_its_frame(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 1300)
    found = joined(recorder, fault_began(200, HEAP), allocated(700, 0x246F36))
    assert works(found, Fault) == [KernelWork(1100, 1, 0x246F36, 0, True, 0)]
    assert found.findings.kernel == KernelTotals(faults_joined=1, frames=1, frames_in_faults=1)


def test_page_tables_are_the_kernels_own(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 50)
    samples = [
        allocated(21, 0x101, asked=TABLE),
        allocated(23, 0x102, asked=TABLE),
        allocated(25, 0x103, asked=USER_COPY),
    ]
    found = joined(recorder, fault_began(20, HEAP), *samples)
    assert works(found, Fault) == [KernelWork(30, 1, 0x103, 0, False, 2)]


def test_a_fault_that_needs_no_frame_has_none(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 50)
    assert works(joined(recorder, fault_began(20, HEAP)), Fault) == [KernelWork(30, *NOTHING, 0)]


def test_frames_of_a_higher_order_are_cleared_by_who_asked(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 50)
    found = joined(recorder, fault_began(20, HEAP), allocated(30, 0x200, order=9, asked=USER_COPY))
    assert works(found, Fault) == [KernelWork(30, 512, 0x200, 9, None, 0)]
    assert found.findings.kernel.frames_in_faults == 512


def test_threads_are_kept_apart(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("born", 2, how="clone", child=OTHER, child_pid=PID, shares=True)
    recorder.fault(HEAP, 40)
    recorder.fault(HEAP + PAGE, 50, tid=OTHER)
    found = joined(
        recorder, fault_began(20, HEAP), fault_began(21, HEAP + PAGE, tid=OTHER), allocated(30, 0x11),
        allocated(31, 0x22, tid=OTHER),
    )  # fmt: skip
    assert works(found, Fault) == [KernelWork(20, 1, 0x11, 0, True, 0), KernelWork(29, 1, 0x22, 0, True, 0)]


def test_what_interrupts_take_is_nobodys(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 40)
    found = joined(recorder, fault_began(20, HEAP), allocated(30, 0x11, order=2, context=HARD_INTERRUPT))
    assert works(found, Fault) == [KernelWork(20, *NOTHING, 0)]
    assert found.findings.kernel == KernelTotals(faults_joined=1, frames=4, frames_in_interrupts=4)


def test_a_fault_that_failed_gives_nothing_to_the_next(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 40)
    found = joined(recorder, fault_began(10, 0), allocated(12, 0x11), fault_began(30, HEAP))
    assert works(found, Fault) == [KernelWork(10, *NOTHING, 0)]
    assert found.findings.kernel.frames_elsewhere == 1


def test_a_handling_of_another_page_is_not_this_ones(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 40)
    recorder.fault(HEAP + PAGE, 60)
    found = joined(recorder, fault_began(30, HEAP + 2 * PAGE), fault_began(50, HEAP + PAGE))
    assert works(found, Fault) == [None, KernelWork(10, *NOTHING, 0)]
    assert (found.findings.kernel.faults_joined, found.findings.kernel.faults_apart) == (1, 1)


def test_a_system_call_has_the_kernels_time_without_our_stops(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.syscall("brk", HEAP, began=100, ended=900, result=HEAP)
    found = joined(recorder, entered(400, 12), allocated(410, 0x7, asked=TABLE), left(450, 12))
    assert works(found, Syscall) == [KernelWork(50, *NOTHING, 1)]
    assert found.findings.kernel == KernelTotals(calls_joined=1, frames=1, frames_in_calls=1)


def test_a_fault_in_a_system_call_has_its_own_frames(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.syscall("mmap", 0, PAGE, began=100, ended=900, result=HEAP)
    recorder.fault(HEAP, 440, misc=KERNEL)
    found = joined(
        recorder, entered(400, 9), allocated(410, 0x1), fault_began(420, HEAP, number=KERNEL_FAULT),
        allocated(430, 0x2), allocated(445, 0x3), left(450, 9),
    )  # fmt: skip
    assert works(found, Syscall) == [KernelWork(50, 2, 0x1, 0, True, 0)]
    assert works(found, Fault) == [KernelWork(20, 1, 0x2, 0, True, 0)]


def test_a_system_call_that_was_not_recorded_is_not_the_next_ones(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.syscall("brk", HEAP, began=500, ended=900, result=HEAP)
    found = joined(recorder, entered(100, 9), allocated(110, 0x1), left(120, 9), allocated(130, 0x2, order=1))
    assert works(found, Syscall) == [None]
    assert (found.findings.kernel, found.findings.kernel.frames_elsewhere) == (KernelTotals(frames=3), 3)


def test_a_fault_that_failed_takes_nothing_from_the_system_call_after_it(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.syscall("mmap", 0, PAGE, began=100, ended=900, result=HEAP)
    found = joined(recorder, fault_began(50, 0), entered(400, 9), allocated(410, 0x1), left(450, 9))
    assert works(found, Syscall) == [KernelWork(50, 1, 0x1, 0, True, 0)]


def test_a_system_call_that_never_returned_has_none(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.syscall("brk", HEAP, began=500, ended=0, result=None)
    recorder.syscall("brk", HEAP, began=600, ended=700, result=HEAP, tid=OTHER)
    found = joined(recorder, entered(510, 12), entered(610, 12, tid=OTHER), left(620, 12, tid=OTHER))
    assert works(found, Syscall) == [None, KernelWork(10, *NOTHING, 0)]


def test_no_allocation_is_no_frame(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 40)
    found = joined(recorder, fault_began(20, HEAP), allocated(30, (1 << 64) - 1))
    assert works(found, Fault) == [KernelWork(20, *NOTHING, 0)]
    assert found.findings.kernel.frames_in_faults == 0


def test_bcc_tells_how_long_the_fault_itself_was_handled(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 1300)
    recorder.fault(HEAP + PAGE, 2300)
    recorder.witness += [
        by_bcc(300, HANDLED, HEAP, order=170), by_bcc(600, HANDLED, HEAP, order=530),  # it had to be tried again
        by_bcc(2100, HANDLED, HEAP, order=11), by_bcc(2110, HANDLED, HEAP + PAGE, order=13, tid=OTHER),
    ]  # fmt: skip
    found = joined(recorder, fault_began(200, HEAP), allocated(700, 7), fault_began(2000, HEAP + PAGE))
    assert works(found, Fault) == [KernelWork(1100, 1, 7, 0, True, 0, 700), KernelWork(300, *NOTHING, 0)]


def test_frames_that_bcc_tells_of_are_counted_beside_perfs(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 50)
    recorder.witness += [by_bcc(31, FRAMES, 7), by_bcc(71, FRAMES, 8, order=3), by_bcc(72, FRAMES, (1 << 64) - 1)]
    recorder.exit(70)
    found = joined(recorder, fault_began(20, HEAP), allocated(30, 7)).findings.kernel
    assert (found.frames, found.frames_witnessed, found.frames_witnessed_late) == (1, 9, 8)


def test_threads_that_have_ended_are_forgotten_and_those_at_work_are_not(
    recorder: Recorder, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_side, "_MOST_IDLE", 3)
    found = joined(recorder, *long_call(recorder))
    long, *short = works(found, Syscall)
    assert long == KernelWork(80_000, 9, 0x9999, 0, True, 0)
    assert len(short) == 100
    join = kernel_side.KernelJoin(KernelTotals())
    join._threads = {tid: kernel_side._Thread() for tid in range(5)}
    join._threads[4].call = kernel_side.Work(7, 12)
    monkeypatch.setattr(join, "_ended", lambda *_given: [])
    join.join(next(Timeline(recorder.read()).windows()), found.parts[0])
    assert 4 in join._threads
    assert not {0, 1, 2, 3} & join._threads.keys()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have windows of a few records, and tables written a few rows at a time."""
    monkeypatch.setattr(spooled, "_AT_ONCE", 500)
    monkeypatch.setattr(kernel_records, "_AT_ONCE", 200)
    monkeypatch.setattr(merge, "_TARGET", 4)
    monkeypatch.setattr(tables, "_AT_ONCE", 20)


def long_call(recorder: Recorder) -> list[bytes]:
    """A hundred faults and system calls while a call of another thread is under way."""
    recorder.start(1)
    recorder.syscall("mmap", 0, 7 * PAGE, began=10, ended=90_000, result=HEAP, tid=OTHER)
    samples = [entered(20, 9, tid=OTHER), allocated(21, 0x9999, tid=OTHER)]
    for i in range(1, 101):
        at = 100 * i
        recorder.fault(HEAP + PAGE * i, at + 70)
        recorder.syscall("brk", HEAP, began=at + 75, ended=at + 95, result=HEAP)
        samples += [fault_began(at, HEAP + PAGE * i), allocated(at + 50, i), entered(at + 80, 12), left(at + 90, 12)]
    return [*samples, allocated(80_000, 0x7777, order=3, tid=OTHER), left(80_020, 9, tid=OTHER)]


def test_windows_change_nothing(recorder: Recorder, small: None) -> None:
    found = joined(recorder, *long_call(recorder))
    assert len(found.parts) > 10
    assert works(found, Fault) == [KernelWork(70, 1, i, 0, True, 0) for i in range(1, 101)]
    long, *short = works(found, Syscall)
    assert long == KernelWork(80_000, 9, 0x9999, 0, True, 0)
    assert short == [KernelWork(10, *NOTHING, 0)] * 100
    assert found.findings.kernel == KernelTotals(
        faults_joined=100, calls_joined=101, frames=109, frames_in_faults=100, frames_in_calls=9
    )
    assert sum(part.open for part in found.parts) == 0


def test_tables_hold_what_was_known_late(recorder: Recorder, small: None, tmp_path: Path) -> None:
    say(recorder, *long_call(recorder))
    taken = recorder.read()
    findings, folder = Findings(), Folder.make(tmp_path / "trace")
    with TableWriter(folder, findings.sites) as writer:
        for part in replayed(taken, findings, Lives(taken.notes), residency=False, most_held=2):
            writer.add(part)
        writer.finish()
    write_meta(folder, meta(outcome=Outcome(0, None, "exit", findings.events, 0.062)))
    events = list(Trace.open(tmp_path / "trace").events())
    assert [event.kernel for event in events if isinstance(event, Syscall)] == [
        KernelWork(80_000, 9, 0x9999, 0, True, 0), *[KernelWork(10, *NOTHING, 0)] * 100,
    ]  # fmt: skip
    assert [event.kernel for event in events if isinstance(event, Fault)] == [
        KernelWork(70, 1, i, 0, True, 0) for i in range(1, 101)
    ]


@pytest.mark.parametrize(
    "damage",
    [
        {"pages": -7}, {"others": -1}, {"frame": -3}, {"order": -2},
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_damaged_table(damage: dict[str, int], recorder: Recorder, tmp_path: Path) -> None:
    recorder.start(1)
    recorder.fault(HEAP, 50)
    found = joined(recorder, fault_began(20, HEAP), allocated(30, 7))
    work = found.parts[0].fault_work[0]
    found.parts[0].fault_work[0] = msgspec.structs.replace(work, **damage)
    (tmp_path / "trace").mkdir()
    with pytest.raises(BadTrace, match="is damaged"):
        list(trace_of(found.parts, tmp_path / "trace")[0].events())
