"""A light run: the program as fast as it goes, looked at only when it has exec'ed and when its processes end.

No breakpoint, no filter, no shared processor. A tracee stops at its exit with its memory still there (ptrace(2),
PTRACE_EVENT_EXIT): then /proc tells what it came to. ru_maxrss and the fault counters of wait4(2) would not do: both
go on counting across exec, and begin with what the forked observer had used.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from observer.errors import CannotObserve
from observer.linux import procfs
from observer.model.footprint import LightRun
from observer.model.signals import name_of_signal
from observer.tracee.affinity import Affinity
from observer.tracee.bystander import Bystander
from observer.tracee.engine import Engine
from observer.tracee.interrupts import Interrupts
from observer.tracee.launch import Start, check_exec, find_program, launch
from observer.tracee.task import Task
from observer.tracee.waiting import end_all

__all__ = ["ending", "run_lightly"]


def run_lightly(words: Sequence[str], environment: Mapping[str, str]) -> LightRun:
    """Run the program to its end and of all it started; return what it came to.

    Raises:
        CannotLaunch: the program cannot be started.
        CannotObserve: ptrace is refused, or the end could not be seen.
        KeyboardInterrupt: the user interrupted; then the program and all it started have ended.
    """
    path = find_program(words[0], environment)
    interrupts = Interrupts()
    try:
        run = _follow(path, words, environment, interrupts)
    finally:
        interrupts.release()
    if interrupts.taken:
        raise KeyboardInterrupt
    return run


def _follow(path: str, words: Sequence[str], environment: Mapping[str, str], interrupts: Interrupts) -> LightRun:
    before = _processor_seconds()
    launched = launch(
        Start(
            path=path, argv=words, environment=environment, program_filter=None, processor=None, randomize=None,
            signal_mask=interrupts.mask,
        )
    )  # fmt: skip
    watch = _Ends(launched.pid)
    # "Filtered" tells the engine to go on without stops at system calls; that there is no filter makes none.
    engine = Engine(watch, Affinity(share=False), filtered=True)
    interrupts.watch(launched.pid, lambda: tuple(engine.tasks), engine.delivered, engine.pace)
    try:
        status = engine.run(launched.pid)
    except BaseException:
        end_all(engine.known())
        raise
    check_exec(launched.report, path)
    return watch.result(ending(status), _processor_seconds() - before)


def ending(status: int | None) -> str:
    """Return how a process ended, from its wait status.

    >>> ending(256), ending(9)
    ('exit 1', 'SIGKILL')
    """
    if status is not None and os.WIFSIGNALED(status):
        return name_of_signal(os.WTERMSIG(status))
    return f"exit {os.WEXITSTATUS(status or 0)}"


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, slots=True)
class _End:
    """A process at its last stop; sizes in bytes."""

    faults: int
    peak: int
    resident: int
    mapped: int
    peak_mapped: int


class _Ends(Bystander):
    """Implements the engine's Watcher: times the first process, reads each one when it ends."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._began = self._ended = 0
        self._faults_before = 0
        self._processor_before = 0.0
        self._ends: list[_End] = []

    def executed(self, task: Task, former_tid: int) -> None:
        """See Watcher."""
        if not self._began:
            # What the forked observer did before is not the program's.
            self._faults_before = procfs.process_counters(task.pid).total
            self._processor_before = procfs.processor_seconds(task.tid)
            self._began = time.monotonic_ns()

    def exiting(self, task: Task, status: int, last: bool) -> None:
        """See Watcher."""
        if not last:
            return
        if task.pid == self._root:
            self._ended = time.monotonic_ns()
        if task.memory is not None and task.memory.owner == task.pid:
            self._ends.append(_read_end(task))

    def result(self, status: str, processor_seconds: float) -> LightRun:
        """Return the run's figures."""
        if not self._ended or not self._ends:
            raise CannotObserve("cannot measure the program", "it was killed before its last stop could be seen")
        largest = max(self._ends, key=lambda end: end.peak)
        return LightRun(
            faults=sum(end.faults for end in self._ends) - self._faults_before, peak_resident_bytes=largest.peak,
            end_resident_bytes=largest.resident, mapped_bytes=largest.mapped, peak_mapped_bytes=largest.peak_mapped,
            seconds=(self._ended - self._began) / 1e9, cpu_seconds=processor_seconds - self._processor_before,
            processes=len(self._ends), status=status,
        )  # fmt: skip


def _read_end(task: Task) -> _End:
    """Read a process through its last thread: the leader may be a zombie, which has no memory any more."""
    sizes = procfs.read_memory_sizes(task.tid)
    try:
        resident = procfs.read_resident_bytes(task.tid)["resident"]
    except PermissionError:
        resident = sizes["VmRSS"]  # less exact, but for everyone to read
    return _End(
        faults=procfs.process_counters(task.pid).total, peak=max(sizes["VmHWM"], resident), resident=resident,
        mapped=sizes["VmSize"], peak_mapped=sizes["VmPeak"],
    )  # fmt: skip
