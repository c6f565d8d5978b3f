"""What each place of the program weighs in all: calls, bytes asked, time inside, frames brought in.

Calls come as columns, hundreds of thousands at once; what happens in them, and beside them, event by event.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from observer.model.call_columns import CallColumns, End, Integers, PlaceNames
from observer.model.events import Call, Event, Fault, Process, Site, Syscall
from observer.model.stacks import CallStack
from observer.story.pairing import Alive, Living, Pieces
from observer.story.steps import is_step_six
from observer.story.sums import bytes_by, sums_by

__all__ = ["Programs", "Stack", "Weighing", "Weights"]

Stack = tuple[str, ...]
"""From the outside in: the program, its function, its line, the allocator's function, the system call in it.

Where callers were kept each of them stands there, with function and line.
"""

_STEP_SIX: Final = "page fault"
_OTHERS: Final = "…"
"""Stands for callers that were not kept."""
_NO_PROGRAM: Final = "?"


class Weights(NamedTuple):
    """What happened at one stack, without what happened further in: `bytes` asked for, `ns` spent, `frames` brought in
    by so many `faults`, and how many of the bytes are `live` at the end."""

    calls: int = 0
    bytes: int = 0
    ns: int = 0
    frames: int = 0
    faults: int = 0
    live: int = 0


class Programs:
    """Which program each process ran from which event on, by the *lives* of processes in order of n."""

    def __init__(self, lives: Iterable[Event]) -> None:
        numbers, now = {_NO_PROGRAM: 0}, dict[int, str]()
        self._since: dict[int, list[int]] = {}
        self._ran: dict[int, list[int]] = {}
        for event in lives:
            for pid, name in _renamed(event, now):
                now[pid] = name
                self._since.setdefault(pid, []).append(event.n)
                self._ran.setdefault(pid, [0]).append(numbers.setdefault(name, len(numbers)))
        self.names = list(numbers)

    def numbers(self, pids: Integers, n: Integers) -> Integers:
        """Return the places in `names` of what the processes *pids* ran at the events *n*."""
        found = np.zeros(len(n), dtype=np.int64)
        used, each = np.unique(pids, return_inverse=True)
        ends = np.cumsum(np.bincount(each))
        for pid, rows in zip(used.tolist(), np.split(np.argsort(each, kind="stable"), ends[:-1]), strict=True):
            if pid in self._since:
                found[rows] = np.array(self._ran[pid])[np.searchsorted(self._since[pid], n[rows], side="right")]
        return found

    def at(self, pid: int, n: int) -> str:
        """Return what the process *pid* ran at event *n*."""
        return self.names[self._ran[pid][bisect_right(self._since[pid], n)]] if pid in self._since else _NO_PROGRAM


class Weighing:
    """Weighs a run: `take` its calls in order of n, `end` what ends between them, then `add` everything else.

    Args:
        names: the places of calls, those of different stacks and functions apart.
        stacks: who called, by the numbers that calls have.
        programs: what processes ran.
    """

    def __init__(self, names: PlaceNames, stacks: Mapping[int, CallStack], programs: Programs) -> None:
        self._names, self._programs = names, programs
        self._callers = {number: _named(stack) for number, stack in stacks.items()}
        self._found: dict[Stack, Weights] = {}
        self._keys: dict[int, int] = {}
        """By place and program: the number under which its pieces live."""
        self._stacks: list[Stack] = []
        self._living = Living()
        self._calls: dict[int, tuple[int, Stack]] = {}

    @property
    def alive(self) -> Alive:
        """The pieces that live in processes that have not ended."""
        return self._living.alive

    def take(self, calls: CallColumns) -> None:
        """Take calls in, as many as memory may be had for."""
        if not len(calls.n):
            return
        programs = self._programs.numbers(calls.pid, calls.n)
        keys, each = np.unique(calls.place * len(self._programs.names) + programs, return_inverse=True)
        took = np.where(calls.end_ns < 0, 0, calls.end_ns - calls.t_ns)
        many = np.bincount(each, minlength=len(keys)).tolist()
        asked, spent = sums_by(each, calls.asked, len(keys)), bytes_by(each, took, len(keys)).tolist()
        numbers = [self._number(key) for key in keys.tolist()]
        for number, *sums in zip(numbers, many, asked, spent, strict=True):
            _add(self._found, self._stacks[number], Weights(*sums))
        placed = calls._replace(place=np.array(numbers, dtype=np.int64)[each])
        self._living.go_on(placed, self._living.pair(placed))

    def end(self, end: End) -> None:
        """End what lives in a process: with an exec it is gone, else it was left."""
        gone = self._living.end(end.pid)
        if not end.is_exec:
            self._leave(gone)

    def add(self, event: Event) -> None:
        """Add what is no allocator call, in order of n; before it comes the call in which it happened, if any."""
        if isinstance(event, Call):
            callers = self._callers.get(event.stack) if event.stack is not None else None
            inner = _place(event.site) if callers is None else callers
            self._calls[event.tid] = event.n, (self._programs.at(event.pid, event.n), *inner, event.op)
        elif isinstance(event, Syscall) or (isinstance(event, Fault) and is_step_six(event)):
            caller = self._calls.get(event.tid)
            if caller is None or caller[0] != event.cause:
                caller = None
            outer = (self._programs.at(event.pid, event.n), *_place(event.site)) if caller is None else caller[1]
            if isinstance(event, Fault):
                _add(self._found, (*outer, _STEP_SIX), Weights(frames=int(event.access != "read"), faults=1))
                return
            _add(self._found, (*outer, event.name), Weights(1, ns=_time(event)))
            if caller is not None:
                _add(self._found, outer, Weights(ns=-_time(event)))

    def result(self) -> dict[Stack, Weights]:
        """Return the weights of every stack at which anything happened."""
        self._leave(self._living.pieces)
        self._living = Living()
        return self._found

    def _number(self, key: int) -> int:
        number = self._keys.get(key)
        if number is None:
            number = self._keys[key] = len(self._stacks)
            place, program = divmod(key, len(self._programs.names))
            stack, site, op = self._names.stacks[place], self._names.sites[place], self._names.ops[place]
            inner = _place(site) if stack is None else self._callers[stack]
            self._stacks.append((self._programs.names[program], *inner, op or ""))
        return number

    def _leave(self, pieces: Pieces) -> None:
        left = bytes_by(pieces["place"], pieces["asked"], len(self._stacks))
        for number in np.flatnonzero(left).tolist():
            _add(self._found, self._stacks[number], Weights(live=int(left[number])))


def _renamed(event: Event, now: Mapping[int, str]) -> list[tuple[int, str]]:
    """Return which process runs which program from a life's *event* on; *now* is what they run before it."""
    if not isinstance(event, Process):
        return []
    if event.path is not None:
        return [(event.pid, event.path.rsplit("/", 1)[-1])]
    if event.child is not None and event.child not in now:
        return [(event.child, now.get(event.pid, _NO_PROGRAM))]
    return []


def _named(stack: CallStack) -> Stack:
    """Return the callers from the outside in."""
    others = () if stack.is_whole else (_OTHERS,)
    return (*others, *(text for site in reversed(stack.callers) for text in _place(site)))


def _place(site: Site | None) -> Stack:
    if site is None:
        return ("?",)
    return (site.function, site.text) if site.function is not None and site.line is not None else (site.text,)


def _time(event: Syscall) -> int:
    return event.end_ns - event.t_ns if event.end_ns is not None else 0


def _add(found: dict[Stack, Weights], stack: Stack, more: Weights) -> None:
    known = found.get(stack, Weights())
    found[stack] = Weights(*(mine + its for mine, its in zip(known, more, strict=True)))
