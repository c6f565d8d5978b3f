"""The functions of the family, as the program calls them.

Source: malloc(3), posix_memalign(3), malloc_trim(3), malloc_usable_size(3), mallopt(3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from observer.glibc.chunks import HEADER, LARGEST, UNSORTED, WORD, bin_of, chunk_size, round_down, round_up
from observer.glibc.parameters import Parameters
from observer.glibc.versions import Version, version_of
from observer.model.addresses import PAGE
from observer.model.chunks import Chunk
from observer.simulator.glibc.arenas import Arenas, Thread
from observer.simulator.glibc.calloc import allocate_cleared
from observer.simulator.glibc.calls import Calls
from observer.simulator.glibc.doubts import Doubts
from observer.simulator.glibc.inventory import inventory
from observer.simulator.glibc.kernel import DONTNEED, Asked, Kernel, SimulatedKernel, SystemCall
from observer.simulator.glibc.memalign import allocate_aligned, effective
from observer.simulator.glibc.realloc import resize
from observer.simulator.glibc.seen import Seen, end_thread, give_up, is_certain, may_take, take_as_seen
from observer.simulator.glibc.state import State
from observer.simulator.glibc.touches import Touch, Touches

__all__ = ["Glibc", "Outcome"]

_OVERFLOW = 1 << 64
_OF_CHUNK = 50
"""Bytes of memory that a chunk takes in a model: its place in dictionaries, perhaps in a bin."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What one call did.

    `pointer` is what it returns (0: NULL; for calls that return no pointer, their number). `served_by` says where the
    bytes came from: tcache, fastbin, smallbin, unsorted, largebin, split (a larger chunk), top, growth (of the heap),
    mmap, mremap, in place; empty if nothing was handed out. `asks` are the system calls, `touched` the allocator's own
    accesses in order (empty if they are not recorded); what a call gives back to the kernel it does not touch later.
    """

    pointer: int
    served_by: str = ""
    asks: Sequence[SystemCall] = ()
    touched: Sequence[Touch] = ()


_NOTHING = Outcome(0)


class Glibc:
    """The allocator of one process.

    Args:
        version: a release ("2.36") or its behaviour.
        tunables: settings as `tunables.read_tunables` returns them.
        main_task: the id of the main thread; every other id is a thread of its own from its first call on.
        kernel: who answers; by default a simulation.
        page_size: bytes.
        cpus: processors that are online, which bound the number of arenas.
        huge_page: size of transparent huge pages if the system offers them by `madvise` or `always`, else 0.
        huge_advised: whether it is by `madvise`.
        touches: whether the allocator's own accesses are recorded; without, calls are faster.
        has_break: whether the main arena may move the break; a further copy of the library in a process may not.

    Raises:
        ValueError: for a release that is not known.
        BadWorkload: by the calls, for a pointer that was not handed out or is free.
    """

    __slots__ = ("_asked", "_calls", "_doubts", "_state", "_touches")

    def __init__(
        self, version: str | Version, tunables: Mapping[str, int] | None = None, *, main_task: int = 0,
        kernel: Kernel | None = None, page_size: int = PAGE, cpus: int = 1, huge_page: int = 0,
        huge_advised: bool = True, touches: bool = True, has_break: bool = True,
    ) -> None:  # fmt: skip
        release = version if isinstance(version, Version) else version_of(version)
        parameters = Parameters(release, tunables or {}, huge_page=huge_page, huge_advised=huge_advised)
        asked = Asked(kernel or SimulatedKernel(page_size=page_size))
        state = State(release, parameters, asked, page=page_size, touches=Touches() if touches else None)
        calls = Calls(Arenas(state, cpus), main_task)
        self._settle(calls, Doubts(calls))
        state.has_break = has_break

    def _settle(self, calls: Calls, doubts: Doubts) -> None:
        self._calls, self._state, self._doubts = calls, calls.state, doubts
        self._asked, self._touches = calls.state.kernel, calls.state.touches

    def chunks(self) -> list[Chunk]:
        """Return every chunk there is, in the order of their addresses."""
        return inventory(self._calls)

    # ---- allocating -----------------------------------------------------------------------------------------

    def malloc(self, size: int, task: int | None = None) -> Outcome:
        """malloc(3)."""
        calls = self._calls
        calls.hooked = False
        if size > LARGEST and not self._state.version.refuses_late:
            return _NOTHING
        thread = self._thread(task)
        whole = chunk_size(size)
        calls.prepare_cache(thread, whole)
        return self._outcome(calls.cached(thread, whole) or calls.allocate(thread, size))

    def calloc(self, count: int, size: int, task: int | None = None) -> Outcome:
        """calloc(3)."""
        if count * size >= _OVERFLOW:
            return _NOTHING
        if count * size > LARGEST and not self._state.version.refuses_late:
            self._calls.hooked = False
            return _NOTHING
        return self._outcome(allocate_cleared(self._calls, self._thread(task), count * size))

    def realloc(self, pointer: int, size: int, task: int | None = None) -> Outcome:
        """realloc(3); a size of 0 frees."""
        if not pointer:
            return self.malloc(size, task)
        self._calls.hooked = False
        if not size:
            return self.free(pointer, task)
        return self._outcome(resize(self._calls, self._thread(task), pointer - HEADER, size))

    def reallocarray(self, pointer: int, count: int, size: int, task: int | None = None) -> Outcome:
        """reallocarray(3)."""
        return _NOTHING if count * size >= _OVERFLOW else self.realloc(pointer, count * size, task)

    def memalign(self, alignment: int, size: int, task: int | None = None) -> Outcome:
        """memalign(3): any alignment counts as the next power of two."""
        if alignment <= HEADER:
            return self.malloc(size, task)
        if alignment > _OVERFLOW // 2:
            return _NOTHING
        return self._outcome(allocate_aligned(self._calls, self._thread(task), effective(alignment), size))

    def aligned_alloc(self, alignment: int, size: int, task: int | None = None) -> Outcome:
        """aligned_alloc(3); from 2.38 it refuses an alignment that is no power of two."""
        if self._state.version.aligned_alloc_checks and (alignment & (alignment - 1) or not alignment):
            return _NOTHING
        return self.memalign(alignment, size, task)

    def posix_memalign(self, alignment: int, size: int, task: int | None = None) -> Outcome:
        """posix_memalign(3): `pointer` is what it stores, 0 if it refuses."""
        if alignment % WORD or alignment & (alignment - 1) or not alignment:
            return _NOTHING
        return self.memalign(alignment, size, task)

    def valloc(self, size: int, task: int | None = None) -> Outcome:
        """valloc(3)."""
        return self.memalign(self._state.page, size, task)

    def pvalloc(self, size: int, task: int | None = None) -> Outcome:
        """pvalloc(3): the size is rounded up to whole pages."""
        return self.memalign(self._state.page, round_up(size, self._state.page), task)

    # ---- freeing and the rest -------------------------------------------------------------------------------

    def free(self, pointer: int, task: int | None = None) -> Outcome:
        """free(3)."""
        if not pointer:
            return _NOTHING
        self._calls.release(self._thread(task), pointer - HEADER)
        return self._outcome(0)

    def malloc_usable_size(self, pointer: int) -> int:
        """malloc_usable_size(3), in bytes."""
        return self._calls.usable(pointer - HEADER) if pointer else 0

    def malloc_trim(self, pad: int = 0) -> Outcome:
        """malloc_trim(3): whole free pages of all arenas go back; `pointer` is 1 if any did."""
        given = False
        for arena in self._calls.arenas.ring:
            arena.consolidate()
            first = bin_of(self._state.page)
            for number in (UNSORTED, *range(first, 127)):
                for chunk in arena.bins.backwards(number):
                    given |= self._give_pages(chunk, arena.bins.sizes[chunk])
            if arena is self._calls.arenas.main:
                given |= self._calls.arenas.main.trim(pad)
        return self._answer(int(given))

    def mallopt(self, parameter: int, value: int) -> Outcome:
        """mallopt(3); `pointer` is 1 if it was accepted."""
        self._calls.arenas.main.consolidate()
        return self._answer(int(self._state.parameters.mallopt(parameter, value)))

    def sbrk(self, increment: int) -> Outcome:
        """The program itself calls sbrk(2) of the library: `pointer` is where the break was, 0 if it cannot move."""
        before = self._state.sbrk(increment)
        return self._answer(before or 0)

    # ---- threads and processes ------------------------------------------------------------------------------

    def start_thread(self, task: int) -> None:
        """A thread has been created; it has neither cache nor arena until it needs them."""
        self._calls.is_threaded = True
        self._calls.thread(task)

    def end_thread(self, task: int) -> Outcome:
        """A thread has ended: its cache is freed."""
        if self._doubts.are_none:
            self._calls.end(task)
        elif not self._doubts.is_lost:
            end_thread(self._calls, self._doubts, task)
        else:
            self._calls.threads.pop(task, None)  # where its chunks go nobody will ask
        return self._outcome(0)

    def has_arena(self, task: int) -> bool:
        """Whether the thread *task* has an arena already."""
        thread = self._calls.threads.get(task)
        return thread is not None and thread.arena is not None

    def predecessors(self, task: int, pointer: int | None) -> tuple[int, list[int]]:
        """Return whose arena the thread *task*, which has none, takes over, 0 if nobody's, and whose it would if they
        had left last: threads that live, and others whose arenas wait.

        Where the call that needs it was given *pointer*, only those in whose arena that lies, and none if it lies in
        the first one's.
        """
        calls, arenas = self._calls, self._calls.arenas
        left = [(arena, other) for arena, other in arenas.free if other]
        left += [
            (thread.arena, other) for other, thread in calls.threads.items()
            if other not in (task, calls.main_task) and thread.arena is not None and thread.arena.threads == 1
        ]  # fmt: skip
        newest = arenas.free[-1][1] if arenas.free else 0
        holder = arenas.holder(pointer) if pointer is not None else None
        fitting = [other for arena, other in left if pointer is None or arena is holder]
        return newest, [other for other in fitting if other != newest]

    def pass_on(self, task: int) -> None:
        """The thread *task*, which lives or has ended, was the last to leave its arena to others."""
        if task in self._calls.threads:
            self.end_thread(task)
        self._calls.arenas.put_first(task)

    def copy(self, *, task: int | None = None, child: int | None = None, kernel: Kernel | None = None) -> Glibc:
        """Return the allocator of a child that the thread *task* forked; *child* is its thread's id there."""
        asked = Asked(kernel or self._asked.kernel)
        arenas, thread = self._calls.arenas.copy(asked, self._thread(task))
        main_task = self._calls.main_task if child is None else child
        calls = Calls(arenas, main_task)
        calls.threads = {main_task: thread}
        arenas.main.threads = int(thread.arena is arenas.main)
        calls.hooked, calls.is_threaded = self._calls.hooked, self._calls.is_threaded
        return self._beside(calls)

    def _beside(self, calls: Calls) -> Glibc:
        """Return another one with these *calls*, of which the same is open."""
        twin = Glibc(calls.state.version)
        twin._settle(calls, self._doubts.copy(calls))
        return twin

    def twin(self, kernel: Kernel) -> Glibc:
        """Return a second one of the same process, in the same state; *kernel* answers it."""
        arenas, threads = self._calls.arenas.twin(Asked(kernel), self._calls.threads)
        calls = Calls(arenas, self._calls.main_task)
        calls.threads = threads
        arenas.main.threads = self._calls.arenas.main.threads
        calls.hooked, calls.is_threaded = self._calls.hooked, self._calls.is_threaded
        return self._beside(calls)

    @property
    def weight(self) -> int:
        """Bytes that a twin takes, roughly: those of its chunks."""
        return _OF_CHUNK * len(self._state.words)

    # ---- what was seen otherwise ----------------------------------------------------------------------------

    @property
    def is_sure(self) -> bool:
        """Whether everything about the heap is known, as it is until a call came otherwise than predicted."""
        return self._doubts.are_none

    def is_certain(self, seen: Seen, task: int | None = None) -> bool:
        """Whether the call will be predicted rightly although something is open."""
        return is_certain(self._calls, self._doubts, self._thread(task), seen)

    def take_as_seen(self, seen: Seen, task: int | None = None) -> bool:
        """Do what a call was seen to do, where it may have to do with what is open; return whether it may."""
        if self._doubts.is_lost:
            return True
        thread = self._thread(task)
        done = may_take(self._calls, self._doubts, seen) and take_as_seen(self._calls, self._doubts, thread, seen)
        if done and seen.request is not None:
            self._doubts.unsettle(chunk_size(seen.request))
        self._outcome(0)
        return done

    def unsettle(self, seen: Seen) -> None:
        """A call that was not certain came as predicted all the same: the way there is open."""
        if seen.request is not None:
            self._doubts.unsettle(chunk_size(seen.request))

    def give_up(self, seen: Seen, predicted: int, task: int | None = None) -> None:
        """The last call was predicted as *predicted* and came as *seen*: what that leaves unknown is open from now."""
        give_up(self._calls, self._doubts, self._thread(task), seen, predicted)
        self._outcome(0)

    def lose(self) -> None:
        """The allocator was called in ways that are not known: all is open for good."""
        self._doubts.is_lost = True

    def is_stranger(self, pointer: int) -> bool:
        """Whether *pointer* is none that was handed out."""
        return bool(pointer) and pointer - HEADER not in self._state.words

    def take_stranger(self, pointer: int) -> None:
        """A pointer that was never handed out was freed: it waits in some list, nobody knows in which."""
        self._doubts.strangers.add(pointer)

    def arenas_used(self) -> frozenset[int]:
        """Return which arenas were used since this was last asked, by number; -1: one was chosen among them."""
        used = frozenset(self._state.used)
        self._state.used.clear()
        return used

    def facts(self) -> tuple[object, ...]:
        """Return all that decides what later calls do, to be compared."""
        arenas, state = self._calls.arenas, self._state
        threads = {
            task: (thread.cache.facts(), arenas.ring.index(thread.arena) if thread.arena is not None else -1)
            for task, thread in self._calls.threads.items()
        }  # fmt: skip
        free = [(arenas.ring.index(arena), left_by) for arena, left_by in arenas.free]
        return state.facts(), [arena.facts() for arena in arenas.ring], threads, free, self._doubts.facts()

    # ---- what can be asked ----------------------------------------------------------------------------------

    def describe(self, size: int, task: int | None = None) -> str:
        """Return in words what is free for *size* bytes now: in the cache, fast bin, own bin, unsorted, and the top."""
        thread, whole = self._thread(task), chunk_size(size)
        index = (whole - 32) >> 4
        cached = len(thread.cache.lists[index]) if index < len(thread.cache.lists) else 0
        arena = thread.arena or self._calls.arenas.main
        own, unsorted = len(arena.bins.backwards(bin_of(whole))), len(arena.bins.backwards(UNSORTED))
        fast = len(arena.fast.of(whole)) if whole <= self._state.parameters.fast_limit else 0
        return (
            f"for a chunk of {whole:,} bytes: {cached} in the thread cache, {fast} in a fast bin, {own} in bin "
            f"{bin_of(whole)}, {unsorted} unsorted, {arena.top_size:,} bytes of top"
        )

    # ---- what the calls share -------------------------------------------------------------------------------

    def _thread(self, task: int | None) -> Thread:
        return self._calls.thread(self._calls.main_task if task is None else task)

    def _give_pages(self, chunk: int, size: int) -> bool:
        """Tell the kernel that the whole pages inside a free chunk are not needed."""
        page = self._state.page
        if size <= page - 1 + 48:
            return False
        start = round_up(chunk + 48, page)
        length = round_down(size - (start - chunk), page)
        if length <= 0:
            return False
        self._asked.madvise(start, length, DONTNEED)
        return True

    def _outcome(self, chunk: int) -> Outcome:
        """Return what came of a call that hands out *chunk*, 0 for none."""
        asked: Sequence[SystemCall] = ()
        if self._asked.calls:
            asked, self._asked.calls = self._asked.calls, []
        touched = self._touches.take() if self._touches is not None else ()
        return Outcome(chunk + HEADER, self._state.served, asked, touched) if chunk else Outcome(0, "", asked, touched)

    def _answer(self, number: int) -> Outcome:
        """Return what came of a call that hands out no memory."""
        outcome = self._outcome(0)
        return Outcome(number, "", outcome.asks, outcome.touched)
