"""glibc's heap read from outside: arenas, bins, thread caches, and every chunk from a heap's beginning to its top.

`walking.py` has `walk`, which is given a memory to read and where to look, and knows nothing of processes; it gives a
`Heap` (`values.py`), frozen, that can be stored. `process.py` is such a memory of a stopped process, and says where its
C library lies. On the way: `image.py` reads in large pieces, and only pages that are there; `arenas.py` finds the
arenas and their heaps, by structure where no symbol tells; `parts.py` walks through the chunks of one stretch;
`bins.py` and `caches.py` follow the lists; `agreement.py` sets what the lists say beside what the chunks say.

Nothing that is read is believed: what cannot be is a `Finding`, and the walk goes on with what is left.
"""
