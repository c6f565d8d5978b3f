"""The replay of a run in time order: causes, places and words for every address.

One state a process: mappings, code, live pieces. A piece lives from the return of the call that made it to the entry of
the call that gave it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from observer.glibc.chunks import HEADER
from observer.instruments.allocator import RETURNED
from observer.instruments.crossings import CARRIED_OUT
from observer.instruments.places import StackPiece
from observer.model.chapter import GROWING, steps_of
from observer.model.events import ChunkRef, Site
from observer.model.operations import FAMILY
from observer.trace.assembly import Assembly, Timeline
from observer.trace.frames import fill_frames
from observer.trace.lives import Lives
from observer.trace.misuses import Misuses
from observer.trace.process import ProcessState, apply_grant, apply_release
from observer.trace.spooled import Spooled

__all__ = ["assemble"]

_LIBRARY: Final = ("libc", "loader")
_UNPLACED: Final = ("unknown", "allocator")  # where perf is refused no instruction is known: outside calls, inside
_PUSHED_BY_VSYSCALL: Final = 3
_MMAP2_UNIT: Final = 4096  # bytes, whatever the page size (mmap2(2))
_ENOMEM: Final = 12


def assemble(spooled: Spooled, *, residency: bool, all_syscalls: bool = False) -> Assembly:
    """Return the events of a recording in their order, with causes and names.

    Args:
        residency: whether frames were saved; *all_syscalls*: whether every system call was recorded.
    """
    timeline = Timeline(spooled)
    assembly = Assembly.of(spooled, timeline)
    _Replay(spooled, timeline, assembly).run()
    if not all_syscalls:
        assembly.into_libraries.numbers["crossings"][:] = -1  # how many there were is not known
    if residency:
        fill_frames(spooled, assembly)
    return assembly


class _Replay:
    def __init__(self, spooled: Spooled, timeline: Timeline, assembly: Assembly) -> None:
        self._spooled = spooled
        self._out = assembly
        self._misuses = Misuses(assembly)
        self._states: dict[int, ProcessState] = {}
        self._lives = Lives(timeline, assembly, self._states, self._stack_site)
        self._call_places: list[int] = timeline.call_places.tolist()
        self._fault_calls: list[int] = timeline.fault_calls.tolist()
        self._syscall_calls: list[int] = timeline.syscall_calls.tolist()
        self._fault_library: list[int] = timeline.fault_library.tolist()
        self._call_library: list[int] = timeline.call_library.tolist()
        self._syscall_library: list[int] = timeline.syscall_library.tolist()
        self._growth = [0] * len(spooled.calls)
        self._given_back: dict[int, ChunkRef] = {}
        # Plain lists: one element of a record array costs as much as the work done on it.
        calls, syscalls, faults = spooled.calls, spooled.syscalls, spooled.faults
        self._call_rows = list(
            zip(*(calls[name].tolist() for name in ("pid", "op", "flags", "a0", "result", "ret", "stack")), strict=True)
        )
        sizes = assembly.calls.numbers["size"].tolist()
        counts = np.where(assembly.calls.numbers["has_count"] == 1, assembly.calls.numbers["count"], 1).tolist()
        self._bytes = [size * count for size, count in zip(sizes, counts, strict=True)]
        self._syscall_rows = list(
            zip(*(syscalls[name].tolist() for name in ("pid", "arch", "flags", "result", "ip", "stack")), strict=True)
        )
        self._syscall_args = list(zip(*(syscalls[f"a{i}"].tolist() for i in range(6)), strict=True))
        self._syscall_names: list[str] = assembly.syscalls.texts["name"].tolist()
        self._fault_rows = list(zip(*(faults[name].tolist() for name in ("pid", "address", "user_ip")), strict=True))
        self._rings: list[int] = assembly.faults.numbers["ring"].tolist()

    def run(self) -> None:
        act: tuple[Callable[[int], None], ...] = (
            self._note, self._library_began, self._syscall_began, self._syscall_ended, self._call_began,
            self._call_ended, self._fault,
        )  # fmt: skip
        for what, index in zip(*self._ticks(), strict=True):
            act[what](index)
        self._steps()
        for state in {id(state): state for state in self._states.values()}.values():
            self._out.live_bytes += state.live.bytes
            self._out.live_chunks += len(state.live)

    def _ticks(self) -> tuple[list[int], list[int]]:
        """Return (what, index) of everything that happens, in time order; *what* is a place in `act`."""
        spooled = self._spooled
        notes = np.array([note.t for note in spooled.notes], dtype=np.uint64)
        syscalls, calls = spooled.syscalls, spooled.calls
        parts = (
            notes, spooled.into_libraries["began"], syscalls["began"], syscalls["ended"], calls["began"],
            calls["ended"], spooled.faults["time"],
        )  # fmt: skip
        order = np.argsort(np.concatenate(parts), kind="stable")
        whats = np.concatenate([np.full(len(part), what, dtype=np.int64) for what, part in enumerate(parts)])
        indexes = np.concatenate([np.arange(len(part), dtype=np.int64) for part in parts])
        return whats[order].tolist(), indexes[order].tolist()

    def _state(self, pid: int) -> ProcessState:
        state = self._states.get(pid)
        if state is None:
            state = self._states[pid] = ProcessState()
        return state

    def _note(self, index: int) -> None:
        self._lives.take(self._spooled.notes[index])

    # ---- places ---------------------------------------------------------------------------------------------

    def _piece(self, number: int, ip: int, word: int) -> StackPiece | None:
        if not 0 < number <= len(self._spooled.stacks):
            return None
        record = self._spooled.stacks[number - 1]
        sp, bp, bx = (int(record[name]) for name in ("sp", "bp", "bx"))
        return StackPiece(ip, sp, bp, bx, record["bytes"].tobytes(), word)

    def _stack_site(self, state: ProcessState, ip: int, number: int) -> Site:
        """Return the program's own place that led to *ip*: *ip* itself, or the caller found on saved stack *number*."""
        piece = self._piece(number, ip, state.code.word)
        if state.code.role_at(ip) in _LIBRARY:
            return self._caller_site(state, ip, piece)
        if piece is not None and state.code.image_at(ip) is None:
            return self._site_around(state, ip, piece)
        return state.code.site_at(ip)

    @staticmethod
    def _site_around(state: ProcessState, ip: int, piece: StackPiece) -> Site:
        """Return the program's place that called code of no file: data jumped into, or i386's door in the vDSO.

        What was called last has its return address lowest on the stack; the vDSO pushed three registers below it.
        """
        for words in (0, _PUSHED_BY_VSYSCALL):
            back = piece.word(piece.sp + words * piece.size)
            if back is None or not state.code.is_behind_call(back):
                continue
            if state.code.role_at(back - 1) not in _LIBRARY:
                return state.code.site_before(back)
            caller = state.code.caller_in_program(piece.above(back, words + 1), at_call=True)
            return state.code.site_before(caller if caller is not None else back)
        return state.code.site_at(ip)

    @staticmethod
    def _caller_site(state: ProcessState, ip: int, piece: StackPiece | None) -> Site:
        caller = state.code.caller_in_program(piece) if piece is not None else None
        return state.code.site_before(caller) if caller is not None else state.code.site_at(ip)

    # ---- library calls ---------------------------------------------------------------------------------------

    def _library_began(self, index: int) -> None:
        record = self._spooled.into_libraries[index]
        state = self._state(int(record["pid"]))
        ip, stack = int(record["site"]), int(record["stack"])
        site = state.code.site_at(ip)
        if stack:
            piece = self._piece(stack, ip + 1, state.code.word)
            role = state.code.role_at(ip)
            if piece is not None and role in _LIBRARY:
                caller = state.code.caller_in_program(piece.above(ip + 1, 1), at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        self._out.into_libraries.numbers["site"][index] = self._out.sites.number(site)

    def _site_of(self, library: int, found: Site) -> int:
        """Return the number of *found*, or of the library call that something lies in: walks end at its trap."""
        if library >= 0:
            return int(self._out.into_libraries.numbers["site"][library])
        return self._out.sites.number(found)

    # ---- allocator calls ------------------------------------------------------------------------------------

    def _call_began(self, index: int) -> None:
        pid, op, _flags, pointer, _result, back, stack = self._call_rows[index]
        state = self._state(pid)
        role = state.code.role_at(back)
        site = state.code.site_before(back)
        if role in _LIBRARY:
            piece = self._piece(stack, back, state.code.word)
            if piece is not None:
                # The piece begins at the return address: one word above is the caller's stack.
                caller = state.code.caller_in_program(piece.above(back, 1), at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        library = self._call_library[index]
        if library >= 0 and role not in _LIBRARY and site.line is None:
            role = "libc"  # in a static program, code without lines below a call of the program's own
        self._out.calls.numbers["site"][index] = self._site_of(library if role in _LIBRARY else -1, site)
        self._out.calls.texts["origin"][index] = role if role in _LIBRARY else "program"
        if FAMILY[op].releases and pointer:
            self._gives_back(index, state, pointer, allocates=FAMILY[op].allocates)

    def _gives_back(self, index: int, state: ProcessState, pointer: int, *, allocates: bool) -> None:
        if not allocates:
            self._out.calls.texts["where"][index] = state.where(pointer)
        given_back = state.live.remove(pointer)
        self._misuses.given_back(state, index, pointer, given_back.call if given_back is not None else None)
        if allocates and given_back is not None:
            self._given_back[index] = given_back

    def _call_ended(self, index: int) -> None:
        pid, op, flags, _pointer, result, _back, _stack = self._call_rows[index]
        operation = FAMILY[op]
        if not operation.allocates or not flags & RETURNED:
            return
        state = self._state(pid)
        size = self._bytes[index]
        if result:
            self._misuses.handed_out(state, index, result)
            state.live.add(ChunkRef(self._call_places[index], result, size))
            self._out.calls.texts["where"][index] = state.where(result)
        elif size and index in self._given_back:
            state.live.add(self._given_back[index])  # a realloc that failed keeps the old piece
            state.freed.pop(self._given_back[index].address, None)
        self._given_back.pop(index, None)

    # ---- system calls ---------------------------------------------------------------------------------------

    def _syscall_began(self, index: int) -> None:
        pid, _arch, _flags, _result, ip, stack = self._syscall_rows[index]
        state = self._state(pid)
        if self._is_replayed(index):
            apply_release(state, *self._as_native(index))
        call = self._syscall_calls[index]
        if call >= 0:
            self._out.syscalls.numbers["site"][index] = self._out.calls.numbers["site"][call]
            self._growth[call] += self._syscall_names[index] in GROWING
        else:
            library = self._syscall_library[index]
            site = self._stack_site(state, ip - 1, stack) if library < 0 else Site()
            self._out.syscalls.numbers["site"][index] = self._site_of(library, site)

    def _is_replayed(self, index: int) -> bool:
        _pid, _arch, flags, result, _ip, _stack = self._syscall_rows[index]
        if self._syscall_names[index] == "madvise" and result == -_ENOMEM:
            return True  # the parts that are mapped took the advice (madvise(2))
        return flags & (RETURNED | CARRIED_OUT) != 0 and not -4096 < result < 0

    def _as_native(self, index: int) -> tuple[str, tuple[int, ...]]:
        """Return name and arguments of a system call; i386's mmap2, which counts its offset in pages, as mmap."""
        name, args = self._syscall_names[index], self._syscall_args[index]
        return ("mmap", (*args[:5], args[5] * _MMAP2_UNIT)) if name == "mmap2" else (name, args)

    def _syscall_ended(self, index: int) -> None:
        if self._is_replayed(index):
            pid, result = self._syscall_rows[index][0], self._syscall_rows[index][3]
            apply_grant(self._state(pid), *self._as_native(index), result)

    # ---- page faults ----------------------------------------------------------------------------------------

    def _fault(self, index: int) -> None:
        pid, address, ip = self._fault_rows[index]
        state = self._state(pid)
        out = self._out.faults
        ring, call = self._rings[index], self._fault_calls[index]
        role, library = state.code.role_at(ip), self._fault_library[index]
        if not role and library >= 0:
            role = "libc"  # the vDSO's code, which is of no file, on behalf of whom called it
        state.fault(address)
        out.texts["where"][index] = state.where(address)
        out.texts["mapping"][index] = state.mapping_name(address)
        if ring == 3:
            out.texts["access"][index] = "exec" if ip == address else state.code.access_at(ip)
        if call >= 0:
            out.numbers["site"][index] = self._out.calls.numbers["site"][call]
        else:
            piece = self._fault_piece(index, state.code.word) if role in _LIBRARY else None
            site = self._caller_site(state, ip, piece)
            out.numbers["site"][index] = self._site_of(library if site.line is None else -1, site)
        chunk = state.live.find(address) or self._chunk_in_making(call, address)
        out.texts["toucher"][index] = _toucher(ring, call, role) if ip or chunk is not None else _UNPLACED[call >= 0]
        if chunk is not None:
            out.numbers["chunk_call"][index] = chunk.call
            out.numbers["chunk_address"][index] = chunk.address
            out.numbers["chunk_size"][index] = chunk.size
        if self._brings_frame(index, chunk):
            state.blocks.touch(address)

    def _brings_frame(self, index: int, chunk: ChunkRef | None) -> bool:
        """Whether a fault brought a frame to memory that malloc manages; a read finds the shared page of zeros."""
        texts = self._out.faults.texts
        mapping, toucher = texts["mapping"][index] or "", texts["toucher"][index]
        mallocs = chunk is not None or mapping == "[heap]" or (toucher == "allocator" and mapping.startswith("map#"))
        return mallocs and texts["access"][index] != "read"

    def _fault_piece(self, index: int, word: int) -> StackPiece | None:
        record = self._spooled.faults[index]
        if "stack" not in (record.dtype.names or ()):
            return None
        data = record["stack"].tobytes()[: int(record["stack_length"])]
        ip, sp = int(record["user_ip"]), int(record["user_sp"])
        return StackPiece(ip, sp, int(record["user_bp"]), int(record["user_bx"]), data, word)

    def _chunk_in_making(self, call: int, address: int) -> ChunkRef | None:
        """Return the piece that the call a fault lies in is about to return, if the address is in it or its header."""
        if call < 0:
            return None
        _pid, op, _flags, _pointer, result, _back, _stack = self._call_rows[call]
        size = self._bytes[call]
        if result and FAMILY[op].allocates and result - HEADER <= address < result + max(size, 1):
            return ChunkRef(self._call_places[call], result, size)
        return None

    # ---- after the replay -----------------------------------------------------------------------------------

    def _steps(self) -> None:
        columns = self._out.calls
        table: dict[tuple[str, bool, int, bool], str | None] = {}
        rows = zip(
            columns.texts["op"].tolist(), columns.numbers["returned"].tolist(), self._growth,
            columns.numbers["errno"].tolist(), strict=True,
        )  # fmt: skip
        for i, (op, returned, growth, errno) in enumerate(rows):
            key = (op, bool(returned), growth, bool(errno))
            if key not in table:
                table[key] = steps_of(op, bool(returned), growth, failed=bool(errno))
            columns.texts["steps"][i] = table[key]


def _toucher(ring: int, call: int, role: str) -> str:
    if ring == 0:
        return "kernel"
    if call >= 0:
        return "allocator"
    return role if role in _LIBRARY else "program"
