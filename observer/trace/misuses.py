"""Calls that break the allocator's rules (malloc(3)): pieces given back twice, never given, or from their middle."""

from __future__ import annotations

from typing import Final

from observer.model.addresses import is_numbered
from observer.model.events import is_glibc
from observer.trace.columns import LONGEST, SiteTable
from observer.trace.open_call import OpenCall
from observer.trace.process import ProcessState

__all__ = ["Misuses"]

_FOREIGN: Final = ("heap", "anonymous")
"""Places, beside mappings that have numbers, where an allocator that is not glibc's may have given memory by functions
that nobody watches.
"""


class Misuses:
    """Judges calls by the pieces that the calls before gave and took; writes what it finds into their rows."""

    def __init__(self, sites: SiteTable) -> None:
        self._sites = sites

    def given_back(self, state: ProcessState, call: OpenCall, pointer: int, given: int | None) -> None:
        """*call* gives *pointer* back, which the call numbered *given* had returned, if any that was seen did."""
        made_at = state.made_at.pop(pointer, 0)
        if given is not None:
            state.freed[pointer] = call.n, call.site, given, made_at
            return
        inside = state.live.find(pointer)
        if pointer in state.freed:
            first, first_site, giver, giver_site = state.freed[pointer]
            state.twice.add(pointer)
            self._write(state, call, "freed before", giver, giver_site)
            call.columns.found["misuse_freed"][call.row] = first
            call.columns.texts["misuse_freed_at"][call.row] = self._site(first_site)
        elif inside is not None:
            state.twice.add(pointer)
            self._write(state, call, "inside", inside.call, state.made_at.get(inside.address, 0))
        elif not state.doubts.is_partial and self._may_judge(state, call, pointer):
            state.doubts.misused += 1
            call.columns.texts["misuse"][call.row] = "never given"

    def handed_out(self, state: ProcessState, call: OpenCall, pointer: int) -> None:
        """*call* returns *pointer*: one that was given back twice, or inside a piece, may still be in use."""
        state.freed.pop(pointer, None)
        holder = state.live.find(pointer) if pointer in state.twice else None
        if holder is not None:
            what = "two hands" if holder.address == pointer else "overlap"
            self._write(state, call, what, holder.call, state.made_at.get(holder.address, 0))
        elif state.lies_elsewhere(pointer) and is_glibc(call.columns.texts["allocator"][call.row]):
            state.doubts.misused += 1
            call.columns.texts["misuse"][call.row] = "elsewhere"

    def _may_judge(self, state: ProcessState, call: OpenCall, pointer: int) -> bool:
        """Whether all that could have given *pointer* was watched."""
        if is_glibc(call.columns.texts["allocator"][call.row]):
            return True
        place = state.place(pointer)
        return place is None or (place.name not in _FOREIGN and not is_numbered(place.name))

    def _write(self, state: ProcessState, call: OpenCall, what: str, given: int, site: int) -> None:
        state.doubts.misused += 1
        call.columns.texts["misuse"][call.row] = what
        call.columns.found["misuse_given"][call.row] = given
        call.columns.texts["misuse_given_at"][call.row] = self._site(site)

    def _site(self, number: int) -> str | None:
        site = self._sites.of(number)
        return site.text[: LONGEST // 4] if site is not None else None
