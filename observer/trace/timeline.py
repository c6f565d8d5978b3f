"""The one order of a run, window by window: when each recorded thing came, and in which call it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from observer.recording.merge import Batch, Window, joined, windows
from observer.recording.notes import Aside, Born, Exec, Exiting, Gone, Handler, Note, Released, Signalled
from observer.trace.order import Elsewhere, enclosing_calls, number
from observer.trace.prologues import Prologues
from observer.trace.spooled import Spooled

__all__ = ["LifeNote", "Moments", "Timeline"]

LifeNote = Signalled | Exec | Born | Gone | Exiting | Released
"""A note that becomes an event, if `is_told`."""

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Moments:
    """The records and notes of one window, and the place n of each in the run.

    `open_calls` and `open_libraries` are what began before and had not ended; an index of a call, or of a call into a
    library, counts those first, then the window's own, and so do `call_places` and `library_places`. -1 is none.
    """

    high: int
    notes: Sequence[Note]
    lives: dict[int, int]
    """Places of the notes that become events, by their index among `notes`."""
    calls: Batch
    call_places: Integers
    syscalls: Batch
    syscall_places: Integers
    faults: Batch
    fault_places: Integers
    kernel: Batch
    libraries: Batch
    library_places: Integers
    open_calls: Records
    open_libraries: Records
    syscall_calls: Integers
    fault_calls: Integers
    call_libraries: Integers
    syscall_libraries: Integers
    fault_libraries: Integers
    asking: Integers
    """For each system call in a library call that itself lies in one: the index of the outer one."""


class Timeline:
    """Numbers a recording. `start` is the time of the first event (of the first window's, once there is one)."""

    def __init__(self, spooled: Spooled) -> None:
        self._spooled = spooled
        self._notes = sorted(spooled.notes, key=lambda note: note.t)
        self._prologues = Prologues(self._notes)
        self._taken = self._low = 0
        self._away: list[Elsewhere] = []
        self._open_calls = np.empty(0, dtype=spooled.calls.layout)
        self._open_libraries = np.empty(0, dtype=spooled.into_libraries.layout)
        self._open_call_places = self._open_library_places = np.empty(0, dtype=np.int64)
        self.start = 0
        self.count = 0

    def windows(self) -> Iterator[Moments]:
        """Yield the recording in windows, in order."""
        spooled = self._spooled
        kinds = {
            "library": spooled.into_libraries, "call": spooled.calls, "syscall": spooled.syscalls,
            "fault": spooled.faults, "kernel": spooled.kernel,
        }  # fmt: skip
        inlets = {kind: stored.inlets() for kind, stored in kinds.items()}
        inlets["kernel"] += spooled.witness.inlets()
        for window in windows(inlets, {kind: stored.time for kind, stored in kinds.items()}):
            yield self._moments(window)

    def _moments(self, window: Window) -> Moments:
        notes = self._next_notes(window.high)
        told = [i for i, note in enumerate(notes) if isinstance(note, LifeNote) and _is_told(note)]
        libraries, calls, syscalls, faults = (window.batches[kind] for kind in ("library", "call", "syscall", "fault"))
        calls = self._prologues.before_pushes(calls, self._open_calls, faults.records)
        times = [
            np.array([notes[i].t for i in told], dtype=np.uint64),
            libraries.records["began"], calls.records["began"], syscalls.records["began"], faults.records["time"],
        ]  # fmt: skip
        self.start = self.start or min((int(part[0]) for part in times if len(part)), default=0)
        places = [part + self.count for part in number(times)]
        self.count += sum(map(len, places))
        call_places = np.concatenate([self._open_call_places, places[2]])
        library_places = np.concatenate([self._open_library_places, places[1]])
        open_calls, open_libraries = self._open_calls, self._open_libraries
        all_calls = joined([open_calls, calls.records] if len(open_calls) else [calls.records])
        all_libraries = joined([open_libraries, libraries.records] if len(open_libraries) else [libraries.records])
        self._go_elsewhere(notes, all_calls)
        self._low = window.high
        are_open = all_calls["ended"] >= window.high
        self._open_calls, self._open_call_places = all_calls[are_open], call_places[are_open]
        are_open = all_libraries["ended"] >= window.high
        self._open_libraries, self._open_library_places = all_libraries[are_open], library_places[are_open]
        syscall_libraries = _within(all_libraries, syscalls.records, "began", "sp")
        made = syscall_libraries[syscall_libraries >= 0]
        return Moments(
            high=window.high, notes=notes, lives=dict(zip(told, places[0].tolist(), strict=True)),
            calls=calls, call_places=call_places, syscalls=syscalls, syscall_places=places[3],
            faults=faults, fault_places=places[4], kernel=window.batches["kernel"],
            libraries=libraries, library_places=library_places,
            open_calls=open_calls, open_libraries=open_libraries,
            syscall_calls=_within(all_calls, syscalls.records, "began", "sp", self._away),
            fault_calls=_within(all_calls, faults.records, "time", "user_sp", self._away),
            call_libraries=_within(all_libraries, calls.records, "began", "sp"),
            syscall_libraries=syscall_libraries,
            fault_libraries=_within(all_libraries, faults.records, "time", "user_sp"),
            asking=enclosing_calls(
                all_libraries, all_libraries["tid"][made], all_libraries["began"][made] - np.uint64(1),
                all_libraries["sp"][made],
            ),
        )  # fmt: skip

    def _next_notes(self, high: int) -> list[Note]:
        first = self._taken
        while self._taken < len(self._notes) and self._notes[self._taken].t < high:
            self._taken += 1
        return self._notes[first : self._taken]

    def _go_elsewhere(self, notes: Sequence[Note], calls: Records) -> None:
        """Learn when threads were in signal handlers in the midst of a call, or on another coroutine's stack."""
        self._away = [away for away in self._away if away.ended >= self._low]
        for note in notes:
            if isinstance(note, Handler):
                self._away.append(Elsewhere(note.tid, note.t, note.end))
            elif isinstance(note, Aside):
                # Until the call returns that was set aside: when its coroutine went on is not known.
                open_ones = calls["ended"][(calls["sp"] == note.sp) & (calls["began"] < note.t)]
                ended = open_ones[open_ones >= note.t]
                self._away.append(Elsewhere(note.tid, note.t, int(ended.min()) if len(ended) else note.t))


def _within(
    calls: Records, things: Records, time: str, stack_pointer: str, away: Sequence[Elsewhere] = ()
) -> Integers:  # fmt: skip
    return enclosing_calls(calls, things["tid"], things[time], things[stack_pointer], away)


def _is_told(note: LifeNote) -> bool:
    """Whether a note of an end becomes an event: a process when it is gone, a thread when it begins to exit.

    A thread's way out ends after that, when who waits for it may go on already.
    """
    is_thread = note.tid != note.pid
    return is_thread == isinstance(note, Exiting) if isinstance(note, Gone | Exiting | Released) else True
