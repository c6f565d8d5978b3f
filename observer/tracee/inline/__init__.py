"""The recorder that runs inside the program (inline): records of calls without a stop.

`stub.S` is its code, `assembled.py` makes bytes of it; `annex.py` lays out what is put near a library to serve its
functions, `ring.py` is the memory that it writes and we read, `space.py` has both for one address space, `recorder.py`
decides where it may be, and is asked at the few stops that are left.
"""
