"""Calls that break the allocator's rules (malloc(3)): pieces given back twice, never given, or from their middle."""

from __future__ import annotations

from typing import Final, NamedTuple

from observer.model.addresses import is_numbered
from observer.trace.call_rows import CallRows
from observer.trace.columns import LONGEST, SiteTable
from observer.trace.process import ProcessState
from observer.trace.turns import Alive, Turns

__all__ = ["Misuses"]

_FOREIGN: Final = ("heap", "anonymous")
"""Places, beside mappings that have numbers, where an allocator that is not glibc's may have given memory by functions
that nobody watches.
"""


class _Broken(NamedTuple):
    """What is wrong with a row, the piece that it is about, and who gave that back: row, or `-2 - n`, and site."""

    what: str
    given: Alive | None = None
    freed: int | None = None
    freed_site: int = 0


class Misuses:
    """Judges calls by the pieces that the calls before gave and took; `write` puts what it found into their rows."""

    def __init__(self, sites: SiteTable) -> None:
        self._sites = sites
        self._found: dict[int, _Broken] = {}

    def begin(self, rows: CallRows) -> None:
        """Go on with the calls of another window."""
        self._rows, self._found = rows, {}

    def given_back(self, state: ProcessState, turns: Turns, row: int, position: int) -> None:
        """The call of *row* gives a pointer back, at *position*, that no call is known to have returned."""
        pointer = int(self._rows.pointer[row])
        inside = turns.find(pointer, position)
        gone = turns.freed(pointer, position)
        if gone is not None:
            state.twice.add(pointer)
            self._tell(state, row, _Broken("freed before", gone[2], gone[0], gone[1]))
        elif inside is not None:
            state.twice.add(pointer)
            self._tell(state, row, _Broken("inside", inside))
        elif not state.doubts.is_partial and self._may_judge(state, row, pointer):
            self._tell(state, row, _Broken("never given"))

    def handed_out(self, state: ProcessState, turns: Turns, row: int, position: int) -> None:
        """The call of *row* returns, at *position*, what was given back wrongly before: it may still be in use."""
        pointer = int(self._rows.result[row])
        holder = turns.find(pointer, position)
        if holder is not None:
            self._tell(state, row, _Broken("two hands" if holder.piece.address == pointer else "overlap", holder))

    def elsewhere(self, state: ProcessState, row: int) -> None:
        """The call of *row* returned what lies where no allocator has memory."""
        if row not in self._found and self._rows.is_glibc[row]:
            self._tell(state, row, _Broken("elsewhere"))

    def _may_judge(self, state: ProcessState, row: int, pointer: int) -> bool:
        """Whether all that could have given *pointer* was watched."""
        if self._rows.is_glibc[row]:
            return True
        place = state.place(pointer)
        return place is None or (place.name not in _FOREIGN and not is_numbered(place.name))

    def _tell(self, state: ProcessState, row: int, broken: _Broken) -> None:
        state.doubts.misused += 1
        self._found[row] = broken

    def write(self) -> None:
        """Write what was found in this window; the sites of all its rows are known by now."""
        rows, number = self._rows, self._sites.words.number
        for row, broken in self._found.items():
            part, at = rows.home(row)
            numbers, coded = part.calls.numbers, part.calls.coded
            coded["misuse"][at] = number(broken.what)
            if broken.given is not None:
                numbers["misuse_given"][at] = broken.given.piece.call
                coded["misuse_given_at"][at] = number(self._site(broken.given.row, broken.given.site))
            if broken.freed is not None:
                numbers["misuse_freed"][at] = rows.n[broken.freed] if broken.freed >= 0 else -2 - broken.freed
                coded["misuse_freed_at"][at] = number(self._site(broken.freed, broken.freed_site))

    def _site(self, row: int, otherwise: int) -> str | None:
        site = self._sites.of(int(self._rows.site[row]) if row >= 0 else otherwise)
        return site.text[: LONGEST // 4] if site is not None else None
