"""The rare things of a replay: processes that begin, exec and end, images, signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from observer.arch.exceptions import ABORTS, exception_of, page_fault_reason, trapped_behind
from observer.arch.known import NATIVE, with_bits
from observer.instruments.places import CodeMap
from observer.model.addresses import PAGE, AddressSpace
from observer.model.events import Site
from observer.model.machine import Image, ProcessEnd
from observer.model.signals import SI_KERNEL, name_of_signal
from observer.recording.notes import (
    Born,
    Copied,
    Detached,
    End,
    Exec,
    Exiting,
    Gone,
    Leaving,
    MappedFile,
    MappedImage,
    Note,
    Region,
    Released,
    Signalled,
    Walked,
)
from observer.trace.findings import Findings
from observer.trace.heaps import compared
from observer.trace.part import Part
from observer.trace.process import ProcessState
from observer.trace.spooled import Spooled
from observer.trace.timeline import LifeNote

__all__ = ["Lives", "images_of"]

_Row = dict[str, Any]
_Change = Copied | Region | Detached | MappedFile | MappedImage | Leaving | End


class Lives:
    """Takes notes in time order; changes the processes' states and adds their events.

    `stack_site` names the program's place for (state, instruction pointer, number of a saved piece of stack).
    """

    def __init__(
        self,
        spooled: Spooled,
        findings: Findings,
        states: dict[int, ProcessState],
        stack_site: Callable[[ProcessState, int, int], Site],
    ) -> None:
        self._out = findings
        self._states = states
        self._stack_site = stack_site
        self._signalled_at: dict[int, tuple[int, int]] = {}
        self._fatal = _fatal(spooled.notes)
        self._heaps = spooled.heaps
        self._n = self._start = 0

    def begin(self, part: Part, start: int, places: Mapping[int, int]) -> None:
        """Take the notes of another window from now on: their events go into *part*.

        *places* has the n of those that become events, by their index; times count from *start*.
        """
        self._part, self._start, self._places = part, start, places

    def take(self, index: int, note: Note) -> None:
        """Replay the note with this *index*; most kinds change what is known of a process, others are the ledger's."""
        self._n = self._places.get(index, -1)
        match note:
            case Exec():
                self._exec(note)
            case Born():
                self._born(note)
            case Exiting():
                self._exiting(note)
            case Gone():
                self._gone(note)
            case Released() if note.tid == note.pid:
                self._life(note, note.how, path=note.why if note.how == "unfollowed" else None)
            case Signalled():
                self._signal(note)
            case Walked():
                self._out.heaps.append(compared(note, self._heaps.of(note), self._state(note.pid)))
            case Copied() | Region() | Detached() | MappedFile() | MappedImage() | Leaving() | End():
                self._change(self._state(note.pid), note)

    def _change(self, state: ProcessState, note: _Change) -> None:
        match note:
            case Copied():
                pages = {(first + i) * PAGE for first, length in note.pages for i in range(length)}
                state.copied(note.mappings, pages)
            case Region():
                state.space.become(note.start, note.end, note.mappings)
            case Detached():
                state.space.detach(note.address)
            case MappedFile():
                state.files[note.start] = note.path or "file"
            case MappedImage():
                state.code.add(_image(note))
            case Leaving():
                state.blocks.leave(note.first, note.counts)
            case End():
                self._end(state, note)

    def _state(self, pid: int) -> ProcessState:
        return self._states.setdefault(pid, ProcessState())

    def _common(self, note: LifeNote) -> _Row:
        return {
            "n": self._n, "t_ns": note.t - self._start, "pid": note.pid, "tid": note.tid,
        }  # fmt: skip

    def _life(self, note: LifeNote, what: str, **fields: Any) -> None:
        row = {"child": None, "status": None, "path": None, "environment": None, **fields}
        self._part.processes.append({**self._common(note), "what": what, **row})

    def _exec(self, note: Exec) -> None:
        space = AddressSpace(note.mappings)
        if note.break_start:
            space.break_start = space.break_end = note.break_start
        state = self._states[note.pid] = ProcessState(space, CodeMap(), path=note.path)
        if note.heap_pages is not None:
            pages = {(first + i) * PAGE for first, length in note.heap_pages for i in range(length)}
            state.lived(pages)
        what = "joined" if note.heap_pages is not None else "start" if note.first else "exec"
        self._life(note, what, path=note.path, environment=note.environment)

    def _born(self, note: Born) -> None:
        parent = self._state(note.pid)
        if note.child_pid != note.pid:
            child = self._states[note.child_pid] = parent if note.shares else parent.fork()
            child.doubts.unended += note.begun
        self._life(note, note.how, child=note.child)

    def _signal(self, note: Signalled) -> None:
        state = self._state(note.pid)
        bits = NATIVE.bits_of(note.cs)
        behind = bytes.fromhex(note.behind)
        back = 0 if note.reason or note.in_call else trapped_behind(with_bits(bits), note.signal, note.code, behind)
        ip, code = note.ip - back, behind[len(behind) - back :] + bytes.fromhex(note.bytes)
        instruction = state.code.faulting_at(ip, code, bits)
        is_told = note.code > 0 and not note.in_call
        row = {
            **self._common(note), "signal": note.signal, "code": note.code, "address": note.address,
            "fatal": id(note) in self._fatal, "ring": NATIVE.ring_of(note.cs),
            "site": self._out.sites.number(self._stack_site(state, ip, note.stack)),
            "instruction": instruction if is_told else None, "exception": None, "reason": note.reason,
            "access": None, "where": None, "mapping": None, "protection": None,
        }  # fmt: skip
        place = (note.ip, note.sp)
        # The kernel sends SIGSEGV, too, when it cannot put another signal's frame on the stack: nothing ran in between.
        is_frame = note.reason is None and self._signalled_at.get(note.tid) == place
        self._signalled_at[note.tid] = place
        if is_told and not (is_frame and note.signal == "SIGSEGV" and note.code == SI_KERNEL):
            _explain(row, note, state)
        self._part.signals.append(row)
        # A fault on an address of the kernel's half is refused before it is counted (do_kern_addr_fault).
        self._out.refused_faults += row["exception"] in ABORTS and row["reason"] != "kernel address"

    def _end(self, state: ProcessState, note: End) -> None:
        self._out.replayed.append(state.space.copy())
        self._out.heap_pages.append(state.heap_pages.copy())
        self._out.blocks.append(state.blocks)
        self._out.ends.append(
            ProcessEnd(
                pid=note.pid, path=note.path, mappings=note.mappings, resident=note.resident,
                break_start=state.space.break_start or note.break_start, break_end=state.space.break_end,
                resident_bytes=note.rss.get("resident", 0), rss_bytes=note.rss,
            )
        )  # fmt: skip

    def _exiting(self, note: Exiting) -> None:
        if note.tid != note.pid:
            self._life(note, "exit")

    def _gone(self, note: Gone) -> None:
        if note.tid != note.pid:
            return
        status = note.status
        if status & 0x7F == 0:
            self._life(note, "exit", status=status >> 8)
            return
        self._life(note, "killed", status=status & 0x7F, path=name_of_signal(status & 0x7F))


def images_of(notes: Sequence[Note]) -> list[Image]:
    """Return the images of all processes, in the order in which they were mapped, each once."""
    mapped = sorted((note for note in notes if isinstance(note, MappedImage)), key=lambda note: note.t)
    return list(dict.fromkeys(map(_image, mapped)))


def _image(note: MappedImage) -> Image:
    return Image(
        path=note.path, bias=note.bias, start=note.start, end=note.end, build_id=note.build_id,
        role=note.role, bits=note.bits, release=note.release, file=note.file,
    )  # fmt: skip


def _fatal(notes: Sequence[Note]) -> frozenset[int]:
    """Return the identities of the notes of signals that ended a process: the last of their name before it was gone."""
    latest: dict[tuple[int, str], Note] = {}
    found: set[int] = set()
    for note in sorted(notes, key=lambda note: note.t):
        if isinstance(note, Signalled):
            latest[note.pid, note.signal] = note
        elif isinstance(note, Gone) and note.tid == note.pid and note.status & 0x7F:
            last = latest.get((note.pid, name_of_signal(note.status & 0x7F)))
            found |= {id(last)} if last is not None else set()
    return frozenset(found)


def _explain(row: _Row, note: Signalled, state: ProcessState) -> None:
    """Add what the processor raised for this signal, and why the kernel answered with it."""
    address, access = note.address, note.access
    exception = exception_of(NATIVE, note.signal, note.code, row["instruction"], access)
    if exception == "#GP" and note.ip >= NATIVE.kernel_half:
        # A jump into the vsyscall page beside its entries: its signal tells no address (emulate_vsyscall).
        exception, address, access = "#PF", note.ip, "exec"
    row["exception"] = exception
    if exception == "#SS":
        row["reason"] = "non-canonical address"
    if exception not in ABORTS or address is None:
        return
    mapping = state.space.find(address)
    row["access"] = access
    row["where"], row["mapping"] = state.where(address), mapping.path or "anonymous" if mapping else None
    row["protection"] = mapping.protection if mapping else None
    row["reason"] = page_fault_reason(
        NATIVE, note.signal, note.code, address, access=access, protection=row["protection"], sp=note.sp
    )
