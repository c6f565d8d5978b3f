"""Reading spools back: whole after a run, or as far as they are whole after the observer was killed.

Whoever may write the trace's folder may have changed them. A spool is read up to its first damaged record, since
records refer to each other by their numbers; how many lay behind it is told. Nothing is mapped: see `observer.files`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from observer.arch.architecture import GATES
from observer.errors import BadTrace
from observer.files import File, Folder
from observer.instruments.faults import FAULT_STACK, PAGE_SHIFT, SampleLayout
from observer.instruments.names import KINDS
from observer.model.operations import FAMILY
from observer.recording.merge import Inlet, Look, look
from observer.recording.note_lines import read_notes
from observer.recording.notes import (
    FILE,
    Annexed,
    End,
    Interval,
    Layouts,
    Note,
    Snapped,
    Walked,
)
from observer.recording.records import (
    ARGUMENT,
    CALL,
    CALL_STACK,
    CLOCK,
    HEAP_CHUNK,
    INLINE,
    KERNEL_EVENT,
    LIBRARY_CALL,
    SNAPSHOT_CHUNK,
    STACK_PIECE,
    SYSCALL,
    VERSION,
    Layout,
)
from observer.trace.annexes import Annexes
from observer.trace.fault_records import fault_layout, samples_of
from observer.trace.followed import Followed
from observer.trace.inline_calls import InlineCalls
from observer.trace.kernel_records import plausible, readers

__all__ = ["Arguments", "HeapChunks", "Records", "Spooled", "Stacks", "Stored", "read_spools"]

Records = npt.NDArray[np.void]
_Checked = npt.NDArray[np.bool_]

_AT_ONCE: Final = 1 << 18  # bytes
_LATEST: Final = np.uint64(1 << 62)
_LONGEST_NOTE: Final = 1 << 26  # the mappings of a process that has as many as vm.max_map_count may be made
_MOST_NOTES: Final = 1 << 32
_MOST_FRAMES: Final = 1 << 31
_MOST_PLACED: Final = 1 << 24  # pages: of 64 GiB
_FAULTS: Final = re.compile(r"faults\.[0-9]{1,5}\.bin")
_ARGUMENTS: Final = 6


class Stacks:
    """The saved pieces of stack, or callers, each read from its file when it is wanted: there may be gigabytes."""

    def __init__(self, file: File, layout: Layout = STACK_PIECE) -> None:
        self._file, self._layout = file, layout
        self._count = file.size // layout.size

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return the fields of one in the order of their layout."""
        size = self._layout.size
        # Where the file has become shorter meanwhile there is a piece of nothing.
        return self._layout.packed.unpack(self._file.read_at(index * size, size).ljust(size, b"\0"))


class HeapChunks:
    """The chunks of heaps in the *layout* of their file, each heap's read from it when it is wanted."""

    def __init__(self, layout: Layout, file: File | None) -> None:
        self._layout = layout
        self._file = file

    def __len__(self) -> int:
        return self._file.size // self._layout.size if self._file is not None else 0

    def has(self, note: Walked | Snapped) -> bool:
        """Whether the file holds the chunks of this heap."""
        size = self._layout.size
        return note.at % size == 0 and note.at // size + note.count <= len(self)

    def of(self, note: Walked | Snapped) -> Records:
        """Return those of one heap; fewer where the file has become shorter meanwhile."""
        size = self._layout.size
        raw = self._file.read_at(note.at, note.count * size) if self._file is not None else b""
        return np.frombuffer(raw, dtype=self._layout.dtype, count=len(raw) // size)


class Stored:
    """The records of one kind, as numpy record arrays in the order they were written: a piece of some MB at a time.

    `time` is the field that says when a record's thing began, `count` how many there are. `pieces` reads them anew each
    time; a file that somebody changes meanwhile has fewer.
    """

    def __init__(
        self, layout: np.dtype[np.void], time: str, parts: Sequence[Callable[[], Iterator[Records]]]
    ) -> None:  # fmt: skip
        self.layout, self.time = layout, time
        self._parts = list(parts)
        self._looks: list[Look] = [look(part, layout, time) for part in parts]

    def __len__(self) -> int:
        return sum(seen.length for seen in self._looks)

    def add(
        self, part: Callable[[], Iterator[Records]], times: Callable[[], Iterator[npt.NDArray[np.uint64]]]
    ) -> None:  # fmt: skip
        """Add the records of one part more, and what yields their times alone."""
        self._parts.append(part)
        self._looks.append(look(part, self.layout, self.time, times))

    def pieces(self) -> Iterator[Records]:
        """Yield all records."""
        for part in self._parts:
            yield from part()

    def inlets(self) -> list[Inlet]:
        """Return what merges them with others, one inlet a file."""
        firsts = np.cumsum([0, *(seen.length for seen in self._looks)]).tolist()
        each = zip(self._parts, self._looks, firsts, strict=False)
        return [Inlet(pieces, seen, self.time, first) for pieces, seen, first in each]


class Arguments:
    """What system calls' arguments point to, found by the numbers of the calls' records."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._pieces = stored.pieces()
        self._held = np.empty(0, dtype=stored.layout)

    def __len__(self) -> int:
        return len(self._stored)

    def of(self, numbers: npt.NDArray[np.int64]) -> dict[int, dict[int, tuple[int, bytes]]]:
        """Return the kind and the bytes of each argument by its index, for each of the system calls with these record
        *numbers* (from 1).

        To be asked once of each, about in the order in which they were written: what was not asked for yet is held.
        """
        if not len(numbers) or not len(self):
            return {}
        held, last = [self._held], int(numbers.max())
        while not len(held[-1]) or int(held[-1]["syscall"].max()) <= last:
            more = next(self._pieces, None)
            if more is None:
                break
            held.append(more)
        self._held = np.concatenate(held)
        mine = np.isin(self._held["syscall"], numbers.astype(np.uint64))
        found: dict[int, dict[int, tuple[int, bytes]]] = {}
        for syscall, index, what, length, data in self._held[mine].tolist():
            found.setdefault(syscall, {})[index] = what, data[:length]
        self._held = self._held[~mine]
        return found


@dataclass(frozen=True, slots=True)
class Spooled:
    """The records of one recording.

    `damaged` counts the records (of notes.jsonl the lines) of a file that could not be read, `own_faults` the fault
    samples that are left out, as they were taken in memory of the observer's own, `others_faults` those of processes
    that were not followed.
    """

    calls: Stored
    syscalls: Stored
    into_libraries: Stored
    arguments: Stored
    stacks: Stacks
    callers: Stacks
    faults: Stored
    kernel: Stored
    witness: Stored
    notes: list[Note]
    frames: npt.NDArray[np.uint64]
    heaps: HeapChunks
    snapshots: HeapChunks
    damaged: dict[str, int]
    own_faults: int
    others_faults: int


def read_spools(folder: Folder, stack_bytes: int = FAULT_STACK) -> Spooled:
    """Read all spools; a torn last record is left out. Each fault sample has *stack_bytes* of stack.

    Raises:
        BadTrace: a spool is missing, or something else than a file; or its records are of another version.
    """
    return _Reading(folder).all(SampleLayout(stack_bytes))


def read_notes_alone(folder: Folder) -> list[Note]:
    """Return the notes among the spools in *folder*; raises BadTrace as `read_spools`."""
    return _Reading(folder).whole_notes()


class _Reading:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._damaged: Counter[str] = Counter()
        self._own_faults = self._others_faults = 0

    def all(self, layout: SampleLayout) -> Spooled:
        frames, heaps, snapshots = self._frames(), self._chunks(HEAP_CHUNK), self._chunks(SNAPSHOT_CHUNK)
        notes = self._notes(len(frames), heaps, snapshots)
        return Spooled(
            calls=self._calls(notes),
            syscalls=self._records(SYSCALL, _whole_syscalls),
            into_libraries=self._records(LIBRARY_CALL, _in_time),
            arguments=self._records(ARGUMENT, _whole_arguments, "syscall"),
            stacks=Stacks(self._file(STACK_PIECE.file)),
            callers=Stacks(self._file(CALL_STACK.file), CALL_STACK),
            faults=self._faults(fault_layout(layout), notes),
            kernel=Stored(KERNEL_EVENT.dtype, "time", readers(self._folder.names(), self._file, notes, self._damaged)),
            witness=self._witness(),
            notes=notes,
            frames=frames,
            heaps=heaps,
            snapshots=snapshots,
            damaged=dict(+self._damaged),
            own_faults=self._own_faults,
            others_faults=self._others_faults,
        )

    def _file(self, name: str, most: int | None = None) -> File:
        try:
            return self._folder.file(name, most)
        except OSError as error:
            why = f"{name}: {error.strerror or error}"
            raise self._unreadable(why, "remove what observer run has not put there") from error

    def _unreadable(self, why: str, remedy: str) -> BadTrace:
        return BadTrace(f"cannot read the spools in {self._folder.path}", why, remedy)

    def _records(self, layout: Layout, whole: Callable[[Records], _Checked], time: str = "began") -> Stored:
        file, size = self._file(layout.file), layout.size
        count, step = file.size // size, _AT_ONCE // size

        def pieces() -> Iterator[Records]:
            for first in range(0, count, step):
                raw = file.read_at(first * size, min(step, count - first) * size)
                piece = np.frombuffer(raw, dtype=layout.dtype, count=len(raw) // size)
                good = _before_first(whole(piece))
                yield piece[:good]
                if good < min(step, count - first):
                    return

        stored = Stored(layout.dtype, time, [pieces])
        self._damaged[layout.file] = count - len(stored)
        return stored

    def _calls(self, notes: list[Note]) -> Stored:
        """Return all calls: those that the observer recorded, and those that programs recorded themselves."""
        clock = np.concatenate([*self._records(CLOCK, _true, "counter").pieces(), np.empty(0, dtype=CLOCK.dtype)])
        inline = InlineCalls(self._file(INLINE.file), clock, [note for note in notes if isinstance(note, Annexed)])
        calls = Stored(CALL.dtype, "began", [inline.settled(self._records(CALL, _whole_calls).pieces)])
        calls.add(inline.pieces, inline.times)
        self._damaged[INLINE.file] = inline.damaged
        return calls

    def whole_notes(self) -> list[Note]:
        """Return the notes that can be read; of the chunks and frames that they speak of nothing is known yet."""
        notes, self._damaged[FILE] = read_notes(self._file(FILE, _MOST_NOTES).lines(_LONGEST_NOTE))
        for note in notes:
            if isinstance(note, Layouts) and note.version != VERSION:
                why = f"they are of version {note.version}, and this observer reads version {VERSION}"
                raise self._unreadable(why, "the observer that recorded them")
        return [note for note in notes if not isinstance(note, Layouts)]

    def _notes(self, frames: int, heaps: HeapChunks, snapshots: HeapChunks) -> list[Note]:
        notes = self.whole_notes()
        for i, note in enumerate(notes):
            if isinstance(note, End) and any(at % 8 or at // 8 + count > frames for _start, count, at in note.frames):
                notes[i] = msgspec.structs.replace(note, frames=())
                self._damaged["frames.bin"] += 1
            if isinstance(note, Walked | Snapped):
                chunks, layout = (heaps, HEAP_CHUNK) if isinstance(note, Walked) else (snapshots, SNAPSHOT_CHUNK)
                if not chunks.has(note):
                    notes[i] = msgspec.structs.replace(note, count=0, at=0, unread="its chunks are damaged")
                    self._damaged[layout.file] += 1
        return notes

    def _frames(self) -> npt.NDArray[np.uint64]:
        if "frames.bin" not in self._folder.names():
            return np.empty(0, dtype="<u8")
        file = self._file("frames.bin", _MOST_FRAMES)
        return np.frombuffer(file.read_at(0, file.size // 8 * 8), dtype="<u8")

    def _chunks(self, layout: Layout) -> HeapChunks:
        is_there = layout.file in self._folder.names()
        return HeapChunks(layout, self._file(layout.file, _MOST_FRAMES) if is_there else None)

    def _faults(self, dtype: np.dtype[np.void], notes: list[Note]) -> Stored:
        names = sorted(name for name in self._folder.names() if _FAULTS.fullmatch(name))
        annexes = Annexes(notes)
        placed = [note for note in notes if isinstance(note, Interval)]
        if sum(length for note in placed for _first, length in note.pages) > _MOST_PLACED:
            self._damaged[FILE] += len(placed)
            placed = []
        followed = Followed(notes)
        parts = [partial(self._samples, name, self._file(name), dtype, annexes, followed) for name in names]
        stored = Stored(dtype, "time", [*parts, partial(_placed_by_pages, placed, dtype)])
        self._own_faults, self._others_faults = annexes.own_faults, followed.others
        return stored

    def _witness(self) -> Stored:
        if KERNEL_EVENT.file not in self._folder.names():
            return Stored(KERNEL_EVENT.dtype, "time", [])
        return self._records(KERNEL_EVENT, plausible, "time")

    def _samples(
        self, name: str, file: File, dtype: np.dtype[np.void], annexes: Annexes, followed: Followed
    ) -> Iterator[Records]:
        """Take the samples out of what a ring held: most have the same length, but other records lie between them."""
        at = odd = 0
        while raw := file.read_at(at, _AT_ONCE // dtype.itemsize * dtype.itemsize):
            samples, taken = samples_of(raw, dtype)
            found = np.frombuffer(samples, dtype=dtype)
            good = (found["time"] > 0) & (found["time"] < _LATEST)
            odd += int((~good).sum())
            yield annexes.left_out(followed.only(found[good]))
            if not taken:
                break
            at += taken
        self._damaged[name] = odd + (file.size - at) // dtype.itemsize


def _before_first(whole: _Checked) -> int:
    """Return how many records there are before the first that is not whole."""
    return len(whole) if whole.all() else int(np.argmin(whole))


def _in_time(records: Records) -> _Checked:
    checked: _Checked = (records["began"] > 0) & (records["began"] < _LATEST) & (records["ended"] < _LATEST)
    return checked


def _true(records: Records) -> _Checked:
    return np.ones(len(records), dtype=np.bool_)


def _whole_calls(records: Records) -> _Checked:
    return _in_time(records) & (records["op"] < len(FAMILY))


def _whole_syscalls(records: Records) -> _Checked:
    return _in_time(records) & (records["flags"] >> 8 & 3 < len(GATES))


def _whole_arguments(records: Records) -> _Checked:
    checked: _Checked = (
        (records["syscall"] > 0) & (records["syscall"] < _LATEST) & (records["what"] < len(KINDS))
        & (records["index"] < _ARGUMENTS)
    )  # fmt: skip
    return checked


def _placed_by_pages(notes: list[Interval], dtype: np.dtype[np.void]) -> Iterator[Records]:
    """Make faults of the pages that came in between two stops: no instruction, the time of the later stop."""
    step, made, count = _AT_ONCE // dtype.itemsize, [], 0
    for note in notes:
        for first, length in note.pages:
            for start in range(first, first + length, step):
                part = np.zeros(min(step, first + length - start), dtype=dtype)
                part["address"] = np.arange(start, start + len(part), dtype=np.uint64) << np.uint64(PAGE_SHIFT)
                part["pid"], part["tid"], part["time"] = note.pid, note.tid, note.t
                made.append(part)
                count += len(part)
                if count >= step:
                    yield np.concatenate(made)
                    made, count = [], 0
    if made:
        yield np.concatenate(made)
