"""What a student's program did, out of a trace: its own events, without those of whoever started it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TypeVar

from observer.model.events import Call, Event, Fault, Library, Process, Signal, Site, Syscall
from observer.model.machine import Meta
from observer.story.breaks import Breaks

__all__ = ["Program", "at_line", "is_at", "is_on", "program_in"]

_Event = TypeVar("_Event", Call, Fault, Syscall)
_BIRTHS = frozenset({"fork", "vfork", "clone"})


@dataclass(slots=True)
class Program:
    """The events of a program in their order; `root` is its first process, None if it never began.

    `calls` are all of the allocator's, `by_number` those by their numbers; `crossings` counts system calls in a call.
    `moved` are the bytes of address space that a system call gave (or took: below 0), by its number.
    `status` is the exit status, `killed` the signal that ended the first process (empty if none did); `exits` are the
    statuses of all processes that exited. `libraries` are calls into the vDSO, where those were recorded.
    """

    meta: Meta
    root: int | None = None
    calls: list[Call] = field(default_factory=list)
    syscalls: list[Syscall] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    libraries: list[Library] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    children: int = 0
    status: int | None = None
    killed: str = ""
    by_number: dict[int, Call] = field(default_factory=dict)
    crossings: Counter[tuple[int, str]] = field(default_factory=Counter)
    moved: dict[int, int] = field(default_factory=dict)
    _breaks: Breaks = field(default_factory=Breaks)

    @property
    def own_calls(self) -> Iterator[Call]:
        """The calls that the program's own code made."""
        return (call for call in self.calls if call.origin == "program")

    def cause(self, event: Syscall | Fault) -> Call | None:
        """Return the call that *event* happened in."""
        return self.by_number.get(event.cause) if event.cause is not None else None

    def is_own(self, event: Syscall) -> bool:
        """Whether the program's own calls of the allocator, or its own lines, made *event*."""
        call = self.cause(event)
        if call is not None:
            return call.origin == "program"
        return event.cause is None and event.site is not None and event.site.line is not None

    def at(self, file: str, line: int) -> Iterator[Event]:
        """Yield what the line caused, in order."""
        every: list[Call | Syscall | Fault | Signal] = [*self.calls, *self.syscalls, *self.faults, *self.signals]
        return iter(sorted((event for event in every if is_at(event.site, file, line)), key=lambda event: event.n))

    def add(self, event: Event) -> None:
        """Take in an event of one of its processes."""
        moved = self._breaks.follow(event)
        if isinstance(event, Call):
            self.calls.append(event)
            self.by_number[event.n] = event
        elif isinstance(event, Syscall):
            self.syscalls.append(event)
            self.moved[event.n] = (moved or 0) + _mapped(event)
            if event.cause is not None:
                self.crossings[event.cause, event.name] += 1
        elif isinstance(event, Fault):
            self.faults.append(event)
        elif isinstance(event, Signal):
            self.signals.append(event)
        elif isinstance(event, Library):
            self.libraries.append(event)
        elif isinstance(event, Process):
            self._life(event)

    def _life(self, event: Process) -> None:
        self.children += event.what in ("fork", "vfork")
        if event.what == "exit" and event.tid == event.pid and event.status is not None:
            self.exits.append(event.status)
        if event.pid == self.root and event.tid == event.pid:
            if event.what == "exit":
                self.status = event.status
            elif event.what == "killed":
                self.killed = event.path or "a signal"


def _mapped(event: Syscall) -> int:
    """Return the bytes that *event* mapped, or unmapped: below 0."""
    if event.errno or event.name not in ("mmap", "munmap"):
        return 0
    return event.args[1] if event.name == "mmap" else -event.args[1]


def is_at(site: Site | None, file: str, line: int) -> bool:
    """Whether *site* is the *line* of the file with that base name."""
    return site is not None and site.line == line and PurePath(site.file or "").name == file


def is_on(site: Site | None, line: str) -> bool:
    """Whether *site* is the *line*, as `file.c:12` names it; every site is if none is named."""
    if not line:
        return True
    file, _colon, number = line.rpartition(":")
    return number.isdecimal() and is_at(site, file, int(number))


def at_line(events: Iterable[_Event], line: str) -> Iterator[_Event]:
    """Yield those of *events* on the line `file.c:12`; all of them if none is named."""
    return (event for event in events if is_on(event.site, line))


def program_in(events: Iterable[Event], meta: Meta, path: str) -> Program:
    """Return what the program at *path* did, from the moment when it was executed; and its children, and theirs."""
    program = Program(meta)
    members: set[int] = set()
    for event in events:
        if isinstance(event, Process) and event.what in ("start", "exec") and event.path == path and not members:
            program.root = event.pid
            members.add(event.pid)
        elif event.pid in members:
            program.add(event)
            if isinstance(event, Process) and event.what in _BIRTHS and event.child is not None:
                members.add(event.child)
    return program
