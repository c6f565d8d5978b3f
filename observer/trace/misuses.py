"""Calls that break the allocator's rules (malloc(3)): pieces given back twice, never given, or from their middle."""

from __future__ import annotations

from typing import Final

from observer.trace.assembly import Assembly
from observer.trace.columns import LONGEST
from observer.trace.process import ProcessState

__all__ = ["Misuses"]

_FOREIGN: Final = ("heap", "map#", "anonymous")
"""Places where an allocator that is not glibc's may have given memory by functions that nobody watches."""


class Misuses:
    """Judges calls by the pieces that the calls before gave and took; writes what it finds into the columns.

    Calls are known by their index, pieces by the index of the call that gave them.
    """

    def __init__(self, assembly: Assembly) -> None:
        self._out = assembly
        self._index: dict[int, int] = {}

    def given_back(self, state: ProcessState, index: int, pointer: int, given: int | None) -> None:
        """Call *index* gives *pointer* back, which the call numbered *given* had returned, if any that was seen did."""
        if given is not None:
            state.freed[pointer] = index, given
            return
        inside = state.live.find(pointer)
        if pointer in state.freed:
            first, giver = state.freed[pointer]
            state.twice.add(pointer)
            self._write(index, "freed before", giver, first)
        elif inside is not None:
            self._write(index, "inside", inside.call)
        elif self._may_judge(state, index, pointer):
            self._write(index, "never given")

    def handed_out(self, state: ProcessState, index: int, pointer: int) -> None:
        """Call *index* returns *pointer*: one that was given back twice may still be in use."""
        state.freed.pop(pointer, None)
        holder = state.live.find(pointer) if pointer in state.twice else None
        if holder is not None:
            self._write(index, "two hands", holder.call)

    def _may_judge(self, state: ProcessState, index: int, pointer: int) -> bool:
        """Whether all that could have given *pointer* was watched."""
        allocator = self._out.calls.texts["allocator"][index] or ""
        place = state.where(pointer) or ""
        return allocator.startswith("glibc") or not place.startswith(_FOREIGN)

    def _write(self, index: int, what: str, given: int | None = None, freed: int | None = None) -> None:
        texts, numbers = self._out.calls.texts, self._out.calls.numbers
        texts["misuse"][index] = what
        if given is not None:
            numbers["misuse_given"][index] = given
            texts["misuse_given_at"][index] = self._site(self._index_of(given))
        if freed is not None:
            numbers["misuse_freed"][index] = numbers["n"][freed]
            texts["misuse_freed_at"][index] = self._site(freed)

    def _index_of(self, n: int) -> int:
        if not self._index:
            self._index = {n: index for index, n in enumerate(self._out.calls.numbers["n"].tolist())}
        return self._index[n]

    def _site(self, index: int) -> str | None:
        number = int(self._out.calls.numbers["site"][index])
        return self._out.sites.sites[number - 1].text[: LONGEST // 4] if number else None
