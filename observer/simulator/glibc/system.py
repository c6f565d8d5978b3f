"""The main arena: it grows and shrinks by brk(2), and by mmap(2) where the break cannot move."""

from __future__ import annotations

from typing import Final

from observer.glibc.chunks import ALIGNMENT, MINIMUM, round_down, round_up
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.state import State
from observer.simulator.glibc.tcache import ThreadCache
from observer.simulator.glibc.touches import Touches

__all__ = ["MainArena"]

_LEAST_MAPPED: Final = 1 << 20


class MainArena(Arena):
    """The arena in the heap. `contiguous` is lost for good when a region had to be mapped because brk was refused."""

    def __init__(self, state: State) -> None:
        super().__init__(state, 0)
        self.contiguous = True

    # ---- growing --------------------------------------------------------------------------------------------

    def grow(self, size: int, cache: ThreadCache, *, tried_mapping: bool) -> int:
        """Move the break for *size* bytes and top_pad; map a region if it cannot move."""
        old_end = self.top + self.top_size
        wanted = self._wanted(size)
        start = self.state.sbrk(wanted) if 0 < wanted < 1 << 63 else None
        if start is not None:
            self.state.advise_huge(start, wanted)
            if start == old_end and self.top_size:
                self._set_top(self.top, self.top_size + wanted)
            else:
                self._begin_region(start, wanted, cache)
        else:
            self._map_region(size, wanted, cache)
        return 0

    def _wanted(self, size: int) -> int:
        parameters = self.state.parameters
        wanted = size + parameters.top_pad + MINIMUM - (self.top_size if self.contiguous else 0)
        if not parameters.huge_page:
            return round_up(wanted, self.state.page)
        known = (self.state.sbrk(0) if self.state.version.huge_from_break else self.state.break_end) or 0
        return round_up(known + wanted, parameters.huge_page) - known

    def _begin_region(self, start: int, size: int, cache: ThreadCache) -> None:
        """The break was not where top ends: begin a new top there, its end on a page."""
        aligned, end = start, start + size
        if self.contiguous:
            aligned = round_up(start, ALIGNMENT)
            correction = aligned - start + self.top_size
            correction = round_up(end + correction, self.state.page) - end
            second = self.state.sbrk(correction)
            if second is not None:
                if correction:
                    self.state.advise_huge(second, correction)
                end = second + correction
        if not self.contiguous or second is None:
            end = self.state.sbrk(0) or end
        self._replace_top(aligned, end - aligned, cache)

    def _map_region(self, size: int, wanted: int, cache: ThreadCache) -> None:
        length = self._fallback(size, wanted)
        if length <= size or length >> 64:
            return
        start = self.state.kernel.mmap(length)
        if start is None:
            return
        self.state.advise_huge(start, length)
        self.contiguous = False
        self._replace_top(start, length, cache)

    def _fallback(self, size: int, wanted: int) -> int:
        """Return how much is mapped instead of moving the break by *wanted*."""
        page = self.state.page
        joined = wanted + self.top_size
        match self.state.version.fallback:
            case "padded":
                return max(round_up(size + self.state.parameters.top_pad + MINIMUM, page), _LEAST_MAPPED)
            case "exchanged":
                return max(round_up(joined, _LEAST_MAPPED) if self.contiguous else wanted, page)
            case _:
                return max(round_up(joined, page) if self.contiguous else wanted, _LEAST_MAPPED)

    def _replace_top(self, start: int, size: int, cache: ThreadCache) -> None:
        old, old_size = self.top, self.top_size
        self._set_top(start, size)
        if old_size:
            self.fence_off(old, old_size, cache)

    def _set_top(self, start: int, size: int) -> None:
        self.top, self.top_size = start, size
        if self.state.touches is not None:
            self.state.touches.header(start)

    # ---- shrinking ------------------------------------------------------------------------------------------

    def trim_if_large(self) -> None:
        """Give the end of the heap back if top has reached the trim threshold."""
        if self.top_size >= self.state.parameters.trim_threshold:
            self.trim(self.state.parameters.top_pad)

    def trim(self, pad: int) -> bool:
        """Give whole pages at the end of the heap back but for *pad* bytes; return whether the break moved.

        With a top of 32 bytes the number given back is negative: the heap grows.
        """
        spare = self.top_size - MINIMUM - 1
        if 0 <= spare <= pad:
            return False
        unit = self.state.parameters.huge_page or self.state.page
        given = round_down(spare - pad, unit)
        if not given:
            return False
        end = self.state.sbrk(0)
        if end != self.top + self.top_size:
            return False
        self.state.sbrk(-given)
        released = end - (self.state.sbrk(0) or 0)
        if not released:
            return False
        self._set_top(self.top, self.top_size - released)
        return True

    def copy(self, state: State, touches: Touches | None) -> MainArena:
        """Return that of a forked child."""
        twin = MainArena(state)
        twin.bins, twin.fast = self.bins.copy(touches), self.fast.copy()
        twin.top, twin.top_size, twin.last_remainder = self.top, self.top_size, self.last_remainder
        twin.contiguous, twin.threads = self.contiguous, self.threads
        return twin
