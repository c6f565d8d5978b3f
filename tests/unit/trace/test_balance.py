"""The lines of the ledger, with evidence made up: whole, lost, excluded, and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from observer.model.addresses import Mapping
from observer.model.ledger import LedgerLine
from observer.recording.records import FRAMES as FRAME_TOLD
from observer.trace.balance import balance_all
from observer.trace.evidence import Evidence
from tests.builders import HEAP, LIBC, MAP, PAGE, PID
from tests.unit.trace.collected import collect
from tests.unit.trace.spooling import KERNEL, Recorder
from tests.unit.trace.tracing import allocated, by_bcc, fault_began, tracepoints

CHILD, OTHER = PID + 6, PID + 7
WHOLE: dict[str, int] = {
    "faults_counted": 0, "faults_lost": 0, "rusage_faults": 0, "syscalls_entered": 0, "syscalls_left": 0,
    "syscalls_cut": 0, "calls_begun": 0, "calls_returned": 0, "calls_left": 0, "calls_unreturned": 0,
    "pages_by_planting": 0, "pages_by_observer": 0,
}  # fmt: skip
SAMPLES = "fault samples = kernel's event count"
COUNTERS = "page faults = minflt + majflt of all tasks"
RUSAGE = "tasks' counters = getrusage of the tree"
REFUSED = "faults the kernel refused = SIGSEGV, SIGBUS"
STANDING = "breakpoints standing at the end = planted"
CALLS = "allocator calls returned = begun"
SYSCALLS = "system calls left = entered"
BREAK = "break = last brk = end of [heap]"
MAPS = "mappings replayed = /proc/PID/maps"
HEAP_PAGES = "heap pages faulted in = resident at the end"
TASKS = "tasks ended = tasks started"
OWN_PAGES = "pages the observer brought in = 0"
STORED = "records stored"
WHAT_THERE_IS = (Mapping(0x400000, 0x401000, "r-x", "/home/ada/story", inode=7),)


def ledger(recorder: Recorder, *, cut_off: bool = False, **changes: Any) -> dict[str, LedgerLine]:
    """The lines by their identity; *changes* are the evidence's arguments, or totals."""
    spooled = recorder.read()
    given: dict[str, Any] = {
        "instruments": frozenset({"calls", "faults"}), "sees_kernel_faults": True, "replayable": True, "lost": {},
        "not_observed": {}, "thp": "madvise",
    }  # fmt: skip
    stored = {"calls": len(spooled.calls), "syscalls": len(spooled.syscalls), "faults_counted": len(spooled.faults)}
    totals = {**WHOLE, **stored, **{name: value for name, value in changes.items() if name not in given}}
    given |= {name: value for name, value in changes.items() if name in given}
    found = collect(spooled)
    lines = balance_all(Evidence(spooled, found.findings, found.lives, None if cut_off else totals, **given))
    return {line.identity: line for line in lines}


def told(line: LedgerLine) -> tuple[int | None, int | None, int, str]:
    return line.seen, line.expected, line.unexplained, line.verdict


def reasons(line: LedgerLine) -> list[tuple[int, str]]:
    return [(part.count, part.why) for part in line.excluded]


def end(recorder: Recorder, time: int, *mappings: Mapping, **fields: Any) -> None:
    """The snapshot at a process's last stop."""
    known = {"path": "/home/ada/story", "resident": {}, "rss": {}, "break_start": HEAP, "frames": []}
    recorder.note("end", time, mappings=(*WHAT_THERE_IS, *mappings), **{**known, **fields})


KERNEL_EVENTS = "kernel's own events recorded = its count"
HANDLED = "page faults seen handled = fault samples"
FRAMES = "page frames the kernel allocated = for what is recorded"
WITH_KERNEL = frozenset({"calls", "faults", "kernel"})


def handled(recorder: Recorder, *samples: bytes, faults: int = 1) -> None:
    """A run of some faults a page apart, in which the kernel said *samples*."""
    recorder.start(1, WHAT_THERE_IS)
    for i in range(faults):
        recorder.fault(HEAP + PAGE * i, 50 + 100 * i)
    for note in tracepoints():
        recorder.spools.notes.append(note)
    recorder.kernel += samples


def test_what_the_kernel_did_is_set_beside_its_count_and_the_samples(recorder: Recorder) -> None:
    handled(recorder, fault_began(20, HEAP), allocated(30, 7), fault_began(120, HEAP + PAGE), faults=2)
    found = ledger(recorder, instruments=WITH_KERNEL, kernel_events_counted=3)
    assert [told(found[name]) for name in (KERNEL_EVENTS, HANDLED, FRAMES)] == [
        (3, 3, 0, "COMPLETE"), (2, 2, 0, "COMPLETE"), (1, 1, 0, "COMPLETE"),
    ]  # fmt: skip


def test_events_of_the_kernel_without_room_are_lost_and_said(recorder: Recorder) -> None:
    handled(recorder, fault_began(20, HEAP), allocated(30, 7), faults=2)
    found = ledger(recorder, instruments=WITH_KERNEL, kernel_events_counted=5, kernel_events_lost=3)
    assert [(told(found[name]), found[name].lost) for name in (KERNEL_EVENTS, HANDLED)] == [
        ((2, 5, 0, "INCOMPLETE"), 3), ((1, 2, 0, "INCOMPLETE"), 1),
    ]  # fmt: skip


def test_a_fault_that_the_kernel_was_not_seen_to_handle_is_unexplained(recorder: Recorder) -> None:
    handled(recorder, allocated(30, 7))
    found = ledger(recorder, instruments=WITH_KERNEL, kernel_events_counted=1)
    assert told(found[HANDLED]) == (0, 1, 1, "INCONSISTENT")


def test_frames_for_something_else_are_excluded_with_their_reason(recorder: Recorder) -> None:
    samples = [fault_began(20, HEAP), allocated(30, 7), allocated(60, 8, order=2), allocated(61, 9, context=8)]
    handled(recorder, *samples)
    line = ledger(recorder, instruments=WITH_KERNEL, kernel_events_counted=4)[FRAMES]
    assert told(line) == (1, 6, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(line) == [
        (4, "for what is not recorded: other system calls, tasks that begin and end, the observer's own memory"),
        (1, "in interrupts that came meanwhile"),
    ]


WITNESSED = "page frames that bcc tells of = perf does"
TOLD_BY_BCC = "bcc's records = its count"
WITH_BCC = WITH_KERNEL | {"bcc"}


def test_frames_are_set_beside_those_of_bcc(recorder: Recorder) -> None:
    recorder.witness += [by_bcc(31, FRAME_TOLD, 7), by_bcc(96, FRAME_TOLD, 8, order=1)]
    handled(recorder, fault_began(20, HEAP), allocated(30, 7))
    recorder.exit(95)
    found = ledger(recorder, instruments=WITH_BCC, kernel_events_counted=2, bcc_events_counted=2)
    assert told(found[TOLD_BY_BCC]) == (2, 2, 0, "COMPLETE")
    assert told(found[WITNESSED]) == (3, 1, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(found[WITNESSED]) == [(-2, "at a task's end, when perf's events are over (Linux 6.16)")]


@pytest.mark.parametrize(
    ("witness", "lost", "expected"),
    [
        ([], 0, (0, 1, 1, "INCONSISTENT")), ([7, 8], 0, (2, 1, -1, "INCONSISTENT")),
        ([], 3, (0, 1, 0, "INCOMPLETE")), ([7], 0, (1, 1, 0, "COMPLETE")),
    ],
)  # fmt: skip
def test_frames_that_only_one_of_two_tells_of(
    witness: list[int], lost: int, expected: tuple[int, int, int, str], recorder: Recorder
) -> None:
    recorder.witness += [by_bcc(31, FRAME_TOLD, frame) for frame in witness]
    handled(recorder, fault_began(20, HEAP), allocated(30, 7))
    recorder.exit(95)
    counts = {"bcc_events_counted": len(witness) + lost, "bcc_events_lost": lost}
    found = ledger(recorder, instruments=WITH_BCC, kernel_events_counted=2, **counts)
    assert told(found[WITNESSED]) == expected


def test_without_bcc_its_line_says_why(recorder: Recorder) -> None:
    handled(recorder, fault_began(20, HEAP), allocated(30, 7))
    found = ledger(recorder, instruments=WITH_BCC, kernel_events_counted=2, not_observed={"bcc": "no module bcc"})
    assert (told(found[WITNESSED]), found[WITNESSED].note) == ((None, None, 0, "UNVERIFIABLE"), "no module bcc")
    assert TOLD_BY_BCC not in found


def test_without_the_kernels_side_its_line_says_why(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    found = ledger(recorder, instruments=WITH_KERNEL, not_observed={"kernel": "tracefs is not mounted"})
    assert (told(found[KERNEL_EVENTS]), found[KERNEL_EVENTS].note) == (
        (None, None, 0, "UNVERIFIABLE"),
        "tracefs is not mounted",
    )
    assert not {HANDLED, FRAMES} & found.keys()


@pytest.mark.parametrize(
    ("refused", "why"),
    [({}, "tracefs is not mounted"), ({"bcc": "BPF programs need root"}, "BPF programs need root")],
    ids=["there was nothing to set beside it", "it was refused itself"],
)
def test_without_the_kernels_side_bccs_line_says_why(refused: dict[str, str], why: str, recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    found = ledger(recorder, instruments=WITH_BCC, not_observed={"kernel": "tracefs is not mounted", **refused})
    assert (told(found[WITNESSED]), found[WITNESSED].note) == ((None, None, 0, "UNVERIFIABLE"), why)
    assert TOLD_BY_BCC not in found


def test_who_did_not_ask_for_the_kernels_side_reads_nothing_of_it(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    assert not {KERNEL_EVENTS, HANDLED, FRAMES} & ledger(recorder).keys()


def test_a_run_in_which_nothing_happened_is_complete(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    end(recorder, 2)
    recorder.exit(3)
    assert {line.verdict for line in ledger(recorder).values()} == {"COMPLETE"}


def test_the_ledger_has_a_line_for_everything(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    found = ledger(recorder, instruments=frozenset({"calls", "faults", "residency"}), faults_with_failed=0)
    assert list(found) == [
        SAMPLES, COUNTERS, RUSAGE, REFUSED, CALLS, STANDING, SYSCALLS, BREAK, MAPS, HEAP_PAGES, TASKS, OWN_PAGES, STORED,
    ]  # fmt: skip


def test_instruments_that_did_not_run_have_no_lines(recorder: Recorder) -> None:
    assert {SAMPLES, COUNTERS, CALLS}.isdisjoint(ledger(recorder, instruments=frozenset()))


def test_a_run_that_was_cut_off_is_incomplete_and_its_rings_are_lost(recorder: Recorder) -> None:
    recorder.fault(HEAP, 8)
    closed, faults = ledger(recorder, cut_off=True).values()
    assert {closed.verdict, faults.verdict} == {"INCOMPLETE"}
    assert "the observer was killed" in closed.note
    assert (faults.seen, faults.expected) == (1, None)
    assert "rings" in faults.note


@pytest.mark.parametrize(
    ("standing", "moved", "told_as"),
    [
        (29, 0, (29, 29, 0, "COMPLETE")),
        (28, 1, (28, 29, 0, "COMPLETE WITH EXCLUSIONS")),
        (27, 1, (27, 29, 0, "INCOMPLETE")),
    ],
)
def test_breakpoints_that_are_gone_are_calls_that_may_be_missing(
    recorder: Recorder, standing: int, moved: int, told_as: tuple[int, int, int, str]
) -> None:
    found = ledger(recorder, breakpoints=29, breakpoints_standing=standing, breakpoints_moved=moved)
    assert told(found[STANDING]) == told_as


def test_a_file_whose_calls_nobody_saw_has_a_line_of_its_own(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    for pid in (23, 29):
        recorder.note("unobserved", 17, pid=pid, path="/bin/still", why="nothing of the family has a symbol in it")
    line = ledger(recorder)["allocator calls of /bin/still"]
    assert (line.verdict, line.note) == ("UNVERIFIABLE", "nothing of the family has a symbol in it")


def test_a_stop_that_could_not_be_followed_is_a_loss(recorder: Recorder) -> None:
    assert "stops followed = stops" not in ledger(recorder, stops=101, stumbles=0)
    line = ledger(recorder, stops=101, stumbles=3)["stops followed = stops"]
    assert (line.verdict, line.lost, line.unexplained) == ("INCOMPLETE", 3, 0)


# ---- page faults --------------------------------------------------------------------------------------------


def test_every_sample_is_counted_against_the_kernels_events(recorder: Recorder) -> None:
    for i in range(17):
        recorder.fault(MAP, 10 + i)
    assert told(ledger(recorder, faults_counted=17)[SAMPLES]) == (17, 17, 0, "COMPLETE")


@pytest.mark.parametrize(
    ("counted", "lost", "verdict"),
    [(24, 7, "INCOMPLETE"), (24, 6, "INCONSISTENT"), (23, 7, "INCONSISTENT"), (18, 0, "INCONSISTENT")],
)
def test_samples_that_found_no_room_are_a_loss(recorder: Recorder, counted: int, lost: int, verdict: str) -> None:
    for i in range(17):
        recorder.fault(MAP, 10 + i)
    line = ledger(recorder, faults_counted=counted, faults_lost=lost)[SAMPLES]
    assert (line.lost, line.verdict) == (lost, verdict)


def run_of(recorder: Recorder, faults: int, minor: int, major: int = 0) -> None:
    """A run whose exec found 3 faults counted already, with *faults* samples and the counters of its end."""
    recorder.start(1, WHAT_THERE_IS, minor=2, major=1)
    for i in range(faults):
        recorder.fault(MAP, 10 + i)
    recorder.exit(100, minor=minor, major=major)


def test_faults_before_the_exec_are_none_of_the_programs(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=18, major=2)
    assert told(ledger(recorder)[COUNTERS]) == (17, 17, 0, "COMPLETE")


def test_a_fault_that_is_counted_without_an_event_came_from_a_system_call(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=21)
    line = ledger(recorder)[COUNTERS]
    assert told(line) == (17, 18, 0, "COMPLETE WITH EXCLUSIONS")
    assert [(count, why[:29]) for count, why in reasons(line)] == [(1, "pages that system calls reach")]


def test_a_program_without_any_sample_lacks_its_events(recorder: Recorder) -> None:
    run_of(recorder, 0, minor=21)
    assert told(ledger(recorder)[COUNTERS]) == (0, 18, 18, "INCONSISTENT")


def test_a_program_without_samples_of_user_mode_lacks_its_events(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    recorder.fault(MAP, 10, misc=KERNEL)
    recorder.exit(100, minor=2)
    assert told(ledger(recorder)[COUNTERS]) == (1, 2, 1, "INCONSISTENT")


@pytest.mark.parametrize(("sampled", "verdict"), [(True, "COMPLETE WITH EXCLUSIONS"), (False, "INCONSISTENT")])
def test_every_program_of_a_process_must_give_samples(recorder: Recorder, sampled: bool, verdict: str) -> None:
    run_of(recorder, 17, minor=21 + sampled)
    recorder.start(60, WHAT_THERE_IS, first=False)
    if sampled:
        recorder.fault(MAP, 70)
    assert ledger(recorder)[COUNTERS].verdict == verdict


def test_faults_of_a_program_that_may_not_be_read_have_no_events(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=33)
    recorder.start(60, (), first=False)
    line = ledger(recorder)[COUNTERS]
    assert told(line) == (17, 30, 0, "COMPLETE WITH EXCLUSIONS")
    assert "may be run but not read" in reasons(line)[0][1]


def forked(recorder: Recorder, time: int, child: int = CHILD) -> None:
    recorder.note("born", time, how="fork", child=child, child_pid=child, shares=False)


def test_a_number_that_is_used_again_is_another_process(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    for begin, faults in ((10, 3), (30, 0)):
        forked(recorder, begin)
        for i in range(faults):
            recorder.fault(MAP, begin + 1 + i, pid=CHILD, tid=CHILD)
        recorder.exit(begin + 10, pid=CHILD, tid=CHILD, minor=3)
    # The second has none of the three samples that the first has left under the same number.
    assert told(ledger(recorder)[COUNTERS]) == (3, 6, 3, "UNVERIFIABLE")


def test_what_one_process_has_too_many_another_has_not_too_few(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    forked(recorder, 10)
    for i in range(5):
        recorder.fault(MAP, 11 + i, pid=CHILD, tid=CHILD)
    recorder.exit(20, pid=CHILD, tid=CHILD, minor=7)
    recorder.fault(MAP, 21)
    recorder.fault(MAP, 22)
    recorder.exit(30)
    line = ledger(recorder)[COUNTERS]
    assert ([part.count for part in line.excluded], line.unexplained) == ([2], -2)


def test_what_a_core_dump_reads_has_no_event_either(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    recorder.fault(MAP, 10)
    recorder.exit(20, status=0x8B, minor=9)
    line = ledger(recorder)[COUNTERS]
    assert [(count, why[:23]) for count, why in reasons(line)] == [(8, "pages that a core dump ")]


def test_a_sample_without_a_fault_is_unexplained_too(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=19)
    assert told(ledger(recorder)[COUNTERS]) == (17, 16, -1, "INCONSISTENT")


def test_only_the_first_exec_begins_the_count(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=20)
    recorder.start(50, WHAT_THERE_IS, first=False, minor=11)
    assert ledger(recorder)[COUNTERS].verdict == "COMPLETE"


def test_faults_after_a_tasks_last_reading_are_excluded(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=20)
    recorder.fault(MAP, 101)
    line = ledger(recorder, rusage_faults=21)[COUNTERS]
    assert (line.seen, line.expected, line.verdict) == (18, 17, "COMPLETE WITH EXCLUSIONS")
    assert reasons(line) == [(-1, "taken after the task's last reading")]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (59, "exec argument pages"),
        (322, "exec argument pages"),
        (9, "pages populated by mlock, MAP_POPULATE or the like"),
    ],
)
def test_pages_that_a_system_call_brought_in_are_excluded(recorder: Recorder, number: int, why: str) -> None:
    run_of(recorder, 17, minor=25)
    # 8 faults were counted between 12 and 14; samples came at 12, 13 and 14.
    recorder.note("populated", 12, end=14, number=number, faults=8, caller=PID)
    line = ledger(recorder)[COUNTERS]
    assert reasons(line) == [(5, why)]
    assert line.verdict == "COMPLETE WITH EXCLUSIONS"


def test_a_system_call_that_brought_in_what_was_sampled_excludes_nothing(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=20)
    recorder.note("populated", 12, end=14, number=9, faults=3, caller=PID)
    assert told(ledger(recorder)[COUNTERS]) == (17, 17, 0, "COMPLETE")


def test_what_a_user_may_not_see_is_excluded_but_nothing_seen_in_excess(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=43)
    line = ledger(recorder, sees_kernel_faults=False)[COUNTERS]
    assert [count for count, _why in reasons(line)] == [23]
    assert "perf_event_paranoid" in reasons(line)[0][1]


def test_more_samples_than_faults_are_not_hidden_by_what_a_user_may_not_see(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=19)
    assert ledger(recorder, sees_kernel_faults=False)[COUNTERS].verdict == "INCONSISTENT"


def test_a_task_whose_end_was_not_seen_makes_the_counters_unverifiable(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=18)
    recorder.note("born", 20, how="clone", child=CHILD, child_pid=PID, shares=True)
    line = ledger(recorder)[COUNTERS]
    assert line.verdict == "UNVERIFIABLE"
    assert line.note.startswith("1 task")


def test_the_counters_of_all_tasks_add_up(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=13)
    recorder.note("born", 20, how="clone", child=CHILD, child_pid=PID, shares=True)
    recorder.exit(50, tid=CHILD, minor=7)
    found = ledger(recorder, rusage_faults=20)
    assert told(found[COUNTERS]) == (17, 17, 0, "COMPLETE")
    assert told(found[RUSAGE]) == (20, 20, 0, "COMPLETE")


def test_a_tree_that_used_more_than_its_tasks_is_inconsistent(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=20)
    assert told(ledger(recorder, rusage_faults=21)[RUSAGE]) == (20, 21, 1, "INCONSISTENT")


def test_a_thread_on_its_way_out_may_take_a_fault_that_nobody_sees(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=13)
    recorder.note("born", 20, how="clone", child=CHILD, child_pid=PID, shares=True)
    recorder.exit(50, tid=CHILD, minor=7, last=False)
    line = ledger(recorder, rusage_faults=21)[RUSAGE]
    assert (line.verdict, reasons(line)) == (
        "COMPLETE WITH EXCLUSIONS", [(1, "taken as a thread's id was cleared, when its fault events had ended")],
    )  # fmt: skip
    more = ledger(recorder, rusage_faults=22)[RUSAGE]
    assert (more.unexplained, more.verdict) == (1, "INCONSISTENT")  # one a thread, and none of the last


def test_what_a_task_takes_on_its_way_out_is_excluded_where_it_cannot_be_seen(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=20)
    line = ledger(recorder, rusage_faults=21, sees_kernel_faults=False)[RUSAGE]
    assert (line.verdict, [entry.count for entry in line.excluded]) == ("COMPLETE WITH EXCLUSIONS", [1])
    assert line.excluded[0].why.startswith("taken in kernel mode after the task's last reading")
    more = ledger(recorder, rusage_faults=22, sees_kernel_faults=False)[RUSAGE]
    assert (more.unexplained, more.verdict) == (1, "INCONSISTENT")  # one a task, no more


def test_children_that_nobody_waited_for_cannot_be_verified(recorder: Recorder) -> None:
    run_of(recorder, 17, minor=20)
    line = ledger(recorder, rusage_faults=11)[RUSAGE]
    assert line.verdict == "UNVERIFIABLE"
    assert "nobody waited" in line.note


def test_where_faults_are_only_counted_the_unplaced_ones_are_excluded(recorder: Recorder) -> None:
    run_of(recorder, 0, minor=20)
    recorder.note("interval", 12, count=6, pages=[[MAP // PAGE, 11]])
    found = ledger(recorder, not_observed={"faults": "perf is refused"}, faults_unplaced=6)
    assert told(found[COUNTERS]) == (11, 17, 0, "COMPLETE WITH EXCLUSIONS")
    assert (found[SAMPLES].verdict, found[SAMPLES].note) == ("UNVERIFIABLE", "perf is refused")
    assert RUSAGE not in found


def signalled(recorder: Recorder, *signals: tuple[str, int, int | None]) -> None:
    for i, (name, code, address) in enumerate(signals):
        recorder.note(
            "signal", 10 + i, signal=name, code=code, address=address, ip=0, sp=0, cs=0x33, stack=0, bytes="",
            reason=None, access=None, in_call=False, behind="",
        )  # fmt: skip


def test_a_fault_that_the_kernel_refused_is_a_signal(recorder: Recorder) -> None:
    recorder.start(1)
    signalled(recorder, ("SIGSEGV", 1, 0), ("SIGBUS", 2, MAP), ("SIGSEGV", 0, None), ("SIGFPE", 1, 0x1149))
    signalled(recorder, ("SIGSEGV", 1, 0xFFFF_FFFF_8100_0000), ("SIGSEGV", 0x80, 0))
    line = ledger(recorder, faults_with_failed=17, faults_counted=15)[REFUSED]
    assert told(line) == (2, 2, 0, "COMPLETE")


def test_a_refused_fault_without_a_signal_cannot_be_verified(recorder: Recorder) -> None:
    line = ledger(recorder, faults_with_failed=18, faults_counted=17)[REFUSED]
    assert line.verdict == "UNVERIFIABLE"
    assert "EFAULT" in line.note


def test_without_a_count_of_refused_faults_there_is_no_line(recorder: Recorder) -> None:
    assert REFUSED not in ledger(recorder)


# ---- calls, records, tasks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({"calls_begun": 23, "calls_returned": 23}, "COMPLETE"),
        ({"calls_begun": 23, "calls_returned": 17, "calls_left": 4, "calls_unreturned": 2}, "COMPLETE WITH EXCLUSIONS"),
        ({"calls_begun": 23, "calls_returned": 22}, "INCONSISTENT"),
        ({"calls_begun": 23, "calls_returned": 24}, "INCONSISTENT"),
    ],
)
def test_every_call_that_began_has_come_to_an_end(recorder: Recorder, counts: dict[str, int], verdict: str) -> None:
    assert ledger(recorder, **counts)[CALLS].verdict == verdict


def test_calls_that_were_not_observed_say_why(recorder: Recorder) -> None:
    found = ledger(recorder, not_observed={"calls": "a stripped static program"})
    assert (found["allocator calls"].verdict, found["allocator calls"].note) == (
        "UNVERIFIABLE", "a stripped static program",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("left", "cut", "verdict"),
    [(23, 0, "COMPLETE"), (22, 1, "COMPLETE WITH EXCLUSIONS"), (22, 0, "INCONSISTENT"), (23, 1, "INCONSISTENT")],
)
def test_every_system_call_that_was_entered_was_left(recorder: Recorder, left: int, cut: int, verdict: str) -> None:
    assert ledger(recorder, syscalls_entered=23, syscalls_left=left, syscalls_cut=cut)[SYSCALLS].verdict == verdict


def test_records_that_could_not_be_stored_make_the_run_incomplete(recorder: Recorder) -> None:
    for i in range(5):
        recorder.call("malloc", 17, began=10 + i, ended=10 + i)
    line = ledger(recorder, lost={"calls": 7})[STORED]
    assert (told(line), line.note) == ((5, 12, 0, "INCOMPLETE"), "7 calls lost")


def test_a_record_that_is_missing_on_disk_is_inconsistent(recorder: Recorder) -> None:
    recorder.call("malloc", 17, began=10, ended=11)
    assert told(ledger(recorder, calls=2)[STORED]) == (1, 2, 1, "INCONSISTENT")


def test_every_task_that_was_born_has_ended(recorder: Recorder) -> None:
    recorder.start(1)
    for child in (CHILD, OTHER):
        recorder.note("born", 2, how="clone", child=child, child_pid=PID, shares=True)
    recorder.exit(10, tid=CHILD)
    recorder.exit(20)
    line = ledger(recorder)[TASKS]
    assert told(line) == (2, 3, 1, "INCONSISTENT")


def test_tasks_that_lived_before_the_recording_began_have_started_with_it(recorder: Recorder) -> None:
    recorder.start(10, joined=True, threads=(CHILD,), minor=100, heap_pages=())
    recorder.start(11, joined=True, first=False, pid=OTHER, tid=OTHER, former=OTHER, heap_pages=())
    for tid, time in ((CHILD, 20), (PID, 30)):
        recorder.exit(time, tid=tid)
    recorder.exit(40, tid=OTHER, pid=OTHER)
    lines = ledger(recorder)
    assert told(lines[TASKS]) == (3, 3, 0, "COMPLETE")
    assert lines["tasks' counters = getrusage of the tree"].verdict == "UNVERIFIABLE"


def test_a_recording_that_never_began_lacks_nothing(recorder: Recorder) -> None:
    lines = ledger(recorder)
    assert told(lines[TASKS]) == (0, 0, 0, "COMPLETE")


def test_tasks_that_lived_when_the_recording_ended_are_left_out_with_their_counters_read(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("born", 2, how="clone", child=CHILD, child_pid=PID, shares=True)
    for tid, minor in ((PID, 3), (CHILD, 5)):
        recorder.note("released", 20, tid=tid, why="--until f", how="released", exiting=False, minor=minor, major=0)
    lines = ledger(recorder, rusage_faults=100)
    assert told(lines[TASKS]) == (0, 2, 0, "COMPLETE WITH EXCLUSIONS")
    assert reasons(lines[TASKS]) == [(2, "lived when the recording ended")]
    counters = lines["page faults = minflt + majflt of all tasks"]
    assert (counters.expected, counters.verdict == "UNVERIFIABLE" and "last reading" in counters.note) == (8, False)
    assert lines["tasks' counters = getrusage of the tree"].verdict == "UNVERIFIABLE"


def test_a_thread_that_an_exec_took_over_has_no_end_of_its_own(recorder: Recorder) -> None:
    recorder.start(1)
    recorder.note("born", 2, how="clone", child=CHILD, child_pid=PID, shares=True)
    recorder.start(5, first=False, former=CHILD)
    recorder.exit(20)
    assert told(ledger(recorder)[TASKS]) == (1, 2, 0, "COMPLETE WITH EXCLUSIONS")


def test_a_page_that_the_observer_brought_in_is_inconsistent(recorder: Recorder) -> None:
    assert told(ledger(recorder, pages_by_observer=1)[OWN_PAGES]) == (1, 0, -1, "INCONSISTENT")


def test_pages_that_planting_made_private_are_told(recorder: Recorder) -> None:
    line = ledger(recorder, pages_by_planting=4)[OWN_PAGES]
    assert (line.verdict, line.note) == ("COMPLETE", "4 text pages became private by planting breakpoints")


def test_where_the_kernel_hides_the_observers_own_faults_its_pages_cannot_be_verified(recorder: Recorder) -> None:
    assert ledger(recorder, pages_unknown=1)[OWN_PAGES].verdict == "UNVERIFIABLE"


# ---- address space ------------------------------------------------------------------------------------------


def replayed(recorder: Recorder) -> None:
    """A heap of 33 pages, three pages mapped and the middle one protected."""
    recorder.start(1, WHAT_THERE_IS)
    recorder.syscall("brk", 0, began=2, ended=3, result=HEAP)
    recorder.syscall("brk", HEAP + 33 * PAGE, began=4, ended=5, result=HEAP + 33 * PAGE)
    recorder.syscall("mmap", 0, 3 * PAGE, 3, 0x22, began=6, ended=7, result=MAP)
    recorder.syscall("mprotect", MAP + PAGE, PAGE, 0, began=8, ended=9)


REAL = (
    Mapping(HEAP, HEAP + 33 * PAGE, "rw-", "[heap]"),
    Mapping(MAP, MAP + PAGE, "rw-"),
    Mapping(MAP + PAGE, MAP + 2 * PAGE, "---"),
    Mapping(MAP + 2 * PAGE, MAP + 3 * PAGE, "rw-"),
)


def test_mappings_replayed_from_events_are_those_of_the_process(recorder: Recorder) -> None:
    replayed(recorder)
    end(recorder, 10, *REAL, Mapping(0x7FFD_0000_0000, 0x7FFD_0002_1000, "rw-", "[stack]"))
    recorder.exit(11)
    found = ledger(recorder)
    assert told(found[MAPS]) == (5, 5, 0, "COMPLETE")
    assert told(found[BREAK]) == (1, 1, 0, "COMPLETE")


@pytest.mark.parametrize(
    "real",
    [
        REAL[:-1],
        (*REAL, Mapping(LIBC, LIBC + PAGE, "r--")),
        (*REAL[:2], Mapping(MAP + PAGE, MAP + 2 * PAGE, "r--"), REAL[3]),
        (*REAL[:3], Mapping(MAP + 2 * PAGE, MAP + 4 * PAGE, "rw-")),
    ],
    ids=["one is missing", "one more", "another protection", "another length"],
)
def test_a_mapping_that_differs_is_inconsistent(recorder: Recorder, real: tuple[Mapping, ...]) -> None:
    replayed(recorder)
    end(recorder, 10, *real)
    recorder.exit(11)
    found = ledger(recorder)
    assert found[MAPS].verdict == "INCONSISTENT"
    assert found[BREAK].verdict == "COMPLETE"


def test_a_break_that_differs_is_inconsistent(recorder: Recorder) -> None:
    replayed(recorder)
    end(recorder, 10, Mapping(HEAP, HEAP + 34 * PAGE, "rw-", "[heap]"), *REAL[1:])
    recorder.exit(11)
    assert told(ledger(recorder)[BREAK]) == (0, 1, 1, "INCONSISTENT")


def test_a_program_without_a_heap_has_none_in_the_replay_either(recorder: Recorder) -> None:
    recorder.start(1, WHAT_THERE_IS)
    recorder.syscall("brk", 0, began=2, ended=3, result=HEAP)
    end(recorder, 10)
    recorder.exit(11)
    assert ledger(recorder)[BREAK].verdict == "COMPLETE"


def test_without_all_memory_calls_the_address_space_cannot_be_verified(recorder: Recorder) -> None:
    replayed(recorder)
    end(recorder, 10, *REAL)
    found = ledger(recorder, replayable=False)
    assert [found[name].verdict for name in (BREAK, MAPS)] == ["UNVERIFIABLE"] * 2


def test_lost_system_calls_leave_gaps_in_the_replay(recorder: Recorder) -> None:
    replayed(recorder)
    end(recorder, 10, *REAL)
    found = ledger(recorder, lost={"calls": 0, "syscalls": 1})
    assert [found[name].verdict for name in (BREAK, MAPS)] == ["UNVERIFIABLE"] * 2
    assert "system calls were lost" in found[MAPS].note


def test_a_process_that_ended_unread_is_told(recorder: Recorder) -> None:
    replayed(recorder)
    recorder.exit(11, status=9)
    found = ledger(recorder)
    assert found[MAPS].note == "1 processes ended before they could be read"


def heap_of_two_pages(recorder: Recorder, *present: int, swapped: int = 0) -> None:
    """Two heap pages came in by faults; the pagemap at the end shows those in *present* (of 33), smaps so many *swapped*."""
    replayed(recorder)
    recorder.fault(HEAP, 20)
    recorder.fault(HEAP + PAGE, 21)
    recorder.fault(HEAP + PAGE + 17, 22)
    end(recorder, 30, *REAL, frames=[[HEAP, 33, 0], [MAP, 3, 33 * 8]], rss={"swapped": swapped * PAGE})
    recorder.exit(31)
    words = [(1 << 63 if page in present else 0) | 17 for page in range(36)]
    (recorder.directory / "frames.bin").write_bytes(b"".join(word.to_bytes(8, "little") for word in words))


RESIDENCY = frozenset({"calls", "faults", "residency"})


def test_heap_pages_that_came_in_are_there_at_the_end(recorder: Recorder) -> None:
    heap_of_two_pages(recorder, 0, 1, 33)
    assert told(ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]) == (2, 2, 0, "COMPLETE")


@pytest.mark.parametrize("present", [(0,), (0, 1, 2)])
def test_a_heap_page_too_few_or_too_many_is_inconsistent(recorder: Recorder, present: tuple[int, ...]) -> None:
    heap_of_two_pages(recorder, *present)
    assert ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES].verdict == "INCONSISTENT"


def test_pages_that_came_without_an_event_may_be_of_the_heap(recorder: Recorder) -> None:
    recorder.note("populated", 19, end=19, number=310, faults=1, caller=PID)
    heap_of_two_pages(recorder, 0, 1, 2)
    line = ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]
    assert told(line) == (2, 3, 0, "COMPLETE WITH EXCLUSIONS")
    assert [count for count, _why in reasons(line)] == [1]


def test_no_more_heap_pages_than_faults_without_an_event_are_excluded(recorder: Recorder) -> None:
    recorder.note("populated", 19, end=19, number=310, faults=1, caller=PID)
    heap_of_two_pages(recorder, 0, 1, 2, 3)
    assert told(ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]) == (2, 4, 1, "INCONSISTENT")


def test_a_page_that_came_does_not_make_up_for_one_that_went(recorder: Recorder) -> None:
    recorder.note("populated", 19, end=19, number=310, faults=1, caller=PID)
    heap_of_two_pages(recorder, 1, 2)
    assert told(ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]) == (2, 2, -1, "INCONSISTENT")


def test_swapped_out_pages_are_the_programs_all_the_same(recorder: Recorder) -> None:
    heap_of_two_pages(recorder, 1, swapped=1)
    line = ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]
    assert (told(line), reasons(line)) == ((2, 1, 0, "COMPLETE WITH EXCLUSIONS"), [(-1, "swapped out")])


@pytest.mark.parametrize(("advice", "verdict"), [(8, "COMPLETE WITH EXCLUSIONS"), (20, "INCONSISTENT")])
def test_the_kernel_may_take_what_was_given_up_lazily(recorder: Recorder, advice: int, verdict: str) -> None:
    recorder.syscall("madvise", HEAP, PAGE, advice, began=25, ended=26)
    heap_of_two_pages(recorder, 1)
    assert ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES].verdict == verdict


@pytest.mark.parametrize("present", [(0, 1, 2), (0,)])
def test_what_goes_other_ways_than_by_system_calls_is_excluded(recorder: Recorder, present: tuple[int, ...]) -> None:
    recorder.note("beyond", 15, by="io_uring")
    heap_of_two_pages(recorder, *present)
    line = ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]
    assert [(count, "io_uring" in why) for count, why in reasons(line)] == [(len(present) - 2, True)]
    assert line.verdict == "COMPLETE WITH EXCLUSIONS"


def test_a_huge_page_comes_by_one_fault(recorder: Recorder) -> None:
    heap_of_two_pages(recorder, 0, 1, 2, 3)
    line = ledger(recorder, instruments=RESIDENCY, thp="always")[HEAP_PAGES]
    assert [(count, why[:13]) for count, why in reasons(line)] == [(2, "of huge pages")]


def test_huge_pages_that_madvise_asks_for_are_huge_pages_too(recorder: Recorder) -> None:
    recorder.syscall("madvise", HEAP, 33 * PAGE, 14, began=8, ended=9)
    heap_of_two_pages(recorder, 0, 1, 2, 3)
    assert ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES].verdict == "COMPLETE WITH EXCLUSIONS"


def test_heap_pages_of_a_process_whose_pagemap_was_refused_are_not_balanced(recorder: Recorder) -> None:
    replayed(recorder)
    recorder.fault(HEAP, 20)
    end(recorder, 30, *REAL)
    recorder.exit(31)
    line = ledger(recorder, instruments=RESIDENCY)[HEAP_PAGES]
    assert (line.verdict, line.note) == ("UNVERIFIABLE", "1 processes whose pages could not be read")


def test_lost_samples_make_heap_pages_unverifiable(recorder: Recorder) -> None:
    heap_of_two_pages(recorder, 0, 1, 2)
    assert ledger(recorder, instruments=RESIDENCY, faults_lost=1)[HEAP_PAGES].verdict == "UNVERIFIABLE"


def test_a_break_below_which_the_program_unmapped_is_where_the_replay_has_it(recorder: Recorder) -> None:
    replayed(recorder)
    recorder.syscall("munmap", HEAP + 30 * PAGE, 3 * PAGE, began=8, ended=9)
    end(recorder, 10, Mapping(HEAP, HEAP + 30 * PAGE, "rw-", "[heap]"), *REAL[1:])
    recorder.exit(11)
    assert told(ledger(recorder)[BREAK]) == (1, 1, 0, "COMPLETE")


def test_every_end_of_a_number_is_compared_with_its_own_replay(recorder: Recorder) -> None:
    replayed(recorder)
    for begin in (20, 30):
        forked(recorder, begin)
        recorder.syscall(
            "munmap", MAP, PAGE * (begin // 10 - 1), began=begin + 1, ended=begin + 2, pid=CHILD, tid=CHILD
        )
        real = (REAL[0], *REAL[begin // 10 :])
        end(recorder, begin + 3, *real, pid=CHILD)
        recorder.exit(begin + 4, pid=CHILD, tid=CHILD)
    end(recorder, 40, *REAL)
    recorder.exit(41)
    assert told(ledger(recorder)[MAPS]) == (12, 12, 0, "COMPLETE")
