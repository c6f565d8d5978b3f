"""What calls are called: their places, whose code made them, where their pieces lie, which steps they took.

Names hold as long as code and address space stay what they are: `name` is asked before each change of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from observer.arch.known import NATIVE
from observer.model.chapter import steps_of
from observer.trace.call_rows import ALLOCATES, RELEASES, CallRows
from observer.trace.callers import LIBRARY, Callers
from observer.trace.columns import SiteTable
from observer.trace.process import ProcessState
from observer.trace.stacks import StackTable

__all__ = ["CallNames", "by_process"]

Integers = npt.NDArray[np.int64]

_PUSHED: Final = NATIVE.popped // NATIVE.word
"""Words that a call pushes."""
_MOST: Final = (1 << 64) - 1
_OUTCOMES: Final = [(returned, grew, failed) for returned in (0, 1) for grew in (0, 1) for failed in (0, 1)]


class CallNames:
    """Names the calls of a window, stretch by stretch.

    Args:
        state_of: gives the state of a process.
        elsewhere: called with the row of each call that returned memory that is none of an allocator's.
        stacks: takes the stacks of calls, where callers were asked for.
    """

    def __init__(
        self, sites: SiteTable, callers: Callers, state_of: Callable[[int], ProcessState],
        elsewhere: Callable[[ProcessState, int], None], stacks: StackTable | None,
    ) -> None:  # fmt: skip
        self._stacks = stacks
        self._sites, self._callers = sites, callers
        self._state_of, self._elsewhere = state_of, elsewhere
        taken = [steps_of("malloc", returned == 1, grew, failed=failed == 1) for returned, grew, failed in _OUTCOMES]
        self._steps = np.array([sites.words.number(steps) for steps in taken], dtype=np.int32)

    def begin(self, rows: CallRows, libraries: Integers, library_sites: list[int]) -> None:
        """Go on with a window of calls; *libraries* has by own row the library call that it lies in, -1 for none."""
        self._rows, self._low = rows, 0
        self._began = rows.began_at[rows.carried :]
        self._libraries, self._library_sites = libraries, library_sites
        self._are_in_libraries = bool((libraries >= 0).any())

    def name(self, high: int) -> None:
        """Name what happened before position *high* and has no name yet."""
        if high <= self._low:
            return
        rows = self._rows
        began, ended = self._before(high)
        self._low = high
        for pid, mine in by_process(rows.pid, np.arange(began.start, began.stop)):
            self._name_entries(self._state_of(pid), mine)
        for pid, mine in by_process(rows.pid, rows.ended_rows[ended]):
            self._name_returns(self._state_of(pid), mine)

    def has_any(self, high: int, start: int, end: int) -> bool:
        """Whether something before position *high* that has no name yet takes or gives an address in [start, end)."""
        if end - start > _MOST:
            return True
        began, ended = self._before(high)
        low, length = np.uint64(start), np.uint64(end - start)
        # What lies below *start* is far above it in these numbers, which have no sign.
        takes = self._rows.pointer[began] - low < length
        return bool(takes.any() or (self._rows.result[self._rows.ended_rows[ended]] - low < length).any())

    def _before(self, high: int) -> tuple[slice, slice]:
        """Return which rows began before position *high* and have no name yet, and which of those that ended."""
        edges = np.array([self._low, high])
        first, last = (np.searchsorted(self._began, edges) + self._rows.carried).tolist()
        return slice(first, last), slice(*np.searchsorted(self._rows.ended_positions, edges).tolist())

    def _name_entries(self, state: ProcessState, mine: Integers) -> None:
        rows = self._rows
        found = state.callers.of(state.code, rows.back[mine], self._sites)
        rows.site[mine], rows.origin[mine] = found.sites, found.roles
        if self._stacks is not None:
            self._name_by_stack(state, mine, self._stacks)
            odd = np.zeros(len(mine), dtype=np.bool_)
        else:
            odd = found.are_library & (rows.stack[mine] != 0)
        if self._are_in_libraries:
            odd |= self._libraries[mine - rows.carried] >= 0
        for row in mine[odd].tolist():
            self._name_entry(state, row)
        gives_back = RELEASES[rows.op[mine]] & ~ALLOCATES[rows.op[mine]] & (rows.pointer[mine] != 0)
        self._place(state, mine[gives_back], rows.pointer)

    def _name_by_stack(self, state: ProcessState, mine: Integers, stacks: StackTable) -> None:
        """Give calls their stacks, and the places that these tell."""
        rows, code, known = self._rows, state.code, state.stacks
        numbers, each = np.unique(rows.stack[mine], return_inverse=True)
        found = np.array([known.of(number, code, stacks) for number in numbers.tolist()], dtype=np.int64)
        rows.part.calls.numbers["stack"][mine - rows.carried] = found[each, 0]
        told = found[each, 1]
        rows.site[mine[told > 0]] = told[told > 0]

    def _name_entry(self, state: ProcessState, row: int) -> None:
        """Name who made a call through a library, or from within one of the program's calls into libraries."""
        rows = self._rows
        back = int(rows.back[row])
        role, site = state.code.caller(back)
        if self._stacks is not None:
            site = self._sites.of(int(rows.site[row])) or site
        elif role in LIBRARY:
            piece = self._callers.piece(int(rows.stack[row]), back, state.code.word)
            if piece is not None:
                # The piece begins at the return address: one word above is the caller's stack.
                caller = state.code.caller_in_program(piece.above(back, _PUSHED), at_call=True)
                site = state.code.site_before(caller) if caller is not None else site
        library = int(self._libraries[row - rows.carried])
        if library >= 0 and role not in LIBRARY and site.line is None:
            role = "libc"  # in a static program, code without lines below a call of the program's own
        is_inside = library >= 0 and role in LIBRARY
        rows.site[row] = self._library_sites[library] if is_inside else self._sites.number(site)
        rows.origin[row] = self._sites.words.number(role if role in LIBRARY else "program")

    def _name_returns(self, state: ProcessState, mine: Integers) -> None:
        rows = self._rows
        mine = mine[ALLOCATES[rows.op[mine]]]
        returned = rows.returned[mine]
        rows.steps[mine] = self._steps[returned * 4 + (rows.growth[mine] > 0) * 2 + rows.failed[mine]]
        gives = mine[returned & (rows.result[mine] != 0)]
        for row in self._place(state, gives, rows.result).tolist():
            self._elsewhere(state, row)

    def _place(self, state: ProcessState, mine: Integers, addresses: npt.NDArray[np.uint64]) -> Integers:
        """Name where the *addresses* of some rows lie; return the rows of those that lie where no allocator has any."""
        if not len(mine):
            return mine
        rows = self._rows
        found = state.places_of(addresses[mine], self._sites.words)
        rows.where[mine], rows.where_at[mine] = found.names, found.offsets
        return mine[found.are_elsewhere]


def by_process(pids: Integers, rows: Integers) -> Iterator[tuple[int, Integers]]:
    """Yield some *rows* process by process, in their order."""
    mine = pids[rows]
    if len(mine) and (mine == mine[0]).all():
        yield int(mine[0]), rows
        return
    for pid in np.unique(mine).tolist():
        yield pid, rows[mine == pid]
