"""Calls taken as they were seen, where the model cannot tell: what each leaves known, and what open."""

from __future__ import annotations

from typing import Final, NamedTuple

from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, MINIMUM, NON_MAIN, SMALL_LIMIT, chunk_size
from observer.glibc.parameters import HEAP_BYTES
from observer.simulator.glibc import mapped
from observer.simulator.glibc.arenas import Thread
from observer.simulator.glibc.calls import Calls
from observer.simulator.glibc.doubts import Doubts

__all__ = ["Seen", "end_thread", "give_up", "is_certain", "may_take", "take_as_seen"]

_TRIMS: Final = 64 << 10
_PLAIN: Final = 16


class Seen(NamedTuple):
    """One call: `request` bytes asked for (None: nothing), `alignment`, the pointers it gave back and returned (0 for
    none), the break before and after it, the mapping (start, bytes) that it made or moved, if any, and the pointer that
    realloc was given (`kept`).
    """

    request: int | None
    alignment: int = 0
    released: int = 0
    result: int = 0
    break_before: int = 0
    break_after: int = 0
    mapping: tuple[int, int] | None = None
    kept: int = 0

    @property
    def is_odd(self) -> bool:
        """Whether the break moved down although something was asked for: two calls are out of order."""
        return self.request is not None and self.break_after < self.break_before

    @property
    def grew(self) -> bool:
        """Whether the break moved up."""
        return self.break_after > self.break_before


# ---- what the model can tell --------------------------------------------------------------------------------


def is_certain(calls: Calls, doubts: Doubts, thread: Thread, seen: Seen) -> bool:
    """Whether what is open cannot change what this call does."""
    if doubts.is_lost or doubts.strangers:
        return False
    if not doubts.areas.count:
        return True
    if seen.released and not _is_free_certain(calls, doubts, thread, seen.released - HEADER):
        return False
    return seen.request is None or _is_request_certain(calls, doubts, thread, seen)


def _is_request_certain(calls: Calls, doubts: Doubts, thread: Thread, seen: Seen) -> bool:
    size, main = chunk_size(seen.request or 0), calls.arenas.main
    if seen.alignment > _PLAIN or thread.cache.pending or thread.arena is None:
        return False
    if doubts.could_hold(size):
        return False
    if thread.arena is not main:
        return True
    # The last remainder is split only while it is alone among the unsorted chunks.
    return not doubts.reach_top and not (size < SMALL_LIMIT and main.last_remainder in main.bins.sizes)


def _is_free_certain(calls: Calls, doubts: Doubts, thread: Thread, chunk: int) -> bool:
    word = calls.state.words.get(chunk)
    if word is None:
        return False
    size = word & ~FLAGS
    if word & IS_MAPPED:
        return True
    is_cached = size < thread.cache.limit
    if is_cached and (doubts.could_hold(size) or thread.cache.pending):
        return False
    if word & NON_MAIN:
        return True
    return not doubts.touch(chunk, size) and (is_cached or not doubts.reach_top)


# ---- what was seen ------------------------------------------------------------------------------------------


def may_take(calls: Calls, doubts: Doubts, seen: Seen) -> bool:
    """Whether what was seen can come from what is open, so that the model need not be asked."""
    chunk = seen.result - HEADER
    if seen.is_odd:
        return False
    if seen.released and calls.state.words.get(seen.released - HEADER, 0) & NON_MAIN:
        return False
    if seen.request is None or not seen.result or seen.result in doubts.strangers:
        return True
    if seen.result == seen.released and _is_mapped(calls, seen.released):
        return True
    is_mapped = seen.mapping is not None and seen.mapping[0] < seen.result < sum(seen.mapping)
    return is_mapped or doubts.holds(chunk) or seen.grew


def give_up(calls: Calls, doubts: Doubts, thread: Thread, seen: Seen, predicted: int) -> None:
    """The model was wrong: it returned *predicted*. Keep what is in use, and let the rest be open.

    A pointer that was never handed out (a *stranger*, see Doubts) is not a matter of this.
    """
    words = calls.state.words
    touched = {predicted, seen.result, seen.released} - {0}
    in_threads = any(calls.arenas.heaps.by_base.get(pointer & -HEAP_BYTES) for pointer in touched)
    failed = seen.request and not seen.result and seen.released
    if in_threads or failed or seen.is_odd or thread.arena is not calls.arenas.main:
        doubts.is_lost = True
        return
    for pointer in (predicted, seen.released):
        words.pop(pointer - HEADER, None)
        calls.state.leads.pop(pointer - HEADER, None)
    calls.state.break_end = seen.break_before or seen.break_after
    doubts.forget(thread)
    if not doubts.is_lost:
        doubts.is_lost = not take_as_seen(calls, doubts, thread, seen._replace(released=0))


def end_thread(calls: Calls, doubts: Doubts, task: int) -> None:
    """A thread ends: what becomes of the chunks of the main arena in its cache is open."""
    thread = calls.threads.get(task)
    if thread is not None:
        for found in thread.cache.lists:
            for chunk in [each for each in found if not calls.state.words[each] & (NON_MAIN | IS_MAPPED)]:
                found.remove(chunk)
                doubts.give(chunk)
        structure = thread.cache.address - HEADER
        if thread.cache.made and not calls.state.words.get(structure, NON_MAIN) & NON_MAIN:
            thread.cache.made = False
            doubts.give(structure)
    calls.end(task)


def take_as_seen(calls: Calls, doubts: Doubts, thread: Thread, seen: Seen) -> bool:
    """Do what the call was seen to do; return whether that can have been, as far as is known."""
    state = calls.state
    if seen.result == seen.released and seen.mapping is None and _is_mapped(calls, seen.released):
        return True
    if seen.released and (seen.result or not seen.request) and not _release(calls, doubts, thread, seen):
        return False
    if seen.break_after != seen.break_before:
        state.break_end = seen.break_after
        doubts.set_break(seen.break_before, seen.break_after)
    if not seen.result or seen.request is None:
        return True
    if seen.mapping is not None and seen.mapping[0] < seen.result < sum(seen.mapping):
        _map(calls, seen.result - HEADER, *seen.mapping)
        return True
    return _hand_out(calls, doubts, thread, seen)


def _release(calls: Calls, doubts: Doubts, thread: Thread, seen: Seen) -> bool:
    chunk = seen.released - HEADER
    word = calls.state.words.get(chunk)
    if word is None:
        if not doubts.holds(chunk):
            doubts.strangers.add(seen.released)
        return True
    if word & IS_MAPPED:
        # What the model asks the kernel here is what was seen: there is nothing to choose.
        if seen.request is None:
            calls.release_mapped(chunk)
        else:
            mapped.forget(calls.state, chunk)
            calls.state.parameters.mapped -= 1
        return True
    if word & NON_MAIN:
        return False
    if chunk in _cached(thread, word & ~FLAGS):
        return True  # given back twice: it is in the list already
    doubts.give(chunk)
    return True


def _is_mapped(calls: Calls, pointer: int) -> bool:
    return bool(calls.state.words.get(pointer - HEADER, 0) & IS_MAPPED)


def _cached(thread: Thread, size: int) -> list[int]:
    index = (size - MINIMUM) >> 4
    return thread.cache.lists[index] if index < len(thread.cache.lists) else []


def _map(calls: Calls, chunk: int, start: int, length: int) -> None:
    state = calls.state
    lead = chunk - start
    state.words[chunk] = (length - lead - state.version.mapped_tail) | IS_MAPPED
    state.parameters.mapped += 1
    if lead:
        state.leads[chunk] = lead


def _hand_out(calls: Calls, doubts: Doubts, thread: Thread, seen: Seen) -> bool:
    chunk, size = seen.result - HEADER, chunk_size(seen.request or 0)
    if seen.result in doubts.strangers:
        doubts.strangers.discard(seen.result)
        return True
    if calls.arenas.heaps.by_base.get(chunk & -HEAP_BYTES) is not None:
        return False
    if not doubts.take(chunk, size):
        return False
    is_whole = seen.alignment <= _PLAIN and not thread.cache.pending and seen.kept != seen.result
    if seen.grew and is_whole and thread.arena is calls.arenas.main:
        # What the heap grew for comes from top, where that began before; what realloc extends leaves a rest behind.
        doubts.top_begins(chunk + (calls.state.words[chunk] & ~FLAGS))
    return True
