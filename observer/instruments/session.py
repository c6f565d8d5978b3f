"""One run of a program under all the instruments, from launch to the end of its last task."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from observer.arch.known import FOREIGN, NATIVE
from observer.code.compat import foreign_by_argument, foreign_numbers, numbers_anywhere
from observer.code.syscalls import numbers_of
from observer.files import Folder
from observer.instruments.allocator import AllocatorCalls
from observer.instruments.bcc import BccWitness
from observer.instruments.call_stacks import CallStacks
from observer.instruments.chosen import Chosen
from observer.instruments.ending import Ending
from observer.instruments.faults import FaultInstrument, FaultTotals
from observer.instruments.foresight import foresee
from observer.instruments.heap_snapshots import HeapSnapshots
from observer.instruments.heaps import Heaps
from observer.instruments.kernel_side import KernelSide
from observer.instruments.last_look import LastLook
from observer.instruments.marks import Marks
from observer.instruments.meanwhile import Meanwhile
from observer.instruments.observed import ObserversPages
from observer.instruments.prelude import Prelude
from observer.instruments.probes import LibraryCalls
from observer.instruments.recorders import Recorder, breakpoints, chosen, head_beside, how_recorded
from observer.instruments.release import Release
from observer.instruments.snapshot import Frames
from observer.instruments.watch import Watch, own_syscalls
from observer.linux import procfs
from observer.linux.seccomp import build_filter, is_allowed
from observer.model.reached import Place
from observer.model.selection import Selection
from observer.model.snapshots import When
from observer.model.through import Through
from observer.recording.room import Room
from observer.recording.sink import Sink
from observer.tracee.affinity import Affinity
from observer.tracee.calls import CallFollower
from observer.tracee.engine import Engine
from observer.tracee.inline.assembled import Stub
from observer.tracee.inline.recorder import InlineRecorder
from observer.tracee.interrupts import Interrupts
from observer.tracee.launch import Start, check_exec, find_program, launch
from observer.tracee.unnoticed import Unnoticed
from observer.tracee.waiting import end_all

_NO_ALLOCATOR: Final = (
    "no function of the malloc family has a symbol in the program or its libraries (a stripped static program?)"
)

__all__ = ["Recording", "Wish", "record", "told_to_nobody"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run and how to watch it; `malloc_functions` are the roles that functions of the program play.

    So many `callers` of each allocator call are kept; functions named `through` are seen through, besides those that
    always are.

    The recording begins when somebody comes to `begin_at`, and ends when somebody comes to `end_at`, or after about
    `max_events`; the program itself is ended after `stop_after`. Of its children only those
    are followed whose programs `follow` names; all, if there are none.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    selection: Selection
    callers: int = 0
    through: tuple[str, ...] = ()
    randomize: bool | None = None
    pin: bool = True
    max_events: int | None = None
    stop_after: int | None = None
    begin_at: Place | None = None
    end_at: Place | None = None
    follow: tuple[str, ...] = ()
    huge_pages: bool = True
    snapshots: tuple[When, ...] = ()
    malloc_functions: Mapping[str, str] = field(default_factory=dict)
    recorder: str = "auto"
    times: bool = False


@dataclass(slots=True)
class Recording:
    """What a finished run leaves beside its records: counts for the ledger, and what could not be done.

    `lost` counts records that could not be stored, by kind; `changed` names the files that somebody else changed.
    `recorder` says how allocator calls were recorded.
    """

    status: int | None
    seconds: float
    totals: dict[str, int]
    notes: list[str]
    not_observed: dict[str, str]
    sees_kernel_faults: bool
    recorder: str = ""
    lost: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def told_to_nobody(events: int, size: int) -> None:
    """Take what a recording has come to, for who does not want to know."""


def record(
    wish: Wish, sink: Sink, folder: Folder, told: Callable[[int, int], None] = told_to_nobody
) -> Recording:  # fmt: skip
    """Run the program to its end and of all it started; records go to *sink*, bulk data into files in *folder*.

    While it runs *told* takes, now and then and on another thread, how many events and bytes there are by now.

    Raises:
        CannotLaunch: the program cannot be started.
        CannotObserve: ptrace is refused, or the recorder that was asked for cannot be had.
    """
    path = find_program(wish.argv[0], wish.environment)
    interrupts = Interrupts()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A descriptor for each process that is followed: as many as we may have, and the program what it would have had.
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    try:
        recording = _Session(wish, path, sink, folder, interrupts, files).run(told)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        interrupts.release()
    # Counted now: one that a terminal sends to both may reach us when the program has already ended by it.
    recording.totals["interrupts"] = len(interrupts.taken)
    return recording


class _Session:
    """The instruments of one run, wired together."""

    def __init__(
        self, wish: Wish, path: str, sink: Sink, folder: Folder, interrupts: Interrupts, files: tuple[int, int]
    ) -> None:
        chosen = wish.selection.instruments
        self._sink = sink
        self._wish = wish
        self._path = path
        self._interrupts = interrupts
        self._files = files
        self._affinity = Affinity(share=wish.pin)
        self._recorder = Recorder(None)
        self._pages = ObserversPages()
        self._follower = CallFollower(self._pages)
        self._snapshots = HeapSnapshots(sink, folder, wish.snapshots) if wish.snapshots else None
        has_calls = "calls" in chosen
        stacks = CallStacks(sink, wish.callers, Through(wish.through)) if wish.callers else None
        calls = AllocatorCalls(sink, self._pages, self._follower, self._snapshots, wish.malloc_functions, stacks)
        self._allocator = calls if has_calls else None
        self._library = LibraryCalls(
            sink, self._follower, library="library" in chosen, vdso=wish.selection.sees_vdso
        )  # fmt: skip
        self._faults = FaultInstrument(folder) if "faults" in chosen else None
        witness = BccWitness(folder) if "bcc" in chosen else None
        syscalls = wish.selection.syscalls
        numbers = numbers_anywhere(syscalls) if syscalls is not None else None
        self._kernel = KernelSide(folder, numbers, witness) if "kernel" in chosen else None
        self._frames = Frames(folder) if "residency" in chosen else None
        self._heaps = Heaps(sink, folder) if "calls" in chosen else None
        self._totals: FaultTotals | None = None
        self._kernel_counts: dict[str, int] = {}
        self._ending = Ending(
            sink, Room(folder), most=wish.max_events, last=wish.stop_after, sampled=self._sampled, bulk=self._bulk
        )  # fmt: skip
        self._until = self._marks(wish.end_at, self._come_to_end)
        self._from = self._marks(wish.begin_at, self._come_to_beginning)
        look = LastLook(sink, self._allocator, self._frames, self._heaps)
        self._watch = Watch(
            sink, wanted=wish.selection.syscalls, follower=self._follower, allocator=self._allocator,
            library=self._library, faults=self._faults, kernel=self._kernel, frames=self._frames, pages=self._pages,
            ending=self._ending, release=Release(sink, self._follower, look, self._close_rings), look=look,
            until=self._until,
        )  # fmt: skip
        self._chosen = Chosen(self._watch, sink, self._follower, wish.follow) if wish.follow else None
        self._prelude = None
        if self._from is not None:
            self._prelude = Prelude(self._from, self._follower, self._chosen or self._watch, self._watch)

    def _marks(self, place: Place | None, reached: Callable[[], None]) -> Marks | None:
        return Marks(place, self._follower, self._pages, reached) if place is not None else None

    def _come_to_end(self) -> None:
        if self._until is not None:
            self._ending.ask(f"--until {self._until.text}")
            self._engine.halt()

    def _come_to_beginning(self) -> None:
        if self._prelude is not None and not self._prelude.is_due:
            self._prelude.is_due = True
            self._engine.halt()

    def run(self, told: Callable[[int, int], None]) -> Recording:
        program_filter = self._filter() if is_allowed() else None
        if self._kernel is not None:
            self._kernel.prepare()
        if self._allocator is not None:  # before anything is counted: a compiler's page faults are not the program's
            self._recorder = chosen(self._wish.recorder, self._wish.selection, self._wish.snapshots, self._wish.callers)
            foresee(self._path)
        if self._faults is not None:
            self._faults.prepare()
        if self._kernel is not None:
            self._kernel.settle()
        before = procfs.child_counters()
        start = Start(
            path=self._path, argv=self._wish.argv, environment=self._wish.environment, program_filter=program_filter,
            processor=self._affinity.processor, randomize=self._wish.randomize, signal_mask=self._interrupts.mask,
            huge_pages=self._wish.huge_pages, files=self._files,
        )  # fmt: skip
        watcher = self._prelude or self._chosen or self._watch
        engine = self._engine = Engine(watcher, self._affinity, filtered=program_filter is not None)
        inline = self._follower.inline = self._inline_recorder(engine, self._recorder.stub)
        launched = launch(start)
        meanwhile = Meanwhile(engine, inline, self._ending, told)
        self._interrupts.watch(launched.pid, engine.known, engine.delivered, meanwhile.pace, meanwhile.filled)
        began = time.monotonic_ns()
        status, totals = self._follow(engine, launched.pid)
        if inline is not None:
            inline.finish()
        seconds = (time.monotonic_ns() - began) / 1e9
        check_exec(launched.report, self._path)
        return self._result(engine, status, seconds, totals, procfs.child_counters().total - before.total)

    def _inline_recorder(self, engine: Engine, stub: Stub | None) -> InlineRecorder | None:
        if self._allocator is None or stub is None:
            return None
        try:
            return InlineRecorder(
                stub, self._sink, self._pages, self._allocator,
                filled=self._interrupts.hurry, users=engine.users, enough=self._recorder.enough,
                stacks=bool(self._wish.callers),
                head=head_beside(self._faults, times=self._wish.times or self._kernel is not None),
            )  # fmt: skip
        except OSError as error:
            self._recorder = breakpoints(
                self._wish.recorder, f"no memory can be made executable here ({error.strerror})"
            )
            return None

    def _filter(self) -> bytes:
        selection = self._wish.selection
        if selection.syscalls is None:
            return build_filter(None, None)
        by_argument = Unnoticed().by_argument
        own = own_syscalls(calls=self._allocator is not None, faults=self._faults is not None)
        own |= Unnoticed.NUMBERS
        own |= Affinity.SYSCALLS if self._affinity.processor is not None else frozenset()
        native = numbers_of(selection.syscalls, NATIVE.calls.audit) | own
        foreign = foreign_numbers(own)
        if FOREIGN is not None:
            foreign |= numbers_of(selection.syscalls, FOREIGN.calls.audit)
        return build_filter(native, foreign, by_argument, foreign_by_argument(by_argument))

    def _follow(self, engine: Engine, root: int) -> tuple[int | None, FaultTotals]:
        self._affinity.enter()
        try:
            status = engine.run(root)
        except BaseException:
            end_all(engine.known())
            raise
        finally:
            self._affinity.leave()
            totals = self._close_rings()
        return status, totals

    def _sampled(self) -> int:
        """Return how many page faults were recorded by now."""
        return self._faults.recorded if self._faults is not None else 0

    def _bulk(self) -> int:
        """Return how many bytes of samples were written by now."""
        return sum(file.size for kind in (self._faults, self._kernel) if kind is not None for file in kind.files)

    def _close_rings(self) -> FaultTotals:
        """Have the kernel record no more for us, if it still does; return the counts of page faults."""
        if self._totals is None:
            self._totals = FaultTotals(0, 0, None) if self._faults is None else self._faults.stop()
            self._kernel_counts = {} if self._kernel is None else self._kernel.stop()
        return self._totals

    def _asked(self, witness: BccWitness) -> list[str]:
        """Note what bcc could not be asked."""
        if witness.refused:
            self._watch.not_observed["bcc"] = witness.refused
        return [f"handle_mm_fault is not timed: {witness.kprobes_refused}"] if witness.kprobes_refused else []

    def _not_stored(self) -> list[str]:
        """Say what there was no room for."""
        kinds = {"page-fault samples": self._faults, "kernel events": self._kernel, "page frames": self._frames,
                 "heaps": self._heaps, "snapshots of heaps": self._snapshots}  # fmt: skip
        failed = {name: kind.error for name, kind in kinds.items() if kind is not None}
        return [f"{name} were lost: {error.strerror}" for name, error in failed.items() if error is not None]

    def _not_reached(self, option: str, marks: Marks | None) -> list[str]:
        """Say that nobody came to a place at which the recording was to begin, or to end."""
        if marks is None or self._ending.why:
            return []
        why = "nobody came there" if marks.is_known else "no file that was loaded has it"
        return [f"{option} {marks.text}: {why}"]

    def _lived(self) -> list[str]:
        """Say what is not known as the recording began in the midst of the run."""
        if self._from is None:
            return []
        return [f"recorded from {self._from.text} on: pieces that were handed out before are not known"]

    def _close_files(self) -> list[str]:
        """Close the files of bulk data; return the names of those that somebody else has changed."""
        files = [file for bulk in (self._faults, self._kernel) if bulk is not None for file in bulk.files]
        files += [bulk.file for bulk in (self._frames, self._heaps, self._snapshots) if bulk is not None]
        changed = [file.name for file in files if not file.is_as_written()]
        for file in files:
            file.close()
        return changed

    def _result(
        self, engine: Engine, status: int | None, seconds: float, faults: FaultTotals, rusage_faults: int
    ) -> Recording:
        watch = self._watch
        planting, brought_in = self._pages.result()
        self._pages.close()
        counts = {
            **watch.crossings.counts(), **self._library.counts(), "faults_counted": faults.counted,
            "faults_lost": faults.lost, "births": watch.births,
            "rusage_faults": rusage_faults, "pages_by_planting": planting, "pages_by_observer": brought_in,
            "pages_pushed": self._pages.pushed,
            "stops": engine.stops, "stumbles": sum(engine.stumbles.values()), **self._kernel_counts,
        }  # fmt: skip
        counts |= {f"stops_cs_{selector:#x}": count for selector, count in watch.selectors.items()}
        if faults.with_failed is not None:
            counts["faults_with_failed"] = faults.with_failed
        if watch.intervals is not None:
            counts["faults_unplaced"] = watch.intervals.total - watch.intervals.placed
        if not self._pages.exact:
            counts["pages_unknown"] = 1
        followed = self._follower.stuck | self._library.notes
        notes: list[str] = sorted(watch.own_filters | watch.unreadable | followed | engine.unnoticed.notes)
        if engine.unnoticed.asks_usage:
            notes.append(
                f"the program's own fault counters (getrusage) began at {watch.faults_before}: taken before its exec"
            )
        notes += [f"{count} stops could not be followed: {why}" for why, count in engine.stumbles.items()]
        if watch.own_filters:
            counts["own_filters"] = 1
        if self._allocator is not None:
            counts |= self._allocator.counts()
            notes += sorted(watch.images.unobserved)
            notes += sorted(watch.traps.disturbed) + self._allocator.altered
            if self._follower.exchanged:
                count, whose = self._follower.exchanged, "its" if self._follower.exchanged == 1 else "their"
                notes.append(
                    f"{count} call{'' if count == 1 else 's'} ended in another file's function (memset, say): for that "
                    f"while {whose} return address was ours"
                )
            if self._follower.unread:
                notes.append(
                    f"{self._follower.unread} times the stack of a process that forbids it (PR_SET_DUMPABLE) could "
                    "not be read or written: such calls have no line, or no end"
                )
            notes += [f"{name} is not observed: {why}" for name, why in self._allocator.refused.items()]
            notes += [f"no file that was loaded has a function {name}" for name in self._allocator.nowhere]
            if not self._allocator.planted:
                watch.not_observed["calls"] = _NO_ALLOCATOR
        if self._kernel is not None and self._kernel.witness is not None:
            notes += self._asked(self._kernel.witness)
        notes += self._chosen.notes if self._chosen is not None else []
        began = self._prelude is None or self._prelude.is_due
        notes += self._not_reached("--from", self._from) if not began else self._lived()
        notes += self._not_reached("--until", self._until) if began else []
        notes += self._not_stored() + (self._snapshots.notes if self._snapshots is not None else [])
        sees_faults = self._faults is not None and "faults" not in watch.not_observed
        return Recording(
            status=status, seconds=seconds, totals=counts, notes=notes, not_observed=dict(watch.not_observed),
            sees_kernel_faults=sees_faults and self._faults is not None and self._faults.sees_kernel,
            changed=self._close_files(),
            recorder=how_recorded(
                self._follower.inline, self._allocator.counts()["calls_returned"],
                self._allocator.inline, self._recorder.why,
            ) if self._allocator is not None else "",
        )  # fmt: skip
