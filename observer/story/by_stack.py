"""What calls with the same callers came to, where callers were kept: each different stack is a place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from observer.glibc.chunks import WORD, chunk_size
from observer.model.events import Call, Event, Fault, Process, is_glibc
from observer.model.operations import ALLOCATING
from observer.model.stacks import CallStack
from observer.story.places import MEASURES, Place
from observer.story.query import takes_over
from observer.story.steps import is_step_six

__all__ = ["STACK_MEASURES", "ByStack", "StackPlace"]

STACK_MEASURES: Final = tuple(name for name in MEASURES if name != "faults")
"""What stacks are ranked by: a page fault outside the allocator has none."""


class StackPlace(NamedTuple):
    """The `place` that is told of calls with one `stack`, by its number, and what they came to; None: none was kept."""

    place: Place
    stack: int | None


class ByStack:
    """Follows a run: `add` every event in order of n. Memory grows with stacks and with pieces that live at once.

    Of its *stacks*, by their numbers, those whose callers bear the same names, on the same lines, are one here: a loop
    that a compiler unrolled calls from several places.
    """

    def __init__(self, stacks: Mapping[int, CallStack]) -> None:
        first: dict[tuple[object, ...], int] = {}
        self._same = {
            number: first.setdefault((stack.is_whole, *((site.function, site.text) for site in stack.callers)), number)
            for number, stack in stacks.items()
        }
        self._found: dict[tuple[int | None, str], StackPlace] = {}
        self._alive: dict[int, dict[int, tuple[int, Place]]] = {}

    def add(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, Call):
            self._call(event)
        elif isinstance(event, Fault):
            self._fault(event)
        elif isinstance(event, Process) and event.what == "exec":
            for asked, place in self._alive.pop(event.pid, {}).values():
                self._gone(asked, place)

    def top(self, measure: str) -> list[StackPlace]:
        """Return the stacks with any of *measure* (one of STACK_MEASURES), those with most first."""
        value = MEASURES[measure]
        found = [each for each in self._found.values() if value(each.place)]
        return sorted(found, key=lambda each: (-value(each.place), each.place.first))

    def _call(self, call: Call) -> None:
        alive = self._alive.setdefault(call.pid, {})
        if call.pointer and takes_over(call):
            self._gone(*alive.pop(call.pointer, (0, None)))
        if call.op not in ALLOCATING:
            return
        place, asked = self._place(call), call.bytes_asked
        place.calls += 1
        place.asked += asked
        if not call.result:
            return
        self._gone(*alive.pop(call.result, (0, None)))
        alive[call.result] = asked, place
        place.live += asked
        place.pieces += 1
        if is_glibc(call.allocator):
            place.wasted += chunk_size(asked) - WORD - asked

    def _place(self, call: Call) -> Place:
        text = call.site.text if call.site is not None else "?"
        stack = self._same.get(call.stack) if call.stack is not None else None
        known = self._found.get((stack, text))
        if known is None:
            known = self._found[stack, text] = StackPlace(Place(text, call.site, call.n), stack)
        return known.place

    @staticmethod
    def _gone(asked: int, place: Place | None) -> None:
        if place is not None:
            place.live -= asked
            place.pieces -= 1

    def _fault(self, fault: Fault) -> None:
        if fault.chunk is not None and fault.access != "read" and is_step_six(fault):
            known = self._alive.get(fault.pid, {}).get(fault.chunk.address)
            if known is not None:
                known[1].frames += 1
