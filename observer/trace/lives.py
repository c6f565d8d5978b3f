"""The rare things of a replay: processes that begin, exec and end, images, signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from observer.arch.known import NATIVE
from observer.arch.x86_exceptions import exception_of, page_fault_reason, trapped_behind
from observer.instruments.places import CodeMap
from observer.model.addresses import PAGE, AddressSpace
from observer.model.events import Site
from observer.model.machine import Image, ProcessEnd
from observer.model.signals import SI_KERNEL, name_of_signal
from observer.trace.assembly import Assembly, Timeline
from observer.trace.process import ProcessState, mappings_from

__all__ = ["Lives"]

Note = dict[str, Any]


class Lives:
    """Takes notes in time order; changes the processes' states and adds their events.

    `stack_site` names the program's place for (state, instruction pointer, number of a saved piece of stack).
    """

    def __init__(
        self,
        timeline: Timeline,
        assembly: Assembly,
        states: dict[int, ProcessState],
        stack_site: Callable[[ProcessState, int, int], Site],
    ) -> None:
        self._start = timeline.start
        self._places = {id(note): int(n) for note, n in zip(timeline.lives, timeline.life_places, strict=True)}
        self._out = assembly
        self._states = states
        self._stack_site = stack_site
        self._signalled_at: dict[int, tuple[int, int]] = {}
        self._handlers: dict[str, Callable[[Note], None]] = {
            "exec": self._exec, "born": self._born, "copied": self._copied, "region": self._region,
            "detached": self._detached, "file": self._file, "image": self._image, "leaving": self._leaving,
            "signal": self._signal, "end": self._end, "gone": self._gone, "exiting": self._exiting,
        }  # fmt: skip

    def take(self, note: Note) -> None:
        """Replay one note."""
        handler = self._handlers.get(note["what"])
        if handler is not None:
            handler(note)

    def _state(self, pid: int) -> ProcessState:
        return self._states.setdefault(pid, ProcessState())

    def _common(self, note: Note) -> Note:
        return {
            "n": self._places[id(note)], "t_ns": note["t"] - self._start, "pid": note["pid"], "tid": note["tid"],
        }  # fmt: skip

    def _life(self, note: Note, what: str, **fields: Any) -> None:
        row = {"child": None, "status": None, "path": None, "environment": None, **fields}
        self._out.processes.append({**self._common(note), "what": what, **row})

    def _exec(self, note: Note) -> None:
        space = AddressSpace(mappings_from(note["mappings"]))
        if note["break_start"]:
            space.break_start = space.break_end = note["break_start"]
        self._states[note["pid"]] = ProcessState(space, CodeMap(), path=note["path"])
        what = "start" if note["first"] else "exec"
        self._life(note, what, path=note["path"], environment=note.get("environment"))

    def _born(self, note: Note) -> None:
        parent = self._state(note["pid"])
        if note["child_pid"] != note["pid"]:
            self._states[note["child_pid"]] = parent if note["shares"] else parent.fork()
        self._life(note, note["how"], child=note["child"])

    def _region(self, note: Note) -> None:
        self._state(note["pid"]).space.become(note["start"], note["end"], mappings_from(note["mappings"]))

    def _detached(self, note: Note) -> None:
        self._state(note["pid"]).space.detach(note["address"])

    def _copied(self, note: Note) -> None:
        pages = {(first + i) * PAGE for first, length in note["pages"] for i in range(length)}
        self._state(note["pid"]).copied(mappings_from(note["mappings"]), pages)

    def _leaving(self, note: Note) -> None:
        self._state(note["pid"]).blocks.leave(note["first"], note["counts"])

    def _file(self, note: Note) -> None:
        self._state(note["pid"]).files[note["start"]] = note["path"] or "file"

    def _image(self, note: Note) -> None:
        image = Image(
            path=note["path"], bias=note["bias"], start=note["start"], end=note["end"], build_id=note["build_id"],
            role=note["role"], bits=note["bits"], release=note["release"], file=tuple(note["file"]),
        )  # fmt: skip
        self._state(note["pid"]).code.add(image)
        if image not in self._out.images:
            self._out.images.append(image)

    def _signal(self, note: Note) -> None:
        state = self._state(note["pid"])
        bits = NATIVE.bits_of(note["cs"])
        behind = bytes.fromhex(note["behind"])
        back = 0 if note["reason"] or note["in_call"] else trapped_behind(note["signal"], note["code"], behind, bits)
        ip, code = note["ip"] - back, behind[len(behind) - back :] + bytes.fromhex(note["bytes"])
        instruction = state.code.faulting_at(ip, code, bits)
        is_told = note["code"] > 0 and not note["in_call"]
        row = {
            **self._common(note), "signal": note["signal"], "code": note["code"], "address": note["address"],
            "fatal": False, "site": self._stack_site(state, ip, note["stack"]), "ring": NATIVE.ring_of(note["cs"]),
            "instruction": instruction if is_told else None, "exception": None, "reason": note["reason"],
            "access": None, "where": None, "mapping": None, "protection": None,
        }  # fmt: skip
        place = (note["ip"], note["sp"])
        # The kernel sends SIGSEGV, too, when it cannot put another signal's frame on the stack: nothing ran in between.
        is_frame = note["reason"] is None and self._signalled_at.get(note["tid"]) == place
        self._signalled_at[note["tid"]] = place
        if is_told and not (is_frame and note["signal"] == "SIGSEGV" and note["code"] == SI_KERNEL):
            _explain(row, note, state)
        self._out.signals.append(row)

    def _end(self, note: Note) -> None:
        state = self._state(note["pid"])
        self._out.replayed.append(state.space.copy())
        self._out.heap_pages.append(state.heap_pages.copy())
        self._out.blocks.append(state.blocks)
        self._out.ends.append(
            ProcessEnd(
                pid=note["pid"], path=note["path"], mappings=tuple(mappings_from(note["mappings"])),
                resident={int(start): rss for start, rss in note["resident"].items()},
                break_start=state.space.break_start or note["break_start"], break_end=state.space.break_end,
                resident_bytes=note["rss"].get("resident", 0), rss_bytes=note["rss"],
            )
        )  # fmt: skip

    def _exiting(self, note: Note) -> None:
        if note["tid"] != note["pid"]:
            self._life(note, "exit")

    def _gone(self, note: Note) -> None:
        if note["tid"] != note["pid"]:
            return
        status = note["status"]
        if status & 0x7F == 0:
            self._life(note, "exit", status=status >> 8)
            return
        name = name_of_signal(status & 0x7F)
        self._life(note, "killed", status=status & 0x7F, path=name)
        for row in reversed(self._out.signals):
            if row["pid"] == note["pid"] and row["signal"] == name:
                row["fatal"] = True
                break


def _explain(row: Note, note: Note, state: ProcessState) -> None:
    """Add what the processor raised for this signal, and why the kernel answered with it."""
    exception = exception_of(note["signal"], note["code"], row["instruction"])
    address = note["address"]
    if exception == "#GP" and note["ip"] >= NATIVE.kernel_half:
        # A jump into the vsyscall page beside its entries: its signal tells no address (emulate_vsyscall).
        exception, address, note = "#PF", note["ip"], {**note, "access": "exec"}
    row["exception"] = exception
    if exception == "#SS":
        row["reason"] = "non-canonical address"
    if exception != "#PF":
        return
    mapping = state.space.find(address)
    row["access"] = note["access"]
    row["where"], row["mapping"] = state.where(address), mapping.path or "anonymous" if mapping else None
    row["protection"] = mapping.protection if mapping else None
    row["reason"] = page_fault_reason(
        note["signal"], note["code"], address, access=row["access"], protection=row["protection"], sp=note["sp"]
    )
