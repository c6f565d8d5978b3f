"""Which arena a thread uses: its own, one whose thread has ended, a new one, or in turn one of those there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from observer.glibc.parameters import HEAP_BYTES
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.kernel import Asked
from observer.simulator.glibc.state import State
from observer.simulator.glibc.system import MainArena
from observer.simulator.glibc.tcache import ThreadCache
from observer.simulator.glibc.threads import Heaps, ThreadArena, new_arena

__all__ = ["Arenas", "Thread"]

_ARENAS_PER_CPU: Final = 8
_CHOICE: Final = -1


@dataclass(slots=True)
class Thread:
    """One thread: its cache, and its arena once it has one."""

    cache: ThreadCache
    arena: Arena | None = None


class Arenas:
    """The arenas of a process. `ring` is their order: the main one, then from the newest to the oldest.

    Arenas are taken to be unlocked: which one a thread finds locked by another depends on time and cannot be told.

    Args:
        state: what they share.
        cpus: processors that are online; beyond 8 arenas there may be 8 for each.
    """

    __slots__ = ("_cpus", "_limit", "_next", "_state", "free", "heaps", "main", "ring")

    def __init__(self, state: State, cpus: int) -> None:
        self._state = state
        self._cpus = cpus
        self.heaps = Heaps(state)
        self.main = MainArena(state)
        self.ring: list[Arena] = [self.main]
        self.free: list[tuple[Arena, int]] = []
        """Arenas that wait for a thread, the next one last, each with the thread that left it; 0: before a fork."""
        self._limit = 0
        self._next: Arena = self.main

    def of(self, chunk: int, word: int) -> Arena:
        """Return the arena that a chunk with this size word belongs to."""
        if not word & 4:
            return self.main
        arena = self.heaps.of(chunk).arena
        assert arena is not None
        return arena

    def holder(self, pointer: int) -> Arena | None:
        """Return the thread arena that *pointer* lies in, None if there is no such."""
        heap = self.heaps.by_base.get(pointer & -HEAP_BYTES)
        return heap.arena if heap is not None else None

    def attach(self, thread: Thread, request: int) -> Arena | None:
        """Give *thread* an arena; *request* bytes are the first that it will be asked for."""
        arena: Arena | None
        self._state.used.add(_CHOICE)
        if self.free:
            arena, _left_by = self.free.pop()
        elif self._may_make():
            arena = new_arena(self._state, self.heaps, request)
            if arena is None:
                return None
            arena.number = len(self.ring)
            self.ring.insert(1, arena)
        else:
            arena = self._reuse()
        self._leave(thread)
        thread.arena = arena
        arena.threads += 1
        return arena

    def retry(self, thread: Thread, failed: Arena, request: int) -> Arena | None:
        """Return where a failed request is tried once more: the main arena; for that one, what a new thread would get,
        which may be the main arena again.
        """
        if failed is not self.main:
            return self.main
        return self.attach(thread, request)

    def end(self, thread: Thread, task: int) -> None:
        """The thread ends; an arena without threads waits for the next one."""
        arena = thread.arena
        self._leave(thread)
        if arena is not None and not arena.threads:
            self.free.append((arena, task))

    def put_first(self, task: int) -> None:
        """Let the arena that the thread *task* left be the next to be taken."""
        self.free.sort(key=lambda entry: entry[1] == task)

    def copy(self, kernel: Asked, thread: Thread) -> tuple[Arenas, Thread]:
        """Return those of a forked child, in which only *thread* lives on; all other arenas wait for threads."""
        twin = self._twin(self._state.copy(kernel))
        own = twin._thread(self, thread)
        for arena in twin.ring:
            arena.threads = int(arena is own.arena)
        twin.free = [(arena, 0) for arena in twin.ring if arena is not own.arena]
        return twin, own

    def twin(self, kernel: Asked, threads: Mapping[int, Thread]) -> tuple[Arenas, dict[int, Thread]]:
        """Return a second set, equal to this, and its *threads*."""
        twin = self._twin(self._state.twin(kernel))
        twin.free = [(twin._of(self, arena), left_by) for arena, left_by in self.free]
        return twin, {task: twin._thread(self, thread) for task, thread in threads.items()}

    def _twin(self, state: State) -> Arenas:
        twin = Arenas(state, self._cpus)
        twin.heaps = self.heaps.copy(state)
        twin.main = self.main.copy(state, state.touches)
        twin.ring = [
            arena.copy(state, twin.heaps, state.touches) if isinstance(arena, ThreadArena) else twin.main
            for arena in self.ring
        ]  # fmt: skip
        twin._limit, twin._next = self._limit, twin._of(self, self._next)
        return twin

    def _of(self, original: Arenas, arena: Arena) -> Arena:
        """Return what *arena* of *original* is here."""
        return self.ring[original.ring.index(arena)]

    def _thread(self, original: Arenas, thread: Thread) -> Thread:
        arena = self._of(original, thread.arena) if thread.arena is not None else None
        return Thread(thread.cache.copy(self._state), arena)

    @property
    def state(self) -> State:
        """What the arenas share."""
        return self._state

    def _may_make(self) -> bool:
        parameters = self._state.parameters
        if not self._limit:
            if parameters.arena_max:
                self._limit = parameters.arena_max
            elif len(self.ring) > parameters.arena_test:
                self._limit = _ARENAS_PER_CPU * self._cpus
        return not self._limit or len(self.ring) < self._limit

    def _reuse(self) -> Arena:
        arena = self._next
        self._next = self.ring[(self.ring.index(arena) + 1) % len(self.ring)]
        return arena

    def _leave(self, thread: Thread) -> None:
        if thread.arena is not None:
            thread.arena.threads -= 1
        thread.arena = None
