"""What every function of the family needs: the calling thread, its cache, its arena, and the way back for a chunk."""

from __future__ import annotations

from observer.errors import BadWorkload
from observer.glibc.chunks import FLAGS, HEADER, IS_MAPPED, WORD
from observer.simulator.glibc import mapped
from observer.simulator.glibc.arena import Arena
from observer.simulator.glibc.arenas import Arenas, Thread
from observer.simulator.glibc.state import State
from observer.simulator.glibc.tcache import ThreadCache

__all__ = ["Calls"]


class Calls:
    """The threads of a process over its arenas. `hooked` is whether the first call is still to come, up to 2.33."""

    __slots__ = ("arenas", "hooked", "is_threaded", "main_task", "state", "threads")

    def __init__(self, arenas: Arenas, main_task: int) -> None:
        self.arenas = arenas
        self.state: State = arenas.state
        self.main_task = main_task
        self.hooked = self.state.version.first_calloc_by_hook
        self.is_threaded = False
        self.threads = {main_task: Thread(ThreadCache(self.state), arenas.main)}
        arenas.main.threads = 1

    def thread(self, task: int) -> Thread:
        """Return the thread of *task*, which begins with its first call."""
        found = self.threads.get(task)
        if found is None:
            self.is_threaded = True
            found = self.threads[task] = Thread(ThreadCache(self.state))
        return found

    def arena(self, thread: Thread, request: int) -> Arena | None:
        """Return the arena that serves *thread*; its first heap is made for *request* bytes."""
        return thread.arena or self.arenas.attach(thread, request)

    def allocate(self, thread: Thread, request: int) -> int:
        """Return a chunk of the thread's arena for *request* bytes, 0 if none can be had."""
        arena = self.arena(thread, request)
        if arena is None:
            return mapped.make(self.state, (request + 23) & -16)
        chunk = arena.allocate(request, thread.cache)
        if chunk or not self.is_threaded:
            return chunk
        other = self.arenas.retry(thread, arena, request)
        return other.allocate(request, thread.cache) if other is not None else 0

    def cached(self, thread: Thread, size: int) -> int:
        """Return a chunk of *size* bytes from the thread's cache, 0 if it has none."""
        chunk = thread.cache.get(size)
        if chunk:
            self.state.served = "tcache"
        return chunk

    def prepare_cache(self, thread: Thread, size: int = 0) -> None:
        """Make the thread's cache where the release does so when a chunk of *size* bytes is asked for."""
        cache = thread.cache
        if cache.made or not cache.pending:
            return
        moment = self.state.version.tcache_made
        if moment == "any call" or (moment == "small request" and size < cache.limit):
            self._make_cache(thread)

    def release(self, thread: Thread, chunk: int) -> None:
        """Free a chunk as free(3) does."""
        word = self.word_of(chunk)
        cache, size = thread.cache, word & ~FLAGS
        if word & IS_MAPPED:
            if self.state.version.tcache_large != "exact" or not self._cache(thread, chunk, size):
                self.release_mapped(chunk)
            return
        if self.state.version.tcache_made == "any call":
            self.prepare_cache(thread)
        if not cache.put(chunk, size) and not (cache.pending and self._cache(thread, chunk, size)):
            self.arenas.of(chunk, word).give_back(chunk, size)

    def release_directly(self, thread: Thread, chunk: int) -> None:
        """Free a chunk that the allocator itself gives up: up to 2.41 as a program's, later past the cache."""
        word = self.state.words[chunk]
        self.arenas.of(chunk, word).give_part_back(chunk, word & ~FLAGS, thread.cache)

    def release_mapped(self, chunk: int) -> None:
        """Unmap a chunk that is freed; the thresholds may follow its size."""
        word = self.state.words[chunk]
        self.state.parameters.freed_mapping(word, word & ~FLAGS)
        mapped.unmap(self.state, chunk)

    def end(self, task: int) -> None:
        """A thread ends: its cache goes back to the arenas, and its arena waits for another thread."""
        thread = self.threads.pop(task, None)
        if thread is None:
            return
        words = self.state.words
        for chunk in thread.cache.flush():
            if words[chunk] & IS_MAPPED:
                self.release_mapped(chunk)
            else:
                self.arenas.of(chunk, words[chunk]).give_back(chunk, words[chunk] & ~FLAGS)
        self.arenas.end(thread, task)

    def word_of(self, chunk: int) -> int:
        """Return the size word of a chunk in use; raises BadWorkload if none begins there."""
        word = self.state.words.get(chunk)
        if word is None:
            raise BadWorkload(f"no piece of the heap begins at {chunk + HEADER:#x}")
        return word

    def usable(self, chunk: int) -> int:
        """Return the bytes that the program may use of a chunk."""
        word = self.word_of(chunk)
        return mapped.usable_of(self.state, chunk) if word & IS_MAPPED else (word & ~FLAGS) - WORD

    def _cache(self, thread: Thread, chunk: int, size: int) -> bool:
        """Put a freed chunk into the thread's cache, which from 2.43 is made now; return whether it is there."""
        cache = thread.cache
        if cache.pending and self.state.version.tcache_made == "free" and size < cache.limit:
            cache.pending = False
            if cache.count:
                self._make_cache(thread)
        return cache.put(chunk, size)

    def _make_cache(self, thread: Thread) -> None:
        chunk = self.allocate(thread, self.state.version.tcache_struct)
        if chunk:
            thread.cache.adopt(chunk)
