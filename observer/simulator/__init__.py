"""The reference machines: the book's allocator and Linux's paging, pure Python that has never heard of ptrace.

`workload.py` is what they are asked to do, `book.py` the allocator, `paging.py` the memory behind it, `machine.py` both
together, yielding the same event values that the instruments yield.
"""
