"""The book's six steps (section 3.5.8) and the privilege rings, read off single events.

An allocator call carries its own steps (`model.chapter.steps_of` gave them when the trace was written); `step_of` and
`rings_of` label any event when it is told.
"""

from __future__ import annotations

from observer.model.addresses import is_numbered
from observer.model.chapter import GROWING
from observer.model.events import Call, Event, Fault, Library, Signal, Syscall
from observer.model.operations import ALLOCATING

__all__ = ["is_step_six", "rings_of", "step_of"]


def is_step_six(fault: Fault) -> bool:
    """Say whether *fault* gave a frame to memory that malloc manages, not to code, data, a stack or the loader."""
    if fault.chunk is not None or fault.mapping == "[heap]":
        return True
    return fault.toucher == "allocator" and is_numbered(fault.mapping)


def step_of(event: Event, call: Call | None = None) -> str:
    """Return the step or steps that *event* is: `1-5`, `2-3-4` for a brk inside malloc, `6`, or nothing.

    *call* is the allocator call that the event happened in: a brk inside free is none of the book's steps.
    """
    if isinstance(event, Call):
        return event.steps or ""
    if isinstance(event, Syscall) and event.cause is not None and event.name in GROWING:
        if call is not None and call.op not in ALLOCATING:
            return ""
        return "2-3" if event.end_ns is None else "2-3-4"
    if isinstance(event, Fault) and is_step_six(event):
        return "6"
    return ""


def rings_of(event: Event) -> str:
    """Return the rings that *event* passed through: `3→0→3`; `0→0` for a fault taken in the kernel."""
    if isinstance(event, Fault):
        return "0→0" if event.ring == 0 else f"{event.ring}→0→{event.ring}"
    if isinstance(event, Syscall):
        return f"{event.ring_before}→0" if event.end_ns is None else f"{event.ring_before}→0→{event.ring_before}"
    if isinstance(event, Library):
        return "3" if event.crossings == 0 else ""
    if isinstance(event, Signal) and event.exception is not None:
        return f"{event.ring}→0" if event.fatal else f"{event.ring}→0→{event.ring}"
    return ""
