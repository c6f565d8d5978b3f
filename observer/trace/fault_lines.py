"""The ledger's lines about page faults: samples, the kernel's events, and the counters of every process.

A fault event without a sample would be a loss, and so would a program without events. What a task's counters have more
than its events is neither: get_user_pages (mm/gup.c) brings pages in for a system call, which counts as a fault
(mm_account_fault) and raises no event.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from observer.arch.known import NATIVE
from observer.model.ledger import Exclusion, LedgerLine, balance, unverifiable
from observer.recording.notes import OWN_MEMORY
from observer.trace.evidence import EXEC_CALLS, Evidence, Life

__all__ = ["fault_lines", "unsampled_faults"]

_COUNTERS: Final = "page faults = minflt + majflt of all tasks"
_SAMPLES: Final = "fault samples = kernel's event count"
_RUSAGE: Final = "tasks' counters = getrusage of the tree"
_HIDDEN: Final = "taken in kernel mode: not visible without CAP_PERFMON or perf_event_paranoid <= 1"
_LATE: Final = "taken after the task's last reading"
_LATE_AND_HIDDEN: Final = "taken in kernel mode after the task's last reading, which this user may not see"
_ON_ITS_WAY_OUT: Final = "taken as a thread's id was cleared, when its fault events had ended"
_WORKERS: Final = "taken by threads of io_uring's, which no tracer sees"
_POPULATED: Final = "pages populated by mlock, MAP_POPULATE or the like"
_OTHERS: Final = "of processes that are not followed, or were not yet"
_OWN: Final = "pages of the inline recorder's own memory"
_REACHED: Final = "pages that process_vm_readv, vmsplice or io_submit reached first"
_UNFOLLOWED: Final = (
    "pages that system calls reached first without a fault event (direct input, futexes in shared memory, io_uring)"
)
_CORE: Final = "pages that a core dump or system calls reached first, without a fault event"
_UNREADABLE: Final = "of a program that may be run but not read: the kernel ends the fault events of others at its exec"
_REACHING: Final = frozenset(NATIVE.numbers("io_submit", "vmsplice", "process_vm_readv", "process_vm_writev"))


def fault_lines(evidence: Evidence) -> list[LedgerLine]:
    """Return the lines about page faults; without perf only what the counters tell."""
    if "faults" in evidence.not_observed:
        return [_unplaced_line(evidence), unverifiable(_SAMPLES, evidence.not_observed["faults"])]
    seen, lost = len(evidence.spooled.faults), evidence.count("faults_lost")
    own = (Exclusion(evidence.spooled.own_faults, _OWN), Exclusion(evidence.spooled.others_faults, _OTHERS))
    lines = [
        balance(_SAMPLES, seen, evidence.count("faults_counted"), lost=lost, excluded=own),
        _counter_line(evidence, seen, lost),
        _rusage_line(evidence),
    ]
    if evidence.totals and "faults_with_failed" in evidence.totals:
        lines.append(_failed_line(evidence))
    return lines


def unsampled_faults(evidence: Evidence) -> int:
    """Return how many faults are counted that no sample tells of: as many pages may be there without an event."""
    return (_rests(evidence, evidence.count("faults_lost")) + _measured(evidence)).total()


def _expected(evidence: Evidence) -> int:
    return sum(life.counted for life in evidence.lives)


def _unplaced_line(evidence: Evidence) -> LedgerLine:
    unplaced = Exclusion(evidence.count("faults_unplaced"), "counted between stops; on which page is not known")
    return balance(
        _COUNTERS, len(evidence.spooled.faults), _expected(evidence), excluded=(unplaced,),
        cannot_verify=evidence.unread_tasks(),
    )  # fmt: skip


def _counter_line(evidence: Evidence, seen: int, lost: int) -> LedgerLine:
    late = -sum(life.late for life in evidence.lives)
    workers = -sum(life.of_workers for life in evidence.lives)
    rests, own = _rests(evidence, lost), 0
    for why in rests:  # they are counted, and no sample tells of them any longer
        told = min(rests[why], evidence.spooled.own_faults - own)
        rests[why] -= told
        own += told
    measured = _measured(evidence) + Counter({_OWN: own})
    parts = [*measured.items(), (_LATE, late), (_WORKERS, workers), *rests.items()]
    return balance(
        _COUNTERS, seen, _expected(evidence), lost=lost, excluded=tuple(Exclusion(count, why) for why, count in parts),
        cannot_verify=evidence.unread_tasks(),
    )  # fmt: skip


def _measured(evidence: Evidence) -> Counter[str]:
    """Count the pages that measured system calls brought in, by reason."""
    counts: Counter[str] = Counter()
    for life in evidence.lives:
        for note, missing in life.unsampled():
            counts[_reason(note.number)] += missing
    return counts


def _reason(number: int) -> str:
    if number == OWN_MEMORY:
        return _OWN
    if number in EXEC_CALLS:
        return "exec argument pages"
    return _REACHED if number in _REACHING else _POPULATED


def _rests(evidence: Evidence, lost: int) -> Counter[str]:
    """Count the faults that no sample and no measured system call explains, by what may have been their reason.

    Not those of a process in which a program gave no sample at all, though none was lost: there the events themselves
    are missing, which has one good reason (perf_event_exit_task at an exec that is not dumpable).
    """
    counts: Counter[str] = Counter()
    for life in evidence.lives:
        if lost or life.has_unreadable_program or not life.has_silent_program:
            counts[_why(evidence, life)] += _rest(life)
    for why in counts:  # what found no room in a ring was an event
        told = min(counts[why], lost)
        counts[why] -= told
        lost -= told
    return counts


def _rest(life: Life) -> int:
    measured = sum(missing for _note, missing in life.unsampled())
    return max(life.counted - life.samples + life.late + life.of_workers - measured, 0)


def _why(evidence: Evidence, life: Life) -> str:
    if life.has_unreadable_program:
        return _UNREADABLE
    if not evidence.sees_kernel_faults:
        return _HIDDEN
    return _CORE if life.dumped_core else _UNFOLLOWED


def _rusage_line(evidence: Evidence) -> LedgerLine:
    if evidence.released or evidence.joined or not evidence.execs:
        return unverifiable(_RUSAGE, "it is told of the whole run, of which this is a part")
    seen = sum(note.minor + note.major for note in evidence.exiting)
    late = sum(life.late for life in evidence.lives) if evidence.sees_kernel_faults else 0
    expected = evidence.count("rusage_faults")
    workers = max(expected - seen - late, 0) if "io_uring" in evidence.beyond else 0
    # On its way out a task's tid is cleared and its robust futexes are let go, which may bring in a page. Of one that
    # leaves its memory to others nobody may see that: its fault events have ended before (seen on Linux 6.18).
    rest = max(expected - seen - late - workers, 0)
    leaving = sum(not note.last for note in evidence.exiting) if evidence.sees_kernel_faults else len(evidence.exiting)
    hidden = min(rest, leaving)
    return balance(
        _RUSAGE, seen, expected,
        excluded=(
            Exclusion(late, _LATE),
            Exclusion(hidden, _ON_ITS_WAY_OUT if evidence.sees_kernel_faults else _LATE_AND_HIDDEN),
            Exclusion(workers, _WORKERS),
        ),
        cannot_verify=evidence.unread_tasks()
        or ("children that nobody waited for are not in getrusage" if expected < seen else ""),
    )  # fmt: skip


def _failed_line(evidence: Evidence) -> LedgerLine:
    expected = evidence.count("faults_with_failed") - evidence.count("faults_counted")
    return balance(
        "faults the kernel refused = SIGSEGV, SIGBUS", evidence.findings.refused_faults, expected,
        cannot_verify="bad pointers passed to system calls (EFAULT), or a signal sent without a fault",
    )  # fmt: skip
