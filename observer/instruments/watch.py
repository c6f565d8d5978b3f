"""The watcher of one recording: hands what the engine tells to the instruments, and notes the rare things.

Calls that the filter stops at for our own sake (to plant, to follow what the kernel populates) but that were not
asked for make no record.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from observer.arch.known import NATIVE, architecture_of
from observer.code.compat import as_native
from observer.errors import CannotObserve
from observer.instruments.allocator import AllocatorCalls
from observer.instruments.births import Births
from observer.instruments.crossings import Crossings
from observer.instruments.ending import Ending
from observer.instruments.faults import FaultInstrument
from observer.instruments.huge_pages import HugePages
from observer.instruments.images import Images
from observer.instruments.intervals import FaultIntervals
from observer.instruments.kernel_side import KernelSide
from observer.instruments.last_look import LastLook, is_shared
from observer.instruments.marks import Marks
from observer.instruments.observed import ObserversPages
from observer.instruments.probes import LibraryCalls
from observer.instruments.programs import Programs
from observer.instruments.release import Release
from observer.instruments.remapped import PERSONALITY, is_partly_done, note_all, note_remapped
from observer.instruments.signals import note_signal
from observer.instruments.snapshot import Frames
from observer.instruments.traps import SIGACTION, SIGPROCMASK, TrapWatch
from observer.instruments.unsampled import FOLLOWED, Unsampled
from observer.linux import procfs
from observer.linux.ptrace import RegisterSet
from observer.model.memory_calls import map_flags, protection_of
from observer.recording.notes import Born, Exiting, Gone, Rings
from observer.recording.sink import Sink
from observer.tracee.bystander import Bystander
from observer.tracee.calls import CallFollower
from observer.tracee.halting import Halt
from observer.tracee.task import Task
from observer.tracee.unnoticed import PR_SET_TSC
from observer.tracee.watcher import Watcher

__all__ = ["Watch", "own_syscalls"]

_MMAP, _MUNMAP, _MREMAP, _MADVISE = NATIVE.numbers("mmap", "munmap", "mremap", "madvise")
_EXECVE, _EXECVEAT, _SIGRETURN = NATIVE.numbers("execve", "execveat", "rt_sigreturn")
_TRAP_CALLS: Final = frozenset({SIGACTION, SIGPROCMASK})
_PRCTL, _SECCOMP, _MPROTECT, _PKEY_MPROTECT = NATIVE.numbers("prctl", "seccomp", "mprotect", "pkey_mprotect")
_PR_SET_SECCOMP, _SET_MODE_FILTER, _TSC_SIGSEGV = 22, 1, 2
_CHANGING_TEXT: Final = frozenset({_MPROTECT, _PKEY_MPROTECT, _MADVISE})
"""Calls after which the bytes of a range may be others: the file's again, or what the program has stored."""
_ALWAYS_FOLLOWED: Final = _CHANGING_TEXT | _TRAP_CALLS | {_MMAP, _MUNMAP, _MREMAP, PERSONALITY, _SECCOMP, _PRCTL}


def own_syscalls(*, calls: bool, faults: bool) -> frozenset[int]:
    """Return the system calls that the instruments themselves must see."""
    needed: set[int] = set()
    if calls or faults:
        needed |= {_MMAP, _MUNMAP, _SECCOMP, PERSONALITY}
    if calls:
        needed |= {SIGACTION, SIGPROCMASK, _SIGRETURN, _MREMAP, _EXECVE, _EXECVEAT} | _CHANGING_TEXT
    if faults:
        needed |= FOLLOWED
    return frozenset(needed)


class Watch:
    """Implements the engine's Watcher."""

    def __init__(
        self,
        sink: Sink,
        *,
        wanted: frozenset[str] | None,
        follower: CallFollower,
        allocator: AllocatorCalls | None,
        library: LibraryCalls,
        faults: FaultInstrument | None,
        kernel: KernelSide | None,
        frames: Frames | None,
        pages: ObserversPages,
        ending: Ending,
        release: Release,
        look: LastLook,
        until: Marks | None,
    ) -> None:
        self._sink = sink
        self._ending = ending
        self._release = release
        self._look = look
        self.crossings = Crossings(sink, wanted)
        self._follower = follower
        self._allocator = allocator
        self._library = library
        self._faults = faults
        self._kernel = kernel
        self._pages = pages
        self.images = Images(sink, allocator, library, pages, until)
        self._registers = RegisterSet()
        self._births = Births(sink)
        self._huge_pages = HugePages(sink) if frames is not None else None
        self._unsampled = Unsampled(sink) if faults is not None else None
        self.started = 0
        self.births = 0
        self.not_observed: dict[str, str] = {}
        self.intervals: FaultIntervals | None = None
        self.traps = TrapWatch(pages)
        self.own_filters: set[str] = set()
        self.selectors = self.crossings.selectors
        self.unreadable = look.unreadable
        self._programs = Programs(sink, self.images, library, pages, look.unreadable)

    def breakpoint_hit(self, task: Task, registers: RegisterSet) -> bool:
        """See Watcher."""
        if self.intervals is not None:
            self.intervals.at_stop(task)
        if self._follower.hit(task, registers):
            self.selectors[NATIVE.mode_of(registers.words[NATIVE.registers.mode])] += 1
            if task.memory is not None and self.traps.concerns(task):
                self.traps.put_back(task, task.memory)
            return True
        return False

    @property
    def faults_before(self) -> int:
        """What the counters of the first program held as it began."""
        return self._programs.faults_before

    def syscall_entered(self, task: Task, entry: tuple[int, ...]) -> bool:
        """See Watcher."""
        if not task.has_exec:
            return False
        if self.intervals is not None:
            self.intervals.at_stop(task)
        _now, _op, arch, _ip, _sp, foreign, *words = entry
        number, args = as_native(arch, foreign, tuple(words))
        followed = self._unsampled is not None and self._unsampled.entered(task, entry, number, args)
        if self._huge_pages is not None:
            self._huge_pages.entered(task, number, args, entry[0])
        wanted = self.crossings.wants(arch, foreign)
        if wanted:
            self.crossings.entered(task, entry)
        if number == _SIGRETURN:
            self._follower.handler_returned(task)
        elif number in (_EXECVE, _EXECVEAT) and self._allocator is not None and not is_shared(task.memory, task.pid):
            self._allocator.settle(task)
        if number in _TRAP_CALLS:
            self.traps.entered(task, number, args, bits=architecture_of(arch).bits)
        returns = number == _SIGRETURN and self.traps.is_returning(task)
        return wanted or returns or followed or number in _ALWAYS_FOLLOWED

    def syscall_left(self, task: Task, entry: tuple[int, ...], result: int | None) -> None:
        """See Watcher."""
        now = time.monotonic_ns()
        arch, foreign = entry[2], entry[5]
        number, args = as_native(arch, foreign, entry[6:])
        is_exec = number in (_EXECVE, _EXECVEAT)
        has_exec = result == 0 and is_exec  # into memory of its own, told of in a moment
        if is_exec and task.memory is not None:
            task.left_program = result is None or (result < 0 and task.memory.is_abandoned)
        if self.intervals is not None and result is not None and not has_exec:
            if result >= 0:
                self.intervals.changed(task, number, args, result)
            self.intervals.at_stop(task)
        if self._unsampled is not None:
            self._unsampled.left(task, entry, number, result, now)
        if self.crossings.wants(arch, foreign):
            self.crossings.left(task, entry, result, now)
        if number in _TRAP_CALLS and result is not None:
            self.traps.left(task, number, worked=result == 0)
        elif number == _SIGRETURN and result is not None and self.traps.is_returning(task):
            self.traps.handler_left(task)
        if result is not None and result >= 0:
            self._follow(task, number, args, result, now)
        elif result is not None and is_partly_done(number, args, result):
            note_all(self._sink, task, self._programs.readable_mappings(task), now)

    def _follow(self, task: Task, number: int, args: tuple[int, ...], result: int, now: int) -> None:
        if self._allocator is not None:
            self._text_changed(self._allocator, task, number, args, result)
        if self._unsampled is not None:
            self._unsampled.succeeded(task, number, args, now)
        if self._huge_pages is not None:
            self._huge_pages.succeeded(task, number, args, result)
        if number == _MMAP and "anonymous" not in map_flags(args[3]):
            executable = "x" in protection_of(args[2])
            self.images.mapped(task, args[4], result, args[1], now, executable=executable)
        elif number in (_MPROTECT, _PKEY_MPROTECT) and "x" in protection_of(args[2]):
            self.images.made_executable(task, args[0], args[1], now)
        elif (number, args[0]) == (_PRCTL, PR_SET_TSC):
            self._follower.clock_changed(task, is_there=args[1] != _TSC_SIGSEGV)
        elif (number, args[0]) in ((_PRCTL, _PR_SET_SECCOMP), (_SECCOMP, _SET_MODE_FILTER)):
            self.own_filters.add("the program filters its own system calls: what its filter answers makes no stop")
        note_remapped(self._sink, task, number, args, result, now)

    @staticmethod
    def _text_changed(allocator: AllocatorCalls, task: Task, number: int, args: tuple[int, ...], result: int) -> None:
        """Take breakpoints off the list that went with their pages; see to those whose pages may have changed."""
        if number in _CHANGING_TEXT:
            is_writable = number != _MADVISE and "w" in protection_of(args[2])
            allocator.text_changed(task, args[0], args[0] + args[1], is_writable=is_writable)
        elif task.memory is None:
            return
        elif number == _MUNMAP or (number == _MREMAP and result != args[0]):
            task.memory.unmapped(args[0], args[0] + args[1])
        elif number == _MMAP:
            task.memory.forget(result, result + args[1])  # what was mapped there before

    def executing(self, task: Task) -> None:
        """See Watcher."""
        self._follower.ended(task)

    def executed(self, task: Task, former_tid: int, *, joins: bool = False) -> None:
        """See Watcher; *joins*: until now the process was not followed."""
        first = self.started == 0
        if first:
            self.prepare(task.tid)
        elif self._faults is not None:
            if procfs.has_lost_its_events(task.pid):
                self._faults.reopen(task.tid)
                self._tell_rings(self._faults)
                self._faults.pace(task.tid)
            elif joins or former_tid != task.tid:
                self._faults.ended(former_tid)
                self._faults.pace(task.tid)
        if self.intervals is not None:
            if first or joins:
                self.intervals.begin(task)
            else:
                self.intervals.executed(task, former_tid)
        self.traps.executed(task)
        self._programs.begin(task, former_tid, first=first, joins=joins)

    def prepare(self, tid: int) -> None:
        """The first program is about to run: have the kernel record for us."""
        self.started = 1
        self._start_faults(tid)
        self._start_kernel_side(tid)

    def pause(self) -> None:
        """Record no page faults for now: the recording is still to begin."""
        if self._faults is not None:
            self._faults.pause()

    def joined(self, task: Task, threads: Collection[Task], *, is_root: bool) -> None:
        """See Joining."""
        for each in (task, *threads):
            if self._faults is not None:
                self._faults.pace(each.tid)
            if self.intervals is not None:
                self.intervals.begin(each)
        self.traps.executed(task)
        self._programs.begin(task, task.tid, threads, first=is_root, joins=True, is_exec=False)

    def go_on(self) -> None:
        """The recording begins."""
        if self._faults is not None:
            self._faults.go_on()

    def _tell_rings(self, faults: FaultInstrument) -> None:
        self._sink.notes.append(Rings(t=time.monotonic_ns(), major_ids=tuple(faults.major_ids)))

    def _start_faults(self, tid: int) -> None:
        if self._faults is None:
            return
        try:
            self._faults.start(tid)
            self._faults.pace(tid)
            self._tell_rings(self._faults)
        except CannotObserve as error:
            self.not_observed["faults"] = f"{error.what}: {error.why}; {error.remedy}"
            self._faults = self._unsampled = None
            if self._follower.inline is not None:
                self._follower.inline.allows = False  # pages are told from calls by the stops between
            self.intervals = FaultIntervals(self._sink)

    def _start_kernel_side(self, tid: int) -> None:
        if self._kernel is None:
            return
        try:
            for note in self._kernel.start(tid):
                self._sink.notes.append(note)
        except CannotObserve as error:
            self.not_observed["kernel"] = f"{error.what}: {error.why}; {error.remedy}"

    def born(self, parent: Task, child: Task, how: str) -> bool:
        """See Watcher."""
        self.births += 1
        if self._follower.inline is not None and how == "vfork":
            self._follower.inline.lend(parent, child)
        elif self._follower.inline is not None and child.memory is not None and child.memory is parent.memory:
            self._follower.inline.shared(child.memory)
        if self.intervals is not None:
            self.intervals.born(parent, child)
        self._sink.notes.append(
            Born(
                pid=parent.pid, tid=parent.tid, t=time.monotonic_ns(), how=how, child=child.tid,
                child_pid=child.pid, shares=child.memory is parent.memory, begun=len(child.frames),
            )
        )  # fmt: skip
        self.traps.forked(parent, child)
        self._births.born(parent, child)
        if self._huge_pages is not None:
            self._huge_pages.born(parent, child)
        return how == "clone" and self._follower.inline is not None and self._follower.inline.born(parent, child)

    def reunited(self, parent: Task) -> None:
        """See Watcher."""
        if self._follower.inline is not None:
            self._follower.inline.reunited(parent)

    def signalled(self, task: Task, number: int) -> bool:
        """See Watcher."""
        if not task.has_exec:
            return True
        if self._faults is not None and self._faults.is_halt(task.tid, number):
            self._faults.relieve()
            if self._kernel is not None:
                self._kernel.relieve()
            return False
        if self._follower.steps_through_ours(task, number, self._registers):
            return False
        self._delivered(task, number)
        return True

    def _delivered(self, task: Task, number: int) -> None:
        self._follower.interrupted(task, self._registers)
        note_signal(self._sink, task, self._registers)
        self.selectors[NATIVE.mode_of(self._registers.words[NATIVE.registers.mode])] += 1
        blocked, caught = procfs.signal_sets(task.tid)
        if not caught >> (number - 1) & 1:
            return
        self.traps.delivering(task, number, blocked)
        if task.frames:
            self._follower.handler_began(task, self._registers.words[NATIVE.registers.sp])

    def ready(self, task: Task) -> None:
        """See Watcher."""
        if self._faults is not None and self.started:
            self._faults.pace(task.tid)
        if self._follower.inline is not None:
            self._follower.inline.ready(task)

    def idle(self) -> bool:
        """See Watcher."""
        return self._ending.is_due()

    def relieved(self, tasks: Collection[Task], halt: Halt) -> Watcher | None:
        """See Watcher: the recording ends."""
        for task in tasks:
            if task.entered is not None and task.has_exec:
                self.syscall_left(task, task.entered, None)
            if self.intervals is not None and task.has_exec:
                self.intervals.ended(task)
        self._release.end(tasks, halt, self._ending.why, "stopped" if self._ending.stops else "released")
        return None if self._ending.stops else Bystander()

    def left_alone(self, task: Task) -> None:
        """*task* is not followed any longer."""
        if self._faults is not None:
            self._faults.ended(task.tid)
        if self.intervals is not None:
            self.intervals.ended(task)

    def exiting(self, task: Task, status: int, last: bool) -> None:
        """See Watcher."""
        self._follower.ended(task)
        if self.intervals is not None:
            self.intervals.ended(task)
        counters = procfs.task_counters(task.pid, task.tid)
        now = time.monotonic_ns()
        self._sink.notes.append(
            Exiting(pid=task.pid, tid=task.tid, t=now, minor=counters.minor, major=counters.major, last=last)
        )
        if last and not task.left_program and not is_shared(task.memory, task.pid):
            self._look.take(task, now)

    def gone(self, task: Task, status: int) -> None:
        """See Watcher."""
        if task.entered is not None:
            self.syscall_left(task, task.entered, None)
        if self._faults is not None:
            self._faults.ended(task.tid)
        self._follower.ended(task)  # killed in the very moment we resumed it, it passes its exit stop unseen
        self._sink.notes.append(Gone(pid=task.pid, tid=task.tid, t=time.monotonic_ns(), status=status))
