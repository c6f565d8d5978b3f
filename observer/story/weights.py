"""What each place of the program weighs in all: calls, bytes asked, time inside, frames brought in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from observer.model.events import Call, Event, Fault, Process, Site, Syscall
from observer.model.operations import ALLOCATING
from observer.model.stacks import CallStack
from observer.story.query import takes_over
from observer.story.steps import is_step_six

__all__ = ["Stack", "Weights", "weigh"]

Stack = tuple[str, ...]
"""From the outside in: the program, its function, its line, the allocator's function, the system call in it.

Where callers were kept each of them stands there, with function and line.
"""

_STEP_SIX: Final = "page fault"
_OTHERS: Final = "…"
"""Stands for callers that were not kept."""
_NO_STACKS: Final[Mapping[int, CallStack]] = MappingProxyType({})


class Weights(NamedTuple):
    """What happened at one stack, without what happened further in: `bytes` asked for, `ns` spent, `frames` brought in
    by so many `faults`, and how many of the bytes are `live` at the end."""

    calls: int = 0
    bytes: int = 0
    ns: int = 0
    frames: int = 0
    faults: int = 0
    live: int = 0


def weigh(events: Iterable[Event], stacks: Mapping[int, CallStack] = _NO_STACKS) -> dict[Stack, Weights]:
    """Return the weights of every stack, in the order in which they were met.

    *events* are in order of n, *stacks* those of calls by their numbers; memory grows with the places, with the calls
    that are under way, and with the pieces that live at once.
    """
    pieces: dict[int, dict[int, tuple[Stack, int]]] = {}
    found: dict[Stack, Weights] = {}
    programs: dict[int, str] = {}
    calls: dict[int, tuple[int, Stack]] = {}
    named = {number: _named(stack) for number, stack in stacks.items()}
    for event in events:
        program = programs.get(event.pid, "?")
        if isinstance(event, Process):
            _follow(event, programs)
            if event.what == "exec":
                pieces.pop(event.pid, None)
        elif isinstance(event, Call):
            callers = named.get(event.stack) if event.stack is not None else None
            stack = (program, *(_place(event.site) if callers is None else callers), event.op)
            calls[event.tid] = event.n, stack
            _add(found, stack, Weights(1, event.bytes_asked, _time(event)))
            _hold(pieces.setdefault(event.pid, {}), event, stack)
        elif isinstance(event, Syscall | Fault) and (isinstance(event, Syscall) or is_step_six(event)):
            caller = calls.get(event.tid)
            outer = caller[1] if caller is not None and caller[0] == event.cause else (program, *_place(event.site))
            if isinstance(event, Fault):
                _add(found, (*outer, _STEP_SIX), Weights(frames=int(event.access != "read"), faults=1))
                continue
            _add(found, (*outer, event.name), Weights(1, ns=_time(event)))
            if caller is not None and outer is caller[1]:
                _add(found, outer, Weights(ns=-_time(event)))
    for alive in pieces.values():
        for stack, size in alive.values():
            _add(found, stack, Weights(live=size))
    return found


def _hold(alive: dict[int, tuple[Stack, int]], call: Call, stack: Stack) -> None:
    """Keep what lives in the process of *call*, by address."""
    if call.pointer and takes_over(call):
        alive.pop(call.pointer, None)
    if call.op in ALLOCATING and call.result:
        alive[call.result] = stack, call.bytes_asked


def _follow(event: Process, programs: dict[int, str]) -> None:
    if event.path is not None:
        programs[event.pid] = event.path.rsplit("/", 1)[-1]
    elif event.child is not None:
        programs.setdefault(event.child, programs.get(event.pid, "?"))


def _named(stack: CallStack) -> Stack:
    """Return the callers from the outside in."""
    others = () if stack.is_whole else (_OTHERS,)
    return (*others, *(text for site in reversed(stack.callers) for text in _place(site)))


def _place(site: Site | None) -> Stack:
    if site is None:
        return ("?",)
    return (site.function, site.text) if site.function is not None and site.line is not None else (site.text,)


def _time(event: Call | Syscall) -> int:
    return event.end_ns - event.t_ns if event.end_ns is not None else 0


def _add(found: dict[Stack, Weights], stack: Stack, more: Weights) -> None:
    known = found.get(stack, Weights())
    found[stack] = Weights(*(mine + its for mine, its in zip(known, more, strict=True)))
