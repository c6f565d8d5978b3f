"""Places of the program at which something is to happen the first time that anybody comes there.

Each has an int3 that goes away when it was met. Where a breakpoint of another instrument stands at the same place, that
one does for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.code.emulation import NOTHING, Emulation
from observer.code.lines import line_table
from observer.instruments.observed import ObserversPages
from observer.model.reached import Entered, Place, text_of_place
from observer.tracee.breakpoints import Breakpoint
from observer.tracee.calls import CallFollower
from observer.tracee.task import Task

__all__ = ["Marks"]

_CODE: Final = 8
_TRAP: Final = Emulation(len(NATIVE.trap.code), NOTHING, None, "")


class Marks:
    """Has *reached* called when a task comes to *place*; `is_known` says whether a file was loaded that has it."""

    def __init__(
        self, place: Place, follower: CallFollower, pages: ObserversPages, reached: Callable[[], None]
    ) -> None:
        self._place = place
        self._follower = follower
        self._pages = pages
        self._reached = reached
        self.is_known = False

    @property
    def text(self) -> str:
        """The place as it was typed."""
        return text_of_place(self._place)

    def plant(self, task: Task, elf: Elf, bias: int, start: int, end: int) -> None:
        """Plant in that part of *elf* that the task has mapped at [start, end)."""
        memory = task.memory
        if memory is None:
            return
        with self._pages.excluded():
            for address in _addresses(elf, self._place):
                place = address + bias
                if not start <= place < end:
                    continue
                self.is_known = True
                memory.marks[place] = self._reached
                if place in memory.breakpoints:
                    if self._follower.inline is not None:
                        self._follower.inline.allows = False  # its jumps would take the place of the breakpoint
                    continue
                code = elf.read(address, _CODE)
                memory.plant(task.tid, Breakpoint(place, code, _TRAP, is_mark=True))


def _addresses(elf: Elf, place: Place) -> list[int]:
    if isinstance(place, Entered):
        return [symbol.address for symbol in elf.functions_called([place.function])]
    return line_table(elf).starts_of(place.is_in, place.line)
