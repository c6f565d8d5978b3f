"""What the lists say of chunks beside what the chunks say of each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import FLAGS, IS_MAPPED, NON_MAIN, PREV_IN_USE
from observer.heap.arenas import Found
from observer.heap.bins import Listed
from observer.heap.image import Image
from observer.heap.parts import Part
from observer.heap.sets import among
from observer.heap.values import CHUNK, Sum
from observer.model.chunks import STATES

__all__ = ["Judge", "sums_of"]

_IN_USE, _TCACHE, _FAST, _UNSORTED = (STATES.index(state) for state in ("in use", "tcache", "fast", "unsorted"))
_LARGE, _FREE, _TOP, _FENCE, _CACHE = (STATES.index(state) for state in ("large", "free", "top", "fence", "cache"))
_MOST_TOLD: Final = 16
"""How many chunks with the same fault are named one by one."""


class Judge:
    """The chunks of one arena with their states: `table` are CHUNKs, in order of address.

    `firsts` are the first ones of its parts; from `inferred_from` on they are told by what lies there alone.
    """

    def __init__(self, image: Image, arena: Found, parts: Iterable[Part]) -> None:
        self._image = image
        self._arena = arena
        parts = list(parts)
        self.firsts = {int(part.heads["address"][0]) for part in parts if len(part.heads)}
        starts = [part.inferred_from for part in parts if part.inferred_from is not None]
        self.inferred_from = min(starts, default=None)
        heads = np.concatenate([part.heads for part in parts]) if parts else Part().heads
        if (heads["address"][1:] < heads["address"][:-1]).any():
            heads = heads[np.argsort(heads["address"], kind="stable")]
        self._heads = heads
        self._addresses = np.ascontiguousarray(heads["address"])
        self.table = np.zeros(len(self._heads), dtype=CHUNK)
        self.table["address"], self.table["size"] = self._heads["address"], self._sizes
        self.table["arena"], self.table["bin"] = arena.number, -1
        fences = [address for part in parts for address in part.fences]
        self.table["state"][among(self._addresses, np.array(fences, dtype=np.uint64))] = _FENCE
        self.table["state"][self._addresses == np.uint64(arena.top)] = _TOP

    @property
    def _sizes(self) -> npt.NDArray[np.uint64]:
        sizes: npt.NDArray[np.uint64] = self._heads["head"] & np.uint64(~FLAGS & (1 << 64) - 1)
        return sizes

    def in_use_of(self, sizes: Iterable[int]) -> list[int]:
        """Return the chunks in use that have one of these *sizes*."""
        which = among(self.table["size"], np.array(list(sizes), dtype=np.uint64)) & (self.table["state"] == _IN_USE)
        found: list[int] = self.table["address"][which].tolist()
        return found

    def _indexes(self, addresses: Iterable[int]) -> list[int]:
        """Return for each of *addresses* the chunk that holds it, -1 where none does."""
        wanted = np.array(list(addresses), dtype=np.uint64)
        found = np.searchsorted(self._addresses, wanted, side="right") - 1
        ends = self._addresses + self._sizes
        outside = (found < 0) | (wanted >= ends[np.maximum(found, 0)]) if len(ends) else np.ones(len(wanted), bool)
        found[outside] = -1
        indexes: list[int] = found.tolist()
        return indexes

    def take(self, listed: Iterable[Listed]) -> None:
        """Give chunks the states that lists say they have."""
        listed = list(listed)
        states, bins = self.table["state"], self.table["bin"]
        for each, i in zip(listed, self._indexes(each.address for each in listed), strict=True):
            if i < 0:
                continue  # in a part that could not be walked
            start = int(self._addresses[i])
            if start != each.address:
                self._image.found(f"it lies inside the chunk at {start:#x}", each.address, each.address, each.place)
            elif states[i] != _IN_USE:
                what = f"the chunk is {STATES[states[i]]}, too"
                self._image.found(what, each.address, each.address, each.place)
            else:
                states[i], bins[i] = each.state, each.bin

    def hold_cache(self, chunk: int) -> None:
        """The *chunk*, one in use, is a thread's cache itself."""
        [i] = self._indexes([chunk])
        self.table["state"][i] = _CACHE

    def check(self, *, every_list: bool) -> None:
        """Set each chunk beside what the next one says of it.

        Args:
            every_list: whether all lists could be read: then a free chunk has to be in one.
        """
        heads, states = self._heads, self.table["state"]
        if not len(heads):
            return
        following = np.zeros(len(heads), dtype=bool)
        following[:-1] = heads["address"][1:] == heads["address"][:-1] + self._sizes[:-1]
        said_free = np.zeros(len(heads), dtype=bool)
        said_free[:-1] = following[:-1] & (heads["head"][1:] & np.uint64(PREV_IN_USE) == 0)
        in_bin = (states >= _UNSORTED) & (states <= _LARGE)
        lost = said_free & (states == _IN_USE)
        states[lost] = _FREE
        if every_list:
            self._tell(lost, "the chunk behind it says that it is free, and it is in no list")
        self._tell(said_free & np.isin(states, [_TCACHE, _FAST, _CACHE]), "the chunk behind it says that it is free")
        self._tell(in_bin & following & ~said_free, "the chunk behind it says that it is in use, and it is in a bin")
        wrong = np.zeros(len(heads), dtype=bool)
        wrong[:-1] = said_free[:-1] & in_bin[:-1] & (heads["prev_size"][1:] != self._sizes[:-1])
        self._tell(wrong, "the chunk behind it says that it has another size")
        self._check_flags(states)

    def _check_flags(self, states: npt.NDArray[np.uint8]) -> None:
        words = self._heads["head"]
        chunks = states != _FENCE
        self._tell(chunks & (words & np.uint64(IS_MAPPED) != 0), "it claims to have a mapping of its own")
        of_thread = words & np.uint64(NON_MAIN) != 0
        if self._arena.is_main:
            self._tell(chunks & of_thread, "it claims to be of a thread's arena")
        else:
            held = np.isin(states, [_IN_USE, _TCACHE, _FAST, _CACHE])
            self._tell(held & ~of_thread, "it claims to be of the main arena")

    def _tell(self, which: npt.NDArray[np.bool_], what: str) -> None:
        addresses = self.table["address"][which]
        for address in addresses[:_MOST_TOLD].tolist():
            self._image.found(what, address + 8, address, self._arena.name)
        self._image.more_findings += max(len(addresses) - _MOST_TOLD, 0)


def sums_of(table: npt.NDArray[Any]) -> dict[str, Sum]:
    """Return the chunks of each state, with their bytes; states that no chunk has are left out."""
    found = {}
    for state in np.flatnonzero(np.bincount(table["state"])).tolist():
        sizes = table["size"][table["state"] == state]
        found[STATES[state]] = Sum(len(sizes), int(sizes.sum()))
    return found
