"""The replay of a run in time order: causes, places and words for every address.

One state a process: mappings, code, live pieces. A piece lives from the return of the call that made it to the entry of
the call that gave it back. What is held is what is open: calls, live pieces, and the parts that have open calls.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.model.addresses import is_numbered
from observer.model.events import ChunkRef, Site
from observer.recording.notes import (
    Born,
    Copied,
    Detached,
    End,
    Exec,
    MappedFile,
    MappedImage,
    Region,
    Snapped,
    Walked,
)
from observer.recording.records import CARRIED_OUT, RETURNED
from observer.trace.call_replay import CallReplay
from observer.trace.call_rows import CallRows
from observer.trace.callers import Callers, Samples
from observer.trace.evidence import Lives as Processes
from observer.trace.evidence import huge_pages_asked
from observer.trace.executing import Executing
from observer.trace.findings import Findings
from observer.trace.frames import Frames
from observer.trace.kernel_side import KernelJoin
from observer.trace.known_callers import LIBRARY
from observer.trace.lives import Lives
from observer.trace.part import Part, PartMaker
from observer.trace.process import ProcessState, apply_grant, apply_release, renamed
from observer.trace.snapshots import as_taken
from observer.trace.spooled import Spooled
from observer.trace.stacks import StackTable
from observer.trace.timeline import Moments, Timeline

__all__ = ["replayed"]

_UNPLACED: Final = ("unknown", "allocator")  # where perf is refused no instruction is known: outside calls, inside
_ENOMEM: Final = 12
_PUSHED: Final = NATIVE.popped // NATIVE.word
"""Words that a call pushes."""
_NOWHERE: Final = Site()
_NOTE, _LIBRARY_BEGAN, _SYSCALL_BEGAN, _SYSCALL_ENDED, _CALL_BEGAN, _CALL_ENDED, _FAULT, _SNAPPED = range(8)
"""What happens, in the order in which it does so at one time."""
_RENAMING: Final = (Born, Copied, Detached, End, Exec, MappedFile, MappedImage, Region)
"""Notes that change the names of addresses, or whose they are."""

Integers = npt.NDArray[np.int64]


def replayed(
    spooled: Spooled, findings: Findings, lives: Processes, *, residency: bool, all_syscalls: bool = False,
    most_held: int = 4, stacks: StackTable | None = None,
) -> Iterator[Part]:  # fmt: skip
    """Yield the events of a recording in their order, with causes and names, part by part; fill in the *findings*.

    The processes among *lives* are given their fault samples.

    Args:
        residency: whether frames were saved.
        all_syscalls: whether every system call was recorded.
        stacks: takes the stacks of calls, where callers were asked for.
        most_held: parts that wait for a call to end; one that waits for a lock may be under way for as long as the run.
    """
    timeline = Timeline(spooled)
    maker = PartMaker(spooled, findings.sites, all_syscalls=all_syscalls)
    frames = Frames(spooled) if residency else None
    kernel = KernelJoin(findings.kernel) if len(spooled.kernel) else None
    replay = _Replay(spooled, findings, stacks)
    held: deque[Part] = deque()
    for moments in timeline.windows():
        part = maker.part(moments, timeline.start)
        replay.run(moments, part, timeline.start)
        if frames is not None:
            findings.has_visible_frames |= frames.fill(moments.faults.records, part.faults)
        if kernel is not None:
            kernel.join(moments, part)
        lives.see(moments.faults.records)
        findings.asks_for_huge_pages |= huge_pages_asked(part.syscalls)
        findings.events += len(part)
        findings.last_ns = max(findings.last_ns, part.last_ns)
        held.append(part)
        while held and (not held[0].open or len(held) > most_held):
            yield held.popleft()
    replay.finish()
    yield from held


class _Replay:
    def __init__(self, spooled: Spooled, findings: Findings, stacks: StackTable | None) -> None:
        self._spooled = spooled
        self._out = findings
        self._sites = findings.sites
        self._callers = Callers(spooled.stacks)
        self._states: dict[int, ProcessState] = {}
        self._executing = Executing(spooled.notes)
        self._lives = Lives(spooled, findings, self._states, self._callers.of_stack)
        loaders = {os.path.basename(image.path) for image in findings.images if image.role == "loader"}
        self._calls = CallReplay(findings.sites, self._callers, self._state, loaders, stacks)
        self._open_syscalls: list[_Syscall] = []
        self._open_library_sites: list[int] = []

    def run(self, moments: Moments, part: Part, start: int) -> None:
        """Replay one window; times of events count from *start*."""
        self._lives.begin(part, start, moments.lives)
        self._moments, self._part, self._start = moments, part, start
        self._snaps = [note for note in moments.notes if isinstance(note, Snapped)]
        self._take_rows(moments)
        whats, indexes = self._ticks(moments)
        began_at, ended_at = np.flatnonzero(whats == _CALL_BEGAN), np.flatnonzero(whats == _CALL_ENDED)
        self._rows = self._calls.begin(
            moments, part, began_at, indexes[ended_at], ended_at, len(whats), self._library_sites
        )  # fmt: skip
        self._others = np.flatnonzero((whats != _CALL_BEGAN) & (whats != _CALL_ENDED))
        self._whats, self._indexes = whats[self._others].tolist(), indexes[self._others].tolist()
        at = taken = 0
        for i in self._parting():
            self._stretch(taken, i, at, int(self._others[i]))
            at, taken = int(self._others[i]) + 1, i + 1
            self._happens(i)
        self._stretch(taken, len(self._others), at, len(whats))
        self._name_what_lies_in_calls(moments, part, self._rows)
        self._calls.end()
        self._open_syscalls = [call for call in self._syscalls if call.ended >= moments.high]
        ends = np.concatenate([moments.open_libraries["ended"], moments.libraries.records["ended"]]).tolist()
        self._open_library_sites = [
            site for site, ended in zip(self._library_sites, ends, strict=True) if ended >= moments.high
        ]  # fmt: skip

    def finish(self) -> None:
        """Count what is alive at the end."""
        for state in {id(state): state for state in self._states.values()}.values():
            self._out.live_bytes += state.live.bytes
            self._out.live_chunks += len(state.live)

    def _parting(self) -> list[int]:
        """Return which of the other ticks need to know what is alive, or change whose it is."""
        return [i for i, what in enumerate(self._whats) if what == _SNAPPED or (what == _NOTE and self._parts(i))]

    def _parts(self, i: int) -> bool:
        note = self._moments.notes[self._indexes[i]]
        return isinstance(note, Exec | Walked) or (isinstance(note, Born) and note.child_pid != note.pid)

    def _stretch(self, first: int, last: int, low: int, high: int) -> None:
        """Replay the positions from *low* up to *high*, the other ticks from *first* up to *last* among them."""
        calls = self._calls
        calls.begin_stretch(low, high)
        self._find_holders(first, last)
        for i in range(first, last):
            if calls.next_odd < self._others[i]:
                calls.judge(int(self._others[i]))
            self._happens(i)
        calls.end_stretch(high)

    def _find_holders(self, first: int, last: int) -> None:
        """Find the pieces that faults among these other ticks lie in."""
        at = [i for i in range(first, last) if self._whats[i] == _FAULT]
        rows = np.array([self._indexes[i] for i in at], dtype=np.int64)
        faults = self._moments.faults.records[rows]
        pids = faults["pid"].astype(np.int64)
        held = self._calls.held(pids, faults["address"], self._others[np.array(at, dtype=np.int64)])
        self._holders = dict(zip(rows.tolist(), held, strict=True))

    def _happens(self, i: int) -> None:
        what, index, position = self._whats[i], self._indexes[i], int(self._others[i])
        if what == _FAULT:
            self._fault(index)
        elif what == _SYSCALL_BEGAN:
            self._syscall_began(index, position)
        elif what == _SYSCALL_ENDED:
            self._syscall_ended(index, position)
        elif what == _LIBRARY_BEGAN:
            self._library_began(index)
        elif what == _SNAPPED:
            self._snapped(index)
        else:
            self._note(index, position)

    def _take_rows(self, moments: Moments) -> None:
        # Plain lists: one element of a record array costs as much as the work done on it.
        syscalls, faults = moments.syscalls.records, moments.faults.records
        names = self._part.syscalls.texts["name"]
        of_syscalls = ("pid", "flags", "result", "ended", "ip", "stack", "a0", "a1", "a2", "a3", "a4", "a5")
        records = zip(*(syscalls[name].tolist() for name in of_syscalls), strict=True)
        self._syscalls = list(self._open_syscalls)
        self._syscalls += [_Syscall(name or "", *rest) for name, rest in zip(names, records, strict=True)]
        of_faults = ("pid", "address", "user_ip", "time")
        self._fault_rows = list(zip(*(faults[name].tolist() for name in of_faults), strict=True))
        self._samples = Samples(faults)
        self._rings: list[int] = self._part.faults.numbers["ring"].tolist()
        self._syscall_calls: list[int] = moments.syscall_calls.tolist()
        self._syscall_library: list[int] = moments.syscall_libraries.tolist()
        self._fault_calls: list[int] = moments.fault_calls.tolist()
        self._fault_library: list[int] = moments.fault_libraries.tolist()
        self._library_sites = [*self._open_library_sites, *[0] * len(moments.libraries.records)]

    def _ticks(self, moments: Moments) -> tuple[Integers, Integers]:
        """Return (what, index) of everything that happens in a window, in time order; *what* is one of the eight.

        Ends that lie behind the window wait for theirs.
        """
        notes = np.array([note.t for note in moments.notes], dtype=np.uint64)
        ends_of_syscalls = np.array([call.ended for call in self._syscalls], dtype=np.uint64)
        calls, open_calls = moments.calls.records, moments.open_calls
        # What ended when the next call began ended first, though a call may begin and end at one time: clocks are
        # coarse.
        both = np.stack([calls["began"], calls["ended"]], axis=1).ravel()
        parts = (
            (_NOTE, notes), (_LIBRARY_BEGAN, moments.libraries.records["began"]),
            (_SYSCALL_BEGAN, moments.syscalls.records["began"]), (_SYSCALL_ENDED, ends_of_syscalls),
            (_CALL_ENDED, open_calls["ended"]), (_CALL_BEGAN, both),
            (_FAULT, moments.faults.records["time"]),
            (_SNAPPED, np.array([note.t for note in self._snaps], dtype=np.uint64)),
        )  # fmt: skip
        times = np.concatenate([part for _what, part in parts])
        whats = np.concatenate([np.full(len(part), what, dtype=np.int8) for what, part in parts])
        indexes = np.concatenate([np.arange(len(part), dtype=np.int64) for _what, part in parts])
        first = sum(len(part) for _what, part in parts[:5])
        whats[first + 1 : first + len(both) : 2] = _CALL_ENDED
        indexes[first : first + len(both)] //= 2
        indexes[first + 1 : first + len(both) : 2] += len(open_calls)
        order = np.argsort(times, kind="stable")
        order = order[: np.searchsorted(times[order], np.uint64(moments.high), side="left")]
        return whats[order], indexes[order]

    def _name_what_lies_in_calls(self, moments: Moments, part: Part, rows: CallRows) -> None:
        """Give what lies in calls of the allocator their places, which are known of all of them by now."""
        for columns, inside in ((part.syscalls, moments.syscall_calls), (part.faults, moments.fault_calls)):
            for index in np.flatnonzero(inside >= 0).tolist():
                columns.found["site"][index] = int(rows.site[inside[index]])

    def _state(self, pid: int) -> ProcessState:
        state = self._states.get(pid)
        if state is None:
            state = self._states[pid] = ProcessState()
        return state

    def _note(self, index: int, position: int) -> None:
        note = self._moments.notes[index]
        if isinstance(note, _RENAMING):
            self._calls.name(position)
        self._lives.take(index, note)

    def _snapped(self, index: int) -> None:
        """A heap was walked at the return of a call, which is among those that are known still: it ended just now."""
        note, moments = self._snaps[index], self._moments
        calls = np.concatenate([moments.open_calls, moments.calls.records])
        mine = calls["pid"] == note.pid
        own = np.nonzero(mine & (calls["tid"] == note.tid) & (calls["ended"] == note.t))[0]
        if not len(own):
            return  # the record of that call is damaged, and told as lost
        under_way = int((mine & (calls["began"] <= note.t) & (calls["ended"] > note.t)).sum())
        chunks, state = self._spooled.snapshots.of(note), self._state(note.pid)
        n = int(self._rows.n[own[0]])
        self._out.snapshots.append(as_taken(note, chunks, state, n=n, start=self._start, under_way=under_way))

    # ---- library calls ---------------------------------------------------------------------------------------

    def _library_began(self, index: int) -> None:
        record = self._moments.libraries.records[index]
        state = self._state(int(record["pid"]))
        ip, stack = int(record["site"]), int(record["stack"])
        site = state.code.site_at(ip)
        if stack:
            piece = self._callers.piece(stack, ip + 1, state.code.word)
            role = state.code.role_at(ip)
            if piece is not None and role in LIBRARY:
                caller = state.code.caller_in_program(piece.above(ip + 1, _PUSHED), at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        number = self._sites.number(site)
        self._part.into_libraries.found["site"][index] = number
        self._library_sites[len(self._open_library_sites) + index] = number

    def _site_of(self, library: int, found: Site) -> int:
        """Return the number of *found*, or of the library call that something lies in: walks end at its trap."""
        return self._library_sites[library] if library >= 0 else self._sites.number(found)

    # ---- system calls ---------------------------------------------------------------------------------------

    def _syscall_began(self, index: int, position: int) -> None:
        record = self._syscalls[len(self._open_syscalls) + index]
        state = self._state(record.pid)
        if record.is_replayed:
            self._calls.name_within(position, *renamed(state, record.name, record.args))
            apply_release(state, record.name, record.args)
        inside = self._syscall_calls[index]
        if inside >= 0:
            self._calls.grows(inside, record.name, position)
        else:
            library = self._syscall_library[index]
            site = self._callers.of_stack(state, record.ip - 1, record.stack) if library < 0 else _NOWHERE
            self._part.syscalls.found["site"][index] = self._site_of(library, site)

    def _syscall_ended(self, index: int, position: int) -> None:
        record = self._syscalls[index]
        if record.is_replayed:
            state = self._state(record.pid)
            self._calls.name_within(position, *renamed(state, record.name, record.args, record.result))
            apply_grant(state, record.name, record.args, record.result)

    # ---- page faults ----------------------------------------------------------------------------------------

    def _fault(self, index: int) -> None:
        pid, address, ip, time = self._fault_rows[index]
        columns = self._part.faults
        ring, inside = self._rings[index], self._fault_calls[index]
        state = (self._executing.state_at(pid, time, address) if ring == 0 else None) or self._state(pid)
        role, library = state.code.role_at(ip), self._fault_library[index]
        if not role and library >= 0:
            role = "libc"  # the vDSO's code, which is of no file, on behalf of whom called it
        state.fault(address)
        columns.texts["where"][index] = state.where(address)
        columns.texts["mapping"][index] = state.mapping_name(address)
        if ring == 3:
            columns.texts["access"][index] = "exec" if ip == address else state.code.access_at(ip)
        if inside < 0:
            piece = self._samples.piece(index, state.code.word) if role in LIBRARY else None
            site = self._callers.of_piece(state, ip, piece)
            columns.found["site"][index] = self._site_of(library if site.line is None else -1, site)
        chunk = self._holders[index] or self._calls.in_making(inside, address)
        placed = ip or chunk is not None
        toucher = _toucher(ring, role, in_call=inside >= 0) if placed else _UNPLACED[inside >= 0]
        columns.texts["toucher"][index] = toucher
        if chunk is not None:
            columns.found["chunk_call"][index] = chunk.call
            columns.found["chunk_address"][index] = chunk.address
            columns.found["chunk_size"][index] = chunk.size
        if self._brings_frame(index, chunk):
            state.blocks.touch(address)

    def _brings_frame(self, index: int, chunk: ChunkRef | None) -> bool:
        """Whether a fault brought a frame to memory that malloc manages; a read finds the shared page of zeros."""
        texts = self._part.faults.texts
        mapping, toucher = texts["mapping"][index] or "", texts["toucher"][index]
        mallocs = chunk is not None or mapping == "[heap]" or (toucher == "allocator" and is_numbered(mapping))
        return mallocs and texts["access"][index] != "read"


class _Syscall:
    """One system call during the replay: what it takes away happens at its entry, what it gives at its return."""

    __slots__ = ("_flags", "args", "ended", "ip", "name", "pid", "result", "stack")

    def __init__(
        self, name: str, pid: int, flags: int, result: int, ended: int, ip: int, stack: int, *args: int
    ) -> None:  # fmt: skip
        self.name, self.pid, self.result, self.ended = name, pid, result, ended
        self.ip, self.stack = ip, stack
        self._flags, self.args = flags, args

    @property
    def is_replayed(self) -> bool:
        """Whether it changed the address space, as far as its kind does."""
        if self.name == "madvise" and self.result == -_ENOMEM:
            return True  # the parts that are mapped took the advice (madvise(2))
        return self._flags & (RETURNED | CARRIED_OUT) != 0 and not -4096 < self.result < 0


def _toucher(ring: int, role: str, *, in_call: bool) -> str:
    if ring == 0:
        return "kernel"
    if in_call:
        return "allocator"
    return role if role in LIBRARY else "program"
