"""The reference machines, pure Python that has never heard of ptrace.

- What they are asked to do: `workload.py` the language, `packaged.py` the workloads of the package, `generate.py`
  random ones, `rep.py` those of the malloc lab, `recorded.py` those made of recorded runs.
- The book's allocator: `book.py`.
- Linux's paging: `paging.py` is one process's memory, `address_space.py` the system calls on it, `faulting.py` what a
  fault does, `regions.py` the mappings, `page_table.py` the entries, `frames.py` physical memory with swap,
  `replacement.py` who gives way, `backing.py` files and shared memory, `commit.py` what is promised.
- Both together: `machine.py` runs a workload in processes (`process.py`) and writes down events (`event_log.py`).
- glibc's own allocator, release by release: the package `glibc/`.
- Beside a real run: `book_side.py` is given its calls, `frame_side.py` its mappings and touches,
  `glibc_side.py` has glibc's model predict every pointer.
"""
