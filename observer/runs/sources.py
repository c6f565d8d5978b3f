"""Where each allocation of a run came from: the model of its C library is asked, while the run is made into a trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from observer.compare.served_by import follow
from observer.model.events import Call, Event, Misuse, Process, Syscall
from observer.model.machine import Machine, Request
from observer.runs.models import WORD_BITS, exact_model_if_known
from observer.simulator.glibc_side import SYSTEM_CALLS, GlibcMaker
from observer.trace.part import Part
from observer.trace.values import events_of, name_sources

__all__ = ["Sources", "can_be_followed"]

_TOLD: Final = "inferred: by the model of glibc {}, as long as it gives every pointer exactly"


class Sources:
    """Fills in `served_by` of a run whose C library has an exact model, where enough was recorded to follow it.

    *most*: after so many calls the model is asked no more, None for no limit.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most

    def listen(
        self, parts: Iterator[Part], machine: Machine, request: Request, how: dict[str, str]
    ) -> Iterator[Part]:  # fmt: skip
        """Yield all *parts*, a little later, and say in *how* which model was asked."""
        model = exact_model_if_known(machine, request.environment) if can_be_followed(machine, request) else None
        if model is None:
            return parts
        how["call.served_by"] = _TOLD.format(model.version)
        return self._named(parts, replace(model, touches=False), how)

    def _named(self, parts: Iterator[Part], model: GlibcMaker, how: dict[str, str]) -> Iterator[Part]:
        waiting: deque[Part] = deque()
        found: dict[int, str] = {}
        impossible: dict[int, Misuse] = {}
        taken = 0

        def events() -> Iterator[Event]:
            nonlocal taken
            while self._most is None or taken < self._most:
                part = next(parts, None)
                if part is None:
                    return
                waiting.append(part)
                taken += part.calls.length
                for event in events_of(part):
                    if type(event) is Call or type(event) is Syscall or type(event) is Process:
                        yield event

        for n in follow(events(), model, found, impossible):
            while waiting and _last(waiting[0]) < n:
                yield _with_sources(waiting.popleft(), found, impossible)
        while waiting:
            yield _with_sources(waiting.popleft(), found, impossible)
        for part in parts:
            how["call.served_by"] = f"{_TOLD.format(model.version)}; of the first {taken:,} calls"
            yield part


def can_be_followed(machine: Machine, request: Request) -> bool:
    """Whether a run was recorded as the exact model needs it: calls, all system calls of the allocator's, 64 bits."""
    sees_growth = request.syscalls is None or set(request.syscalls) >= SYSTEM_CALLS
    # Pieces of a program for i386 have other sizes and lie in other places.
    is_whole = "calls" in request.instruments and not request.begin_at
    return is_whole and sees_growth and machine.program_bits == WORD_BITS


def _last(part: Part) -> int:
    events = events_of(part)
    return events[-1].n if events else -1


def _with_sources(part: Part, found: dict[int, str], impossible: dict[int, Misuse]) -> Part:
    name_sources(part, found, impossible)
    return part
