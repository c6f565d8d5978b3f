"""From spools to events: one order, causes, and the words for every address, by replaying the run.

The replay goes through everything in time order with one state a process: mappings, code, live pieces. A piece
lives from the return of the call that made it to the entry of the call that gave it back.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.instruments.allocator import RETURNED
from observer.instruments.names import GATES, NATIVE, name_of
from observer.instruments.places import CodeMap, StackPiece
from observer.model.addresses import AddressSpace
from observer.model.events import ChunkRef, Site
from observer.model.machine import Image, ProcessEnd
from observer.model.operations import FAMILY
from observer.story.steps import GROWING, steps_of
from observer.trace.columns import Columns, SiteTable
from observer.trace.order import enclosing_calls, number
from observer.trace.process import ProcessState, apply_grant, apply_release, mappings_from
from observer.trace.spooled import Spooled

__all__ = ["Assembly", "assemble"]

_KERNEL_MISC: Final = 1
_NOTE, _SYSCALL_END, _CALL_BEGIN, _CALL_END, _SYSCALL, _FAULT = range(6)
_PAGE: Final = 4096


@dataclass(slots=True)
class Assembly:
    """Everything a trace holds, as columns and values."""

    calls: Columns
    syscalls: Columns
    faults: Columns
    signals: list[dict[str, Any]] = field(default_factory=list)
    processes: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    sites: SiteTable = field(default_factory=SiteTable)
    images: list[Image] = field(default_factory=list)
    ends: list[ProcessEnd] = field(default_factory=list)
    replayed: dict[int, AddressSpace] = field(default_factory=dict)
    counters: list[dict[str, Any]] = field(default_factory=list)
    populated: list[dict[str, Any]] = field(default_factory=list)
    live_bytes: int = 0
    live_chunks: int = 0
    has_visible_frames: bool = False


def assemble(spooled: Spooled, *, residency: bool) -> Assembly:
    """Return the events of a recording in their order, with causes and names."""
    return _Assembler(spooled, residency=residency).run()


class _Assembler:
    def __init__(self, spooled: Spooled, *, residency: bool) -> None:
        self._spooled = spooled
        self._residency = residency
        calls, syscalls, faults = spooled.calls, spooled.syscalls, spooled.faults
        self._lives = [note for note in spooled.notes if note["what"] in ("signal", "exec", "born", "gone")]
        self._lives = [note for note in self._lives if note["what"] != "gone" or note["tid"] == note["pid"]]
        note_times = np.array([note["t"] for note in self._lives], dtype=np.uint64)
        self._places = number([note_times, calls["began"], syscalls["began"], faults["time"]])
        firsts = [part for part in (note_times, calls["began"], syscalls["began"], faults["time"]) if len(part)]
        self._start = min((int(part.min()) for part in firsts), default=0)
        self._fault_call = enclosing_calls(calls, faults["tid"], faults["time"], faults["user_sp"])
        self._syscall_call = enclosing_calls(calls, syscalls["tid"], syscalls["began"], syscalls["sp"])
        self._states: dict[int, ProcessState] = {}
        self._out = Assembly(
            calls=Columns(
                len(calls),
                ("n", "t_ns", "pid", "tid", "size", "count", "alignment", "pointer", "result", "has_result", "end_ns",
                 "returned", "errno", "site", "inner"),
                ("op", "where", "origin", "steps"),
            ),
            syscalls=Columns(
                len(syscalls),
                ("n", "t_ns", "pid", "tid", "number", "result", "returned", "errno", "ring_before", "end_ns", "cause",
                 "site"),
                ("name", "gate"),
            ),
            faults=Columns(
                len(faults),
                ("n", "t_ns", "pid", "tid", "major", "ring", "chunk_call", "chunk_address", "chunk_size", "cause",
                 "site", "frame"),
                ("where", "access", "mapping", "toucher"),
            ),
        )  # fmt: skip
        self._call_place = self._places[1].tolist()
        self._call_inside = np.zeros(len(calls), dtype=np.int64)

    def run(self) -> Assembly:
        self._plain_columns()
        ticks, whats, indexes = self._ticks()
        act: list[Callable[[int], None]] = [
            self._note, self._syscall_ended, self._call_began, self._call_ended, self._syscall, self._fault,
        ]  # fmt: skip
        del ticks
        for what, index in zip(whats, indexes, strict=True):
            act[what](index)
        self._steps()
        if self._residency:
            self._frames()
        for state in self._distinct_states():
            self._out.live_bytes += state.live.bytes
            self._out.live_chunks += len(state.live)
        return self._out

    def _distinct_states(self) -> list[ProcessState]:
        return list({id(state): state for state in self._states.values()}.values())

    # ---- what needs no replay -------------------------------------------------------------------------------

    def _plain_columns(self) -> None:
        for records, columns, places, time in (
            (self._spooled.calls, self._out.calls, self._places[1], "began"),
            (self._spooled.syscalls, self._out.syscalls, self._places[2], "began"),
            (self._spooled.faults, self._out.faults, self._places[3], "time"),
        ):
            columns.numbers["n"] = places
            columns.numbers["t_ns"] = records[time].astype(np.int64) - self._start
            columns.numbers["pid"] = records["pid"].astype(np.int64)
            columns.numbers["tid"] = records["tid"].astype(np.int64)
        self._plain_calls()
        self._plain_syscalls()
        faults = self._out.faults.numbers
        faults["ring"] = np.where(self._spooled.faults["misc"] & 7 == _KERNEL_MISC, 0, 3)
        faults["cause"] = self._place_of_call(self._fault_call)
        faults["frame"][:] = -1
        faults["chunk_call"][:] = -1

    def _place_of_call(self, indexes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        places = self._places[1]
        if not len(places):
            return np.full(len(indexes), -1, dtype=np.int64)
        return np.where(indexes >= 0, places[np.maximum(indexes, 0)], -1)

    def _plain_calls(self) -> None:
        calls, numbers = self._spooled.calls, self._out.calls.numbers
        numbers["end_ns"] = calls["ended"].astype(np.int64) - self._start
        numbers["returned"] = (calls["flags"] & RETURNED).astype(np.int64)
        numbers["inner"] = calls["inner"].astype(np.int64)
        for role in ("size", "count", "alignment", "pointer"):
            numbers[role] = np.zeros(len(calls), dtype=np.uint64)
            numbers[f"has_{role}"] = np.zeros(len(calls), dtype=np.int64)
        numbers["result"] = calls["result"].copy()
        for i, operation in enumerate(FAMILY):
            chosen = calls["op"] == i
            self._out.calls.texts["op"][chosen] = operation.name
            for role, position in operation.arguments.items():
                if role != "slot":
                    numbers[role][chosen] = calls[f"a{position}"][chosen]
                    numbers[f"has_{role}"][chosen] = 1
            gives = operation.allocates or operation.name in ("malloc_usable_size", "malloc_trim")
            numbers["has_result"][chosen] = numbers["returned"][chosen] if gives else 0
            if operation.name == "malloc_trim":
                numbers["result"][chosen] &= np.uint64(0xFFFF_FFFF)
            if operation.allocates:
                failed = chosen & (calls["result"] == 0) & (numbers["returned"] == 1) & (calls["a0"] != 0)
                numbers["errno"][failed] = 12

    def _plain_syscalls(self) -> None:
        records, numbers, texts = self._spooled.syscalls, self._out.syscalls.numbers, self._out.syscalls.texts
        numbers["number"] = records["number"].astype(np.int64)
        numbers["result"] = records["result"].copy()
        numbers["returned"] = (records["flags"] & RETURNED).astype(np.int64)
        numbers["errno"] = np.where((records["result"] < 0) & (records["result"] > -4096), -records["result"], 0)
        numbers["ring_before"] = (records["cs"] & 3).astype(np.int64)
        numbers["end_ns"] = records["ended"].astype(np.int64) - self._start
        numbers["cause"] = self._place_of_call(self._syscall_call)
        for i in range(6):
            numbers[f"a{i}"] = records[f"a{i}"].copy()
        for arch, number_ in {(int(a), int(n)) for a, n in zip(records["arch"], records["number"], strict=True)}:
            chosen = (records["arch"] == arch) & (records["number"] == number_)
            texts["name"][chosen] = name_of(number_, arch)
            texts["gate"][chosen] = GATES.get(arch, "syscall")

    # ---- the replay -----------------------------------------------------------------------------------------

    def _ticks(self) -> tuple[list[int], list[int], list[int]]:
        spooled = self._spooled
        notes = np.array([note["t"] for note in spooled.notes], dtype=np.uint64)
        parts = (
            (notes, _NOTE), (spooled.syscalls["began"], _SYSCALL), (spooled.syscalls["ended"], _SYSCALL_END),
            (spooled.calls["began"], _CALL_BEGIN), (spooled.calls["ended"], _CALL_END), (spooled.faults["time"], _FAULT),
        )  # fmt: skip
        times = np.concatenate([part for part, _what in parts])
        whats = np.concatenate([np.full(len(part), what, dtype=np.int64) for part, what in parts])
        indexes = np.concatenate([np.arange(len(part), dtype=np.int64) for part, _what in parts])
        order = np.argsort(times, kind="stable")
        return times[order].tolist(), whats[order].tolist(), indexes[order].tolist()

    def _state(self, pid: int) -> ProcessState:
        state = self._states.get(pid)
        if state is None:
            state = self._states[pid] = ProcessState()
        return state

    def _piece(self, number_: int, ip: int) -> StackPiece | None:
        if not 0 < number_ <= len(self._spooled.stacks):
            return None
        record = self._spooled.stacks[number_ - 1]
        return StackPiece(ip, int(record["sp"]), int(record["bp"]), int(record["bx"]), record["bytes"].tobytes())

    def _call_began(self, index: int) -> None:
        record = self._spooled.calls[index]
        state = self._state(int(record["pid"]))
        back = int(record["ret"])
        role = state.code.role_at(back)
        site = state.code.site_before(back)
        if role in ("libc", "loader"):
            piece = self._piece(int(record["stack"]), back)
            if piece is not None:
                piece = StackPiece(back, piece.sp + 8, piece.bp, piece.bx, piece.data[8:])
                caller = state.code.caller_in_program(piece, at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        self._out.calls.numbers["site"][index] = self._out.sites.number(site)
        self._out.calls.texts["origin"][index] = role if role in ("libc", "loader") else "program"
        operation = FAMILY[int(record["op"])]
        if operation.releases:
            pointer = int(record["a0"])
            if not operation.allocates:
                self._out.calls.texts["where"][index] = state.where(pointer) if pointer else None
            # realloc of size 0 frees; a failed realloc keeps: what it gave back is put right at its end.
            state.live.remove(pointer)

    def _call_ended(self, index: int) -> None:
        record = self._spooled.calls[index]
        operation = FAMILY[int(record["op"])]
        if not operation.allocates or not int(record["flags"]) & RETURNED:
            return
        state = self._state(int(record["pid"]))
        result = int(record["result"])
        size = self._bytes_of(index)
        if result:
            state.live.add(ChunkRef(self._call_place[index], result, size))
            self._out.calls.texts["where"][index] = state.where(result)
        elif operation.releases and int(record["a0"]) and size:
            state.live.add(ChunkRef(self._call_place[index], int(record["a0"]), 0))

    def _bytes_of(self, index: int) -> int:
        numbers = self._out.calls.numbers
        size = int(numbers["size"][index])
        return size * int(numbers["count"][index]) if numbers["has_count"][index] else size

    def _syscall(self, index: int) -> None:
        found = self._replayable(index)
        if found is not None:
            apply_release(*found[:3])
        record = self._spooled.syscalls[index]
        state = self._state(int(record["pid"]))
        call = int(self._syscall_call[index])
        if call >= 0:
            site_number = int(self._out.calls.numbers["site"][call])
            if self._out.syscalls.texts["name"][index] in GROWING:
                self._call_inside[call] += 1
        else:
            ip = int(record["ip"])
            site_number = self._out.sites.number(self._site_from(state, ip - 1, self._piece(int(record["stack"]), ip)))
        self._out.syscalls.numbers["site"][index] = site_number

    def _site_from(self, state: ProcessState, ip: int, piece: StackPiece | None) -> Site:
        """Return the program's own place that led to *ip*: *ip* itself, or the caller found on the stack."""
        if piece is not None and state.code.role_at(ip) in ("libc", "loader"):
            caller = state.code.caller_in_program(piece)
            if caller is not None:
                return state.code.site_before(caller)
        return state.code.site_at(ip)

    def _replayable(self, index: int) -> tuple[ProcessState, str, list[int], int] | None:
        """Return (state, name, arguments, result) of a system call whose effect on mappings is to be replayed."""
        record = self._spooled.syscalls[index]
        result = int(record["result"])
        name = self._out.syscalls.texts["name"][index]
        if int(record["arch"]) != NATIVE or not int(record["flags"]) & RETURNED or -4096 < result < 0:
            return None
        args = [int(record[f"a{i}"]) for i in range(6)]
        return self._state(int(record["pid"])), name, args, result

    def _syscall_ended(self, index: int) -> None:
        found = self._replayable(index)
        if found is not None:
            apply_grant(*found)

    def _fault(self, index: int) -> None:
        record = self._spooled.faults[index]
        state = self._state(int(record["pid"]))
        address, ip, sp = int(record["address"]), int(record["user_ip"]), int(record["user_sp"])
        out = self._out.faults
        ring = int(out.numbers["ring"][index])
        call = int(self._fault_call[index])
        out.texts["where"][index] = state.where(address)
        out.texts["mapping"][index] = state.mapping_name(address)
        role = state.code.role_at(ip)
        out.texts["toucher"][index] = _toucher(ring, call, role)
        out.texts["access"][index] = state.code.access_at(ip) if ring == 3 and ip != address else None
        if ip == address and ring == 3:
            out.texts["access"][index] = "exec"
        if call >= 0:
            out.numbers["site"][index] = self._out.calls.numbers["site"][call]
        else:
            piece = None
            if role in ("libc", "loader") and "stack" in (record.dtype.names or ()):
                length = int(record["stack_length"])
                piece = StackPiece(
                    ip, sp, int(record["user_bp"]), int(record["user_bx"]), record["stack"].tobytes()[:length]
                )
            out.numbers["site"][index] = self._out.sites.number(self._site_from(state, ip, piece))
        chunk = state.live.find(address) or self._chunk_in_making(call, address)
        if chunk is not None:
            out.numbers["chunk_call"][index] = chunk.call
            out.numbers["chunk_address"][index] = chunk.address
            out.numbers["chunk_size"][index] = chunk.size

    def _chunk_in_making(self, call: int, address: int) -> ChunkRef | None:
        """Return the piece that the call a fault lies in was about to return, if the address is in it or its header."""
        if call < 0:
            return None
        result = int(self._spooled.calls["result"][call])
        size = self._bytes_of(call)
        if (
            result
            and result - 16 <= address < result + max(size, 1)
            and FAMILY[int(self._spooled.calls["op"][call])].allocates
        ):
            return ChunkRef(self._call_place[call], result, size)
        return None

    # ---- notes ----------------------------------------------------------------------------------------------

    def _note(self, index: int) -> None:
        note = self._spooled.notes[index]
        handler = getattr(self, f"_note_{note['what']}", None)
        if handler is not None:
            handler(note)

    def _n_of(self, note: dict[str, Any]) -> int:
        if not hasattr(self, "_note_places"):
            self._note_places = {id(life): int(place) for life, place in zip(self._lives, self._places[0], strict=True)}
        return self._note_places[id(note)]

    def _life(self, note: dict[str, Any], what: str, **fields: Any) -> None:
        row = {"child": None, "status": None, "path": None, **fields}
        self._out.processes.append(
            {
                "n": self._n_of(note),
                "t_ns": note["t"] - self._start,
                "pid": note["pid"],
                "tid": note["tid"],
                "what": what,
                **row,
            }
        )

    def _note_exec(self, note: dict[str, Any]) -> None:
        space = AddressSpace(mappings_from(note["mappings"]))
        if note["break_start"]:
            space.break_start = space.break_end = note["break_start"]
        self._states[note["pid"]] = ProcessState(space, CodeMap(), path=note["path"])
        self._out.counters.append(note)
        self._life(note, "start" if note["first"] else "exec", path=note["path"])

    def _note_born(self, note: dict[str, Any]) -> None:
        parent = self._state(note["pid"])
        if note["child_pid"] != note["pid"]:
            self._states[note["child_pid"]] = parent if note["shares"] else parent.fork()
        self._life(note, note["how"], child=note["child"])

    def _note_file(self, note: dict[str, Any]) -> None:
        self._state(note["pid"]).files[note["start"]] = note["path"] or "file"

    def _note_image(self, note: dict[str, Any]) -> None:
        image = Image(
            path=note["path"], bias=note["bias"], start=note["start"], end=note["end"], build_id=note["build_id"],
            role=note["role"],
        )  # fmt: skip
        self._state(note["pid"]).code.add(image)
        if image not in self._out.images:
            self._out.images.append(image)

    def _note_signal(self, note: dict[str, Any]) -> None:
        state = self._state(note["pid"])
        ip = note["ip"]
        site = self._site_from(state, ip, self._piece(note["stack"], ip))
        from_fault = note["address"] is not None
        self._out.signals.append({
            "n": self._n_of(note), "t_ns": note["t"] - self._start, "pid": note["pid"], "tid": note["tid"],
            "signal": note["signal"], "code": note["code"], "address": note["address"], "fatal": False, "site": site,
            "instruction": state.code.instruction_at(ip) if from_fault else None,
        })  # fmt: skip

    def _note_exiting(self, note: dict[str, Any]) -> None:
        self._out.counters.append(note)

    def _note_populated(self, note: dict[str, Any]) -> None:
        self._out.populated.append(note)

    def _note_end(self, note: dict[str, Any]) -> None:
        state = self._state(note["pid"])
        self._out.replayed[note["pid"]] = state.space.copy()
        self._out.ends.append(
            ProcessEnd(
                pid=note["pid"], path=note["path"], mappings=tuple(mappings_from(note["mappings"])),
                resident={int(start): rss for start, rss in note["resident"].items()},
                break_start=state.space.break_start or note["break_start"], break_end=state.space.break_end,
                resident_bytes=note["rss"].get("resident", 0), rss_bytes=note["rss"],
            )
        )  # fmt: skip

    def _note_gone(self, note: dict[str, Any]) -> None:
        if note["tid"] != note["pid"]:
            return
        status = note["status"]
        if status & 0x7F == 0:
            self._life(note, "exit", status=status >> 8)
            return
        name = signal.Signals(status & 0x7F).name
        self._life(note, "killed", status=status & 0x7F, path=name)
        for row in reversed(self._out.signals):
            if row["pid"] == note["pid"] and row["signal"] == name:
                row["fatal"] = True
                break

    # ---- after the replay -----------------------------------------------------------------------------------

    def _steps(self) -> None:
        numbers, texts = self._out.calls.numbers, self._out.calls.texts
        table: dict[tuple[str, bool, int], str | None] = {}
        for i, (op, returned, inside) in enumerate(
            zip(texts["op"].tolist(), numbers["returned"].tolist(), self._call_inside.tolist(), strict=True)
        ):
            key = (op, bool(returned), inside)
            if key not in table:
                table[key] = steps_of(op, bool(returned), inside)
            texts["steps"][i] = table[key]

    def _frames(self) -> None:
        """Give each fault the frame that its page had at the process's end."""
        faults = self._spooled.faults
        pages = faults["address"] // np.uint64(_PAGE)
        for note in self._spooled.notes:
            if note["what"] != "end":
                continue
            mine = np.nonzero(faults["pid"] == note["pid"])[0]
            for start, count, at in note["frames"]:
                first = start // _PAGE
                inside = mine[(pages[mine] >= first) & (pages[mine] < first + count)]
                entries = self._spooled.frames[at // 8 + (pages[inside] - np.uint64(first)).astype(np.int64)]
                present = entries >> np.uint64(63) != 0
                frames = (entries & np.uint64((1 << 55) - 1)).astype(np.int64)
                visible = present & (frames != 0)
                self._out.faults.numbers["frame"][inside[visible]] = frames[visible]
                self._out.has_visible_frames |= bool(visible.any())


def _toucher(ring: int, call: int, role: str) -> str:
    if ring == 0:
        return "kernel"
    if call >= 0:
        return "allocator"
    return role if role in ("loader", "libc") else "program"
