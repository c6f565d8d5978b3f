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

from observer.glibc.chunks import HEADER
from observer.model.addresses import is_numbered
from observer.model.chapter import GROWING, steps_of
from observer.model.events import ChunkRef, Site, is_glibc
from observer.model.operations import FAMILY
from observer.recording.notes import Snapped
from observer.recording.records import CARRIED_OUT, RETURNED
from observer.trace.callers import LIBRARY, Callers, Samples
from observer.trace.evidence import Lives as Processes
from observer.trace.evidence import huge_pages_asked
from observer.trace.findings import Findings
from observer.trace.frames import Frames
from observer.trace.kernel_side import KernelJoin
from observer.trace.lives import Lives
from observer.trace.misuses import Misuses
from observer.trace.open_call import OpenCall
from observer.trace.part import Part, PartMaker
from observer.trace.process import ProcessState, apply_grant, apply_release
from observer.trace.snapshots import as_taken
from observer.trace.spooled import Spooled
from observer.trace.timeline import Moments, Timeline

__all__ = ["replayed"]

_UNPLACED: Final = ("unknown", "allocator")  # where perf is refused no instruction is known: outside calls, inside
_ENOMEM: Final = 12
_NOWHERE: Final = Site()
_NOTE, _LIBRARY_BEGAN, _SYSCALL_BEGAN, _SYSCALL_ENDED, _CALL_BEGAN, _CALL_ENDED, _FAULT, _SNAPPED = range(8)
"""What happens, in the order in which it does so at one time."""


def replayed(
    spooled: Spooled, findings: Findings, lives: Processes, *, residency: bool, all_syscalls: bool = False,
    most_held: int = 16,
) -> Iterator[Part]:  # fmt: skip
    """Yield the events of a recording in their order, with causes and names, part by part; fill in the *findings*.

    The processes among *lives* are given their fault samples.

    Args:
        residency: whether frames were saved.
        all_syscalls: whether every system call was recorded.
        most_held: parts that wait for a call to end; one that waits for a lock may be under way for as long as the run.
    """
    timeline = Timeline(spooled)
    maker = PartMaker(spooled, findings.sites, all_syscalls=all_syscalls)
    frames = Frames(spooled) if residency else None
    kernel = KernelJoin(findings.kernel) if len(spooled.kernel) else None
    replay = _Replay(spooled, findings)
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
        held.append(part)
        while held and (not held[0].open or len(held) > most_held):
            yield held.popleft()
    replay.finish()
    yield from held


class _Replay:
    def __init__(self, spooled: Spooled, findings: Findings) -> None:
        self._spooled = spooled
        self._out = findings
        self._sites = findings.sites
        self._misuses = Misuses(findings.sites)
        self._callers = Callers(spooled.stacks)
        self._loaders = {os.path.basename(image.path) for image in findings.images if image.role == "loader"}
        self._states: dict[int, ProcessState] = {}
        self._lives = Lives(spooled, findings, self._states, self._callers.of_stack)
        self._open_calls: list[OpenCall] = []
        self._open_syscalls: list[_Syscall] = []
        self._open_library_sites: list[int] = []

    def run(self, moments: Moments, part: Part, start: int) -> None:
        """Replay one window; times of events count from *start*."""
        self._lives.begin(part, start, moments.lives)
        self._moments, self._part, self._start = moments, part, start
        self._snaps = [note for note in moments.notes if isinstance(note, Snapped)]
        self._take_rows(moments, part)
        for what, index in zip(*self._ticks(moments), strict=True):
            if what == _CALL_BEGAN:
                self._call_began(index)
            elif what == _CALL_ENDED:
                self._call_ended(index)
            elif what == _FAULT:
                self._fault(index)
            elif what == _SYSCALL_BEGAN:
                self._syscall_began(index)
            elif what == _SYSCALL_ENDED:
                self._syscall_ended(index)
            elif what == _LIBRARY_BEGAN:
                self._library_began(index)
            elif what == _SNAPPED:
                self._snapped(index)
            else:
                self._note(index)
        calls = zip(self._calls, self._call_ends, strict=True)
        self._open_calls = [call for call, ended in calls if ended >= moments.high]
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

    def _take_rows(self, moments: Moments, part: Part) -> None:
        # Plain lists: one element of a record array costs as much as the work done on it.
        calls, syscalls, faults = moments.calls.records, moments.syscalls.records, moments.faults.records
        numbers = part.calls.numbers
        counts = np.where(numbers["has_count"] == 1, numbers["count"], 1).tolist()
        sizes = [size * count for size, count in zip(numbers["size"].tolist(), counts, strict=True)]
        self._calls = list(self._open_calls)
        fields = (
            moments.call_places[len(self._open_calls) :], calls["pid"], calls["op"], calls["flags"] & RETURNED,
            numbers["errno"], calls["a0"], calls["result"], calls["ret"], calls["stack"],
        )  # fmt: skip
        rows = zip(*(field.tolist() for field in fields), sizes, strict=True)
        self._calls += [
            OpenCall(part, row, n, pid, FAMILY[op], returned, failed, pointer, result, size, back, stack)
            for row, (n, pid, op, returned, failed, pointer, result, back, stack, size) in enumerate(rows)
        ]
        self._call_ends: list[int] = np.concatenate([moments.open_calls["ended"], calls["ended"]]).tolist()
        part.open += len(calls)
        names = part.syscalls.texts["name"]
        of_syscalls = ("pid", "flags", "result", "ended", "ip", "stack", "a0", "a1", "a2", "a3", "a4", "a5")
        records = zip(*(syscalls[name].tolist() for name in of_syscalls), strict=True)
        self._syscalls = list(self._open_syscalls)
        self._syscalls += [_Syscall(name or "", *rest) for name, rest in zip(names, records, strict=True)]
        self._fault_rows = list(zip(*(faults[name].tolist() for name in ("pid", "address", "user_ip")), strict=True))
        self._samples = Samples(faults)
        self._rings: list[int] = part.faults.numbers["ring"].tolist()
        self._syscall_calls: list[int] = moments.syscall_calls.tolist()
        self._syscall_library: list[int] = moments.syscall_libraries.tolist()
        self._fault_calls: list[int] = moments.fault_calls.tolist()
        self._fault_library: list[int] = moments.fault_libraries.tolist()
        self._call_library: list[int] = moments.call_libraries.tolist()
        self._library_sites = [*self._open_library_sites, *[0] * len(moments.libraries.records)]

    def _ticks(self, moments: Moments) -> tuple[list[int], list[int]]:
        """Return (what, index) of everything that happens in a window, in time order; *what* is one of the eight.

        Ends that lie behind the window wait for theirs.
        """
        notes = np.array([note.t for note in moments.notes], dtype=np.uint64)
        ends_of_syscalls = np.array([call.ended for call in self._syscalls], dtype=np.uint64)
        parts = (
            notes, moments.libraries.records["began"], moments.syscalls.records["began"], ends_of_syscalls,
            moments.calls.records["began"], np.array(self._call_ends, dtype=np.uint64), moments.faults.records["time"],
            np.array([note.t for note in self._snaps], dtype=np.uint64),
        )  # fmt: skip
        times = np.concatenate(parts)
        whats = np.concatenate([np.full(len(part), what, dtype=np.int64) for what, part in enumerate(parts)])
        indexes = np.concatenate([np.arange(len(part), dtype=np.int64) for part in parts])
        order = np.argsort(times, kind="stable")
        order = order[: np.searchsorted(times[order], np.uint64(moments.high), side="left")]
        return whats[order].tolist(), indexes[order].tolist()

    def _state(self, pid: int) -> ProcessState:
        state = self._states.get(pid)
        if state is None:
            state = self._states[pid] = ProcessState()
        return state

    def _note(self, index: int) -> None:
        self._lives.take(index, self._moments.notes[index])

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
        n = self._calls[int(own[0])].n
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
                caller = state.code.caller_in_program(piece.above(ip + 1, 1), at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        number = self._sites.number(site)
        self._part.into_libraries.found["site"][index] = number
        self._library_sites[len(self._open_library_sites) + index] = number

    def _site_of(self, library: int, found: Site) -> int:
        """Return the number of *found*, or of the library call that something lies in: walks end at its trap."""
        return self._library_sites[library] if library >= 0 else self._sites.number(found)

    # ---- allocator calls ------------------------------------------------------------------------------------

    def _call_began(self, index: int) -> None:
        call = self._calls[len(self._open_calls) + index]
        pointer, back = call.pointer, call.back
        state = self._state(call.pid)
        role, site = state.code.caller(back)
        if role in LIBRARY:
            piece = self._callers.piece(call.stack, back, state.code.word)
            if piece is not None:
                # The piece begins at the return address: one word above is the caller's stack.
                caller = state.code.caller_in_program(piece.above(back, 1), at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        library = self._call_library[index]
        if library >= 0 and role not in LIBRARY and site.line is None:
            role = "libc"  # in a static program, code without lines below a call of the program's own
        columns = self._part.calls
        call.site = columns.found["site"][index] = self._site_of(library if role in LIBRARY else -1, site)
        columns.texts["origin"][index] = role if role in LIBRARY else "program"
        if call.operation.releases and pointer:
            self._gives_back(call, state, pointer)

    def _gives_back(self, call: OpenCall, state: ProcessState, pointer: int) -> None:
        allocates = call.operation.allocates
        if not allocates:
            call.columns.texts["where"][call.row] = state.where(pointer)
        given_back = state.live.remove(pointer)
        state.doubts.others.discard(pointer)
        self._misuses.given_back(state, call, pointer, given_back.call if given_back is not None else None)
        if allocates:
            call.given_back = given_back

    def _call_ended(self, index: int) -> None:
        call = self._calls[index]
        call.part.close("call", call.row)
        columns, operation = call.columns, call.operation
        if not call.returned and (operation.allocates or operation.releases):
            self._state(call.pid).doubts.unended += 1
        if not operation.allocates:
            return
        columns.texts["steps"][call.row] = steps_of(operation.name, call.returned, call.growth, failed=call.failed)
        if not call.returned:
            return
        state = self._state(call.pid)
        if call.result:
            self._misuses.handed_out(state, call, call.result)
            state.live.add(ChunkRef(call.n, call.result, call.size))
            state.made_at[call.result] = call.site
            allocator = columns.texts["allocator"][call.row]
            if not is_glibc(allocator):
                state.doubts.others.add(call.result)
                state.doubts.has_others |= allocator not in self._loaders
            columns.texts["where"][call.row] = state.where(call.result)
        elif call.size and call.given_back is not None:
            # A realloc that failed keeps the old piece.
            state.live.add(call.given_back)
            _number, _site, _giver, made_at = state.freed.pop(call.given_back.address, (0, 0, 0, 0))
            state.made_at[call.given_back.address] = made_at

    # ---- system calls ---------------------------------------------------------------------------------------

    def _syscall_began(self, index: int) -> None:
        record = self._syscalls[len(self._open_syscalls) + index]
        state = self._state(record.pid)
        if record.is_replayed:
            apply_release(state, record.name, record.args)
        found = self._part.syscalls.found["site"]
        inside = self._syscall_calls[index]
        if inside >= 0:
            call = self._calls[inside]
            found[index] = call.site
            call.growth += record.name in GROWING
        else:
            library = self._syscall_library[index]
            site = self._callers.of_stack(state, record.ip - 1, record.stack) if library < 0 else _NOWHERE
            found[index] = self._site_of(library, site)

    def _syscall_ended(self, index: int) -> None:
        record = self._syscalls[index]
        if record.is_replayed:
            apply_grant(self._state(record.pid), record.name, record.args, record.result)

    # ---- page faults ----------------------------------------------------------------------------------------

    def _fault(self, index: int) -> None:
        pid, address, ip = self._fault_rows[index]
        state = self._state(pid)
        columns = self._part.faults
        ring, inside = self._rings[index], self._fault_calls[index]
        call = self._calls[inside] if inside >= 0 else None
        role, library = state.code.role_at(ip), self._fault_library[index]
        if not role and library >= 0:
            role = "libc"  # the vDSO's code, which is of no file, on behalf of whom called it
        state.fault(address)
        columns.texts["where"][index] = state.where(address)
        columns.texts["mapping"][index] = state.mapping_name(address)
        if ring == 3:
            columns.texts["access"][index] = "exec" if ip == address else state.code.access_at(ip)
        if call is not None:
            columns.found["site"][index] = call.site
        else:
            piece = self._samples.piece(index, state.code.word) if role in LIBRARY else None
            site = self._callers.of_piece(state, ip, piece)
            columns.found["site"][index] = self._site_of(library if site.line is None else -1, site)
        chunk = state.live.find(address) or _chunk_in_making(call, address)
        placed = ip or chunk is not None
        columns.texts["toucher"][index] = _toucher(ring, call, role) if placed else _UNPLACED[call is not None]
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


def _chunk_in_making(call: OpenCall | None, address: int) -> ChunkRef | None:
    """Return the piece that the call a fault lies in is about to return, if the address is in it or its header."""
    if call is None or not call.operation.allocates or not call.result:
        return None
    if call.result - HEADER <= address < call.result + max(call.size, 1):
        return ChunkRef(call.n, call.result, call.size)
    return None


def _toucher(ring: int, call: OpenCall | None, role: str) -> str:
    if ring == 0:
        return "kernel"
    if call is not None:
        return "allocator"
    return role if role in LIBRARY else "program"
