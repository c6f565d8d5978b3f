"""glibc's own allocator, 2.31 to 2.43 on 64-bit machines, as exact as the library itself, and without Linux.

Given the calls of a program in their order and what the kernel answered, it tells every pointer, every system call
with its arguments, and every range that the allocator itself reads or writes first.

- The way in: `malloc.py`, the functions of the family; `realloc.py`, `calloc.py` and `memalign.py` the longer ones;
  `calls.py` finds the thread's cache and arena for them.
- One arena: `arena.py` finds a chunk, `coalescing.py` takes one back, over `bins.py` and `fastbins.py`; `system.py` is
  the main arena, which grows by brk(2); `threads.py` those of threads, in heaps of 64 MiB; `arenas.py` chooses.
- Beside the arenas: `tcache.py` each thread's cache, `mapped.py` chunks with a mapping of their own.
- When a recorded call came otherwise: `doubts.py` is what is open then, `seen.py` takes calls as they were seen.
- What they stand on: the facts in `observer.glibc`, `state.py` what all arenas share, `kernel.py` the questions to the
  kernel and who answers them, `touches.py` the words that are read and written.
"""
