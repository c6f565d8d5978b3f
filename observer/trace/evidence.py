"""What the ledger looks at: the records of a run, what became of them, and the kernel's counts by process life."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.recording.notes import Beyond, Born, End, Exec, Exiting, Gone, Note, Populated, Released
from observer.trace.columns import Columns
from observer.trace.findings import Findings
from observer.trace.spooled import Spooled

__all__ = ["EXEC_CALLS", "Evidence", "Life", "Lives", "huge_pages_asked"]

EXEC_CALLS: Final = frozenset(NATIVE.numbers("execve", "execveat"))
"""Native numbers of execve and execveat."""

_KERNEL_MISC: Final = 1
_SAMPLE: Final = np.dtype([("tid", "<u4"), ("time", "<u8"), ("misc", "<u2")])
_SIGKILL: Final = 9
_MADV_HUGE: Final = [14, 25]  # MADV_HUGEPAGE, MADV_COLLAPSE
_MAP_HUGETLB: Final = 0x40000
_NEVER: Final = np.iinfo(np.uint64).max


@dataclass(slots=True)
class Life:
    """One process from its birth to its end: a number may be used again for another one in the same run.

    `counted` are minflt + majflt of all its tasks at their last readings, less what was counted before the run's own
    program began; `programs` the times at which a program of its own began to run in it: at the birth by fork, at each
    exec. `tids` are its tasks, `readings` holds for each the time of its last reading, `populated` the notes of
    measured system calls.

    Of its fault samples, given by `see`: `samples` counts them, `late` those that came between a task's last reading
    and its end, `of_workers` those of threads that the kernel made in the process for itself (no tracer is told of
    them), `told` those that came during each of the `populated`.
    """

    pid: int
    counted: int = 0
    programs: list[int] = field(default_factory=list)
    tids: set[int] = field(default_factory=set)
    readings: dict[int, int] = field(default_factory=dict)
    populated: list[Populated] = field(default_factory=list)
    ended: int | None = None
    was_cut_off: bool = False
    dumped_core: bool = False
    has_unreadable_program: bool = False
    samples: int = 0
    late: int = 0
    of_workers: int = 0
    told: dict[int, int] = field(default_factory=dict)
    _loud: set[int] = field(default_factory=set)

    def see(self, samples: npt.NDArray[np.void]) -> None:
        """Take further fault samples of its own: fields tid, time, and perf's misc bits."""
        tids, times = samples["tid"], samples["time"]
        self.samples += len(samples)
        for tid in np.unique(tids).tolist():
            if tid in self.readings:
                self.late += int(((tids == tid) & (times > self.readings[tid])).sum())
        self.of_workers += int((~np.isin(tids, list(self.tids | {self.pid}))).sum())
        first, last = int(times.min()), int(times.max())
        for i, note in enumerate(self.populated):
            if note.t <= last and note.end >= first:
                own = (tids == note.tid) | (tids == note.caller)
                self.told[i] = self.told.get(i, 0) + int((own & (times >= note.t) & (times <= note.end)).sum())
        in_user_mode = times[samples["misc"] & 7 != _KERNEL_MISC]
        self._loud |= {i for i, (begin, end) in enumerate(self._spans()) if _any_within(in_user_mode, begin, end)}

    def unsampled(self) -> Iterator[tuple[Populated, int]]:
        """Yield each measured system call with the faults that were counted in it and that no sample tells of."""
        for i, note in enumerate(self.populated):
            yield note, note.faults - self.told.get(i, 0)

    @property
    def has_silent_program(self) -> bool:
        """Whether a program ran without one sample of user mode.

        Every program touches at least its stack, unless it was killed before, or let go: where no sample says so, there
        were no events at all.
        """
        ran = len(self._spans()) - self.was_cut_off
        return any(i not in self._loud for i in range(ran))

    def _spans(self) -> list[tuple[int, int]]:
        # A child that shares its parent's memory has no program.
        return list(zip(self.programs, [*self.programs[1:], self.ended or _NEVER], strict=False))


def _any_within(times: npt.NDArray[np.uint64], begin: int, end: int) -> bool:
    return bool(((times >= begin) & (times <= end)).any())


class Evidence:
    """All that the ledger looks at. `totals` is None when the observer was killed before it could count."""

    def __init__(
        self,
        spooled: Spooled,
        findings: Findings,
        lives: Lives,
        totals: dict[str, int] | None,
        *,
        instruments: frozenset[str],
        sees_kernel_faults: bool,
        replayable: bool,
        lost: dict[str, int],
        not_observed: dict[str, str],
        thp: str,
    ) -> None:
        self.spooled = spooled
        self.findings = findings
        self.totals = totals
        self.instruments = instruments
        self.sees_kernel_faults = sees_kernel_faults
        self.replayable = replayable
        self.lost = lost
        self.not_observed = not_observed
        self.thp = thp
        self.exiting = [note for note in spooled.notes if isinstance(note, Exiting)]
        self.released = [note for note in spooled.notes if isinstance(note, Released)]
        self.joined = [note for note in spooled.notes if isinstance(note, Exec) and note.joined]
        self.born = [note for note in spooled.notes if isinstance(note, Born)]
        self.gone = [note for note in spooled.notes if isinstance(note, Gone)]
        self.execs = [note for note in spooled.notes if isinstance(note, Exec)]
        self.ends = [note for note in spooled.notes if isinstance(note, End)]
        self.beyond = sorted({note.by for note in spooled.notes if isinstance(note, Beyond)})
        self.lives = lives.all

    def count(self, name: str) -> int:
        """Return one of the run's totals, 0 where it was not counted."""
        return (self.totals or {}).get(name, 0)

    @property
    def started(self) -> int:
        """How many tasks were followed: the first, those that were born, and those that lived already."""
        joined = sum(1 + len(note.threads) for note in self.joined)
        return len(self.born) + joined + any(note.first and not note.joined for note in self.execs)

    @property
    def huge_pages(self) -> bool:
        """Whether there may have been huge pages: everywhere, or where madvise or mmap asked for them."""
        return self.thp == "always" or self.findings.asks_for_huge_pages

    def unread_tasks(self) -> str:
        """Say how many tasks were killed past their exit stop, where their counters are read; empty if none."""
        told = len(self.exiting) + sum(not note.exiting for note in self.released)
        missing = self.started - told
        return f"{missing} tasks ended without a last reading of their counters" if missing > 0 else ""


def huge_pages_asked(syscalls: Columns) -> bool:
    """Whether one of these system calls asked for huge pages, and was not refused."""
    numbers = syscalls.numbers
    names = np.array(syscalls.texts["name"], dtype=object)
    advised = (names == "madvise") & np.isin(numbers["a2"], np.array(_MADV_HUGE, dtype=np.uint64))
    mapped = np.isin(names, ["mmap", "mmap2"]) & (numbers["a3"] & np.uint64(_MAP_HUGETLB) != 0)
    return bool(((advised | mapped) & (numbers["errno"] == 0)).any())


class Lives:
    """The processes of a run in the order of their births, with their counters; `see` gives them fault samples."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self.all: list[Life] = []
        running: dict[int, Life] = {}

        def begin(note: Born | Exec | Exiting | Gone | Populated | Released, pid: int) -> Life:
            if pid in running and running[pid].ended is None:
                running[pid].ended = note.t
            running[pid] = Life(pid)
            self.all.append(running[pid])
            return running[pid]

        for note in notes:
            if isinstance(note, Born) and note.child_pid != note.pid:
                born = begin(note, note.child_pid)
                born.programs += [] if note.shares else [note.t]
            elif isinstance(note, Born) and note.pid in running:
                running[note.pid].tids.add(note.child)
            elif isinstance(note, Exec) and note.joined:
                _take(begin(note, note.pid), note)
            elif isinstance(note, Exec | Exiting | Gone | Populated | Released):
                _take(running.get(note.pid) or begin(note, note.pid), note)
        self._of: dict[int, list[Life]] = {}
        for life in self.all:
            self._of.setdefault(life.pid, []).append(life)

    def see(self, faults: npt.NDArray[np.void]) -> None:
        """Give each process its samples: what has its number, up to its end and behind the end of who had it before."""
        samples = np.empty(len(faults), _SAMPLE)
        for name in _SAMPLE.names or ():
            samples[name] = faults[name]
        for pid in np.unique(faults["pid"]).tolist():
            same = self._of.get(pid, [])
            mine = samples[faults["pid"] == pid]
            ends = np.array([life.ended for life in same[:-1]], dtype=np.uint64)
            which = np.searchsorted(ends, mine["time"], side="left")
            for number in np.unique(which).tolist() if same else ():
                same[number].see(mine[which == number])


def _take(life: Life, note: Exec | Exiting | Gone | Populated | Released) -> None:
    match note:
        case Exec():
            _take_exec(life, note)
        case Exiting() | Released():
            _take_reading(life, note)
        case Gone():
            _take_gone(life, note)
        case Populated():
            life.populated.append(note)


def _take_exec(life: Life, note: Exec) -> None:
    life.programs.append(note.t)
    life.has_unreadable_program |= not note.mappings
    life.counted -= note.minor + note.major if note.first or note.joined else 0
    life.tids |= {*note.threads}


def _take_reading(life: Life, note: Exiting | Released) -> None:
    life.counted += note.minor + note.major
    life.readings[note.tid] = note.t
    if isinstance(note, Released):
        life.was_cut_off = True  # what it might still have touched nobody knows
        life.ended = note.t if note.how == "unfollowed" else life.ended


def _take_gone(life: Life, note: Gone) -> None:
    if note.tid == note.pid:
        life.ended = note.t
        life.was_cut_off = note.status & 0x7F == _SIGKILL
        life.dumped_core = bool(note.status & 0x7F and note.status & 0x80)
